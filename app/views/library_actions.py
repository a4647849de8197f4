"""What can be done with chosen runs: open, compare, run again, export, delete."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app import state
from app.views import again, trash
from app.views.picking import pick
from ddm_core.records import RunRecord

__all__ = ["actions"]


def actions(chosen: Sequence[RunRecord], found: Sequence[RunRecord]) -> None:
    """A row of buttons; those that the choice does not fit are grey.

    Arguments:
        found: all runs of the table.
    """
    ids = [record.id for record in chosen]
    done = [record.id for record in chosen if record.status == "done"]
    with st.container(horizontal=True, vertical_alignment="center"):
        if not chosen:
            st.caption("Choose one run to look at it, several to see in what they differ.")
        else:
            _open(done)
            again.popover(chosen)
            st.download_button(
                "Export",
                data=lambda: _archive(ids),
                file_name=f"{ids[0]}.zip" if len(ids) == 1 else f"{len(ids)}-runs.zip",
                mime="application/zip",
                icon=":material/archive:",
                on_click="ignore",
                help="one zip, which the drop zone below and `ddm import` read",
            )
            size = sum(state.store().size(id) for id in ids) / 2**20
            st.button(
                "Delete" if len(ids) == 1 else f"Delete {len(ids)}",
                icon=":material/delete:",
                on_click=trash.delete,
                args=(ids,),
                help=f"into the trash ({size:.1f} MiB), from where they come back",
            )
        if len(chosen) < len(found) > 1:
            st.button(
                f"Choose all {len(found)}",
                icon=":material/select_all:",
                type="tertiary",
                on_click=pick,
                args=([record.id for record in found],),
            )
        if chosen:
            st.button("Choose none", type="tertiary", on_click=pick, args=([],))


def _open(done: list[str]) -> None:
    if st.button("Open trace", icon=":material/timeline:", disabled=len(done) != 1):
        state.show(run=done[0], sample=None, step=None)
        st.switch_page(st.session_state["pages"]["trace"], query_params={"run": done[0]})
    if st.button("Compare", icon=":material/compare:", disabled=not 2 <= len(done) <= 4):
        named = ",".join(done)
        state.show(runs=named, comparison=None, sample=None, step=None)
        st.switch_page(st.session_state["pages"]["compare"], query_params={"runs": named})


def _archive(ids: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return state.store().export_archive(ids, Path(folder) / "runs.zip").read_bytes()
