import pytest

from firsthand.experiments.curve import ASCII, BLOCKS, curve


def heights(rows: list[str]) -> list[int]:
    columns = zip(*(row[5:] for row in rows), strict=True)
    return [sum(mark != " " for mark in column) for column in columns]


def test_a_falling_line_falls_from_the_high_label_to_the_low_one() -> None:
    rows = curve([4.5 - n / 100 for n in range(300)], 40, 5)
    assert [row[:4] for row in rows] == ["4.35", "    ", "    ", "    ", "1.51"]
    assert heights(rows) == sorted(heights(rows), reverse=True)
    assert (heights(rows)[0], heights(rows)[-1]) == (5, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 400, 4000])
@pytest.mark.parametrize("width", [14, 23, 80])
def test_it_fits_its_width_for_any_number_of_points(count: int, width: int) -> None:
    rows = curve([1.0 / (1 + n) for n in range(count)], width, 4, blocks=ASCII)
    assert len(rows) == 4
    assert max(map(len, rows)) <= width
    assert "".join(rows).isascii()


def test_it_grows_with_the_share_of_the_run() -> None:
    rows = [curve([3.0, 2.0, 1.0], 44, 3, filled=share) for share in (0.0, 0.25, 1.0, 2.0)]
    widths = [len(each[-1]) for each in rows]
    assert widths[0] < widths[1] < widths[2] == widths[3] <= 44


def test_level_lines_and_infinities_do_no_harm() -> None:
    assert curve([float("nan"), float("inf")], 40, 5) == []
    assert curve([], 40, 5) == []
    assert curve([1.0, 2.0], 3, 5) == []
    assert set("".join(curve([2.0] * 9 + [float("nan")], 40, 5))) <= set(BLOCKS + "2 ")
