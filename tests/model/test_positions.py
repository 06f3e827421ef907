"""What is special to a position scheme. What all promise stands in tests/contracts."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.positions.alibi import ALiBi, slopes
from firsthand.model.positions.rope import Rope, frequencies
from firsthand.model.positions.scaling import SCALINGS
from firsthand.model.positions.tables import rows


def test_alibi_slopes_are_those_of_the_paper():
    torch.testing.assert_close(slopes(8), torch.tensor([2.0**-i for i in range(1, 9)]))
    expected = [2.0**-i for i in range(1, 9)] + [2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5]
    torch.testing.assert_close(slopes(12), torch.tensor(expected))
    assert slopes(1).tolist() == [2.0**-8]


def test_alibi_falls_with_the_distance_wherever_the_tokens_stand():
    bias = ALiBi(4).bias(torch.tensor([[7, 8]]), torch.tensor([[5, 6, 7, 8]]))
    assert bias.shape == (1, 4, 2, 4)
    torch.testing.assert_close(bias[0, 0], -(2.0**-2) * torch.tensor([[2.0, 1, 0, 1], [3, 2, 1, 0]]))
    torch.testing.assert_close(ALiBi(4).bias(torch.tensor([[107]]), torch.tensor([[105]])), bias[:, :, :1, :1])


@pytest.mark.parametrize("name", SCALINGS)
def test_a_scaling_by_one_changes_nothing(name):
    turns, gain = SCALINGS[name](frequencies(16), 10000.0, 1.0, 64)
    torch.testing.assert_close(turns, frequencies(16))
    assert gain == 1.0


@pytest.mark.parametrize("name", SCALINGS)
def test_the_slowest_pair_is_slowed_by_the_factor(name):
    turns, _ = SCALINGS[name](frequencies(64), 10000.0, 4.0, 2048)
    ratio = frequencies(64) / turns
    assert ratio[-1].item() == pytest.approx(4.0)
    assert ratio[0].item() == pytest.approx(4.0 if name == "linear" else 1.0)
    assert (ratio.diff() > -1e-9).all()


def test_linear_scaling_is_a_position_between_two():
    short, long = Rope(8, context_length=4), Rope(8, context_length=8, scaling="linear", factor=2.0)
    torch.testing.assert_close(long.turns[::2], short.turns)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("linear", {"rope_type": "linear"}),
        ("yarn", {"rope_type": "yarn", "original_max_position_embeddings": 512}),
        (
            "llama3",
            {
                "rope_type": "llama3",
                "original_max_position_embeddings": 512,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
        ),
    ],
)
def test_the_frequencies_are_those_of_transformers(name, theirs):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = transformers.LlamaConfig(hidden_size=128, num_attention_heads=2, max_position_embeddings=2048)
    config.rope_parameters = {"rope_theta": 500000.0, "factor": 4.0} | theirs
    expected, gain = ROPE_INIT_FUNCTIONS[theirs["rope_type"]](config, "cpu")
    turns, own_gain = SCALINGS[name](frequencies(64, 500000.0), 500000.0, 4.0, 512)
    torch.testing.assert_close(turns.float(), expected, atol=1e-7, rtol=1e-5)
    assert own_gain == pytest.approx(gain)


def test_ntk_is_a_larger_theta():
    turns, _ = SCALINGS["ntk"](frequencies(64), 10000.0, 4.0, 2048)
    torch.testing.assert_close(turns, frequencies(64, 10000.0 * 4 ** (64 / 62)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling": "yarm", "factor": 2.0}, "no scaling 'yarm'.*yarn"),
        ({"factor": 2.0}, "a factor above 1 needs a scaling"),
        ({"scaling": "yarn", "factor": 0.5}, "must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Rope(8, **arguments)


@torch.no_grad()
@pytest.mark.parametrize("index", [[[5]], [[5, 0]], [[5], [1]]])
def test_rows_of_a_table(index):
    """A single token, as while decoding, is looked up without a copy."""
    table, index = torch.arange(12.0).view(6, 2), torch.tensor(index)
    assert torch.equal(rows(table, index), table[index])
    with pytest.raises(UserError, match="stands at position 6, but the model's context holds 6 tokens"):
        rows(table, index + 1)
