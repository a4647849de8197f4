"""Runs: what is kept here, and how do two runs differ?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from app import parts, state
from app.views.selected import one_run, several_runs
from app.views.tables import number, written
from ddm_core.config import RunConfig
from ddm_core.records import RunRecord

__all__ = ["matches", "page", "repeated"]


def page() -> None:
    """Draw the page."""
    st.title("What is kept here?", anchor=False)
    st.markdown(
        "Every run with its settings and numbers. Select one to look at it, several to see in "
        "what they differ."
    )
    state.publish("q")
    records = state.store().runs()
    if not records:
        parts.empty(
            "The library is empty. Start with a comparison, or import runs below.",
            page="compare",
            label="New comparison",
        )
        _import()
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search",
            value=state.view("q"),
            key="search",
            icon=":material/search:",
            placeholder="mnist top_k tag:paper",
            help="every word must occur in system, router, tag, note, status or id",
        )
        state.show(q=text)
        tags = sorted({tag for record in records for tag in record.tags})
        wanted = st.multiselect("Tags", tags, key="tags") if tags else []
    found = [r for r in records if matches(r, text) and set(wanted) <= set(r.tags)]
    broken = len(state.store().unreadable)
    said = f"{len(records)} run{'s' * (len(records) > 1)}"
    if len(found) < len(records):
        said = f"{len(found)} of {said}"
    unread = f"; {broken} folder{'s' * (broken > 1)} cannot be read" if broken else ""
    st.caption(said + unread)
    if not found:
        parts.empty(
            "Nothing matches. Take a word out of the search.", icon=":material/search_off:"
        )
        return
    picked = st.dataframe(
        _rows(found),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key="library",
        height=min(38 + 35 * len(found), 430),
        placeholder="",
        alt="all runs that match the search",
        column_config={
            "FID": st.column_config.NumberColumn(format="%.1f"),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
        },
    )
    chosen = [found[row] for row in picked["selection"]["rows"] if row < len(found)]
    if chosen:
        _actions(chosen)
        if len(chosen) > 1:
            several_runs(chosen)
        else:
            one_run(chosen[0])
    _import()


def matches(record: RunRecord, text: str) -> bool:
    """Whether every word of the search occurs in the record; tag:NAME asks for a tag."""
    whole = " ".join(
        [record.system, record.router, record.status, record.note, record.id, *record.tags]
    ).lower()
    for word in text.lower().split():
        kind, colon, name = word.partition(":")
        if kind == "tag" and colon:
            if name not in [tag.lower() for tag in record.tags]:
                return False
        elif word not in whole:
            return False
    return True


def repeated(records: Sequence[RunRecord]) -> list[list[RunConfig]]:
    """What to submit so that runs are made as they were the first time, a list per job.

    Runs of one comparison are one job, in the order in which they were made, so that they are a
    comparison again. Metrics are part of the settings; what was measured later is not repeated.
    """
    jobs: dict[tuple[str, str], list[RunConfig]] = {}
    for record in sorted(records, key=lambda one: (one.created, one.id)):
        place = (record.comparison or record.id, record.config.device)
        jobs.setdefault(place, []).append(record.config)
    return list(jobs.values())


def _rows(records: Sequence[RunRecord]) -> pd.DataFrame:
    """A row per run; columns that nobody fills are left out."""
    table = pd.DataFrame(
        {
            "system": [state.system_title(record) for record in records],
            "router": [record.router for record in records],
            "samples": [record.config.num for record in records],
            "steps": [record.config.steps for record in records],
            "label": [record.config.label for record in records],
            "FID": [number(record.metrics.get("fid"), "value") for record in records],
            "FID 95%": [written(record.metrics.get("fid"), "{1} to {2}") for record in records],
            "seconds": [record.seconds for record in records],
            "status": [record.status for record in records],
            "tags": [", ".join(record.tags) for record in records],
            "note": [record.note for record in records],
            "made": [state.age(record.created) for record in records],
            "id": [record.id[-6:] for record in records],
        }
    )
    optional = [
        name
        for name in ("label", "FID", "FID 95%", "tags", "note")
        if not _said(table[name].tolist())
    ]
    return table.drop(columns=optional)


def _said(column: list[object]) -> bool:
    return any(text is not None and text == text and text != "" for text in column)


def _actions(chosen: Sequence[RunRecord]) -> None:
    ids = [record.id for record in chosen]
    done = [record.id for record in chosen if record.status == "done"]
    with st.container(horizontal=True):
        if st.button("Open trace", icon=":material/timeline:", disabled=len(done) != 1):
            state.show(run=done[0], sample=None, step=None)
            st.switch_page(st.session_state["pages"]["trace"], query_params={"run": done[0]})
        if st.button("Compare", icon=":material/compare:", disabled=not 2 <= len(done) <= 4):
            named = ",".join(done)
            state.show(runs=named, comparison=None, sample=None, step=None)
            st.switch_page(st.session_state["pages"]["compare"], query_params={"runs": named})
        st.button("Run again", icon=":material/replay:", on_click=_again, args=(list(chosen),))
        st.download_button(
            "Export",
            data=lambda: _archive(ids),
            file_name=f"{ids[0]}.zip" if len(ids) == 1 else f"{len(ids)}-runs.zip",
            mime="application/zip",
            icon=":material/archive:",
            on_click="ignore",
            help="one zip that Import below and `ddm import` read",
        )
        size = sum(state.store().size(id) for id in ids) / 2**20
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete {len(ids)} run{'s' * (len(ids) > 1)} ({size:.1f} MiB) for good?")
            st.button("Delete for good", type="primary", on_click=_delete, args=(ids,))


def _again(records: list[RunRecord]) -> None:
    for configs in repeated(records):
        parts.told(lambda configs=configs: _submit(configs))


def _submit(configs: list[RunConfig]) -> None:
    state.show(job=state.jobs().submit(configs, comparison=len(configs) > 1))


def _delete(ids: list[str]) -> None:
    if parts.told(lambda: state.store().delete(ids)):
        st.toast(f"{len(ids)} runs deleted", icon=":material/delete:")


def _archive(ids: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return state.store().export_archive(ids, Path(folder) / "runs.zip").read_bytes()


def _import() -> None:
    with st.expander("Import runs", icon=":material/upload:"):
        given = st.file_uploader("An archive that Export has made", type="zip", key="import")
        if given is None or st.session_state.get("imported") == given.file_id:
            return
        st.session_state["imported"] = given.file_id
        with tempfile.TemporaryDirectory() as folder:
            # The name is not theirs: what they call it never becomes a path.
            file = Path(folder) / "import.zip"
            file.write_bytes(given.getvalue())
            if parts.told(lambda: state.store().import_archive(file)):
                st.toast("imported", icon=":material/check:")
                st.rerun()
