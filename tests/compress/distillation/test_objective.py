"""The objective on small models: nothing to learn from oneself, students of another kind, matching inside."""

import pytest
import torch

from firsthand import assemble, config
from firsthand.compress.distillation.listening import attention_map, listening
from firsthand.compress.distillation.matching import is_lesson
from firsthand.compress.distillation.objective import Distill
from firsthand.errors import UserError
from firsthand.model.make import build_model
from firsthand.train.objectives.next_token import NextToken
from firsthand.types import IGNORE, Batch, Place

SIZES = {"preset": "modern", "n_layers": 2, "d_model": 16, "n_heads": 2, "context_length": 8}


def model(seed=0, vocab=11, **fields):
    torch.manual_seed(seed)
    made = build_model(SIZES | fields, vocab)
    with torch.no_grad():  # a fresh head says nothing
        made.head_weight.normal_(0, 0.5)
    return made.train()


@pytest.fixture
def batch():
    ids = torch.arange(24).reshape(3, 8) * 7 % 11
    targets = (ids * 3 + 1) % 11
    targets[0, :3] = IGNORE
    return Batch(ids, targets, Place.of(ids))


@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.parametrize("divergence", ["forward", "reverse", "symmetric", "jensen_shannon"])
def test_a_teacher_of_itself_has_nothing_to_say(batch, divergence, top_k):
    student = model()
    loss = Distill(student, 2.0, 1.0, divergence, top_k=top_k)(student, batch)
    loss.value.backward()
    assert loss.count == 21
    assert float(loss.metrics["soft"]) == pytest.approx(0, abs=1e-4)
    assert max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None) < 1e-4


def test_only_the_students_own_words_where_alpha_is_zero(batch):
    student, teacher = model(), model(1)
    wanted = NextToken()(student, batch)
    found = Distill(teacher, alpha=0.0)(student, batch)
    torch.testing.assert_close((found.value, found.count), (wanted.value, wanted.count))


def test_the_loss_is_that_of_all_logits_at_once(batch):
    from firsthand.compress.distill import distill_loss

    student, teacher = model(), model(1, n_layers=3, d_model=24, n_heads=3)
    found = Distill(teacher, 2.0, 0.4)(student, batch)
    with torch.no_grad():
        said = teacher.eval()(batch.inputs)
    wanted = distill_loss(student(batch.inputs), said, batch.targets, 2.0, 0.4)
    torch.testing.assert_close(found.value, wanted.value)
    gradients = [torch.autograd.grad(loss.value, student.parameters()) for loss in (found, wanted)]
    torch.testing.assert_close(*gradients)
    assert all(p.grad is None for p in teacher.parameters())


def test_where_nobody_learns_the_text_alone_is_the_judge(batch):
    student, teacher = model(), model(1)
    objective = Distill(teacher, alpha=1.0)
    student.eval()
    torch.testing.assert_close(objective(student, batch).value, NextToken()(student, batch).value)


@pytest.mark.parametrize("mixer", ["mamba", "mamba2", "linear_attention", ["mamba", "attention"]])
def test_a_student_of_another_kind(batch, mixer):
    student, objective = model(mixer=mixer), Distill(model(1), temperature=2.0, alpha=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    distances = []
    for _ in range(30):
        loss = objective(student, batch)
        distances.append(float(loss.metrics["soft"]))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert distances[-1] < 0.5 * distances[0]


def test_a_head_in_lower_precision_teaches_the_same_to_rounding(batch):
    student, objective = model(), Distill(model(1), alpha=0.5)
    wanted = objective(student, batch).value
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(student, batch).value
    found.backward()
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=0.1)


def test_hidden_states_are_matched_through_a_learned_map(batch):
    student, teacher = model(), model(1, n_layers=4, d_model=24, n_heads=3)
    objective = Distill(teacher, alpha=0.5, hidden={"layers": [[0, 1], [1, 3]], "weight": 2.0})
    objective.begin(student)
    lessons = {name: p for name, p in student.named_parameters() if is_lesson(name)}
    assert [tuple(p.shape) for p in lessons.values()] == [(24, 16), (24, 16)]
    loss = objective(student, batch)
    counted = batch.targets != IGNORE
    with listening(student, [0, 1]) as own, listening(teacher.eval(), [1, 3]) as other:
        student(batch.inputs), teacher(batch.inputs)
    wanted = torch.zeros(())
    for (mine, theirs), weight in zip([(0, 1), (1, 3)], lessons.values(), strict=True):
        apart = (own.hidden[mine][counted] @ weight.t() - other.hidden[theirs][counted]).square()
        wanted = wanted + 2.0 * apart.mean(-1).sum() / 2
    torch.testing.assert_close(loss.metrics["hidden"], wanted.detach())
    loss.value.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in lessons.values())


def test_attention_maps_are_matched_and_heads_mixed(batch):
    student, teacher = model(), model(1, d_model=32, n_heads=4)
    objective = Distill(teacher, alpha=0.5, attention={"layers": [[1, 0]]})
    objective.begin(student)
    loss = objective(student, batch)
    with listening(student, maps=[1]) as own, listening(teacher.eval(), maps=[0]) as other:
        student(batch.inputs), teacher(batch.inputs)
    q, p = own.maps[1].mean(1, keepdim=True), other.maps[0]  # mixtures begin as the mean
    torch.testing.assert_close(p.sum(-1), torch.ones(3, 4, 8))
    distance = torch.where(p > 0, p * (p.clamp_min(1e-30) / q.clamp_min(1e-30)).log(), 0).sum(-1).mean(1)
    torch.testing.assert_close(loss.metrics["attention"], distance[batch.targets != IGNORE].sum().detach())
    loss.value.backward()
    (shares,) = (p for name, p in student.named_parameters() if is_lesson(name))
    assert float(shares.grad.abs().sum()) > 0


def test_equal_models_look_alike_inside(batch):
    student = model()
    objective = Distill(student, alpha=1.0, hidden={"layers": [[1, 1]]}, attention={"layers": [[0, 0]]})
    objective.begin(student)
    loss = objective(student, batch)
    assert float(loss.metrics["hidden"]) == pytest.approx(0, abs=1e-6)
    assert float(loss.metrics["attention"]) == pytest.approx(0, abs=1e-4)


def test_maps_are_causal_and_add_up_to_one(batch):
    student = model().eval()
    with listening(student, maps=[0]) as heard:
        student(batch.inputs)
    torch.testing.assert_close(heard.maps[0].triu(1), torch.zeros(3, 2, 8, 8))
    torch.testing.assert_close(heard.maps[0].sum(-1), torch.ones(3, 2, 8))
    assert attention_map.__doc__


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": 0.0}, r"temperature=0\.0 must be above 0"),
        ({"alpha": 1.5}, r"alpha=1\.5 between"),
        ({"top_k": 0}, "top_k=0 at least 1"),
        ({"divergence": "foward"}, "forward"),
        ({"hidden": {"layers": [[0]]}}, "a pair for each layer"),
        ({"hidden": {"layer": [[0, 1]]}}, "a pair for each layer"),
        ({"on_policy": {"share": 0.5}}, "alpha=1"),
        ({"on_policy": {"share": 2.0}, "alpha": 1.0}, "share of the steps"),
        ({"logits": "nowhere"}, "firsthand data teach"),
    ],
)
def test_settings_out_of_range_say_what_is_right(settings, words):
    with pytest.raises(UserError, match=words):
        Distill(**settings)


def test_what_is_not_there_cannot_be_matched(batch):
    student, teacher = model(mixer=["mamba", "attention"]), model(1)
    with pytest.raises(UserError, match="the teacher has no layer 5; its layers are 0 to 1"):
        Distill(teacher, hidden={"layers": [[0, 5]]}).begin(student)
    with pytest.raises(UserError, match="layer 0 of the student has no attention"):
        Distill(teacher, attention={"layers": [[0, 0]]}).begin(student)
    with pytest.raises(UserError, match="needs a teacher"):
        Distill()(student, batch)
    with pytest.raises(UserError, match="rows have 8 tokens, and the teacher reads 4"):
        Distill(model(1, context_length=4))(student, batch)


def test_a_recipe_names_it_and_an_offered_teacher_comes_first():
    tree = config.load(None, ["train.objective={part: distill, teacher: runs/none, alpha: 0.9}"])
    teacher = model()
    objective = assemble.make_objective(tree, teacher=teacher)
    assert isinstance(objective, Distill)
    assert objective.teacher is not None
    assert objective.lesson.alpha == 0.9
    with pytest.raises(UserError, match="has no argument 'alhpa'"):
        assemble.make_objective(config.load(None, ["train.objective={part: distill, alhpa: 0.9}"]))
