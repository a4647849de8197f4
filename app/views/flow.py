"""Flow: what flow does the router make, and what happens to a sample that is pushed aside?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import flows, parts, selection, state
from app.components.field import field, field_data
from app.figures import flow as figures
from app.figures.flow import GROUNDS, FlowInfo
from app.flows import FoundFlow
from app.views.groups import at_most, picked_group
from ddm_core.config import make_config
from ddm_core.records import RunRecord

__all__ = ["page"]

_MOST = 3
_KEY = "field"
#: One expert at a time, everybody as they should be asked, everybody by a router that is too soft.
_ROUTES = ("top_k:k=1", "full", "exact:temperature=4/full")
_SAMPLES = 1000


def page() -> None:
    """Draw the page."""
    st.title("What flow does the router make?", anchor=False)
    state.publish("flow", "shown", "ground", "panels", "sample", "chosen", "job")
    runs = picked_group(
        flows.in_the_plane(state.store().runs(), state.catalogue()), "flow", hide_label=True
    )
    if not runs:
        _none_yet()
        return
    runs = at_most(runs, _MOST)
    found = flows.find_flows(runs)
    for one in found:
        if one.fault:
            st.warning(parts.literal(one.fault), icon=":material/warning:")
    missing = [one.record for one in found if one.flow is None]
    if missing:
        _offer(missing)
    shown = [one for one in found if one.flow is not None]
    if shown:
        _flow(shown)
    elif not parts.awaited():
        parts.empty(
            "The flow of these routes has not been computed yet; it takes a few seconds, once.",
            icon=":material/air:",
        )


def _none_yet() -> None:
    if parts.awaited():
        st.caption("What is being sampled appears here as soon as it is done.")
        return
    parts.empty(
        "A flow can be drawn where samples are points. Sample the ring with three routes: one "
        "expert at a time, all experts as their router weighs them, and all by a router that is "
        "four times too soft.",
        icon=":material/air:",
    )
    st.button(
        "Sample the ring", key="sample_ring", type="primary", icon=":material/play_arrow:",
        on_click=_sample,
    )  # fmt: skip


def _sample() -> None:
    configs = [
        make_config(
            {
                "system": "ring",
                "router": route,
                "num": _SAMPLES,
                "probes": ["standard"],
                "metrics": ["energy_distance"],
            }
        )
        for route in _ROUTES
    ]
    title = "ring: three flows"
    state.show(job=state.jobs().submit(configs, title=title, comparison=True), flow=None)


def _offer(missing: Sequence[RunRecord]) -> None:
    """The button that has flows computed; while that goes on, look for what is there already."""
    routes = ", ".join(one.router for one in missing)
    title = f"flow of {routes}"
    if any((job.kind, job.title) == ("field", title) for job in state.active_jobs()):
        _watch([one.id for one in missing])
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Draw the flow",
            key="draw_flow",
            icon=":material/air:",
            type="primary",
            on_click=_compute,
            args=([one.id for one in missing], title),
        )
        st.caption(f"Of {parts.literal(routes)}: a few seconds, once.")


def _compute(ids: list[str], title: str) -> None:
    job = state.jobs().enqueue("field", {"runs": ids}, title=title, total=len(ids))
    state.show(job=job)


@st.fragment(run_every=1.0)
def _watch(ids: list[str]) -> None:
    """One rerun of the page as soon as the job has laid down something new."""
    found = flows.find_flows(state.runs_at(ids))
    if any(one.flow is not None for one in found):
        st.rerun()


def _flow(found: Sequence[FoundFlow]) -> None:
    records = [one.record for one in found]
    key = tuple(one.key for one in found)
    info = state.kept(
        lambda: figures.flow_info(
            records,
            [state.label_of(one, records) for one in records],
            [one.flow for one in found if one.flow is not None],
            [state.trace(one.id) for one in records],
        ),
        *("flow_info", *key),
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        what = parts.choice(
            "A picture for",
            "panels",
            ["routes", "experts"],
            segmented=True,
            says=lambda one: "each route" if one == "routes" else "each expert",
        )
        ground = "disagreement"
        if what == "routes":
            ground = parts.choice(
                "Colour of the ground",
                "ground",
                list(GROUNDS),
                segmented=True,
                says=lambda one: parts.capital(GROUNDS[one]),
            )
    data = state.kept(
        lambda: field_data(info, experts=what == "experts"), "field_data", what, *key
    )
    seeds: list[int] = data["seeds"]
    now = selection.bar(seeds, runs=[one.id for one in records])
    field(
        data,
        state.look(),
        ground=ground,
        step=state.view_number("step"),
        focus=now.focus,
        chosen=now.among(seeds),
        key=_KEY,
        on_focus=lambda: selection.focus_on(st.session_state[_KEY]["focus"]),
    )
    _words(info, what)
    _as_figure(info, ground, key)


def _words(info: FlowInfo, what: str) -> None:
    if what == "experts":
        st.caption(
            "Every expert alone would carry each sample to its own cluster; its colour is as deep "
            f"as the weight that {parts.literal(info.panels[0].label)} gives it there. Play, or "
            "use the arrow keys; click on a sample to follow it and its twin."
        )
        return
    said = figures.finding(info)
    if said:
        st.markdown(f"**{parts.literal(said)}**")
    st.caption(
        "Comets show where the route would carry a sample from there. Play, or use the arrow "
        "keys; click on a sample to follow it and its twin. Far out all experts agree that the "
        "way is inwards; between the clusters they part, and there the route decides. The "
        "Lipschitz constant is the largest singular value of dv/dx along the path, means over "
        "samples with 95% intervals, compared sample by sample. It does not see the jumps of "
        "Top-k from one expert to the next: twins do."
    )


def _as_figure(info: FlowInfo, ground: str, key: tuple[str, ...]) -> None:
    """The same at one step as a figure, for a paper, and its numbers."""
    more = st.expander("One step as a figure and a table", key="flow_more", on_change="rerun")
    if not more.open:
        return
    with more:
        steps = info.panels[0].flow["step"].values.tolist()
        wanted = state.view_number("step")
        near = min(range(len(steps)), key=lambda i: abs(steps[i] - (wanted or 0)))
        first = near if wanted is not None else round(0.4 * (len(steps) - 1))
        frame = st.select_slider(
            "Step",
            range(len(steps)),
            value=first,
            format_func=lambda i: str(steps[i]),
            key="flow_step",
        )
        parts.exhibit(
            "flow",
            f"The flow at step {steps[frame]}",
            parts.capital(GROUNDS[ground]) + " as colour; samples with their ways so far, and "
            "their twins' dotted.",
            lambda: figures.figure(info, state.look(), name=ground, frame=frame),
            lambda: figures.table(info, frame),
            key=(*key, ground, frame),
        )
