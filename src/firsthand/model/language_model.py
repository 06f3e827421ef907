"""The language model: embed, a trunk of blocks, a head."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from firsthand.errors import UserError
from firsthand.model import Position, no_extra_loss
from firsthand.model.embedding import Embedding
from firsthand.model.residuals import Residual
from firsthand.types import Place, State


class LanguageModel(nn.Module):
    """Token ids to logits over the next token.

    `norm` stands before the head. `tied`: the head is the embedding, transposed, and has no parameters of its own
    (arXiv 1608.05859). `softcap` squeezes the logits to ±softcap (Gemma 2, section 2). `dropout` acts on the
    embedding. `position` is shared with the mixers and listed once, under the model. `residuals`, one a block, say
    what each block gets from the stream (and are shared with the blocks, which add to it).
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        vocab_size: int,
        d_model: int,
        context_length: int,
        position: Position,
        norm: nn.Module,
        tied: bool = True,
        softcap: float | None = None,
        dropout: float = 0.0,
        residuals: Iterable[Residual] | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.context_length = context_length
        self.softcap = softcap
        self.embedding = Embedding(vocab_size, d_model)
        self.position = position
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.residuals = nn.ModuleList(residuals or [Residual() for _ in self.blocks])
        self.norm = norm
        self.unembedding: Any = None if tied else nn.Linear(d_model, vocab_size, bias=False)
        # rules that carry settings from a narrow model to a wide one set these two (see initialize.mup)
        self.width_ratio = 1.0
        self.logits_scale = 1.0
        self.recompute = False
        """Training keeps only what enters each block and computes the rest again on the way back (arXiv 1604.06174)."""

    def forward(self, ids: Int[Tensor, "batch time"], place: Place | None = None) -> Float[Tensor, "batch time vocab"]:
        """Logits over the token after each. By default each row is one document and begins at position 0.

        UserError if an id lies outside the vocabulary (on a CPU; elsewhere asking would make the device wait).
        """
        if ids.device.type == "cpu" and type(ids) is Tensor and not torch.compiler.is_compiling():
            self.check(ids)
        place = place or Place.of(ids)
        x, _, _ = self.trunk(self.embed(ids, place), place)
        return self.head(x)

    def embed(self, ids: Int[Tensor, "batch time"], place: Place) -> Float[Tensor, "batch time d_model"]:
        x: Tensor = self.dropout(self.position.embed(self.embedding(ids), place.index))
        return x

    def trunk(
        self, x: Float[Tensor, "batch time d_model"], place: Place, states: list[State] | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], list[State] | None, Float[Tensor, ""]]:
        """All blocks. `states` (one a block) are consumed and their successors returned; None remembers nothing."""
        extra_loss = no_extra_loss(x)
        after: list[State] = []
        first = x
        again = self.recompute and self.training and states is None and torch.is_grad_enabled()
        for number, (block, residual) in enumerate(zip(self.blocks, self.residuals, strict=True)):
            x = residual.enter(x, first)  # type: ignore[operator]
            if again:
                x, state, extra = checkpoint(block, x, place, None, use_reentrant=False)
            else:
                x, state, extra = block(x, place, None if states is None else states[number])
            after.append(state)
            extra_loss = extra_loss + extra
        return x, None if states is None else after, extra_loss

    def final(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """What the head's weight is multiplied with: the last norm, and the scale of the logits."""
        x = self.norm(x)
        return x if self.logits_scale == 1.0 else x * self.logits_scale

    def head(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows vocab"]:
        """The logits of the trunk's output."""
        x = self.final(x)
        logits = F.linear(x, self.embedding.weight) if self.unembedding is None else self.unembedding(x)
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    @property
    def head_weight(self) -> Float[Tensor, "vocab d_model"]:
        """For losses that never hold all logits (`ops.cross_entropy.linear_cross_entropy`)."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    def initial_states(self, batch: int, length: int) -> list[State]:
        """Empty states with room for `length` tokens in each of `batch` rows. UserError beyond the positions' table."""
        if self.position.context_length is not None and length > self.position.context_length:
            raise UserError(
                f"A state for {length} tokens was asked for, but the model knows {self.position.context_length} "
                f"positions. Ask for fewer, or train with a larger model.context_length."
            )
        return [block.initial_state(batch, length) for block in self.blocks]  # type: ignore[operator]

    def check(self, ids: Int[Tensor, "..."]) -> None:
        """UserError if an id lies outside the vocabulary. Not called in training: the loader's ids are known good."""
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
            worst = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise UserError(
                f"Token id {worst} is outside the model's vocabulary, which is 0 to {self.vocab_size - 1}. "
                f"Encode the text with the tokenizer that was saved with this model."
            )
