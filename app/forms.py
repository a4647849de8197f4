"""Widgets from a component's fields: a new router in a file of its own has its form already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import estimates, state
from app.catalogue import Catalogue, Component, Field, SystemCard
from app.parts import literal, told
from ddm_core.config import RunConfig, make_config
from ddm_core.registry import shortest

__all__ = ["Builder", "field", "new_comparison", "presets", "route_of_fields", "spec", "submit"]

_MOST_ROUTERS = 4


def field(one: Field, key: str) -> Any:
    """A widget for one setting; its value."""
    label = one.name.replace("_", " ")
    for word in one.words:
        if st.toggle(f"{label} {word}", key=f"{key}_{word}", help=one.help):
            return word
    if one.choices:
        options = list(one.choices)
        return st.selectbox(
            label, options, index=options.index(one.default), help=one.help, key=key
        )
    if one.kind == "bool":
        return st.toggle(label, bool(one.default), help=one.help, key=key)
    if one.kind == "int":
        return st.number_input(
            label,
            value=int(one.default),
            min_value=None if one.low is None else int(one.low),
            max_value=None if one.high is None else int(one.high),
            step=1,
            help=one.help,
            key=key,
        )
    if one.kind == "float":
        return st.number_input(
            label,
            value=float(one.default),
            min_value=None if one.low is None else float(one.low),
            max_value=None if one.high is None else float(one.high),
            format="%g",
            step=None,
            help=one.help,
            key=key,
        )
    return st.text_input(label, str(one.default), help=one.help, key=key)


def spec(component: Component, values: dict[str, Any]) -> str:
    """How the command line writes a component with these settings.

    Defaults are left out, save those by which a component is always called.
    """
    parts = [component.name]
    for one in component.fields:
        value = values.get(one.name, one.default)
        if one.told or value != one.default:
            parts.append(f"{one.name}={shortest(value)}")
    return ":".join(parts)


def presets(card: SystemCard) -> list[str]:
    """Routes worth comparing first, as far as the system has what they need."""
    routes = ["top_k:k=1", "top_k:k=2", "full", "uniform/full", "nearest/top_k:k=1"]
    if card.router == "learned":
        routes.append("learned:temperature=4/full")
    if card.router == "exact":
        routes.append("exact:temperature=4/full")
    return (["monolith"] if card.monolith else []) + routes


def route_of_fields(catalogue: Catalogue, key: str = "build") -> str:
    """Widgets for a strategy, a router and their settings; the route that they make.

    Arguments:
        key: begins the keys of the widgets.
    """
    strategies = {one.name: one for one in catalogue.strategies}
    strategy = strategies[
        st.selectbox(
            "Strategy",
            list(strategies),
            index=_place(strategies, "top_k"),
            key=f"{key}_strategy",
        )
    ]
    st.caption(literal(strategy.help))
    chosen = {f.name: field(f, f"{key}_{strategy.name}_{f.name}") for f in strategy.fields}
    routers = {one.name: one for one in catalogue.routers}
    name = st.selectbox(
        "Router",
        ["the system's own", *routers],
        key=f"{key}_router",
        help="how likely is each expert",
    )
    route = spec(strategy, chosen)
    if name in routers:
        router = routers[name]
        st.caption(literal(router.help))
        set_to = {f.name: field(f, f"{key}_{router.name}_{f.name}") for f in router.fields}
        route = f"{spec(router, set_to)}/{route}"
    st.code(route, language=None)
    return route


class Builder:
    """A popover that puts a route together from a router, a strategy and their settings.

    Arguments:
        target: the session's key of the list of routes that it adds to.
    """

    def __init__(self, catalogue: Catalogue, target: str) -> None:
        self.catalogue = catalogue
        self.target = target

    def show(self) -> None:
        """Draw it."""
        with st.popover("Build a route", icon=":material/alt_route:"):
            route = route_of_fields(self.catalogue)
            full = len(st.session_state.get(self.target, [])) >= _MOST_ROUTERS
            if full:
                st.caption(f"{_MOST_ROUTERS} routers at most: take one out first.")
            st.button(
                "Add to the comparison",
                icon=":material/add:",
                on_click=self._add,
                args=(route,),
                disabled=full,
            )

    def _add(self, route: str) -> None:
        there = list(st.session_state.get(self.target, []))
        if route not in there:
            st.session_state[self.target] = [*there, route]


def new_comparison(catalogue: Catalogue, like: str = "") -> None:
    """The form of a new comparison: what is asked, how much, and one button.

    Arguments:
        like: the system that it proposes first, where the view names none.
    """
    names = [card.name for card in catalogue.usable]
    left, right = st.columns([3, 2], gap="large")
    with left:
        system = st.selectbox(
            "System",
            names,
            index=_place(names, state.view("system") or like),
            key="new_system",
            accept_new_options=True,
            persist_state="session",
            help="a name, with settings such as ring:experts=8:error=0.5, or a checkpoint folder",
        )
        card = catalogue.system(system or "") or SystemCard(system or "")
        _routers(catalogue, card)
    with right:
        first, second = st.columns(2)
        num = first.number_input("Samples", 1, 100_000, 16, key="new_num", persist_state="session")
        steps = second.number_input("Steps", 1, 1000, 25, key="new_steps", persist_state="session")
        samplers = [one.name for one in catalogue.samplers]
        sampler = first.selectbox(
            "Sampler",
            samplers,
            index=_place(samplers, "euler"),
            key="new_sampler",
            persist_state="session",
        )
        seed = second.number_input(
            "First seed",
            0,
            2**53 - 1,
            0,
            key="new_seed",
            persist_state="session",
            help="a sample is its seed",
        )
        label, guidance = None, 1.0
        if card.labels:
            asked = first.selectbox(
                "Label", ["any", *card.labels], key="new_label", persist_state="session"
            )
            if asked != "any":
                label = card.labels.index(asked)
                guidance = second.number_input(
                    "Guidance", 0.0, 20.0, 2.0, 0.5, key="new_guidance", persist_state="session"
                )
    routes: list[str] = st.session_state.get("new_routers", [])
    quality = card.quality and num >= 100
    with st.container(horizontal=True, vertical_alignment="center"):
        fields = {
            "system": system,
            "num": int(num),
            "steps": int(steps),
            "sampler": sampler,
            "seed": int(seed),
            "label": label,
            "guidance": float(guidance),
        }
        if st.button(
            f"Compare {len(routes)} routers" if len(routes) != 1 else "Sample one router",
            type="primary",
            icon=":material/compare:",
            disabled=not routes or not system,
        ) and told(lambda: submit(fields, routes, quality=quality)):
            st.rerun()
        words = (
            f"{num:,} samples × {steps:,} steps × {len(routes)} routers, all from the same noise"
        )
        if card.quality:
            words += "; with FID" if quality else "; FID from 100 samples on"
        st.caption(words)
    if routes and system:
        st.caption(literal(estimates.in_words(catalogue, fields, routes)))


def _routers(catalogue: Catalogue, card: SystemCard) -> None:
    """The list of routes; what the builder added is an option too."""
    known = presets(card)
    there = st.session_state.get("new_routers")
    if there is None:
        there = [
            route for route in ("monolith", "top_k:k=1", "top_k:k=2", "full") if route in known
        ]
        st.session_state["new_routers"] = there
    st.multiselect(
        "Routers",
        [*known, *(route for route in there if route not in known)],
        key="new_routers",
        max_selections=_MOST_ROUTERS,
        accept_new_options=True,
        persist_state="session",
        help="STRATEGY or ROUTER/STRATEGY, settings behind colons, as in "
        "learned:temperature=4/full; type one, or build it below",
    )
    Builder(catalogue, "new_routers").show()


def submit(fields: dict[str, Any], routes: Sequence[str], *, quality: bool = False) -> str:
    """Put a comparison into the queue and watch it; the job's id.

    Raises:
        RequestError: a field is out of bounds, or the memory does not suffice.
    """
    metrics = ("fid",) if quality else ()
    configs: list[RunConfig] = [make_config(fields | {"router": route}) for route in routes]
    if state.catalogue_source().ready:
        estimates.require_fit(state.catalogue(), configs)
    job = state.jobs().submit(
        configs,
        metrics=metrics,
        title=f"{fields['system']}: {', '.join(routes)}",
        comparison=True,
    )
    state.show(job=job, comparison=None, runs=None, system=None)
    return job


def _place(names: Sequence[str] | dict[str, Any], name: str) -> int:
    options = list(names)
    return options.index(name) if name in options else 0
