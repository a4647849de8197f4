"""Which runs of the library are chosen: in the URL, by their hashes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state

__all__ = ["CLEAR", "pick", "picked", "turn"]

#: Whether the field of the search is to be emptied when it is drawn next.
CLEAR = "library_clear"
_TURN = "library_turn"


def picked() -> list[str]:
    """The hashes of the chosen runs."""
    return [one for one in state.view("picked").split(",") if one]


def turn() -> int:
    """A number that changes whenever somebody else than the table has chosen."""
    return int(st.session_state.get(_TURN, 0))


def pick(ids: Sequence[str], *, alone: bool = False, group: str | None = None) -> None:
    """Choose these runs in the table, from the next look on.

    Arguments:
        alone: whether to forget the search, which may hide them.
        group: to show; None leaves it.
    """
    st.session_state[_TURN] = turn() + 1
    state.show(picked=",".join(id[-6:] for id in ids))
    if group is not None:
        state.show(group=group)
    if alone:
        state.forget("q", "group")
        st.session_state[CLEAR] = True
