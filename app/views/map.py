"""Map: where in the data does a sample travel?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import maps, parts, state
from app.maps import FoundMap, MapSystem
from app.views.choosing import selection_line
from app.views.travel import Followed, travel
from ddm_core.analysis.data_map import STAGES
from ddm_core.analysis.map_file import kept_path
from ddm_core.errors import RequestError
from ddm_core.records import RunRecord

__all__ = ["page"]

_TITLES = {"umap": "UMAP", "pca": "PCA", "plane": "The plane"}


def page() -> None:
    """Draw the page."""
    st.title("Where in the data does a sample travel?", anchor=False)
    state.publish("run", "sample", "embedding", "job")
    there = maps.systems_of(state.catalogue(), state.store().runs())
    if not there:
        parts.empty("No system is at hand. Train one (`ddm train digits`); its data appear here.")
        return
    first, second, third = st.columns([2, 4, 2], vertical_alignment="bottom")
    with first:
        system = _system(there)
    found = maps.find_map(system, state.store().root)
    with second:
        record = _run(system)
    if found.fault:
        st.warning(parts.literal(found.fault), icon=":material/warning:")
    if not found.whole:
        _offer(system, found)
    if found.data_map is None:
        parts.empty(f"The data of {parts.literal(system.name)} have not been drawn yet.")
        return
    with third:
        # The newest embedding is the best one; a plane needs none.
        names = list(reversed(found.data_map.embeddings))
        name = names[0]
        if len(names) > 1:
            name = parts.choice(
                "Embedding", "embedding", names, segmented=True, says=lambda one: _TITLES[one]
            )
    followed = None if record is None else Followed(record, state.trace(record.id))
    if followed is not None:
        selection_line(state.subjects([followed.record]), [followed.record.id])
    travel(found.key, found.data_map, name, followed)


def _system(there: Sequence[MapSystem]) -> MapSystem:
    """The picker; where the URL names no system, the run in view decides, else a run that is."""
    names = [one.name for one in there]
    of_run = [one.name for one in there if state.view("run") in [run.id for run in one.runs]]
    with_runs = [one.name for one in there if one.runs]
    asked = [st.query_params.get("system", ""), *of_run, state.view("system"), *with_runs]
    first = next((name for name in asked if name in names), names[0])
    state.show(system=first)
    name = parts.choice(
        "System", "system", names, says=lambda one: one.rstrip("/").rpartition("/")[2]
    )
    return there[names.index(name)]


def _run(system: MapSystem) -> RunRecord | None:
    """The picker of runs; None where the system has none."""
    if not system.runs:
        st.caption("No run of this system yet: the data alone.")
        return None
    ids = {record.id: record for record in system.runs}
    left = f"{system.others} of another version of this system are left out"
    id = parts.choice(
        "Run",
        "run",
        list(ids),
        default=_telling(system.runs).id,
        says=lambda one: _says(ids[one]),
        help=left if system.others else None,
    )
    if id != state.view("run"):
        state.show(run=id)
    return ids[id]


def _telling(runs: Sequence[RunRecord]) -> RunRecord:
    """One that starts between all clusters and has to choose."""
    return next((one for one in runs if one.router == "full"), runs[0])


def _says(record: RunRecord) -> str:
    count, steps = record.config.num, record.config.steps
    words = (record.router, parts.counted(count, "sample"), parts.counted(steps, "step"))
    return " · ".join((*words, state.age(record.created), record.id[-6:]))


def _offer(system: MapSystem, found: FoundMap) -> None:
    """The button that has the map computed; while that goes on, look for what is there already."""
    title = f"map of {system.name.rstrip('/').rpartition('/')[2]}"
    if any((job.kind, job.title) == ("map", title) for job in state.active_jobs()):
        _watch(system, found.key)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Compute the map",
            key="compute_map",
            icon=":material/map:",
            type="primary",
            on_click=_compute,
            args=(system.name, title),
        )
        is_image = system.card is None or system.card.is_image
        st.caption(
            "All training images that can be found, and UMAP of them; about a minute, once."
            if is_image
            else "Points drawn from the clusters; a few seconds, once."
        )


def _compute(name: str, title: str) -> None:
    job = state.jobs().enqueue("map", {"system": name}, title=title, total=STAGES)
    state.show(job=job)


@st.fragment(run_every=1.0)
def _watch(system: MapSystem, key: str) -> None:
    """One rerun of the page as soon as the job has laid down something new."""
    try:
        path = kept_path(state.store().root, system.digest)
    except RequestError:
        return
    if maps.stamp(path) not in ("", key):
        st.rerun()
