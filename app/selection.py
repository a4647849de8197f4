"""One selection for all pages: a sample in focus, a set of samples, and why these.

It lives in the view: `sample` is the focus, `chosen` the set as `ddm_core.selections` writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from app import parts, state
from ddm_core import selections
from ddm_core.errors import RequestError
from ddm_core.selections import Chosen

__all__ = ["Selection", "bar", "choose", "current", "focus_on", "seeds_table"]


class Selection(NamedTuple):
    """What the reader looks at.

    Arguments:
        focus: seed of the sample in focus, or None.
        chosen: seeds of the set, ascending; empty where nobody chose.
        source: why these, in words. It may come from a URL: show it through `parts.literal`.
    """

    focus: int | None
    chosen: tuple[int, ...]
    source: str

    def among(self, seeds: Iterable[int]) -> tuple[int, ...]:
        """The chosen ones of these seeds, in their order."""
        mine = set(self.chosen)
        return tuple(seed for seed in seeds if seed in mine)


def current() -> Selection:
    """The selection in view; a text that is none counts as nothing, and `bar` says so."""
    try:
        chosen = _read(state.view("chosen"), state.store().root)
    except RequestError:
        chosen = selections.NOBODY
    return Selection(state.view_number("sample"), chosen.seeds, chosen.source)


# What a text stands for never changes: it holds the seeds, or the hash of the file that does.
@functools.lru_cache(maxsize=64)
def _read(text: str, root: Path) -> Chosen:
    return selections.read(text, root)


def focus_on(seed: int | None) -> None:
    """Put a sample in focus, or none."""
    state.show(sample=seed)


def choose(seeds: Iterable[int], source: str) -> None:
    """Choose these samples instead of those before; none of them clears the selection.

    Arguments:
        source: why these, in a few words: "lasso on the map", "highest 10% of disagreement".
    """
    asked = Chosen(tuple(seeds), source)
    parts.told(lambda: state.show(chosen=selections.written(asked, state.store().root)))


def bar(seeds: Sequence[int], *, runs: Sequence[str] = ()) -> Selection:
    """One line on what is chosen, with Clear and the CSV of seeds; nothing where nothing is.

    Arguments:
        seeds: the samples of this page, of which the chosen ones are counted.
        runs: ids of the runs of this page, for the CSV.

    Returns:
        The selection in view.
    """
    state.publish("chosen")
    selection = current()
    text = state.view("chosen")
    if not text:
        return selection
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="selection_bar"
    ):
        if selection.chosen:
            st.markdown(_says(selection, seeds), width="stretch")
            parts.csv_button("seeds", lambda: seeds_table(selection, runs), label="CSV of seeds")
        else:
            st.markdown(_fault(text), width="stretch")
        st.button(
            "Clear",
            key="selection_clear",
            icon=":material/close:",
            type="tertiary",
            on_click=choose,
            args=((), ""),
        )
    return selection


def _says(selection: Selection, seeds: Sequence[int]) -> str:
    here, all_of_them = len(selection.among(seeds)), len(selection.chosen)
    reason = f" ({parts.literal(selection.source)})" if selection.source else ""
    lost = all_of_them - here
    elsewhere = f"; {lost:,} {'is' if lost == 1 else 'are'} not in this run" if lost else ""
    return (
        f":material/select_all: **{here:,} of {len(seeds):,}** samples chosen{reason}{elsewhere}"
    )


def _fault(text: str) -> str:
    try:
        _read(text, state.store().root)
    except RequestError as error:
        return f":material/warning: The selection in the URL is ignored: {parts.literal(error)}."
    return ""


def seeds_table(selection: Selection, runs: Sequence[str]) -> pd.DataFrame:
    """The chosen seeds, one row per run and seed."""
    rows = [
        {"run": run, "seed": seed, "reason": selection.source}
        for run in (runs or ("",))
        for seed in selection.chosen
    ]
    return pd.DataFrame(rows, columns=["run", "seed", "reason"])
