"""Paradox map: where is the most stable route the worst one?"""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.exhibits.clickable import Names, clickable, sample_picture
from app.figures import gallery, paradox, paradox_map
from app.figures.claims import shown, written
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]


def page() -> None:
    """Draw the page."""
    st.title("Where does the paradox hold?", anchor=False)
    state.publish("cell")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    info = paradox.map_info(one.audit)
    if info is None:
        parts.empty(
            "This audit has no map: its budget was too small, or the system's router has no "
            "temperature. Give an audit more time.",
            icon=":material/grid_off:",
        )
        return
    st.markdown(
        "Two knobs decide: how many experts are mixed, and how soft the router is. "
        + parts.literal(one.audit.map.sentence if one.audit.map is not None else "")
    )
    _map(one, info)
    _gallery(one, info)


def _map(one: Picked, info: paradox.MapInfo) -> None:
    cells = paradox.cells(info)
    own = info.router_temperature
    says = "Lighter" if state.look().dark else "Darker"
    says += " is larger. Lines: equal values. Frame: the most stable cell is the worst one, beyond"
    says += f" the intervals. Above the cells: {paradox_map.ORDERS}"
    if own[0] == own[0]:
        says += f" The system's own router: T = {written(*own)}, fitted on held-out data."
    clickable(
        "paradox_map",
        "Quality and stability over experts mixed and router temperature",
        says,
        lambda: paradox_map.figure(info, state.look()),
        lambda: paradox.table(info),
        Names("cell", "Cell", list(cells), paradox.telling(info)),
        lambda name: _cell(info, name, cells[name]),
        key=one.key,
        alt=one.audit.map.sentence if one.audit.map is not None else "",
    )


def _cell(info: paradox.MapInfo, name: str, place: tuple[int, int, int]) -> None:
    """Samples and numbers of one cell."""
    e, k, t = place
    sample_picture(paradox.picture(info, place), f"samples of {name}")
    rows = [
        {
            "": parts.literal(layer.title),
            "value": written(
                *(float(part[e, k, t]) for part in (layer.values, layer.low, layer.high))
            ),
        }
        for layer in info.layers
    ]
    st.table(rows, border="horizontal", hide_index=True, hide_header=True, alt="its numbers")
    column = info.columns[e][t]
    mixed = info.ks[k]
    words = [
        word
        for word, found in (
            ("best", column.best),
            ("worst", column.worst),
            ("best converged", column.best_converged),
            ("smoothest", column.smoothest),
        )
        if found == mixed
    ]
    if words:
        st.caption(f"At T = {shown(info.temperatures[t])} it is the {' and the '.join(words)}.")
    st.caption(parts.literal(info.routers[e][k][t]))


def _gallery(one: Picked, info: paradox.MapInfo) -> None:
    if not any(picture for block in info.pictures for row in block for picture in row):
        return
    st.subheader("What it looks like", anchor=False)
    parts.exhibit(
        "paradox_gallery",
        "Samples of every cell",
        "The same 16 seeds in every cell; frames as on the map. A few samples show what kind of "
        "fault there is, not how often.",
        lambda: gallery.figure(info, state.look()),
        lambda: paradox.table(info),
        key=one.key,
    )
