"""The weights before training: of linear maps, stacks of them (experts), and the embedding.

Whatever else a part has (gains, taps, rates of decay), its own constructor fills.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention


def weights(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    """(name of the module, its weight) for each linear map, stack of them (n, out, in) and embedding, in order."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        stack = isinstance(weight, nn.Parameter) and weight.ndim == 3
        if stack or isinstance(module, nn.Linear | nn.Embedding):
            yield name, module.weight


def writes(name: str) -> bool:
    """Whether the module writes into the residual stream: called `out` in a mixer, `down` in an FFN."""
    place, _, last = name.rpartition(".")
    return (last == "out" and ".mixer" in place) or (last == "down" and ".ffn" in place)


def zero_biases(model: LanguageModel) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def gpt2(model: LanguageModel, std: float = 0.02) -> None:
    """Normal weights, zero biases; what writes into the residual stream divided by sqrt(2 · n_layers) (GPT-2, 2.3)."""
    residual_std = std / (2 * len(model.blocks)) ** 0.5
    for name, weight in weights(model):
        nn.init.normal_(weight, std=residual_std if writes(name) else std)
    zero_biases(model)


@torch.no_grad()
def scaled(model: LanguageModel) -> None:
    """Normal weights that follow the width, and in what writes into the residual stream the depth; zero biases.

    sqrt(2 / (5 · d_model)) (Nguyen and Salazar 2019, arXiv 1910.05895, section 2.2), and 2 / (n_layers ·
    sqrt(d_model)) (Wang and Komatsuzaki 2021, GPT-J; Black et al. 2022, GPT-NeoX-20B, arXiv 2204.06745, section 2.1).
    """
    d_model = model.embedding.d_model
    small, residual = (2 / (5 * d_model)) ** 0.5, 2 / (len(model.blocks) * d_model**0.5)
    for name, weight in weights(model):
        nn.init.normal_(weight, std=residual if writes(name) else small)
    zero_biases(model)


@torch.no_grad()
def modern(model: LanguageModel, embedding_std: float | None = None, gain: float = 1.0) -> None:
    """Normal weights of deviation gain / sqrt(fan_in), and zeros in what writes into the residual stream.

    So every block starts as the identity and the first steps learn the embedding and the head. The embedding has unit
    deviation if the head is its own matrix, else 0.02, and the head starts so small that the first prediction is
    uniform.
    """
    tied = model.unembedding is None
    fixed = {"embedding": embedding_std or (0.02 if tied else 1.0), "unembedding": 0.002}
    for name, weight in weights(model):
        std = 0.0 if writes(name) else gain / weight.shape[-1] ** 0.5
        nn.init.normal_(weight, std=fixed.get(name, std))
    zero_biases(model)


@torch.no_grad()
def mup(
    model: LanguageModel,
    base_width: int = 256,
    base_head: int | None = None,
    embedding_std: float | None = None,
    gain: float = 1.0,
) -> None:
    """`modern`, and rules by which settings found at d_model = `base_width` hold at every width (there it is `modern`).

    Maximal update parametrization (Yang et al. 2022, arXiv 2203.03466, table 8): hidden weights begin at 1 / fan_in in
    variance, embedding and head at a variance that no width changes; logits are divided by the width; and hidden
    matrices learn at a rate divided by the width under Adam, which the optimizers do by the model's `width_ratio`. So
    every activation moves by as much in a step as in the narrow model. All widths inside (d_ff, n_heads · d_head) are
    to grow with d_model. If heads grow instead of becoming more, `base_head` is their size at the base width:
    attention then divides its scores by d_head and no longer by the root of it.
    """
    modern(model, embedding_std, gain)
    for mixer in (block.mixer for block in model.blocks):
        if base_head is not None and isinstance(mixer, CausalSelfAttention):
            mixer.lookup.scale = base_head**0.5 / mixer.d_head
    model.width_ratio = model.embedding.d_model / base_width
    model.logits_scale = 1 / model.width_ratio


INITIALIZERS: dict[str, Callable[..., None]] = {"gpt2": gpt2, "scaled": scaled, "modern": modern, "mup": mup}
