"""Which tokens look at which: the attention weights of every layer and head for one line of text."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from firsthand.errors import UserError
from firsthand.experiments.plots import PALE, Figure, figure, printable
from firsthand.generate.decode import evaluating
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.kv_cache import Readable
from firsthand.tokens import Tokenizer, decode_on
from firsthand.types import Place

Maps = Float32[ndarray, "layer head query key"]


def attention_maps(model: LanguageModel, tokenizer: Tokenizer, text: str) -> tuple[list[str], Maps]:
    """The tokens of `text` as they are written, and the share of its attention that each query gives to each key.

    Every row sums to one. Of `text`, at most the model's context is used. UserError if there is nothing to show.
    """
    ids = tokenizer.encode(text)[: model.context_length]
    mixers = [block.mixer for block in model.blocks if isinstance(block.mixer, CausalSelfAttention)]
    if not ids or not mixers:
        missing = "the text is empty" if mixers else "no layer of this model has attention for its mixer"
        raise UserError(f"There is no attention map to draw: {missing}.")
    if len({mixer.n_heads for mixer in mixers}) > 1:
        raise UserError("The layers have different numbers of heads, so their attention maps do not form one grid.")
    maps: list[torch.Tensor] = []
    hooks = [
        mixer.register_forward_pre_hook(lambda mixer, given: maps.append(_weights(mixer, *given))) for mixer in mixers
    ]
    try:
        with torch.no_grad(), evaluating(model):
            model(torch.tensor([ids], device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return [decode_on(tokenizer, [id]) for id in ids], torch.stack(maps).float().cpu().numpy()


def _weights(mixer: CausalSelfAttention, x: torch.Tensor, place: Place, state: Any = None) -> torch.Tensor:
    """One layer's weights (head, query, key): what attention returns if the j-th value is the j-th unit vector."""
    query, key, _ = mixer.project(x, place)
    units = torch.eye(x.shape[1], device=x.device, dtype=query.dtype).expand(1, key.shape[1], -1, -1)
    reads = Readable.fresh(key, units, place, **mixer.reach)
    found: torch.Tensor = mixer.lookup(query, reads, mixer.position.bias(place.index, place.index))
    return found[0]


def draw(tokens: list[str], maps: Maps, title: str = "Where each token (row) looks") -> Figure:
    """One map for each head, a row for each layer; the tokens that look stand at the left, those looked at below."""
    layers, heads, length, _ = maps.shape
    words = [_written(token) for token in tokens]
    size = max(1.45, 0.125 * length)
    with figure(1.1 + size * heads, 1.2 + size * layers) as picture:
        grid = picture.subplots(layers, heads, squeeze=False)
        for layer, head in np.ndindex(layers, heads):
            axes = grid[layer][head]
            shares = np.where(np.tri(length, dtype=bool), maps[layer, head], np.nan)
            drawn = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            axes.set_facecolor("#F4F4F4")
            axes.grid(visible=False)
            axes.tick_params(length=0, labelsize=6.5)
            for spine in axes.spines.values():
                spine.set(visible=True, color=PALE)
            axes.set_xticks([])
            axes.set_yticks([])
            if layer == 0:
                axes.set_title(f"head {head + 1}", fontsize=9, loc="center")
            if head == 0:
                axes.set_ylabel(f"layer {layer + 1}", fontsize=9, fontweight="bold", labelpad=6)
                axes.set_yticks(range(length), words)
            if layer == layers - 1:
                axes.set_xticks(range(length), words, rotation=90)
        marks = [0, 0.05, 0.25, 0.5, 1]
        bar = picture.colorbar(drawn, ax=grid, fraction=0.02, aspect=35, pad=0.015, ticks=np.sqrt(marks))
        bar.ax.set_yticklabels([f"{share:.0%}" for share in marks], fontsize=8)
        bar.set_label("share of the row's attention", fontsize=8)
        bar.outline.set_visible(False)
        picture.suptitle(printable(title), x=0.01, ha="left", fontsize=12.5, fontweight="bold")
    return picture


def _written(token: str) -> str:
    """A token as a label, with its white space made visible."""
    return printable(token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "\N{MIDDLE DOT}"))
