"""Mistakes are named exactly: the same slips written by other hands, two at once, and none where nothing is known."""

from functools import cache

import pytest

from firsthand.learn import manifest
from firsthand.learn.grader.check import in_worker
from firsthand.learn.grader.pipeline import grade
from firsthand.learn.grader.prepare import read

SCALE = " / query.shape[-1] ** 0.5"
# exercise, right answer, what is written wrongly there, and how; then the name
REWRITTEN = [
    ("attention_op", "einsum.py", SCALE, "", "no_scale"),
    ("attention_op", "einsum.py", SCALE, " / query.shape[-1]", "scale_d_head"),
    ("attention_op", "loop.py", SCALE, " / key.shape[-2] ** 0.5", "scale_sqrt_time"),
    ("attention_op", "loop.py", "weights.unsqueeze(-1)", "weights.unsqueeze(-1).detach()", "detached"),
    (
        "attention_op",
        "einsum.py",
        'scores.masked_fill(~visible, float("-inf"))',
        "scores.masked_fill(~visible, 0)",
        "mask_zero_not_inf",
    ),
    (
        "attention_op",
        "logsumexp.py",
        "scaled = query * query.shape[-1] ** -0.5",
        "scaled = query.mul_(query.shape[-1] ** -0.5)",
        "edits_inputs",
    ),
    ("causal_mask", "einsum.py", "diagonal=offset", "diagonal=offset + 1", "diagonal_2"),
    ("causal_mask", "einsum.py", "diagonal=offset", "diagonal=offset - 1", "diagonal_masked"),
    ("causal_mask", "einsum.py", "diagonal=offset", "", "offset_ignored"),
    ("causal_mask", "einsum.py", "diagonal=offset", "diagonal=-offset", "offset_sign"),
    ("causal_mask", "einsum.py", ".tril(", ".triu(", "transposed"),
    ("causal_mask", "einsum.py", ", dtype=torch.bool).tril", ").tril", "float_not_bool"),
    ("causal_mask", "library.py", "arange(key_length).le", "arange(query_length).le", "square_only"),
    ("causal_mask", "loop.py", "j <= offset + i", "j > offset + i", "inverted"),
    ("causal_attention", "einsum.py", "q * self.scale", "q", "no_scale"),
    ("causal_attention", "einsum.py", "(d_model // n_heads) ** -0.5", "d_model ** -0.5", "scale_sqrt_d_model"),
    ("causal_attention", "einsum.py", "(d_model // n_heads) ** -0.5", "n_heads / d_model", "scale_d_head"),
    ("causal_attention", "einsum.py", "dim=3", "dim=2", "softmax_over_queries"),
    (
        "causal_attention",
        "einsum.py",
        "(causal_mask(x.shape[1], x.shape[1]) & same_document(place))",
        "same_document(place)",
        "no_mask",
    ),
    (
        "causal_attention",
        "einsum.py",
        "(causal_mask(x.shape[1], x.shape[1]) & same_document(place))",
        "causal_mask(x.shape[1], x.shape[1])",
        "documents_ignored",
    ),
    ("causal_attention", "einsum.py", "x.shape[1], x.shape[1]) &", "x.shape[1], x.shape[1], 1) &", "diagonal_2"),
    (
        "causal_attention",
        "einsum.py",
        "heads.movedim(1, 2).flatten(2)",
        "heads.flatten(1).view(len(heads), heads.shape[2], -1)",
        "merge_without_transpose",
    ),
    (
        "causal_attention",
        "einsum.py",
        "(self.query, self.key, self.value)",
        "(self.query, self.query, self.value)",
        "shared_query_key",
    ),
    ("causal_attention", "library.py", "attn_mask=allowed", "attn_mask=allowed, scale=1.0", "no_scale"),
    (
        "causal_attention",
        "library.py",
        "x.view(batch, time, n_heads, channels // n_heads).permute(0, 2, 1, 3)",
        "x.view(batch, n_heads, time, channels // n_heads)",
        "split_without_transpose",
    ),
    (
        "causal_attention",
        "library.py",
        "self.out(merge_heads(F.scaled_dot_product_attention(*heads, attn_mask=allowed)))",
        "merge_heads(F.scaled_dot_product_attention(*heads, attn_mask=allowed))",
        "no_out_projection",
    ),
    (
        "causal_attention",
        "library.py",
        "self.dropout = nn.Dropout(p=dropout)",
        "self.dropout = nn.Identity()",
        "dropout_forgotten",
    ),
    (
        "causal_attention",
        "loop.py",
        "self.drop = nn.Dropout(dropout)",
        "self.drop = lambda y: nn.functional.dropout(y, dropout)",
        "dropout_in_eval",
    ),
]
PAIRS = [
    (
        "attention_op",
        "einsum.py",
        [(SCALE, ""), ('float("-inf"))\n    nothing', "0.0)\n    nothing")],
        "no_scale + mask_zero_not_inf",
    ),
    (
        "causal_attention",
        "einsum.py",
        [("q * self.scale", "q"), ("x.shape[1], x.shape[1]) &", "x.shape[1], x.shape[1], 1) &")],
        "diagonal_2 + no_scale",
    ),
]
UNKNOWN = [
    ("attention_op", "einsum.py", SCALE, " * 3.0", "score_scale"),
    ("attention_op", "einsum.py", '...kv->...qv", weights', '...kv->...qv", 2 * weights', "rows_sum_to_one"),
    ("causal_attention", "einsum.py", "q * self.scale", "q * 0.2", "score_scale"),
    (
        "causal_attention",
        "einsum.py",
        "(self.query, self.key, self.value)",
        "(self.key, self.query, self.key)",
        "first_token",
    ),
    ("causal_mask", "loop.py", "j <= offset + i", "j <= offset + i and j != 1", "four_by_four"),
]


@cache
def prepared(name):
    exercise = manifest.exercise(name)
    in_worker(exercise, "prepare", pairs=True)
    return read(exercise, 0, pairs=True)


@pytest.fixture
def ask(tmp_path):
    def run(name, answer, edits):
        exercise = manifest.exercise(name)
        text = (exercise.folder / "correct" / answer).read_text(encoding="utf-8")
        for find, put in edits:
            assert text.count(find) == 1, f"{find!r} stands {text.count(find)} times in {answer}"
            text = text.replace(find, put)
        file = tmp_path / exercise.file
        file.write_text(text, encoding="utf-8")
        return grade(exercise, file, 0, prepared(name), lambda _: None)

    return run


@pytest.mark.parametrize(("name", "answer", "find", "put", "mutant"), REWRITTEN)
def test_a_slip_in_another_hand_has_its_name(ask, name, answer, find, put, mutant):
    verdict = ask(name, answer, [(find, put)])
    assert (verdict.status, verdict.mutant) == ("failed", mutant)
    assert verdict.evidence["say"]


@pytest.mark.parametrize(("name", "answer", "edits", "both"), PAIRS)
def test_two_slips_at_once_have_both_names(ask, name, answer, edits, both):
    assert ask(name, answer, edits).mutant == both


@pytest.mark.parametrize(("name", "answer", "find", "put", "broken"), UNKNOWN)
def test_what_nobody_knows_has_a_property_and_evidence_and_no_name(ask, name, answer, find, put, broken):
    verdict = ask(name, answer, [(find, put)])
    assert (verdict.status, verdict.mutant, verdict.property) == ("failed", None, broken)
    assert all((verdict.what, verdict.why, verdict.next))
    assert "difference" in verdict.picture
