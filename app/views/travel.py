"""The map with the samples that travel over it, and the images of what is selected."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
import streamlit as st
import xarray as xr

from app import parts, selection, state
from app.components.player import PlayerData, player, player_data
from app.components.traveller import traveller, traveller_data
from app.figures import map as figure
from app.figures.map import MapInfo, Way
from app.figures.subjects import Subject
from app.map_words import conclusion, definition
from app.pictures import png
from ddm_core.analysis.data_map import DataMap
from ddm_core.errors import RequestError
from ddm_core.records import RunRecord

__all__ = ["Followed", "travel"]

_CHART = "map_chart"
_FIRST, _MOST = 6, 12  # samples that are followed
_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["autoScale2d"]}


class Followed(NamedTuple):
    """The run whose samples travel."""

    record: RunRecord
    trace: xr.Dataset


@st.fragment
def travel(key: str, data_map: DataMap, embedding: str, run: Followed | None) -> None:
    """The map on the left; on the right the samples at the cursor, and the images selected.

    Arguments:
        key: of which state of which map.
        run: None draws the data alone.
    """
    if st.session_state.pop("map_lassoed", False):
        st.rerun()  # The line above this part counts what was chosen.
    left, right = st.columns([3, 2], gap="large")
    with right:
        ways = [] if run is None else _ways(key, data_map, embedding, run)
    seeds = [way.seed for way in ways]
    identity = (key, embedding, run.record.id if run and ways else "", *seeds)
    t = np.zeros(0) if run is None else np.asarray(run.trace["t"].values)
    info = state.kept(lambda: figure.map_info(data_map, embedding, ways, t), "map_info", *identity)
    with left:
        chosen = _chart(info, key, identity, lambda: _lassoed(data_map, embedding, run))
        st.caption(definition(data_map, embedding, info))
        st.caption(conclusion(data_map, embedding, info))
        if ways:
            parts.csv_button("map_ways", lambda: figure.table(info), label="CSV of the lines")
    with right:
        if run is not None and ways:
            _samples(run, info)
        _selected(data_map, info, chosen)


def _ways(key: str, data_map: DataMap, embedding: str, run: Followed) -> list[Way]:
    """The picker of samples, and the way of each."""
    id, trace = run.record.id, run.trace
    there = figure.seeds_of(trace)
    if not there:
        st.caption("This run kept no pictures of its steps (probe `x0_hat`): the data alone.")
        return []
    focus = state.view_number("sample")
    first = there[:_FIRST]
    if focus in there and focus not in first:
        first = [focus, *first[:-1]]
    seeds = st.multiselect(
        "Samples to follow",
        there,
        default=first,
        key=f"map_samples_{id}",
        max_selections=_MOST,
        persist_state="session",
        help="a sample is its seed",
    )

    if "state" in trace and focus in there and focus not in seeds:
        # All points are under the cursor: a click on one of them follows it too.
        seeds = [*seeds, focus]

    def way(seed: int) -> Way:
        return figure.way_of(data_map, embedding, trace, seed)

    try:
        return [
            state.kept(lambda seed=seed: way(seed), "way", key, embedding, id, seed)
            for seed in seeds
        ]
    except RequestError as error:
        st.warning(parts.literal(error), icon=":material/warning:")
        return []


def _chart(
    info: MapInfo, key: str, identity: tuple[Hashable, ...], on_select: Callable[[], None]
) -> list[int]:
    """The figure; which real points are selected, also after the figure has changed."""
    look = state.look()
    drawn = state.kept(lambda: figure.figure(info, look), "map", *identity, look)
    with st.container(key=_CHART):
        event = st.plotly_chart(
            drawn,
            theme=None,
            config=_CONFIG,
            key="map",
            on_select=on_select,
            selection_mode=("points", "box", "lasso"),
            alt=f"{len(info.places):,} points of real data in the colours of "
            f"{len(set(info.clusters.tolist()))} clusters, and the ways of {len(info.ways)} "
            "samples through them",
        )
    fresh = figure.real_rows(info, event["selection"]["points"])
    this = (*identity, look)
    held = st.session_state.get("map_selected")
    # Streamlit forgets what was selected when the figure changes; the images stay.
    if fresh or (held is not None and held[1] == this):
        held = (key, this, fresh)
        st.session_state["map_selected"] = held
    return held[2] if held is not None and held[0] == key else []


def _lassoed(data_map: DataMap, embedding: str, run: Followed | None) -> None:
    """Choose the samples that end inside what was drawn; nobody there changes nothing."""
    outlines = figure.outlines_of(st.session_state["map"]["selection"])
    if run is None or not outlines:
        return
    try:
        samples = state.store().samples(run.record.id)
        ends = state.kept(
            lambda: figure.ends_of(data_map, embedding, samples.images),
            *("ends", data_map.about.digest, embedding, run.record.id),
        )
    except RequestError:
        return  # Samples of another shape, such as decoded latents, have no place here.
    seeds = samples.seeds[figure.within(ends, outlines)].tolist()
    if seeds:
        selection.choose(seeds, f"lasso on the map, {run.record.router}")
        st.session_state["map_lassoed"] = True


def _samples(run: Followed, info: MapInfo) -> None:
    """The samples that are followed, under the cursor, and their dots on the map."""
    ways, seeds = info.ways, [way.seed for way in info.ways]
    trace, focus, look = run.trace, state.view_number("sample"), state.look()

    def frames() -> PlayerData | None:
        if "state" in trace:
            known = range(int(info.clusters.max()) + 1)
            centres = np.stack([info.places[info.clusters == k].mean(axis=0) for k in known])
            spread = float((info.places - centres[info.clusters]).std())
            subject = Subject(run.record.router, trace)
            return player_data([subject], [""], centres=centres, spread=spread)
        some = trace.sel(shown=seeds, sample=seeds)
        return player_data([Subject(run.record.router, some)], [""])

    data = state.kept(frames, "map_player", run.record.id, *seeds)
    if data is not None:
        player(
            data,
            look,
            step=state.view_number("step"),
            focus=focus,
            key="player",
            on_focus=_focused,
            name=run.record.id[-6:],
        )
    traveller(traveller_data(ways, focus), look, chart=_CHART, key="traveller")
    if any(way.by_expert is not None for way in ways):
        st.caption(
            f"Dashed from sample {focus}: what each expert alone predicts there."
            if focus in seeds
            else "Click on a sample: the map shows where each expert would take it."
        )


def _focused() -> None:
    state.show(sample=st.session_state["player"]["focus"])


def _selected(data_map: DataMap, info: MapInfo, rows: list[int]) -> None:
    """The images of the points that the reader has selected."""
    if not rows:
        what = "count them" if data_map.thumbnails is None else "see their images here"
        st.caption(f"Draw a lasso or a box around dots of the map to {what}.")
        return
    counts = np.bincount(info.clusters[rows])
    order = [k for k in np.argsort(-counts, kind="stable")[:3] if counts[k]]
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{len(rows):,} selected:** "
            + ", ".join(f"{counts[k]:,} of cluster {k}" for k in order),
            width="stretch",
        )
        parts.csv_button("map_selection", lambda: figure.points_table(info, rows))
        st.button("Clear", key="map_clear", type="tertiary", on_click=_clear)
    if data_map.thumbnails is not None:
        st.image(
            png(figure.contact_sheet(data_map, rows)),
            alt=f"{min(len(rows), 60)} of {len(rows)} selected real images, each over a bar in "
            "its cluster's colour",
        )


def _clear() -> None:
    st.session_state.pop("map_selected", None)
