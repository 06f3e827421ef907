"""Plans are read, and what is wrong with them is told by name before anything is computed."""

import pytest

from firsthand.compress.plan import methods, read_plans
from firsthand.errors import UserError

MINE = """
class Mine:
    def __init__(self, share: float = 0.5):
        self.share = share

    def __call__(self, subject, given):
        pass
"""


def written(tmp_path, text):
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    return path


def test_the_projects_plans_have_the_names_that_were_promised(pytestconfig):
    found = read_plans(pytestconfig.rootpath / "recipes" / "compress.yaml")
    promised = {"int8", "int4", "int4-gptq", "wanda-50", "magnitude-50", "structured-25"}
    assert promised <= found.plans.keys()
    assert found.only(["wanda-50", "int8"]).plans.keys() == {"int8", "wanda-50"}


def test_every_step_of_the_projects_plans_can_be_made(pytestconfig):
    for name, steps in read_plans(pytestconfig.rootpath / "recipes" / "compress.yaml").plans.items():
        assert len(methods(name, steps)) == len(steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan: {}", r"There is no setting 'plan'\. Did you mean 'plans'"),
        ("plans: {a: [b]}\ncalibration: {window: 3}", r"no setting 'window'\. Did you mean 'windows'"),
        ("plans: {a: [b]}\ncalibration: {windows: 0}", r"calibration\.windows = 0: should be greater than 0"),
        ("plans: {a: 3}", r"plans\.a is no list of steps"),
        ("calibration: {windows: 3}", "plans is missing"),
        ("plans: {}", "has no plan"),
        ("plans: {a: []}", "the plan a has no steps"),
        ("plans: {a/b: [c]}", "'a/b' cannot be a plan's name"),
        ("plans: {original: [c]}", "'original' cannot be a plan's name"),
        ("- a", "holds a list"),
        ("plans: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read_plans(written(tmp_path, text))


def test_unknown_names_are_answered_with_those_that_are_there(tmp_path):
    found = read_plans(written(tmp_path, "plans: {int8: [a], int4: [b]}"))
    with pytest.raises(UserError, match=r"no plan 'int9'\. Did you mean 'int[48]'"):
        found.only(["int9"])
    with pytest.raises(UserError, match=r"plans\.int8: there is no part called 'a'"):
        methods("int8", found.plans["int8"])


def test_a_method_may_be_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    spec = {"part": f"{tmp_path / 'mine.py'}:Mine", "share": 0.25}
    assert methods("a", [spec])[0].share == 0.25
    with pytest.raises(UserError, match="has no argument 'shares'"):
        methods("a", [{"part": spec["part"], "shares": 0.25}])
