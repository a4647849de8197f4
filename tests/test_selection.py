"""The selection: its text, what the store keeps of it, and the line that says what is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from page_runs import image_run
from test_pages import opened, store, words

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
