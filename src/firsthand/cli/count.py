"""firsthand count: what a recipe's model will cost, before anything is allocated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe

if TYPE_CHECKING:
    from firsthand.config import Config

USUAL_SHARE = 0.5
"""Of the machine's matmul rate, what a training step of these models reaches (measured in docs/model.md)."""
TYPICAL_VOCABULARY = {"byte": 257, "char": 100}


def count(
    recipe: Annotated[str, typer.Argument(help="a YAML file, or the name of one of the project's recipes")],
    settings: Annotated[list[str] | None, typer.Argument(help="overrides: model.n_layers=4 ...")] = None,
    json: Json = False,
) -> None:
    """Parameters, arithmetic, memory and expected speed of the model that RECIPE describes."""
    from firsthand import config

    tree = config.load(find_recipe(recipe), settings)
    result = cost(tree)
    if json:
        emit(result)
    else:
        _show(result)


def cost(tree: "Config") -> dict[str, Any]:
    """What `firsthand count --json` prints. Memory in bytes, for one optimizer step; rates measured here and now."""
    import torch

    from firsthand import parts
    from firsthand.model.count import count as count_model
    from firsthand.model.presets import resolve
    from firsthand.ops.roof import matmul_rate
    from firsthand.train import host, precision

    fields = resolve(tree.model)
    vocabulary, exact = vocabulary_of(tree)
    device = host.pick_device(tree.train.device)
    chosen = precision.choose(tree.train.precision, device)
    rows = max(1, tree.data.batch_tokens // fields["context_length"] // tree.train.microbatches)
    floats = (1, 2) if parts.split(tree.train.optimizer)[0] == "muon" else (2, 2)
    counted = count_model(fields, vocabulary, rows, floats, precision.DTYPES[chosen])
    rate = matmul_rate(torch.float32 if chosen == "fp32" else torch.bfloat16, device.type)
    return {
        "vocab_size": vocabulary,
        "vocab_size_is_exact": exact,
        "parameters": {**counted.parameters, "total": sum(counted.parameters.values())},
        "flops_per_token": counted.flops_per_token,
        "memory": {**counted.memory, "total": sum(counted.memory.values())},
        "rows": rows,
        "context_length": fields["context_length"],
        "precision": chosen,
        "device": str(device),
        "matmul_flops_per_second": rate,
        "tokens_per_second": USUAL_SHARE * rate / counted.flops_per_token,
    }


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
    from rich.table import Table

    out = console()
    table = Table("part", box=None)
    table.add_column("parameters", justify="right")
    table.add_column("share", justify="right")
    total = result["parameters"]["total"]
    for part, number in result["parameters"].items():
        table.add_row(part, f"{number:,}", f"{number / total:.0%}")
    guessed = "" if result["vocab_size_is_exact"] else " (a guess: the text decides)"
    out.print(f"vocabulary {result['vocab_size']:,}{guessed}\n")
    out.print(table)
    flops = result["flops_per_token"]
    out.print(f"\n{flops / 1e6:,.1f} million operations to train on one token:")
    out.print(
        "  6 · multiplied weights + 6 · n_layers · n_heads · d_head · context_length (causal: half of it on average)\n"
    )
    table = Table("memory", box=None)
    table.add_column("MB", justify="right")
    for purpose, size in result["memory"].items():
        table.add_row(purpose, f"{size / 1e6:,.0f}")
    out.print(table)
    out.print(
        f"  (activations of {result['rows']} rows of {result['context_length']} tokens in {result['precision']})\n"
    )
    out.print(
        f"{result['device']} multiplies matrices at {result['matmul_flops_per_second'] / 1e9:,.0f} GFLOP/s. A step"
        f" reaches about {USUAL_SHARE:.0%} of that:\n"
        f"expect some {result['tokens_per_second']:,.0f} tokens/s."
    )
