"""What a GGUF file of each architecture consists of: its tensors and how they are called here. Both directions use it.

The names are those of llama.cpp, which decides what they mean: its src/llama-arch.cpp lists them.
"""

import re
from dataclasses import dataclass

Shape = tuple[int, ...]

ATTENTION = {"attn_q": "mixer.query", "attn_k": "mixer.key", "attn_v": "mixer.value", "attn_output": "mixer.out"}
NORMS = {
    "attn_norm": "mixer_norm",
    "ffn_norm": "ffn_norm",
    "attn_q_norm": "mixer.query_norm",
    "attn_k_norm": "mixer.key_norm",
    "output_norm": "norm",
}
FFN = {"ffn_gate": "ffn.gate", "ffn_up": "ffn.up", "ffn_down": "ffn.down"}
EXPERTS = {"ffn_gate_inp": "ffn.router"} | {f"{theirs}_exps": ours for theirs, ours in FFN.items()}
TOP = {"token_embd.weight": "embedding.weight", "output.weight": "unembedding.weight"}
PARTS = ATTENTION | NORMS | FFN | EXPERTS
POSITIONS = "position_embd.weight"
FUSED = "attn_qkv"
"""GPT-2's queries, keys and values are one map there."""
ROPE_FACTORS = "rope_freqs.weight"
"""What RoPE's frequencies are divided by (Llama 3.1 and later)."""


@dataclass(frozen=True)
class Layout:
    """Everything that decides which tensors a file has. `bias`: of attention, "" (none), "qkv" or "all"."""

    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_ff: int
    vocab_size: int
    context_length: int
    tied: bool
    bias: str = ""
    qk_norm: bool = False
    n_experts: int = 0
    rope_factors: bool = False

    @property
    def gpt2(self) -> bool:
        return self.architecture == "gpt2"

    @property
    def neighbours(self) -> bool:
        """Whether llama.cpp turns channels 2i and 2i + 1 together in this architecture, rather than i and i + half."""
        return self.architecture == "llama"

    def turned(self, name: str) -> int:
        """How many heads of queries or keys, which RoPE turns, the rows of the tensor `name` are; 0 if none."""
        heads = {"attn_q": self.n_heads, "attn_k": self.n_kv_heads, "attn_q_norm": 1, "attn_k_norm": 1}
        return heads.get(name.split(".")[-2], 0)

    def shapes(self) -> dict[str, Shape]:
        """Every tensor of the file, rows first."""
        table = (self.vocab_size, self.d_model)
        shapes: dict[str, Shape] = {"token_embd.weight": table}
        if self.gpt2:
            shapes[POSITIONS] = (self.context_length, self.d_model)
        if self.rope_factors:
            shapes[ROPE_FACTORS] = (self.d_head // 2,)
        for number in range(self.n_layers):
            layer = self._attention() | self._ffn()
            shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
        shapes |= self._norm("output_norm", self.d_model)
        return shapes if self.tied else {**shapes, "output.weight": table}

    def _attention(self) -> dict[str, Shape]:
        width, kv_width = self.n_heads * self.d_head, self.n_kv_heads * self.d_head
        shapes = self._norm("attn_norm", self.d_model)
        rows = {"attn_q": width, "attn_k": kv_width, "attn_v": kv_width}
        if self.gpt2:
            rows = {FUSED: width + 2 * kv_width}
        for name, count in rows.items():
            shapes |= self._map(name, count, self.d_model, bool(self.bias))
        if self.qk_norm:
            shapes |= self._norm("attn_q_norm", self.d_head) | self._norm("attn_k_norm", self.d_head)
        return shapes | self._map("attn_output", self.d_model, width, self.bias == "all")

    def _ffn(self) -> dict[str, Shape]:
        shapes = self._norm("ffn_norm", self.d_model)
        if self.n_experts:
            stack, d_ff, d_model = self.n_experts, self.d_ff, self.d_model
            shapes["ffn_gate_inp.weight"] = (stack, d_model)
            shapes |= {f"ffn_{name}_exps.weight": (stack, d_ff, d_model) for name in ("gate", "up")}
            return {**shapes, "ffn_down_exps.weight": (stack, d_model, d_ff)}
        for name in ("ffn_up",) if self.gpt2 else ("ffn_gate", "ffn_up"):
            shapes |= self._map(name, self.d_ff, self.d_model, self.gpt2)
        return shapes | self._map("ffn_down", self.d_model, self.d_ff, self.gpt2)

    def _norm(self, name: str, width: int) -> dict[str, Shape]:
        names = [f"{name}.weight", f"{name}.bias"] if self.gpt2 else [f"{name}.weight"]
        return dict.fromkeys(names, (width,))

    def _map(self, name: str, rows: int, columns: int, bias: bool) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {f"{name}.weight": (rows, columns)}
        return shapes | {f"{name}.bias": (rows,)} if bias else shapes


def ours(name: str) -> list[str]:
    """The names of our parameters that make up the tensor called `name`, in the order of its rows."""
    if name == POSITIONS:
        return ["position.table"]
    if name in TOP:
        return [TOP[name]]
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    assert found, name
    layer, part, kind = found.groups()
    prefix = "" if layer is None else f"blocks.{layer}."
    parts = ["mixer.query", "mixer.key", "mixer.value"] if part == FUSED else [PARTS[part]]
    return [f"{prefix}{each}.{'gain' if part in NORMS and kind == 'weight' else kind}" for each in parts]
