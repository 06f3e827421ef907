"""What every preset's model promises, whole."""

import math
import subprocess
import sys

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.model.positions import POSITIONS
from firsthand.model.presets import PRESETS
from firsthand.types import Place

SIZES = {"size": "nano", "d_model": 32, "n_heads": 4, "n_kv_heads": 2, "context_length": 40}
VOCABULARY = 50


def make(preset, awake=True, **fields):
    """A small model; `awake`: with weights that are not zero anywhere, so that every part has a say."""
    torch.manual_seed(0)
    model = build_model({"preset": preset, **SIZES, **fields}, VOCABULARY)
    if awake:
        for name, parameter in model.named_parameters():
            if is_drawn(name):
                torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


def is_drawn(name):
    """Not the gains of norms, and not the rates of decay, whose size means something."""
    return name.endswith(("weight", "table", "bias", "skip")) and not name.endswith("time_bias")


@pytest.fixture(params=PRESETS)
def model(request):
    return make(request.param)


def ids(batch=2, time=17):
    return torch.randint(VOCABULARY, (batch, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("time", [1, 2, 39, 40])
def test_logits(model, time):
    logits = model(ids(2, time))
    assert logits.shape == (2, time, VOCABULARY)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_first_loss_is_that_of_guessing(preset, tied):
    model = make(preset, awake=False, tied=tied)
    loss = torch.nn.functional.cross_entropy(model(ids(8, 40)).flatten(0, 1), ids(8, 40).flip(0).flatten())
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.3)


def test_the_future_does_not_change_the_past(model):
    other = ids()
    other[:, 9] = (other[:, 9] + 1) % VOCABULARY
    changed = (model(ids()) - model(other)).abs().amax((0, 2)) > 1e-5
    assert changed.tolist() == [False] * 9 + [True] * 8


@pytest.mark.parametrize(
    ("preset", "position"), [*((preset, None) for preset in PRESETS), *(("modern", name) for name in POSITIONS)]
)
@torch.no_grad()
def test_cached_logits_equal_the_whole_at_every_step(preset, position):
    """Prompts of unequal length side by side, padded on the left, then token by token up to the full context."""
    model = make(preset, **({} if position is None else {"position": position}))
    context, prompts = model.context_length, [7, 1, 4]
    rows, width = ids(3, 60), max(prompts)
    states = model.initial_states(3, context)
    columns = torch.arange(context)
    padding = torch.tensor([width - n for n in prompts]).unsqueeze(1)
    index, document = (columns - padding).clamp(min=0), torch.where(columns < padding, -1, 0)
    tokens = torch.stack(
        [torch.cat((torch.zeros(p, dtype=torch.long), r))[:context] for p, r in zip(padding, rows, strict=True)]
    )
    for start, stop in [(0, width), *((t, t + 1) for t in range(width, context))]:
        place = Place(index[:, start:stop], document[:, start:stop])
        x, states, _ = model.trunk(model.embed(tokens[:, start:stop], place), place, states)
        logits = model.head(x)[:, -1]
        for row, p in enumerate(padding.flatten().tolist()):
            expected = model(tokens[row : row + 1, p:stop])[0, -1]
            torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=0)


def test_packed_documents_do_not_see_each_other(model):
    lengths = [9, 3, 20]
    tokens = ids(1, sum(lengths))
    index = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    document = torch.cat([torch.full((length,), n) for n, length in enumerate(lengths)]).unsqueeze(0)
    logits = model(tokens, Place(index, document))
    parts = [model(part) for part in tokens.split(lengths, dim=1)]
    torch.testing.assert_close(logits, torch.cat(parts, dim=1), atol=1e-5, rtol=0)


def test_every_parameter_learns(model):
    model(ids()).logsumexp(-1).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parameters_by_name_are_the_whole_model(preset):
    """What a checkpoint stores: shared ones once."""
    model, other = make(preset), make(preset, awake=False)
    named = dict(model.named_parameters())
    assert len({parameter.data_ptr() for parameter in named.values()}) == len(named)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(named[name])
    assert torch.equal(other(ids()), model(ids()))


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_has_no_parameters(tied):
    model = make("gpt2", tied=tied)
    names = {name.partition(".")[0] for name, _ in model.named_parameters()}
    assert names == {"embedding", "position", "blocks", "norm"} | (set() if tied else {"unembedding"})
    assert (model.head_weight is model.embedding.weight) == tied


@pytest.mark.parametrize("preset", PRESETS)
def test_dropout_acts_in_training_only(preset):
    model = make(preset, dropout=0.3)
    assert torch.equal(model(ids()), model(ids()))
    model.train()
    assert not torch.equal(model(ids()), model(ids()))


@pytest.mark.parametrize("preset", PRESETS)
def test_softcap(preset):
    plain, capped = make(preset, softcap=0), make(preset, softcap=0.5)
    assert plain(ids()).abs().max() > 1
    torch.testing.assert_close(capped(ids()), 0.5 * torch.tanh(plain(ids()) / 0.5))


def test_ids_outside_the_vocabulary(model):
    model.check(ids())
    model.check(torch.empty(0, 3, dtype=torch.long))
    for bad in (VOCABULARY, -1):
        with pytest.raises(UserError, match=rf"Token id {bad} is outside.*0 to 49.*saved with this model"):
            model.check(torch.tensor([[3, bad, 4]]))


def test_a_text_longer_than_the_context_is_an_error(model):
    if model.position.context_length is None:  # no positions, no end
        assert model(ids(1, 41)).shape == (1, 41, VOCABULARY)
        assert model.initial_states(1, 41)
        return
    with pytest.raises(UserError, match="position 40, but the model's context holds 40 tokens"):
        model(ids(1, 41))
    with pytest.raises(UserError, match="41 tokens was asked for, but the model knows 40 positions"):
        model.initial_states(1, 41)


def test_without_positions_the_context_has_no_end():
    model = make("modern", position="none")
    assert model(ids(1, 90)).shape == (1, 90, VOCABULARY)
    assert len(model.initial_states(1, 90)) == 2


COMPILED = """
import sys, torch
from firsthand.model.make import build_model
from firsthand.types import Place
sizes = {"d_model": 32, "n_heads": 4, "n_kv_heads": 2, "context_length": 40}
for preset in sys.argv[1:]:
    torch.manual_seed(0)
    torch.compiler.reset()
    n_layers = 3 if preset == "hybrid" else 1  # each kind of layer once
    model = build_model({"preset": preset, "n_layers": n_layers, **sizes}, 50)
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.15)
    def loss(ids, place):
        x, _, extra_loss = model.trunk(model.embed(ids, place), place)
        return model.head(x).logsumexp(-1).sum() + extra_loss
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    ids = torch.randint(50, (2, 17))
    plain = Place.of(ids)
    for place in (plain, Place(plain.index, torch.arange(17).expand(2, -1) // 6)):
        found = []
        for function in (loss, compiled):
            model.zero_grad()
            value = function(ids, place)
            value.backward()
            found.append([value, *(parameter.grad for parameter in model.parameters())])
        for eager, traced in zip(*found, strict=True):
            torch.testing.assert_close(traced, eager, atol=1e-3, rtol=1e-4)
"""


def test_the_model_is_traced_in_one_piece():
    """In a process of its own, because the tests' shape checks cannot be traced."""
    done = subprocess.run(
        [sys.executable, "-W", "error:Dynamo", "-c", COMPILED, *PRESETS], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert "Dynamo detected" not in done.stderr
    assert isinstance(make("modern"), LanguageModel)
