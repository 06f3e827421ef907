"""A teacher: a trained model that is asked, never changed."""

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand import tokens
from firsthand.errors import UserError
from firsthand.generate.packed import pack
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer
from firsthand.types import Batch


class Teacher:
    """A copy of the model laid out for inference, in the precision that suits it there (generate/packed.py)."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = pack(model, engine="torch")

    @torch.no_grad()
    def read(self, batch: Batch) -> Float[Tensor, "batch time d_model"]:
        """What the teacher's last layer makes of a batch. UserError for rows that are longer than it can read."""
        length, most = batch.inputs.shape[1], self.model.context_length
        if length > most:
            raise UserError(
                f"The student's rows have {length} tokens, and the teacher reads {most} at once. Set data.row_tokens "
                f"or model.context_length to at most {most}, or take another teacher."
            )
        with torch.autocast(batch.inputs.device.type, enabled=False):
            x, _, _ = self.model.trunk(self.model.embed(batch.inputs, batch.place), batch.place)
        return x

    @torch.no_grad()
    def logits(self, x: Float[Tensor, "rows d_model"], vocab_size: int) -> Float[Tensor, "rows vocab"]:
        """The scores of the words below `vocab_size`, of rows that `read` gave."""
        with torch.autocast(x.device.type, enabled=False):
            return self.model.head(x)[..., :vocab_size].float()


def same_tokenizer(teacher: Tokenizer, student: Tokenizer, names: tuple[str, str]) -> None:
    """UserError, which says both `names`, if the ids of the two do not mean the same texts."""
    if tokens.fingerprint(teacher) != tokens.fingerprint(student):
        raise UserError(
            f"The teacher {names[0]} (vocabulary of {teacher.vocab_size:,}) and the student {names[1]} (vocabulary of "
            f"{student.vocab_size:,}) have different tokenizers, so the same id means another text to each. Train the "
            "student with the teacher's: tokenizer=FOLDER, where FOLDER holds the teacher's tokenizer.json."
        )
