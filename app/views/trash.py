"""Deleting runs so that it can be undone, and what lies in the trash."""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.views.picking import pick
from ddm_core.trash import DAYS, Batch

__all__ = ["contents", "delete", "undo_bar"]

_DELETED = "library_deleted"


def delete(ids: list[str]) -> None:
    """Move runs to the trash, and offer to undo it."""

    def move() -> None:
        st.session_state[_DELETED] = (state.store().delete(ids), len(ids))

    parts.told(move)


def undo_bar() -> None:
    """What was deleted last in this window, with the way back."""
    if _DELETED not in st.session_state:
        return
    batch, count = st.session_state[_DELETED]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="undo_bar"):
        st.markdown(
            f":material/delete: {count} run{'s' * (count > 1)} deleted; "
            f"in the trash for {DAYS} days.",
            width="stretch",
        )
        st.button("Undo", icon=":material/undo:", on_click=_undo, args=(batch,), type="primary")
        st.button("Dismiss", on_click=_forget, type="tertiary")


def _forget() -> None:
    st.session_state.pop(_DELETED, None)


def _undo(batch: str, alone: bool = False) -> None:
    if parts.told(lambda: pick(state.store().trash.restore(batch), alone=alone)):
        _forget()


def contents() -> None:
    """The deleted runs, each batch with a way back, and a button that frees what they take."""
    batches = state.store().trash.batches()
    if not batches:
        return
    count = sum(len(batch.runs) for batch in batches)
    size = sum(batch.bytes for batch in batches) / 2**20
    title = f"Trash: {count} run{'s' * (count > 1)}, {size:,.1f} MiB"
    with st.expander(title, icon=":material/delete:"):
        for batch in batches:
            _batch(batch)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                f"Empty the trash: frees {size:,.1f} MiB",
                icon=":material/delete_forever:",
                on_click=_empty,
                key="empty_trash",
            )
            st.caption(f"What lies here for {DAYS} days goes by itself at the next delete.")


def _batch(batch: Batch) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"batch_{batch.id}"):
        names = ", ".join(batch.runs[:4]) + (", …" if len(batch.runs) > 4 else "")
        st.markdown(
            f"{parts.literal(names)}  :gray[{state.age(batch.deleted.isoformat())}, "
            f"{batch.bytes / 2**20:,.1f} MiB]",
            width="stretch",
        )
        st.button(
            "Restore",
            icon=":material/undo:",
            key=f"restore_{batch.id}",
            on_click=_undo,
            args=(batch.id, True),
        )


def _empty() -> None:
    def empty() -> None:
        freed = state.store().trash.empty()
        st.toast(f"{freed / 2**20:,.1f} MiB freed", icon=":material/delete_forever:")

    if parts.told(empty):
        _forget()
