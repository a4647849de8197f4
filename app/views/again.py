"""Run again: as it was, or with changes that the form starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import forms, parts, state
from app.catalogue import SystemCard
from ddm_core.config import RunConfig, make_config
from ddm_core.records import RunRecord
from ddm_core.shipped import ELSEWHERE

__all__ = ["changed", "popover", "repeated"]

#: What a branch shares with its parent.
_SHARED = frozenset({"system", "num", "steps", "seed"})


def popover(chosen: Sequence[RunRecord]) -> None:
    """A button that opens the choice between the same again and something like it."""
    with st.popover("Run again", icon=":material/replay:"):
        foreign = [run for run in chosen if run.system.startswith(f"{ELSEWHERE}:")]
        st.button(
            "As it was" if len(chosen) == 1 else f"All {len(chosen)} as they were",
            icon=":material/replay:",
            on_click=_again,
            args=(list(chosen),),
            disabled=bool(foreign),
        )
        if foreign:
            name = parts.literal(foreign[0].system.partition(":")[2])
            st.caption(f"Its system, {name}, was another machine's: choose one that is here.")
        if len(chosen) == 1:
            _changes(chosen[0])


def repeated(records: Sequence[RunRecord]) -> list[list[RunConfig]]:
    """What to submit so that runs are made as they were the first time, a list per job.

    Runs of one comparison are one job, in the order in which they were made, so that they are a
    comparison again. Metrics are part of the settings; what was measured later is not repeated.
    """
    jobs: dict[tuple[str, str], list[RunConfig]] = {}
    for record in sorted(records, key=lambda one: (one.created, one.id)):
        place = (record.comparison or record.id, record.config.device)
        jobs.setdefault(place, []).append(record.config)
    return list(jobs.values())


def changed(config: RunConfig, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something else than the config does."""
    return {name: value for name, value in fields.items() if getattr(config, name) != value}


def _changes(record: RunRecord) -> None:
    """The form, filled in with what the run was asked for."""
    config = record.config
    st.markdown("**With changes**")
    fields = changed(config, _form(record))
    if not fields:
        st.caption("Change something: it becomes a run of its own.")
    else:
        words = (f"{name}: {getattr(config, name)} → {value}" for name, value in fields.items())
        st.caption(parts.literal(", ".join(words)))
    st.button(
        "Run with changes",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not fields,
        key=f"changes_{record.id}",
        on_click=_submit_changed,
        args=(config, fields),
    )


def _form(record: RunRecord) -> dict[str, Any]:
    config, catalogue = record.config, state.catalogue()
    fixed = _SHARED if config.branch is not None else frozenset[str]()

    def key(name: str) -> str:
        return f"again_{name}_{record.id}"

    names = [card.name for card in catalogue.usable]
    systems = names if config.system in names else [config.system, *names]
    out: dict[str, Any] = {}
    out["system"] = st.selectbox(
        "System",
        systems,
        index=systems.index(config.system),
        key=key("system"),
        disabled="system" in fixed,
    )
    card = catalogue.system(out["system"]) or SystemCard(out["system"])
    routes = list(dict.fromkeys([config.router, *forms.presets(card)]))
    out["router"] = st.selectbox(
        "Router",
        routes,
        key=key("router"),
        accept_new_options=True,
        help="STRATEGY or ROUTER/STRATEGY, as in learned:temperature=4/top_k:k=2",
    )
    left, right = st.columns(2)
    bounds = {"num": (left, "Samples", 10**6), "steps": (right, "Steps", 10_000)}
    for name, (place, label, most) in bounds.items():
        value = getattr(config, name)
        out[name] = int(
            place.number_input(label, 1, most, value, key=key(name), disabled=name in fixed)
        )
    seed = left.number_input(
        "First seed", 0, 2**53 - 1, min(config.seed, 2**53 - 1), key=key("seed"),
        disabled="seed" in fixed,
    )  # fmt: skip
    out["seed"] = config.seed if config.seed >= 2**53 else int(seed)
    samplers = list(dict.fromkeys([config.sampler, *(one.name for one in catalogue.samplers)]))
    out["sampler"] = right.selectbox("Sampler", samplers, key=key("sampler"))
    out["guidance"] = float(
        left.number_input("Guidance", 0.0, 100.0, config.guidance, 0.5, key=key("guidance"))
    )
    labels = ["any", *map(str, range(len(card.labels)))]
    said = "any" if config.label is None else str(config.label)
    if len(labels) > 1 and said in labels:
        chosen = right.selectbox("Label", labels, index=labels.index(said), key=key("label"))
        out["label"] = None if chosen == "any" else int(chosen)
    return out


def _submit_changed(config: RunConfig, fields: dict[str, Any]) -> None:
    # Files of the user's own are run again, since the record is the user's own.
    parts.told(lambda: _submit([make_config({**dict(config), **fields})]))


def _again(records: list[RunRecord]) -> None:
    for configs in repeated(records):
        parts.told(lambda configs=configs: _submit(configs))


def _submit(configs: list[RunConfig]) -> None:
    state.show(job=state.jobs().submit(configs, comparison=len(configs) > 1))
