"""A narrower stream: d_model becomes smaller, and with it every map, the embedding and the head."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from firsthand.compress.calibration import TOGETHER, Gram
from firsthand.compress.structured.channels import READERS as FFN_READERS
from firsthand.compress.structured.heads import KINDS
from firsthand.compress.structured.least_squares import Normal, check_share, refitted
from firsthand.compress.structured.specs import settled
from firsthand.compress.structured.walk import LAST, batches, check_subject, narrow, put_weight
from firsthand.compress.subject import Given, Subject, Unsuited
from firsthand.errors import UserError
from firsthand.model.block import Block
from firsthand.model.language_model import LanguageModel
from firsthand.model.norms import DyT
from firsthand.model.positions.learned import LearnedPosition
from firsthand.model.positions.sinusoidal import SinusoidalPosition
from firsthand.model.value_embedding import ValueEmbedding
from firsthand.types import Place


class Width:
    """Take away the `share` of the stream's channels through which its readers hear least.

    A channel's worth is its share of what a norm's readers hear, Σ |W_ij|² E[n_j²], n what the norm says, added up
    over all norms (Wanda's score, arXiv 2306.11695, squared). The readers are fitted, by least squares, to say from the
    channels that stay what they said from all. SliceGPT (arXiv 2401.15024) turns the stream first, so that variance
    gathers in few channels; its rotation needs norms without gains, hence a head of its own, which a model with a tied
    head would have to buy. A norm's gains are scaled by how much of the mean square the kept channels have.
    """

    def __init__(self, share: float = 0.1, compensate: bool = True, damping: float = 0.01, multiple: int = 16) -> None:
        check_share("width", share)
        if multiple < 1 or damping <= 0:
            raise UserError(f"width: multiple = {multiple} must be at least 1, and damping = {damping} above 0.")
        self.share, self.compensate, self.damping, self.multiple = share, compensate, damping, multiple

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("width", subject)
        check_parts(subject.model)
        model = subject.model
        d_model = model.embedding.d_model
        stay = max(self.multiple, round((1 - self.share) * d_model / self.multiple) * self.multiple)
        if self.share and stay < d_model:
            heard = hear(model, given.windows, given.done)
            kept = most_heard(model, heard, stay)
            narrow_stream(model, heard, kept, self.damping if self.compensate else None)
        settled(subject)["d_model"] = model.embedding.d_model


@torch.no_grad()
def hear(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> dict[str, Gram]:
    """Σ n nᵀ of what each norm says, by its name."""
    found = {name: Gram(model.embedding.d_model) for name in readers_of(model)}
    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, given, n, gram=gram: gram.add(n.flatten(0, -2)))
        for name, gram in found.items()
    ]
    try:
        for number, some in enumerate(batches(windows)):
            place = Place.of(some)
            model.norm(model.trunk(model.embed(some, place), place)[0])
            done(min(1.0, (number + 1) * TOGETHER / len(windows)), "calibration")
    finally:
        for handle in handles:
            handle.remove()
    return found


def readers_of(model: LanguageModel) -> dict[str, list[Any]]:
    """The maps that read what each norm says, by the norm's name. The last norm's is the head, if it has its own."""
    found: dict[str, list[Any]] = {}
    for number, block in enumerate(model.blocks):
        mixer: Any = block.mixer
        found[f"blocks.{number}.mixer_norm"] = [mixer.query, mixer.key, mixer.value]
        if block.ffn is not None:
            names = FFN_READERS[type(block.ffn)]
            found[f"blocks.{number}.ffn_norm"] = [getattr(block.ffn, name) for name in names]
    found["norm"] = [] if model.unembedding is None else [model.unembedding]
    return found


def most_heard(model: LanguageModel, heard: dict[str, Gram], stay: int) -> Int[Tensor, " kept"]:
    """The channels that stay."""
    worth = torch.zeros(model.embedding.d_model, dtype=torch.float64)
    for name, maps in readers_of(model).items():
        weights = [each.weight for each in maps] or [model.embedding.weight]
        size = sum(weight.detach().double().square().sum(0) for weight in weights) * heard[name].total.diagonal()
        worth += size / size.sum()
    return worth.argsort(descending=True, stable=True)[:stay].sort().values


def narrow_stream(
    model: LanguageModel, heard: dict[str, Gram], kept: Int[Tensor, " kept"], damping: float | None
) -> None:
    """Let the stream keep these channels alone. `damping`: of the readers' least squares; None: no compensation."""
    for name, maps in readers_of(model).items():
        gram = heard[name].total
        for each in maps:
            weight = each.weight.detach()
            normal = Normal(gram, weight.double() @ gram)
            put_weight(each, weight[:, kept] if damping is None else refitted(weight, normal, kept, damping))
        _narrow_norm(model.get_submodule(name), heard[name], kept)
    for block in model.blocks:
        for slot, last in LAST.items():
            part = getattr(block, slot)
            if part is not None:
                narrow(getattr(part, last), rows=kept)
    model.embedding.weight = nn.Parameter(model.embedding.weight.detach()[:, kept])
    model.embedding.d_model = model.embedding.embedding_dim = len(kept)
    if isinstance(model.position, LearnedPosition):
        model.position.table = nn.Parameter(model.position.table.detach()[:, kept])


def _narrow_norm(norm: Any, heard: Gram, kept: Int[Tensor, " kept"]) -> None:
    """The norm of these channels, its gains such that each says about what it said."""
    gain, scale = norm.gain.detach(), 1.0
    if not isinstance(norm, DyT):
        square = heard.total.diagonal() / heard.rows / gain.double().square().clamp(min=1e-12)
        scale = float((square[kept].mean() / square.mean()).sqrt())
    norm.gain = nn.Parameter(scale * gain[kept])
    if getattr(norm, "bias", None) is not None:
        norm.bias = nn.Parameter(norm.bias.detach()[kept])


def check_parts(model: LanguageModel) -> None:
    """Unsuited for a part whose place in the stream is not known here."""
    wrong: list[str] = []
    for block in model.blocks:
        mixer, ffn = block.mixer, block.ffn
        wrong += [f"model.block = {type(block).__name__}"] if type(block) is not Block else []
        wrong += [f"model.mixer = {type(mixer).__name__}"] if type(mixer) not in KINDS else []
        wrong += [f"model.ffn = {type(ffn).__name__}"] if ffn is not None and type(ffn) not in FFN_READERS else []
        wrong += ["value_embedding"] if isinstance(getattr(mixer, "value_embedding", None), ValueEmbedding) else []
    wrong += ["model.position = sinusoidal"] if isinstance(model.position, SinusoidalPosition) else []
    wrong += ["model.initialize = mup"] if model.logits_scale != 1.0 else []
    if wrong:
        raise Unsuited(
            f"width: {wrong[0]} depends on d_model in a way that is not known here. Take away channels, heads or "
            "layers instead."
        )
