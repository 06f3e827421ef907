"""firsthand count: what a recipe's model will cost, before anything is allocated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe

if TYPE_CHECKING:
    from rich.console import Console

    from firsthand.config import Config

USUAL_SHARE = 0.45
"""Of the machine's matmul rate, what a training step reaches: `firsthand demo` writes it as `peak_share` into
runs/demo/metrics.jsonl, 0.44 to 0.49 on two cores of a Xeon. Other models and machines were not asked."""
OPTIMIZER_FLOATS = {"muon": (1, 2), "lion": (1, 1), "sgd": (1, 1)}
"""Numbers kept for each weight of a hidden matrix, and for each other; two and two for whatever stands not here."""
TYPICAL_VOCABULARY = {"byte": 257, "char": 100}


def count(
    recipe: Annotated[
        str | None, typer.Argument(help="a YAML file, or the name of one of the project's recipes; none with --preset")
    ] = None,
    settings: Annotated[list[str] | None, typer.Argument(help="overrides: model.n_layers=4 ...")] = None,
    preset: Annotated[str | None, typer.Option(help="Count this preset instead of a recipe's model.")] = None,
    size: Annotated[str | None, typer.Option(help="With --preset: one of its sizes, such as nano or 8b.")] = None,
    json: Json = False,
) -> None:
    """Parameters, arithmetic, memory and expected speed of the model that RECIPE, or a preset, describes."""
    from firsthand import config
    from firsthand.errors import UserError

    if preset is not None:
        named = [f"model.preset={preset}", *([f"model.size={size}"] if size else [])]
        tree = config.load(None, [*named, *([recipe] if recipe else []), *(settings or [])])
        vocabulary, exact = published_vocabulary(tree) or vocabulary_of(tree)
    elif recipe is None or size is not None:
        raise UserError("Name a recipe (firsthand count tiny) or a preset (firsthand count --preset llama --size 8b).")
    else:
        tree = config.load(find_recipe(recipe), settings)
        vocabulary, exact = vocabulary_of(tree)
    result = {"vocab_size": vocabulary, "vocab_size_is_exact": exact} | cost(tree, vocabulary)
    if json:
        emit(result)
    else:
        _show(result)


def cost(tree: "Config", vocabulary: int) -> dict[str, Any]:
    """What `firsthand count --json` prints. Memory in bytes; rates measured here and now."""
    import torch

    from firsthand import assemble, parts
    from firsthand.model.count import count as count_model
    from firsthand.model.presets import resolve
    from firsthand.ops.roof import matmul_rate
    from firsthand.train import host, precision

    tree, derived = assemble.settle(tree)
    fields = resolve(tree.model)
    device = host.pick_device(tree.train.device)
    chosen = precision.choose(tree.train.precision, device)
    rows = max(1, (tree.data.batch_tokens or 0) // fields["context_length"] // tree.train.microbatches)
    floats = OPTIMIZER_FLOATS.get(parts.split(tree.train.optimizer)[0], (2, 2))
    counted = count_model(fields, vocabulary, rows, floats, precision.DTYPES[chosen])
    rate = matmul_rate(torch.float32 if chosen == "fp32" else torch.bfloat16, device.type)
    return {
        "derived": derived,
        "parameters": {**counted.parameters, "total": sum(counted.parameters.values())},
        "active_parameters": counted.active,
        "flops_per_token": counted.flops_per_token,
        "memory": {**counted.memory, "total": sum(counted.memory.values())},
        "decode_state": 4 * counted.state,
        "rows": rows,
        "context_length": fields["context_length"],
        "precision": chosen,
        "device": str(device),
        "matmul_flops_per_second": rate,
        "tokens_per_second": USUAL_SHARE * rate / counted.flops_per_token,
    }


def published_vocabulary(tree: "Config") -> tuple[int, bool] | None:
    """The vocabulary that the preset's size was published with; None for a size of our own."""
    from firsthand.model.presets import family_of

    size = family_of(tree.model.preset).sizes.get(tree.model.size or "")
    return None if size is None or size.vocab_size is None else (size.vocab_size, True)


def vocabulary_of(tree: "Config") -> tuple[int, bool]:
    """How many tokens the recipe's tokenizer will know, and whether that is certain before it has seen the text."""
    from firsthand import parts, tokens

    name, arguments = parts.split(tree.tokenizer)
    if (Path(name) / "tokenizer.json").is_file():
        return tokens.load(name).vocab_size, True
    parts.find("tokenizer", tokens.TOKENIZERS, name)
    if arguments.get("vocab_size"):
        return int(arguments["vocab_size"]), True
    return TYPICAL_VOCABULARY.get(name, 8192), name == "byte"


def _show(result: dict[str, Any]) -> None:
    out = console()
    guessed = "" if result["vocab_size_is_exact"] else " (a guess: the text decides)"
    out.print(f"vocabulary {result['vocab_size']:,}{guessed}\n")
    _show_parameters(out, result)
    flops = result["flops_per_token"]
    out.print(f"\n{flops / 1e6:,.1f} million operations to train on one token:")
    out.print("  6 · multiplied weights + 3 · what mixers do beside them")
    out.print("  (causal attention: 6 · n_layers · n_heads · d_head · context_length)\n")
    _show_memory(out, result)
    if result["derived"]:
        out.print("the dial sets what the recipe leaves open:")
        for key, value in result["derived"].items():
            out.print(f"  {key}={value:.9g}")
        out.print()
    rate, speed = result["matmul_flops_per_second"] / 1e9, result["tokens_per_second"]
    out.print(f"{result['device']} multiplies matrices at {rate:,.0f} GFLOP/s. Steps of the demo reach")
    out.print(f"{USUAL_SHARE:.0%} of it: expect some {speed:,.0f} tokens/s.")


def _show_parameters(out: "Console", result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("part", box=None)
    table.add_column("parameters", justify="right")
    table.add_column("share", justify="right")
    total, active = result["parameters"]["total"], result["active_parameters"]
    for part, number in result["parameters"].items():
        table.add_row(part, f"{number:,}", f"{number / total:.0%}")
    if active != total:
        table.add_row("met by one token", f"{active:,}", f"{active / total:.0%}")
    out.print(table)


def _show_memory(out: "Console", result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("memory", box=None)
    table.add_column("MB", justify="right")
    for purpose, size in result["memory"].items():
        table.add_row(purpose, f"{size / 1e6:,.0f}")
    out.print(table)
    length, state = result["context_length"], result["decode_state"] / 1e6
    out.print(f"  (activations of {result['rows']} rows of {length} tokens in {result['precision']})")
    out.print(f"  to write {length} tokens, the mixers keep {state:,.2f} MB for each text, in fp32\n")
