"""The selection: its text, what the store keeps of it, and the line that says what is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as some
from page_runs import charts, image_run
from test_pages import opened, store, words

from app.figures import series
from app.figures.look import Look
from app.figures.map import outlines_of, within
from app.figures.subjects import Subject
from app.selection import Selection, seeds_table
from ddm_core.analysis.subset import extreme, subset_rows
from ddm_core.errors import RequestError
from ddm_core.selections import Chosen, parsed, ranges, read, written
from ddm_core.store import Store

__all__ = ["store"]

SEEDS = some.sets(some.integers(0, 400) | some.integers(2**63 - 9, 2**63 - 1), min_size=1)


@given(SEEDS)
def test_ranges_are_read_back(seeds: set[int]) -> None:
    assert parsed(ranges(seeds)) == tuple(sorted(seeds))


def test_ranges_are_short() -> None:
    assert ranges([9, 0, 1, 2, 2, 17, 18]) == "0-2,9,17-18"


def test_a_short_choice_is_its_text(tmp_path: Path) -> None:
    chosen = Chosen((0, 1, 2, 9), "lasso on the map")
    assert written(chosen, tmp_path) == "0-2,9 lasso on the map"
    assert read("0-2,9 lasso on the map", tmp_path) == chosen
    assert list(tmp_path.iterdir()) == []


def test_a_long_choice_lies_in_the_store(tmp_path: Path) -> None:
    chosen = Chosen(tuple(range(0, 4000, 2)), "even")
    text = written(chosen, tmp_path)
    assert len(text) == 13
    assert read(text, tmp_path) == chosen
    assert written(chosen, tmp_path) == text
    file = tmp_path / ".selections" / f"{text[1:]}.json"
    file.write_text(json.dumps({"seeds": "1", "source": "even"}))
    with pytest.raises(RequestError, match="damaged"):
        read(text, tmp_path)
    assert written(chosen, tmp_path) == text
    assert read(text, tmp_path) == chosen


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x",
            "-1",
            "5-2",
            "1,,2",
            "0-99999999999",
            "0-50000,60000-120000",
            "9223372036854775808",
        ),
        *("@", "@../../etc/passwd", "@3fa94c0b12de", "@3FA94C0B12DE", "٣", "1-", "<b>"),
    ],
)
def test_what_is_no_choice_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        read(text, tmp_path)


def test_the_line_counts_and_clears(store: Store) -> None:
    image_run(store, "top_k:k=1")
    app = opened("trace", chosen="10-12,400 <b>why</b> *me*")
    assert not app.exception
    assert "**3 of 5** samples chosen" in words(app)
    assert r"\<b\>why\</b\> \*me\*" in words(app)
    assert "1 is not in this run" in words(app)
    app.button(key="selection_clear").click().run()
    assert "samples chosen" not in words(app)
    assert app.query_params.get("chosen") is None


def test_a_hostile_selection_is_ignored_with_a_sentence(store: Store) -> None:
    image_run(store, "top_k:k=1")
    app = opened("trace", chosen="@../../secret")
    assert not app.exception
    assert "is ignored" in words(app)
    assert "samples chosen" not in words(app)


def made() -> xr.Dataset:
    """Eight samples of seeds 10 to 17, the last not measured."""
    values = np.array([[3.0, 1, 2, 2, 9, 0, 5, np.nan], [1.0, 1, 2, 2, 9, 0, 5, np.nan]])
    seeds = np.arange(10, 18)
    data = {"disagreement": (("step", "sample"), values), "entropy": (("step", "sample"), values)}
    return xr.Dataset(data, {"step": [0, 1], "sample": seeds, "t": ("step", [1.0, 0.5])})


def test_the_extreme_samples_by_hand() -> None:
    trace = made()
    assert extreme(trace, "disagreement", 0.3) == (14, 16)
    assert extreme(trace, "disagreement", 0.3, highest=False) == (11, 15)
    # Equals go by seed: the means of 10, 12 and 13 are all 2.
    assert extreme(trace, "disagreement", 4 / 7, highest=False) == (10, 11, 12, 15)
    assert extreme(trace, "disagreement", 0.01) == (14,)
    with pytest.raises(RequestError, match="there are: disagreement, entropy"):
        extreme(trace, "weights", 0.1)


def test_numbers_of_the_chosen_and_of_the_others() -> None:
    rows = {row.name: row for row in subset_rows(made(), (14, 16, 17, 999))}
    assert set(rows) == {"disagreement", "entropy"}
    one = rows["disagreement"]
    assert (one.chosen.value, one.chosen.n) == (7, 2)
    assert (one.others.value, one.others.n) == (pytest.approx((2 + 1 + 2 + 2 + 0) / 5), 5)
    half = 1.959964 * np.std([9, 5], ddof=1) / np.sqrt(2)
    assert one.chosen.high == pytest.approx(7 + half)
    assert subset_rows(made(), (999,)) == ()


def test_the_middle_of_the_chosen_is_drawn_beside_that_of_all() -> None:
    subject = Subject("full", made())
    line = series.series_info([subject], "disagreement", chosen=(10, 14, 16, 17)).lines[0]
    assert line.chosen_n == 3
    assert line.chosen is not None
    np.testing.assert_array_equal(line.chosen, [5, 5])
    np.testing.assert_array_equal(line.middle, [2, 2])
    info = series.series_info([subject], "disagreement", chosen=(10, 14, 16, 17))
    assert [one.name for one in series.figure(info, Look()).data][-1] == "3 of 7 chosen"
    assert series.series_info([subject], "disagreement", chosen=(99,)).lines[0].chosen is None


@given(
    some.lists(some.tuples(some.floats(-3, 3), some.floats(-3, 3)), min_size=1, max_size=30),
    some.floats(0.3, 2.5),
)
def test_within_a_box_is_what_comparing_says(
    places: list[tuple[float, float]], half: float
) -> None:
    where = np.array(places)
    boxes = outlines_of({"box": [{"x": [-half, half], "y": [half, -half]}]})
    wanted = (np.abs(where) < half).all(axis=1)
    on_the_edge = np.isclose(np.abs(where), half).any(axis=1)
    np.testing.assert_array_equal(within(where, boxes)[~on_the_edge], wanted[~on_the_edge])


def test_within_a_lasso_with_a_bay() -> None:
    bay = {"lasso": [{"x": [0, 4, 4, 2, 0], "y": [0, 0, 4, 1, 4]}]}
    places = np.array([[0.5, 0.5], [2, 3], [3.8, 3], [5, 1]])
    assert within(places, outlines_of(bay)).tolist() == [True, False, True, False]
    assert outlines_of({"lasso": [], "box": []}) == []


def test_by_variable_by_seed_and_what_the_page_then_shows(store: Store) -> None:
    run = image_run(store, "top_k:k=1")
    app = opened("trace", chosen="11,12 lasso")
    assert not app.exception
    # The first of the chosen is in focus unless somebody says otherwise.
    assert "sample 11" in words(app)
    numbers = app.dataframe[0].value
    assert set(numbers.columns) == {"number", "chosen", "n", "others", "n of others"}
    assert "2 of 3 chosen" in str(charts(app))
    assert seeds_table(Selection(None, (11, 12), "lasso"), [run.id]).to_dict("list") == {
        "run": [run.id] * 2,
        "seed": [11, 12],
        "reason": ["lasso"] * 2,
    }
