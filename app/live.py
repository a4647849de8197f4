"""The live process of this server, and what its controls ask of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.catalogue import SystemCard
from ddm_core.config import RunConfig, make_config
from ddm_core.live import Answer, Live

__all__ = [
    "LATER",
    "SIZES",
    "TEMPERATURES",
    "Knobs",
    "Size",
    "ask",
    "config",
    "engine",
    "route",
    "route_name",
]

#: Stops of the temperature: half-octaves around 1, where the router is as it was trained.
TEMPERATURES = tuple(round(2.0 ** (i / 2), 2 if i < 4 else 1) for i in range(-4, 9))


class Size(NamedTuple):
    """How much is sampled at every move."""

    num: int
    steps: int


#: Systems that answer within a second on two cores.
SIZES = {"ring": Size(400, 30), "digits": Size(16, 15)}
_COMMON = ("weights", "cluster_distance", "selected_distance", "expert_calls")
#: On points everything is cheap. On images what asks all experts would keep the picture waiting:
#: it is asked for by itself, after the rest.
_OF_POINTS = (*_COMMON, "state", "disagreement", "perturbation_growth")
_OF_IMAGES = (*_COMMON, "x0_hat")
LATER = ("disagreement",)


class Knobs(NamedTuple):
    """Where the controls stand.

    Arguments:
        system: a key of SIZES.
        temperature: of the system's own router.
        k: experts mixed; all of them is the full ensemble.
        seed: of the first sample.
    """

    system: str
    temperature: float
    k: int
    seed: int


@st.cache_resource(on_release=lambda one: one.close())
def engine() -> Live:
    """The warm process; one per server, ends with it."""
    return Live()


def config(
    knobs: Knobs, card: SystemCard, *, probes: Sequence[str] = (), observed: int = 0
) -> RunConfig:
    """The run that the controls describe; kept in the store, it has the very same samples.

    Arguments:
        probes: instead of what can be had before the picture.
        observed: samples on which costly probes run; 0 for all.
    """
    size = SIZES[knobs.system]
    return make_config(
        {
            "system": knobs.system,
            "router": route(knobs, card),
            "num": size.num,
            "steps": size.steps,
            "seed": knobs.seed,
            "shown": min(size.num, 36),
            "observed": observed or size.num,
            "probes": probes or (_OF_IMAGES if card.is_image else _OF_POINTS),
        }
    )


def route(knobs: Knobs, card: SystemCard) -> str:
    """The route as the command line writes it."""
    strategy = "full" if knobs.k >= card.experts else f"top_k:k={knobs.k}"
    if math.isclose(knobs.temperature, 1.0):
        return strategy
    return f"{card.router}:temperature={knobs.temperature:g}/{strategy}"


def route_name(knobs: Knobs, card: SystemCard) -> str:
    """The route in words."""
    mixed = f"full ({card.experts})" if knobs.k >= card.experts else f"Top-{knobs.k}"
    return f"{mixed}, T = {knobs.temperature:g}"


def ask(asked: RunConfig) -> Answer:
    """The answer for this browser session; waits for it.

    Raises:
        Overtaken: the reader has moved a control meanwhile, or left; the work is stopped.
        RequestError, WorkError: see `Live.ask`.
    """
    context = get_script_run_ctx()
    client = context.session_id if context is not None else ""

    def wanted() -> bool:
        return not _newer(context)

    return engine().ask(asked, client=client, wanted=wanted)


def _newer(context: object) -> bool:
    """Whether the browser wants this part of the page anew, or is gone.

    A part that runs is not told by Streamlit that its own controls have moved: this looks. Where
    another version of Streamlit does not show it, the work is done to its end, and right.
    """
    requests = getattr(context, "script_requests", None)
    state = getattr(getattr(requests, "_state", None), "value", "")
    if state != "RERUN":
        return state == "STOP"
    queue = getattr(getattr(requests, "_rerun_data", None), "fragment_id_queue", None)
    if queue is None:
        return False
    # Empty: the whole page is wanted anew.
    return not queue or bool(set(queue) & set(getattr(context, "fragment_ids_this_run", ()) or ()))
