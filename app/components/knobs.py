"""Two controls, router temperature and experts mixed, that tell every stop they pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.components.v2 import component

__all__ = ["Setting", "knobs", "setting"]

_HERE = Path(__file__).parent
_KNOBS = component(
    "ddm_knobs",
    html=(_HERE / "knobs.html").read_text(),
    css=(_HERE / "knobs.css").read_text(),
    js=(_HERE / "knobs.js").read_text(),
)


class Setting(NamedTuple):
    """Where the controls stand."""

    temperature: float
    k: int


def knobs(
    temperatures: Sequence[float],
    experts: int,
    at: Setting,
    *,
    id: str,
    key: str,
    on_move: Callable[[], None],
) -> None:
    """Show them.

    Arguments:
        temperatures: the stops; 1 is among them, and marked.
        experts: the last stop of the other control.
        at: where they stand at first.
        id: another one resets them to `at`; until then the reader's hand counts.
        on_move: called at every stop; `setting(key)` is where they stand then.
    """
    data = {
        "id": id,
        "temperatures": list(temperatures),
        "experts": experts,
        "temperature": at.temperature,
        "k": at.k,
    }
    _KNOBS(data=data, key=key, on_asked_change=on_move)


def setting(key: str) -> Setting | None:
    """Where the reader has put the controls of this key; None before the first move.

    What comes from a browser may be anything.
    """
    asked = st.session_state.get(key, {}).get("asked")
    if not isinstance(asked, dict):
        return None
    temperature, k = asked.get("temperature"), asked.get("k")
    if not isinstance(temperature, int | float) or not isinstance(k, int):
        return None
    return Setting(float(temperature), k)
