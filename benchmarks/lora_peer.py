"""`transformers` with `peft`, given the weights, the adapters and the texts of a loop of ours."""

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from firsthand.adapt.lora import lora_state_dict
from firsthand.train.loop import Loop
from firsthand.types import IGNORE, Batch

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


class Peer:
    """One side of the comparison. `whole`: frozen weights in bf16, else autocast (where the precision is bf16)."""

    def __init__(
        self, ours: Loop, theta: float, rate: float, rank: int, alpha: float, precision: str, whole: bool
    ) -> None:
        self._batches, self._number = ours.batches, 0
        self._autocast = precision == "bf16" and not whole
        self._model = _adapted(ours.model, theta, rank, alpha, torch.bfloat16 if whole else torch.float32)
        self._learning = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._learning, rate, weight_decay=0.0, fused=True)

    def step(self) -> float:
        """The mean loss before the step, over the same targets as ours."""
        [batch] = self._batches.batch(self._number)
        self._number += 1
        inputs, targets, seen = padded(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            logits = self._model(inputs, attention_mask=seen, use_cache=False).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._learning, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def padded(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    """The texts of a batch in rows of their own, filled up to the longest: inputs, targets, and where there is text."""
    document = batch.place.document
    assert document is not None
    if (document == document[:, :1]).all():
        return batch.inputs, batch.targets, None
    where = [document[row] == one for row in range(len(document)) for one in document[row].unique() if one >= 0]
    rows = [row for row in range(len(document)) for one in document[row].unique() if one >= 0]
    inputs = pad_sequence([batch.inputs[row, here] for row, here in zip(rows, where, strict=True)], batch_first=True)
    targets = [batch.targets[row, here] for row, here in zip(rows, where, strict=True)]
    seen = pad_sequence([torch.ones(len(one), dtype=torch.int64) for one in targets], batch_first=True)
    return inputs, pad_sequence(targets, batch_first=True, padding_value=IGNORE), seen


def _adapted(model: Any, theta: float, rank: int, alpha: float, dtype: torch.dtype) -> Any:
    """Their model with our numbers, its frozen weights in `dtype`."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    attention, ffn, norm = (model.blocks[0].get_submodule(name) for name in ("mixer", "ffn", "mixer_norm"))
    sizes = {"num_hidden_layers": len(model.blocks), "hidden_size": model.embedding.d_model}
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
    targets = ["q_proj", "v_proj"]
    other = get_peft_model(other.to(dtype), LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)).train()
    places = {"lora_a": "lora_A.default.weight", "lora_b": "lora_B.default.weight"}
    for name, tensor in lora_state_dict(model).items():
        part, _, own = name.rpartition(".")
        other.get_parameter(f"base_model.model.{renamed(part)}.{places[own]}").data.copy_(tensor)
    return other


def renamed(name: str) -> str:
    [(pattern, replacement)] = [(p, r) for p, r in NAMES.items() if re.fullmatch(p, name)]
    return re.sub(pattern, replacement, name)
