"""Cached generation against full forwards, batches against rows alone, and what happens at every limit."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.generate import reference
from firsthand.generate.decode import Generation, generate, sequence_of
from firsthand.generate.sampling import sample
from firsthand.model.make import build_model
from firsthand.types import Place

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 16}
MODELS = {
    "gpt2": {"preset": "gpt2", **SMALL},
    "modern": {"preset": "modern", **SMALL},
    "grouped": {"preset": "modern", **SMALL, "n_kv_heads": 2},
    "multi_query": {"preset": "gpt2", **SMALL, "n_kv_heads": 1},
    "sinusoidal": {"preset": "gpt2", **SMALL, "position": "sinusoidal"},
    "no_positions": {"preset": "modern", **SMALL, "position": "none"},
}
PROMPTS = [[1, 2, 3, 4, 5], [6], [7, 8, 9], [1, 2, 3, 4, 6, 7, 8]]


def make(name="modern", vocab_size=40, **fields):
    torch.manual_seed(0)
    model = build_model(MODELS[name] | fields, vocab_size)
    # zero-initialised projections and equal logits would hide mistakes
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(params=MODELS)
def model(request):
    return make(request.param)


class Watched(Generation):
    """Keeps the logits of every step by row."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.logits = {row: [] for row in range(len(self.ids))}

    def _draw(self, logits):
        for row, values in zip(self._rows, logits, strict=True):
            self.logits[row].append(values.clone())
        return super()._draw(logits)


def watch(model, prompts, max_tokens, stop_ids=(), sequences=None, **sampling):
    generation = Watched(model, prompts, max_tokens, 0, stop_ids, sequences, sampling)
    for _ in generation:
        pass
    return generation


def run(*arguments, **settings):
    generation = generate(*arguments, **settings)
    steps = list(generation)
    return generation, steps


@torch.inference_mode()
def test_cached_logits_equal_the_full_forward_at_every_step(model):
    """Rows of unequal length, padded on the left, each against its own full forward."""
    generation = watch(model, PROMPTS, 9)
    for row, prompt in enumerate(PROMPTS):
        full = model(torch.tensor([generation.ids[row]]))[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.stack(generation.logits[row]), full, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("name", MODELS)
def test_cached_logits_equal_the_full_forward_after_sliding(name):
    model = make(name)
    generation = watch(model, [[1, 2, 3], [4, 5, 6, 7, 8, 9]], 40)
    assert generation.slid == [True, True]
    for row, prompt in enumerate([3, 6]):
        start = 0
        for step, logits in enumerate(generation.logits[row]):
            length = prompt + step
            if length - start > 16:
                start = length - 8
            full = model(torch.tensor([generation.ids[row][start:length]]))[0, -1]
            torch.testing.assert_close(logits, full, atol=1e-5, rtol=0)


def test_v2_a_row_is_what_it_is_alone(model):
    for settings in ({"temperature": 0}, {"temperature": 0.9, "top_k": 30, "repetition_penalty": 1.3}):
        together, _ = run(model, PROMPTS, 30, seed=3, **settings)
        for row, prompt in enumerate(PROMPTS):
            alone, _ = run(model, [prompt], 30, seed=3, **settings)
            assert (alone.ids[0], alone.slid[0]) == (together.ids[row], together.slid[row])


def test_v2_neighbours_that_end_early_change_nothing():
    model = make()
    alone, _ = run(model, [[5, 6]], 40, seed=1)
    prompts = [[9], [5, 6], [1, 2, 3, 4, 5, 6, 7]]
    together, _ = run(model, prompts, 40, seed=1)
    stop = next(id for id in together.ids[0][1:] if id not in alone.ids[0])
    generation = generate(model, prompts, 40, seed=1, stop_ids=[stop])
    for number, _ in enumerate(generation):
        if number == 4:
            generation.stop(2)
    assert generation.ids[1] == alone.ids[0]
    assert generation.finish == ["end_of_text", "length", "stop"]
    assert len(generation.ids[2]) == 7 + 5


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_says_the_same(name):
    model = make(name)
    prompt = torch.tensor([[1, 2, 3]])
    slow = reference.generate(model, prompt, 13, lambda logits: sample(logits, 0.0))
    fast, _ = run(model, [[1, 2, 3]], 13, temperature=0)
    assert slow[0].tolist() == fast.ids[0]


def test_the_reference_stops_row_by_row_and_keeps_what_it_was_given():
    script = torch.tensor([[10, 11, 12, 13], [20, 21, 22, 11]])

    def generated(rows, stop):
        columns = iter(script[:rows].T)
        return reference.generate(make(), torch.tensor([[1, 2], [3, 4]])[:rows], 4, lambda logits: next(columns), stop)

    assert generated(2, ()).tolist() == [[1, 2, 10, 11, 12, 13], [3, 4, 20, 21, 22, 11]]
    assert generated(2, [11]).tolist() == [[1, 2, 10, 11, 11, 11], [3, 4, 20, 21, 22, 11]]
    assert generated(1, [11]).tolist() == [[1, 2, 10, 11]]


def test_v11_one_seed_one_text():
    model = make()
    texts = [run(model, [[1, 2, 3]], 20, seed=seed)[0].ids for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_v11_going_on_from_the_middle_gives_the_same_text():
    model = make()
    whole, _ = run(model, [[1, 2, 3]], 12, seed=4, sequences=[8])
    half, _ = run(model, [[1, 2, 3]], 5, seed=4, sequences=[8])
    assert run(model, half.ids, 7, seed=4, sequences=[8])[0].ids == whole.ids


def test_v11_copies_of_a_prompt_differ_and_each_is_its_own_sequence():
    model = make()
    generation, _ = run(model, [[1, 2], [3], [1, 2]], 12, seed=4)
    assert generation.ids[0] != generation.ids[2]
    assert run(model, [[1, 2]], 12, seed=4, sequences=[sequence_of([1, 2], copy=1)])[0].ids[0] == generation.ids[2]


def test_different_prompts_do_not_share_their_random_numbers():
    model = make()
    model.head = lambda x: torch.zeros(len(x), model.vocab_size)  # so that only the numbers decide
    generation, _ = run(model, [[1], [2], [3]], 16, seed=4)
    drawn = [ids[1:] for ids in generation.ids]
    assert max(sum(a == b for a, b in zip(drawn[i], drawn[j], strict=True)) for i, j in [(0, 1), (0, 2), (1, 2)]) < 6


def test_steps_give_each_living_row_its_new_id():
    model = make()
    free, steps = run(model, [[1], [2, 3]], 20)
    assert [step[0] for step in steps] == free.ids[0][1:]
    assert [step[1] for step in steps] == free.ids[1][2:]
    assert free.finish == ["length", "length"]
    stop = next(id for id in free.ids[0][1:] if id not in free.ids[1])
    drawn = free.ids[0].index(stop, 1)
    ended, steps = run(model, [[1], [2, 3]], 20, stop_ids=[stop])
    assert [step[0] for step in steps] == [*free.ids[0][1 : drawn + 1], *[None] * (20 - drawn)]
    assert ended.ids[1] == free.ids[1]


@pytest.mark.parametrize(
    ("length", "max_tokens", "slid"), [(1, 16, False), (1, 17, True), (16, 1, False), (16, 2, True)]
)
def test_v7_the_context_is_used_to_its_last_place(length, max_tokens, slid):
    generation, steps = run(make(), [[1] * length], max_tokens)
    assert (generation.slid, generation.dropped, len(steps)) == ([slid], [0], max_tokens)


@pytest.mark.parametrize("length", [15, 16, 17, 40])
def test_v7_a_long_prompt_keeps_its_last_part(length):
    model = make()
    prompt = torch.randint(40, (length,), generator=torch.Generator().manual_seed(1)).tolist()
    generation, _ = run(model, [prompt], 1, temperature=0)
    assert generation.dropped == [max(0, length - 16)]
    with torch.inference_mode():
        assert generation.ids[0][-1] == model(torch.tensor([prompt[-16:]]))[0, -1].argmax()


def test_a_context_of_one_token():
    generation, steps = run(make(context_length=1), [[1, 2], [3]], 4)
    assert (generation.slid, generation.dropped, len(steps)) == ([True, True], [1, 0], 4)


def test_the_model_is_left_as_it_was_and_can_train_on():
    for name in MODELS:
        model = make(name, dropout=0.5)
        quiet, _ = run(model, [[1, 2, 3]], 8)
        model.train()
        model.blocks[0].eval()
        loud = generate(model, [[1, 2, 3]], 8)
        next(loud)
        assert not torch.is_inference_mode_enabled()
        assert model.training
        assert not model.blocks[0].training
        assert list(loud)
        assert loud.ids == quiet.ids
        model.train()
        model(torch.tensor([[1, 2, 3]])).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_repetition_penalty_counts_prompt_and_text():
    generation, _ = run(make(), [[1, 2, 3], [4]], 12, temperature=0, repetition_penalty=1e9)
    assert all(len(set(ids)) == len(ids) for ids in generation.ids)


@pytest.mark.parametrize(
    ("prompts", "settings", "words"),
    [
        ([[1]], {"max_tokens": 0}, "max_tokens"),
        ([[1]], {"temperature": -1.0}, "temperature"),
        ([[1]], {"top_p": 0.0}, "top_p"),
        ([[1], []], {}, "Prompt 2"),
        ([[1]], {"sequences": [1, 2]}, "sequence"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(prompts, settings, words):
    with pytest.raises(UserError, match=words):
        generate(make(), prompts, **{"max_tokens": 3, **settings})


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(UserError, match="40"):
        next(generate(make(), [[1, 40]], 3))


def test_scores_that_are_not_numbers_are_refused():
    model = make()
    model.norm.weight.data.fill_(float("nan")) if hasattr(model.norm, "weight") else model.embedding.weight.data.fill_(
        float("nan")
    )
    with pytest.raises(UserError, match="diverged"):
        next(generate(model, [[1]], 3))


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {}, {"top_k": 9, "repetition_penalty": 1.5}])
def test_rows_of_the_head_that_only_pad_it_are_never_drawn(settings):
    """A text is that of the model without them, in a batch and after sliding."""
    padded, plain = make(vocab_size=60, tied=True), make(vocab_size=40, tied=True)
    weights = padded.state_dict()
    plain.load_state_dict(weights | {"embedding.weight": weights["embedding.weight"][:40]})
    _, expected = run(plain, PROMPTS, 30, **settings)
    assert run(padded, PROMPTS, 30, vocab_size=40, **settings)[1] == expected
    assert any(id >= 40 for step in run(padded, PROMPTS, 30, **settings)[1] for id in step)


def test_a_cache_holds_no_more_than_is_needed():
    lengths = []

    class Spy(Generation):
        def _prefill(self):
            logits = super()._prefill()
            lengths.append(self._capacity)
            return logits

    assert list(Spy(make(), [[1, 2, 3]], 5, 0, (), None, {}))
    assert lengths == [7]
    assert Place.of(torch.zeros(1, 2, dtype=torch.long)).document is None
