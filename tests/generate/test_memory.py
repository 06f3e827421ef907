"""What a memory saves, that it changes nothing else, and what happens where a state cannot be cut."""

import pytest
import torch

from firsthand.generate.decode import generate
from firsthand.generate.memory import Memory, common_prefix
from firsthand.generate.native import library as native
from firsthand.generate.packed import pack
from firsthand.model.make import build_model

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 48}
CAN_BE_CUT = {
    "gpt2": {"preset": "gpt2"},
    "grouped": {"preset": "llama", "n_kv_heads": 2},
    "latent": {"preset": "modern", "mixer": {"part": "latent_attention", "d_latent": 16}},
    "alibi": {"preset": "modern", "position": "alibi"},
}
CAN_ONLY_GO_ON = {
    "mamba": {"preset": "mamba"},
    "mamba2": {"preset": "mamba2"},
    "gated_delta": {"preset": "modern", "mixer": "gated_delta"},
    "hybrid": {"preset": "modern", "mixer": ["attention", "retention"]},
    "canon": {"preset": "modern", "block": "canon"},
    "ngrams": {"preset": "modern", "block": {"part": "ngrams", "rows": 64}},
    "window": {"preset": "modern", "mixer": {"part": "attention", "window": 6}},
    "sinks": {"preset": "modern", "mixer": {"part": "attention", "window": 6, "sink_tokens": 2}},
}
ALL = CAN_BE_CUT | CAN_ONLY_GO_ON
ENGINES = [
    "torch",
    pytest.param(
        "native",
        marks=pytest.mark.skipif(isinstance(native._loaded(), str), reason=f"native steps: {native._loaded()}"),
    ),
]
FIRST = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def make(fields):
    torch.manual_seed(0)
    model = build_model(SMALL | fields, 40)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # equal scores would hide mistakes
    return model.eval()


class Counted:
    """How many tokens the model has computed since, by either engine."""

    def __init__(self, model, monkeypatch):
        self.tokens, embed = 0, model.embed

        def counting(ids, place):
            self.tokens += ids.numel()
            return embed(ids, place)

        monkeypatch.setattr(model, "embed", counting)


def drawn(model, prompt, memory=None, count=6, **settings):
    """The ids that follow, and the scores behind them."""
    rows = generate(model, [prompt], count, memory=memory, seed=5, **settings)
    scores, draw = [], rows._draw

    def noting(logits):
        scores.append(logits.clone())
        return draw(logits)

    rows._draw = noting
    for _ in rows:
        pass
    return rows.ids[0], torch.cat(scores)


@pytest.mark.parametrize("name", ALL)
def test_going_on_computes_only_what_is_new(name, monkeypatch):
    model = make(ALL[name])
    memory, counted = Memory(model), Counted(model, monkeypatch)
    before, _ = drawn(model, FIRST, memory)
    assert counted.tokens == len(FIRST) + 5  # the last token drawn is nobody's input yet
    longer = [*before, 11, 12, 13]
    counted.tokens = 0
    found, scores = drawn(model, longer, memory)
    assert counted.tokens == 1 + 3 + 5
    assert memory.read == len(FIRST) + 1 + 3
    expected, wanted = drawn(model, longer)
    torch.testing.assert_close(scores, wanted, atol=2e-5, rtol=1e-5)
    assert found == expected


@pytest.mark.parametrize("name", ALL)
def test_another_end_is_cut_or_read_again(name):
    model = make(ALL[name])
    memory = Memory(model)
    drawn(model, FIRST, memory)
    other = [*FIRST[:7], 20, 21]
    read = memory.read
    found, scores = drawn(model, other, memory)
    assert memory.read - read == (2 if name in CAN_BE_CUT else len(other))
    expected, wanted = drawn(model, other)
    torch.testing.assert_close(scores, wanted, atol=2e-5, rtol=1e-5)
    assert found == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_write_on_what_either_has_read(engine):
    model = make(CAN_BE_CUT["grouped"])
    ready = pack(model, "fp32", engine)
    memory = Memory(ready)
    text = FIRST
    for turn in ([11, 12], [13], [14, 15, 16]):
        text, _ = drawn(ready, [*text, *turn], memory)
    assert memory.read == len(FIRST) + 2 + (1 + 1) + (1 + 3)
    again, scores = drawn(ready, [*text[:20], 9], memory)
    assert memory.read == len(FIRST) + 2 + (1 + 1) + (1 + 3) + 1
    expected, wanted = drawn(model, [*text[:20], 9])
    assert again == expected
    torch.testing.assert_close(scores, wanted, atol=1e-4, rtol=1e-4)


def test_the_same_prompt_again_reads_its_last_token_only():
    model = make(CAN_BE_CUT["gpt2"])
    memory = Memory(model)
    first, _ = drawn(model, FIRST, memory)
    read = memory.read
    assert drawn(model, FIRST, memory)[0] == first
    assert memory.read == read + 1


def test_room_grows_with_the_text_and_never_beyond_the_context():
    model = make(CAN_BE_CUT["gpt2"])
    memory, rooms = Memory(model), []
    text = [1]
    for _ in range(5):
        text, _ = drawn(model, [*text, 2, 3, 4], memory)
        rooms.append(memory._states[0].keys.shape[2])
    assert rooms == [9, 18, 36, 36, 48]
    assert len(memory.ids) == 45


def test_a_text_that_outgrows_the_context_slides_as_without_a_memory():
    model = make(CAN_BE_CUT["grouped"])
    memory = Memory(model)
    drawn(model, FIRST, memory)
    assert drawn(model, FIRST, memory, count=60)[0] == drawn(model, FIRST, count=60)[0]
    assert len(memory.ids) <= 48


@pytest.mark.parametrize("name", ["gpt2", "mamba", "window"])
def test_a_step_that_is_interrupted_is_forgotten(name, monkeypatch):
    model = make(ALL[name])
    memory = Memory(model)
    drawn(model, FIRST, memory)

    def interrupted(x):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model.blocks[1], "forward", lambda *arguments: interrupted(None))
        with pytest.raises(KeyboardInterrupt):
            drawn(model, [*FIRST, 30, 31], memory)
    assert drawn(model, [*FIRST, 30, 31], memory)[0] == drawn(model, [*FIRST, 30, 31])[0]


def test_a_window_can_be_cut_until_it_has_lost_something():
    model = make({"preset": "modern", "mixer": {"part": "attention", "window": 20}})
    memory = Memory(model)
    text, _ = drawn(model, FIRST, memory, count=20)  # a ring of 20, from the beginning
    for other, read in ([*FIRST[:6], 30], 7), ([*FIRST[:4], 31], 1):
        before = memory.read
        assert drawn(model, other, memory)[0] == drawn(model, other)[0]
        assert memory.read - before == read
    assert len(text) == 30


def test_the_common_prefix():
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 3]) == common_prefix([1, 2, 3], [1, 2]) == 2
    assert common_prefix([], [1]) == 0
