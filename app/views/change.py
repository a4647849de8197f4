"""The change that a branch makes: an expert, a route, a temperature, a sampler; one button."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import forms, parts, state
from app.components.asker import asker, asker_data
from ddm_core.branching import branch_config, change_in_words
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.records import RunRecord
from ddm_core.settings import split_route, split_spec

__all__ = ["change", "with_temperature"]

_KINDS = (
    "one expert alone",
    "another route",
    "another temperature",
    "another sampler",
    "another label",
)
_TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@st.fragment
def change(record: RunRecord, seed: int) -> None:
    """The experts at the step of the cursor, and what is to be different from there on.

    Arguments:
        record: the run that is left.
        seed: of the sample in view.
    """
    trace = state.trace(record.id)
    card = state.catalogue().system(record.system)
    experts = card.experts if card is not None else trace.sizes.get("expert", 0)
    impossible = {_KINDS[2]} if record.router == "monolith" else set[str]()
    if card is None or len(card.labels) < 2:
        impossible.add(_KINDS[4])
    kinds = [kind for kind in _KINDS if kind not in impossible]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = st.segmented_control(
            "From the step on",
            kinds,
            default=kinds[0],
            key="what_kind",
            required=True,
            wrap=True,
        )
        alone = True
        if record.config.num > 1:
            whose = st.segmented_control(
                "Whose path",
                ["this sample", f"all {record.config.num:,}"],
                default="this sample",
                key="what_whose",
                required=True,
            )
            alone = whose == "this sample"
    data = state.kept(lambda: asker_data(trace, seed, experts), "asker", record.id, seed)
    expert = st.session_state.get("what_expert")
    asker(
        data,
        step=state.view_number("step"),
        expert=expert,
        pick=kind == _KINDS[0],
        key="asker",
        on_step=_stepped,
        on_expert=_asked,
    )
    asked = _asked_for(kind, record, experts)
    step = _step(data["frames"], record.config.steps)
    seeds = [seed] if alone else None
    try:
        config = branch_config(record.config, step=step, seeds=seeds, **asked)
    except RequestError as error:
        st.caption(parts.literal(error))
        return
    words = change_in_words(config)
    same = words == "nothing changed"
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Branch from step {step}: {parts.literal(words)}",
            type="primary",
            icon=":material/fork_right:",
            key="branch",
            disabled=same,
        ) and parts.told(lambda: _branch(record, config)):
            # The whole page: progress stands above it.
            st.rerun()
        if same:
            told = "Choose an expert above." if kind == _KINDS[0] else "That is what it did."
            st.caption(told)


def _asked_for(kind: str | None, record: RunRecord, experts: int) -> dict[str, Any]:
    """What is to be different, as `branch_config` takes it; {} while nothing is chosen."""
    catalogue = state.catalogue()
    card = catalogue.system(record.system)
    if kind == _KINDS[0]:
        expert = st.session_state.get("what_expert")
        known = isinstance(expert, int) and 0 <= expert < experts
        return {"router": f"fixed:expert={expert}/full"} if known else {}
    if kind == _KINDS[1]:
        known = forms.presets(card) if card is not None else ["full"]
        left, right = st.columns([2, 1], vertical_alignment="bottom")
        with left:
            route = st.selectbox(
                "Route",
                [*known, "built beside"],
                key="what_route",
                accept_new_options=True,
                help="STRATEGY or ROUTER/STRATEGY, settings behind colons",
            )
        with right, st.popover("Build a route", icon=":material/alt_route:"):
            built = forms.route_of_fields(catalogue, "what")
        return {"router": built if route == "built beside" else route or record.router}
    if kind == _KINDS[2]:
        value = st.select_slider(
            "Router temperature",
            _TEMPERATURES,
            value=4.0,
            key="what_temperature",
            help="1 is as it was trained, more is softer",
        )
        own = card.router if card is not None else "learned"
        return {"router": with_temperature(record.router, own, float(value))}
    if kind == _KINDS[4] and card is not None:
        return _label(record, card.labels)
    samplers = [one.name for one in catalogue.samplers]
    sampler = st.segmented_control(
        "Sampler",
        samplers,
        default=next((one for one in samplers if one != record.config.sampler), samplers[0]),
        key="what_sampler",
        required=True,
    )
    return {"sampler": sampler}


def _label(record: RunRecord, labels: Sequence[str]) -> dict[str, Any]:
    """Another label, and how strongly the experts are held to it."""
    left, right = st.columns(2)
    others = [one for k, one in enumerate(labels) if k != record.config.label]
    asked = left.selectbox("Label", others, key="what_label", help="the class to ask for")
    own = record.config.guidance
    guidance = right.number_input(
        "Guidance",
        0.0,
        20.0,
        own if 1.0 < own <= 20.0 else 2.0,
        0.5,
        key="what_guidance",
        help="1 is the label as it is, more exaggerates it",
    )
    return {"label": list(labels).index(asked), "guidance": float(guidance)}


def with_temperature(route: str, own: str, temperature: float) -> str:
    """The route with its router at another temperature.

    Arguments:
        own: the system's own router, which a route without one has.
    """
    router, strategy = split_route(route)
    name, settings = split_spec(router or own)
    settings = {**settings, "temperature": f"{temperature:g}"}
    return ":".join((name, *(f"{key}={text}" for key, text in settings.items()))) + f"/{strategy}"


def _step(frames: list[int], steps: int) -> int:
    """The step of the cursor; the middle while nobody has moved it."""
    step = state.view_number("step")
    return frames[round((len(frames) - 1) / 2)] if step is None else min(step, steps - 1)


def _stepped() -> None:
    state.show(step=int(st.session_state["asker"]["step"]))


def _asked() -> None:
    expert = st.session_state["asker"]["expert"]
    st.session_state["what_expert"] = None if expert is None else int(expert)


def _branch(record: RunRecord, config: RunConfig) -> None:
    state.show(job=state.jobs().submit_branch(record.id, config))
