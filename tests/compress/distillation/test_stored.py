"""What a teacher has said of a corpus: the same as asking it, by place, whole, and of this very text."""

import numpy as np
import pytest
import torch

from firsthand.compress.distillation import stored as stored_module
from firsthand.compress.distillation.head import Aim
from firsthand.compress.distillation.objective import Distill
from firsthand.compress.distillation.stored import INDEX, Stored, teach
from firsthand.compress.distillation.teacher import Teacher
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.errors import DamagedError, UserError
from firsthand.model.make import build_model

VOCAB = 13
TEXT = np.random.default_rng(0).integers(0, VOCAB, 75).astype(np.uint16)


def model(seed=0, **fields):
    torch.manual_seed(seed)
    made = build_model(
        {"preset": "modern", "n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 8} | fields, VOCAB
    )
    with torch.no_grad():
        made.head_weight.normal_(0, 0.5)
    return made


@pytest.fixture
def tokens():
    return Tokens.of(TEXT, vocab_size=VOCAB)


@pytest.fixture
def folder(tmp_path, tokens):
    teach(Teacher(model()), tokens, tmp_path / "taught", top_k=4, temperature=2.0, part=20)
    return tmp_path / "taught"


def test_every_place_has_what_the_teacher_says_there(folder, tokens):
    teacher, kept = model().eval(), Stored(folder)
    assert len(list(folder.glob("logs-*.npy"))) == 4
    for place in range(len(TEXT) - 1):
        end = min(-(-(place + 1) // 4) * 4, len(TEXT) - 1)  # the window of 8 that keeps its last 4
        begin = max(0, end - 8)
        with torch.no_grad():
            logits = teacher(torch.from_numpy(TEXT[None, begin:end].astype(np.int64)))[0, place - begin]
        wanted = Aim.of(logits[None], 2.0, 4)
        found = kept.at(torch.tensor([place]))
        torch.testing.assert_close(found.logs, wanted.logs, rtol=2e-3, atol=2e-3)
        assert found.ids.tolist() == wanted.ids.tolist()


def test_half_of_the_context_is_known_before_each_place(folder):
    """So the windows of the test above begin at least four tokens earlier, but at the beginning."""
    assert Stored(folder).index["context"] == 8
    assert 0 < Stored(folder).covered() < 1


def test_an_interrupted_folder_is_finished_as_if_it_had_not_been(folder, tmp_path, tokens):
    whole = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    for name in ("logs-00001.npy", "ids-00003.npy", "logs-00003.npy"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="is not finished"):
        Stored(folder)
    asked = []
    teacher = Teacher(model())
    trunk = teacher.model.trunk
    teacher.model.trunk = lambda *given: asked.append(1) or trunk(*given)
    teach(teacher, tokens, folder, top_k=4, temperature=2.0, part=20)
    assert {path.name: path.read_bytes() for path in folder.glob("*.npy")} == whole
    assert 0 < len(asked) <= 4  # two parts of four


def test_the_same_folder_cannot_mean_two_things(folder, tokens):
    with pytest.raises(UserError, match=r"written otherwise \(top_k was 4 and is now 5\)"):
        teach(Teacher(model()), tokens, folder, top_k=5, temperature=2.0, part=20)


@pytest.mark.parametrize("context", [4, 8])
def test_a_student_learns_by_place_in_any_order(folder, tokens, context):
    """Shuffled windows of other lengths, past the end of the text and around it: the lesson is of the same places."""
    student = model(1, context_length=context).train()
    objective = Distill(temperature=2.0, alpha=1.0, logits=str(folder))
    objective.begin(student, tokens)
    loader = Loader(tokens, context, context * 4, seed=5)
    for step in range(7):
        (batch,) = loader.batch(step)
        assert torch.equal(torch.from_numpy(TEXT.astype(np.int64))[batch.source], batch.inputs)
        found = objective(student, batch)
        kept = objective.stored.at(batch.source[batch.targets != -100])
        logits = student(batch.inputs)[batch.targets != -100]
        chosen = (logits / 2).log_softmax(-1).gather(-1, kept.ids)
        q, p = chosen.exp(), kept.logs.exp()
        rest = 1 - p.sum(-1), 1 - q.sum(-1)
        wanted = (p * (p / q).log()).sum() + (rest[0] * (rest[0] / rest[1]).log()).sum()
        torch.testing.assert_close(found.value, 4 * wanted, rtol=1e-3, atol=1e-3)


def test_another_text_temperature_or_tokenizer_is_refused(folder, tokens):
    kept = Stored(folder)
    with pytest.raises(UserError, match=r"temperature 2\.0, and train\.objective\.temperature is 1\.0"):
        kept.check(tokens, 1.0)
    with pytest.raises(UserError, match="about another text"):
        kept.check(Tokens.of(np.roll(TEXT, 1), vocab_size=VOCAB), 2.0)
    other = Tokens([TEXT], np.zeros(1, np.int64), VOCAB, fingerprint="abc")
    with pytest.raises(UserError, match=r"another tokenizer.*abc"):
        kept.check(other, 2.0)


def test_damage_is_found(folder):
    np.save(folder / "logs-00000.npy", np.zeros((3, 3), np.float16))
    with pytest.raises(DamagedError, match="shape"):
        Stored(folder)
    (folder / "logs-00000.npy").write_bytes(b"nonsense")
    with pytest.raises(DamagedError, match="not a readable NPY"):
        Stored(folder)
    (folder / INDEX).write_text("{}")
    with pytest.raises(DamagedError, match="does not say what it should"):
        Stored(folder)


def test_words_beyond_the_vocabulary_are_damage(folder):
    path = folder / "ids-00000.npy"
    np.save(path, np.full((20, 4), 60_000, np.uint16))
    with pytest.raises(DamagedError, match="beyond its vocabulary"):
        Stored(folder).at(torch.tensor([0]))


def test_lists_of_some():
    assert list(stored_module.batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
