"""Which runs a page shows together: those of one comparison, or one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from app import parts, state
from ddm_core.records import RunRecord

__all__ = ["at_most", "comparison_of", "picked_group", "said_of"]


def picked_group(
    records: Iterable[RunRecord], name: str, *, hide_label: bool = False
) -> list[RunRecord]:
    """Draw the picker of a group; its runs in the order in which they were asked for, or [].

    Arguments:
        records: newest first.
        name: of the choice in the URL.
    """
    groups: dict[str, list[RunRecord]] = {}
    for run in records:
        groups.setdefault(run.comparison or run.id, []).insert(0, run)
    if not groups:
        return []
    named = [one for one in (state.view("comparison"), state.view("run")) if one in groups]
    # A branch of one sample is a page to come to, not one to start from.
    whole = [id for id, runs in groups.items() if runs[0].config.branch is None]
    picked = parts.choice(
        "Runs",
        name,
        list(groups),
        default=next(iter([*named, *whole, *groups])),
        says=lambda one: said_of(groups[one]),
        hide_label=hide_label,
    )
    return groups[picked]


def at_most(runs: Sequence[RunRecord], most: int) -> list[RunRecord]:
    """All of these runs, or, where they are more than a page can show, those that are chosen."""
    if len(runs) <= most:
        return list(runs)
    ids = {run.id[-6:]: run for run in runs}
    first = list(ids)[:most]
    shown = parts.choices(
        "Runs that are shown",
        "shown",
        list(ids),
        default=first,
        says=lambda one: state.label_of(ids[one], runs),
        most=most,
    )
    shown = shown or first
    st.caption(f"{len(shown)} of {len(runs)} runs are shown; at most {most} fit side by side.")
    return [ids[one] for one in shown]


def comparison_of(records: Sequence[RunRecord]) -> str:
    """The comparison whose runs these are, all of them; else "".

    The lines for a notebook open all runs of a comparison: only where all of them are here.
    """
    group = records[0].comparison or ""
    done = [run for run in state.store().comparison(group) if run.status == "done"]
    return group if {run.id for run in done} == {run.id for run in records} else ""


def said_of(runs: list[RunRecord]) -> str:
    """Their system and routes, how many samples, how old."""
    first = runs[0]
    routes = ", ".join(run.router for run in runs)
    words = (f"{state.system_title(first)}: {routes}", parts.counted(first.config.num, "sample"))
    return " · ".join((*words, state.age(first.created)))
