"""Which test catches which wrong attention: the table of the design, measured on the exercise."""

from functools import cache

from firsthand.learn import manifest
from firsthand.learn.grader.check import in_worker
from firsthand.learn.grader.prepare import read

SCALES = {"no_scale", "scale_d_head", "scale_sqrt_d_model"}
# of the slips with outputs of their own, what each property catches
KILLED = {
    "shapes": set(),
    "batch_isolation": set(),
    "finite": {"inverted_mask", "diagonal_masked", "crash_past_context"},
    "past_matters": {
        "inverted_mask",
        "mask_transposed",
        "diagonal_masked",
        "split_without_transpose",
        "merge_without_transpose",
    },
    "heads_isolation": {"split_without_transpose", "merge_without_transpose", "mean_of_heads"},
    "past_order": {"softmax_over_queries", "split_without_transpose", "merge_without_transpose"},
    "score_scale": SCALES | {"scale_sqrt_time", "scale_after_softmax"},
    "documents": {"documents_ignored", "scale_sqrt_time"},
}


@cache
def killed():
    """By slip, the properties that catch it."""
    exercise = manifest.exercise("causal_attention")
    in_worker(exercise, "prepare")
    return {name: set(slip.failed) for name, slip in read(exercise, 0).mutants.items()}


def by(name):
    return {slip for slip, failed in killed().items() if name in failed}


def own_outputs():
    return set(killed()) - {"parameter_names", "dropout_in_eval", "dropout_forgotten", "dropout_on_weights"}


def test_the_reference_catches_all_that_has_outputs_of_its_own():
    assert by("reference") == own_outputs()


def test_what_each_property_catches():
    # "documents" fails with every slip that makes lengths or places matter too, so at least these
    found = {name: by(name) & own_outputs() for name in KILLED}
    assert found["documents"] >= KILLED["documents"]
    rest = {name: slips for name, slips in found.items() if name != "documents"}
    assert rest == {name: slips for name, slips in KILLED.items() if name != "documents"}


def test_the_future_misses_every_scale_and_the_first_token_misses_them_too():
    assert by("perturb_future") & SCALES == by("first_token") & SCALES == set()
    assert by("prefix") - by("perturb_future") >= {"scale_sqrt_time"}
    assert len(by("first_token") & own_outputs()) >= 12


def test_three_of_four_slips_are_explained_by_a_property():
    technical = {"reference", "single_precision"}
    explained = [name for name, failed in killed().items() if failed - technical]
    assert len(explained) >= 0.75 * len(killed())
    assert set(killed()) - set(explained) == set()
