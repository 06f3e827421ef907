"""Claim: a LoRA step takes at most two thirds of the time of `transformers` with `peft`, and learns the same.

The shape of SmolLM2-135M with random weights, 4 texts of 256 random tokens, rank 8 on queries and values, fp32, AdamW
and clipping on both sides. Both begin with the same weights and the same A and see the same batches: the losses of 30
steps are compared first, then both are timed in turn.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.peers import windows
from firsthand import assemble, config
from firsthand.adapt.lora import lora_state_dict
from firsthand.data.shards import Tokens
from firsthand.model.count import flops_per_token
from firsthand.model.presets import resolve
from firsthand.train.loop import Loop
from firsthand.train.parallel import Ranks

VOCABULARY = 49152
SHAPE = ["model.preset=llama", "model.size=smollm2-135m"]
RATE, RANK, ALPHA = 1e-3, 8, 16.0
TAUGHT = ["adapt.adapter.part=lora", f"adapt.adapter.rank={RANK}", f"adapt.adapter.alpha={ALPHA}"]
NAMES = {
    r"embedding\.weight": "model.embed_tokens.weight",
    r"norm\.gain": "model.norm.weight",
    r"blocks\.(\d+)\.mixer_norm\.gain": r"model.layers.\1.input_layernorm.weight",
    r"blocks\.(\d+)\.ffn_norm\.gain": r"model.layers.\1.post_attention_layernorm.weight",
    r"blocks\.(\d+)\.mixer\.out(\.\w+)?": r"model.layers.\1.self_attn.o_proj\2",
    r"blocks\.(\d+)\.mixer\.(q|k|v)[a-z]+(\.\w+)?": r"model.layers.\1.self_attn.\2_proj\3",
    r"blocks\.(\d+)\.ffn\.(gate|up|down)(\.\w+)?": r"model.layers.\1.mlp.\2_proj\3",
}
"""Our names of a Llama's parameters and maps, and theirs."""


def rows(steps: int = 30, length: int = 256, texts: int = 4, shape: list[str] = SHAPE) -> list[dict[str, Any]]:
    """The widest gap between the losses, and tokens a second of both."""
    size = [f"model.context_length={length}", f"data.batch_tokens={texts * length}"]
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 200_000).astype(np.uint16)
    settings = [*shape, *size, *TAUGHT, "adapt.adapter.targets=[query, value]"]
    mine = loop_of(settings, ids, VOCABULARY)
    peer = theirs(mine, resolve(config.load(None, settings).model)["position"]["theta"])
    sides = {"firsthand": loss_of(iter(mine))}
    if peer is not None:
        sides["transformers and peft"] = peer
    losses = {name: [step() for _ in range(steps)] for name, step in sides.items()}
    gap = max(abs(one - another) for one, another in zip(*[*losses.values()][-2:], strict=True)) if peer else None
    seconds = windows(sides)
    found = []
    for name in sides:
        row = {"who": name, "loss at first": losses[name][0], "loss at last": losses[name][-1]}
        row |= {"widest gap": gap, "tokens/s": texts * length / seconds[name]}
        found.append(row | {"ours over it": seconds[name] / seconds["firsthand"]})
    return found


def loop_of(settings: list[str], ids: Any, vocab_size: int) -> Loop:
    """The training loop in fp32 over random weights, without a base to open."""
    rate = f"train.optimizer={{part: adamw, lr: {RATE}, weight_decay: 0.0, betas: [0.9, 0.999]}}"
    fixed = [rate, "train.schedule=constant", "train.steps=1000000", "train.precision=fp32"]
    settled, _ = assemble.settle(config.load(None, [*fixed, *settings]))
    model = assemble.make_model(settled, vocab_size)
    assemble.adapt(settled, model)
    device = torch.device("cpu")
    return Loop(
        model,
        assemble.make_objective(settled),
        assemble.make_optimizer(settled, model),
        assemble.make_schedule(settled),
        assemble.make_loader(settled, Tokens.of(ids), model.context_length, Ranks(), device),
        assemble.make_budget(settled),
        flops_per_token(model),
        device,
        "fp32",
    )


def loss_of(steps: Iterator[Any]) -> Any:
    return lambda: next(steps).loss


def theirs(ours: Loop, theta: float) -> Any:
    """A step of theirs that gives its loss, with the weights, the adapters and the batches of a loop of ours."""
    try:
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return None
    model = ours.model
    attention, ffn, norm = (model.blocks[0].get_submodule(name) for name in ("mixer", "ffn", "mixer_norm"))
    sizes = {"num_hidden_layers": len(model.blocks), "hidden_size": model.embedding.embedding_dim}
    sizes |= {"num_attention_heads": attention.n_heads, "num_key_value_heads": attention.n_kv_heads}
    sizes |= {"head_dim": attention.d_head, "intermediate_size": ffn.up.out_features, "vocab_size": model.vocab_size}
    more = {"max_position_embeddings": model.context_length, "tie_word_embeddings": True, "rms_norm_eps": norm.eps}
    settings = LlamaConfig(
        **sizes, **more, rope_parameters={"rope_type": "default", "rope_theta": theta}, bos_token_id=0, eos_token_id=0
    )
    other: Any = LlamaForCausalLM(settings)
    plain = {
        renamed(name.replace(".linear.", ".")): p.detach()
        for name, p in model.named_parameters()
        if not p.requires_grad
    }
    missing, unexpected = other.load_state_dict(plain, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    other = get_peft_model(other, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "v_proj"])).train()
    places = {"lora_a": "lora_A.default.weight", "lora_b": "lora_B.default.weight"}
    for name, tensor in lora_state_dict(model).items():
        part, _, own = name.rpartition(".")
        other.get_parameter(f"base_model.model.{renamed(part)}.{places[own]}").data.copy_(tensor)
    learning = [p for p in other.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, RATE, weight_decay=0.0, fused=True)
    numbers = iter(range(10**9))

    def step() -> float:
        [batch] = ours.batches.batch(next(numbers))
        logits = other(batch.inputs, use_cache=False).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def renamed(name: str) -> str:
    [(pattern, replacement)] = [(p, r) for p, r in NAMES.items() if re.fullmatch(p, name)]
    return re.sub(pattern, replacement, name)
