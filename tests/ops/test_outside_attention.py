"""Somebody else's attention in training steps: called with what it names, refused where it lacks something."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops.attention import VERSIONS, attention
from firsthand.ops.attention.outside import attention_by

PLAIN = """
def attention(query, key, value, visible):
    assert key.shape == query.shape, "key/value heads are repeated"
    scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~visible, float("-inf"))
    return scores.softmax(-1) @ value
"""
SCALED = """
def attention(query, key, value, visible, scale, bias=None):
    scores = query @ key.transpose(-1, -2) * scale + (0 if bias is None else bias)
    return scores.masked_fill(~visible, float("-inf")).softmax(-1) @ value
"""


@pytest.fixture
def heads():
    generator = torch.Generator().manual_seed(0)
    make = lambda count: torch.randn(2, count, 5, 8, generator=generator, requires_grad=True)  # noqa: E731
    return make(4), make(2), make(2)


@pytest.fixture
def by(tmp_path):
    def write(text):
        (tmp_path / "mine.py").write_text(text)
        return f"{tmp_path / 'mine.py'}:attention"

    return write


@pytest.mark.parametrize("text", [PLAIN, SCALED])
def test_it_agrees_with_the_definition_and_gradients_flow(heads, by, text) -> None:
    expected = attention(*heads, causal=True, version="reference")
    name = by(text)
    with attention_by(name, "auto"):
        found = attention(*heads, causal=True)
        torch.testing.assert_close(found, expected)
        found.sum().backward()
    assert heads[1].grad is not None
    assert name not in VERSIONS, "afterwards it is gone"


def test_it_is_really_called(heads, by) -> None:
    with attention_by(by("def attention(query, key, value, visible):\n    return query * 0\n"), "auto"):
        assert attention(*heads, causal=True).eq(0).all()
        with torch.no_grad():
            assert not attention(*heads, causal=True).eq(0).all(), "only training steps are its own"
    assert not attention(*heads, causal=True).eq(0).all()


def test_what_it_does_not_name_it_cannot_be_asked(heads, by) -> None:
    bias = torch.zeros(1, 4, 5, 5)
    with attention_by(by(PLAIN), "auto"):
        with pytest.raises(UserError, match="has no argument 'bias'"):
            attention(*heads, causal=True, bias=bias)
        with pytest.raises(UserError, match="has no argument 'scale'"):
            attention(*heads, causal=True, scale=1.0)
        with pytest.raises(UserError, match="has no argument 'softcap'"):
            attention(*heads, causal=True, softcap=5.0)
    with attention_by(by(SCALED), "auto"):
        torch.testing.assert_close(
            attention(*heads, causal=True, scale=1.0, bias=bias),
            attention(*heads, causal=True, scale=1.0, version="reference"),
        )


def test_a_shipped_version_by_name_needs_no_file(heads) -> None:
    expected = attention(*heads, causal=True, version="reference")
    with attention_by("reference", "reference"):
        torch.testing.assert_close(attention(*heads, causal=True), expected, rtol=0, atol=0)
