"""Which runs a page shows together: those of one comparison, or one run."""

from __future__ import annotations

from collections.abc import Iterable

from app import parts, state
from ddm_core.records import RunRecord

__all__ = ["picked_group", "said_of"]


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


def said_of(runs: list[RunRecord]) -> str:
    """Their system and routes, how many samples, how old."""
    first = runs[0]
    routes = ", ".join(run.router for run in runs)
    words = (f"{state.system_title(first)}: {routes}", parts.counted(first.config.num, "sample"))
    return " · ".join((*words, state.age(first.created)))
