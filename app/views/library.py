"""Runs: what is kept here, and how do runs differ?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import parts, state
from app.pictures import data_url
from app.views import incoming, library_actions, trash
from app.views.picking import CLEAR, pick, picked, turn
from app.views.selected import one_run, several_runs
from app.views.tables import number, written
from ddm_core import pictures
from ddm_core.errors import RequestError
from ddm_core.filters import Filter, understand
from ddm_core.groups import Group, groups_of
from ddm_core.records import RunRecord

__all__ = ["page"]

_HELP = """Words, each of which must occur (`mnist tag:paper`), or a condition:

`router == "top_k" and fid < 30`\n
`strategy.k == 2 and "paper" in tags`\n
`num >= 64 and (seconds < 10 or device == "cuda")`

Every setting and number of a run has a name: `fid`, `fid.low`, `steps`, `sampler`, `created`,
`router.temperature`. A route answers to its router, its strategy and the whole of it."""
_MOST_PILLS = 6
#: Pixels of columns whose text is short, so that tags and notes leave the id in sight.
_NARROW = {"system": 72, "n": 56, "steps": 56, "sampler": 74, "label": 56, "made": 96, "id": 72}
_MOST_PICTURES = 60
_IN_ROW = 6
_HIGH = 34  # pixels of a picture in a row


def page() -> None:
    """Draw the page."""
    st.title("What is kept here?", anchor=False)
    state.publish("q", "group", "picked", "settings")
    trash.undo_bar()
    records = state.store().runs()
    if not records:
        parts.empty(
            "The library is empty. Start with a comparison, or drop runs below.",
            page="compare",
            label="New comparison",
        )
        incoming.drop_zone(open_first=True)
        trash.contents()
        return
    groups = groups_of(records)
    meant = _search(records)
    group = _group(groups)
    within = {run.id for run in group.runs} if group else {run.id for run in records}
    found = [run for run in records if run.id in within and meant.matches(run)]
    _count(records, found, meant)
    if not found:
        parts.empty(
            "Nothing matches. Take a word or a condition out of the search.",
            icon=":material/search_off:",
        )
    else:
        chosen = _table(found, groups)
        library_actions.actions(chosen, found)
        if len(chosen) > 1:
            several_runs(chosen)
        elif chosen:
            one_run(chosen[0])
    incoming.drop_zone()
    trash.contents()


def _search(records: Sequence[RunRecord]) -> Filter:
    """What is searched for; what cannot be understood is said, and everything shown."""
    if st.session_state.pop(CLEAR, False):
        st.session_state["search"] = ""
    st.session_state.setdefault("search", state.view("q"))
    text = st.text_input(
        "Search",
        key="search",
        icon=":material/search:",
        placeholder='mnist tag:paper, or a condition: router == "top_k" and fid < 30',
        help=_HELP,
    )
    state.show(q=text)
    try:
        return understand(text, records)
    except RequestError as error:
        st.error(parts.literal(error), icon=":material/error:")
        return Filter("", None)


def _group(groups: Sequence[Group]) -> Group | None:
    """The group in view, with all of its runs chosen by one click."""
    if not groups:
        return None
    known = {group.id: group for group in groups}
    key = "library_group"
    wanted = state.view("group")
    st.session_state[key] = wanted if wanted in known else None

    def chosen() -> None:
        id = st.session_state[key]
        pick([run.id for run in known[id].runs] if id else [], group=id or "")

    options = list(known)
    if len(options) <= _MOST_PILLS:
        st.pills(
            "Groups",
            options,
            format_func=lambda id: _says(known[id]),
            key=key,
            on_change=chosen,
            label_visibility="collapsed",
        )
    else:
        st.selectbox(
            "Groups",
            options,
            format_func=lambda id: _says(known[id]),
            key=key,
            on_change=chosen,
            index=None,
            placeholder=f"one of {len(options)} comparisons, audits and branches",
            label_visibility="collapsed",
        )
    return known.get(st.session_state[key] or "")


def _says(group: Group) -> str:
    icons = {"comparison": "compare", "audit": "fact_check", "branches": "fork_right"}
    first = group.runs[0]
    # An icon's name is ours; a system's is not.
    title = parts.literal(state.system_title(first))
    return (
        f":material/{icons[group.kind]}: {title}: {len(group.runs)} runs · "
        f"{state.age(group.newest)}"
    )


def _count(records: Sequence[RunRecord], found: Sequence[RunRecord], meant: Filter) -> None:
    """How many runs are shown, how the search was understood, and what they take."""
    count = f"{len(records)} run{'s' * (len(records) != 1)}"
    if len(found) < len(records):
        count = f"{len(found)} of {count}"
    by = ""
    if meant.text:
        by = " by the condition" if meant.condition is not None else " by these words"
    broken = len(state.store().unreadable)
    unread = f"; {broken} folder{'s' * (broken > 1)} cannot be read" if broken else ""
    size = sum(_bytes(run.id) for run in found)
    st.caption(f"{count}{by} · {size / 2**20:,.1f} MiB on the disk{unread}")


def _bytes(id: str) -> int:
    """A run is written once; what is noted in it later is small."""
    return state.kept(lambda: state.store().size(id), "bytes", id)


def _table(found: Sequence[RunRecord], groups: Sequence[Group]) -> list[RunRecord]:
    """The runs as rows; those that are chosen."""
    ids = " ".join(run.id for run in found)
    # Another table for other rows: a selection of row 3 must not become that of another run.
    key = f"library_{hashlib.sha256(ids.encode()).hexdigest()[:8]}_{turn()}"
    hashes = picked()
    first = [row for row, run in enumerate(found) if run.id[-6:] in hashes]
    default = st.session_state.setdefault(f"{key}_first", first)
    table = st.dataframe(
        _rows(found, groups),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": default, "columns": [], "cells": []}},
        key=key,
        height=min(38 + (_HIGH + 6) * len(found), 440),
        row_height=_HIGH + 6,
        placeholder="",
        alt="all runs that match the search",
        column_config={
            "samples": st.column_config.ImageColumn(width=190, pinned=True),
            **{name: st.column_config.Column(width=wide) for name, wide in _NARROW.items()},
            "FID": st.column_config.NumberColumn(format="%.3g", width=58),
            "seconds": st.column_config.NumberColumn(format="%.1f", width=70),
            "MiB": st.column_config.NumberColumn(format="%.1f", width=52),
        },
    )
    chosen = [found[row] for row in table["selection"]["rows"] if row < len(found)]
    state.show(picked=",".join(run.id[-6:] for run in chosen))
    return chosen


def _rows(records: Sequence[RunRecord], groups: Sequence[Group]) -> pd.DataFrame:
    """A row per run; columns that nobody fills are left out."""
    kinds: dict[str, list[str]] = {}
    for group in groups:
        for run in group.runs:
            kinds.setdefault(run.id, []).append(group.kind)
    shown = [_thumbnail(r) if i < _MOST_PICTURES else None for i, r in enumerate(records)]
    table = pd.DataFrame(
        {
            "samples": shown,
            "system": [state.system_title(record) for record in records],
            "router": [record.router for record in records],
            "FID": [number(record.metrics.get("fid"), "value") for record in records],
            "FID 95%": [written(record.metrics.get("fid"), "{1} to {2}") for record in records],
            "n": [record.config.num for record in records],
            "steps": [record.config.steps for record in records],
            "sampler": [record.config.sampler for record in records],
            "label": [record.config.label for record in records],
            "group": [", ".join(kinds.get(record.id, [])) for record in records],
            "status": [record.status for record in records],
            "tags": [", ".join(record.tags) for record in records],
            "note": [record.note for record in records],
            "made": [state.age(record.created) for record in records],
            "seconds": [record.seconds for record in records],
            "MiB": [_bytes(record.id) / 2**20 for record in records],
            "id": [record.id[-6:] for record in records],
        }
    )
    usual = {"sampler": {"euler"}, "status": {"done"}}
    empty = [
        name
        for name in ("label", "FID", "FID 95%", "group", "tags", "note")
        if not _said(table[name].tolist())
    ]
    same = [name for name, value in usual.items() if set(table[name]) == value]
    return table.drop(columns=[*empty, *same])


def _said(column: list[object]) -> bool:
    return any(text is not None and text == text and text != "" for text in column)


def _thumbnail(record: RunRecord) -> str | None:
    """The first samples in a row, as text that an <img> reads; None where there are none."""
    if record.status != "done":
        return None
    return state.kept(lambda: _drawn(record.id), "thumbnail", record.id)


def _drawn(id: str) -> str | None:
    try:
        images = state.store().samples(id).images
    except RequestError:
        return None
    if images.ndim == 2:
        # A point is one pixel of 65,536: the brightest of eight by eight stays, and is lifted.
        blocks = pictures.density(images).reshape(32, 8, 32, 8).max(axis=(1, 3))
        return data_url((255 * np.sqrt(blocks / 255)).astype(np.uint8)[:, :, None])
    some = images[:_IN_ROW]
    row = some.swapaxes(0, 1).reshape(some.shape[1], -1, some.shape[3])
    scale = max(1, _HIGH // len(row))
    stride = max(1, len(row) // (2 * _HIGH))
    return data_url(row[::stride, ::stride].repeat(scale, axis=0).repeat(scale, axis=1))
