"""A guided tour: the paradox in five minutes, measured while one reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from app import live, parts, state
from app.audits.file import Audit
from app.audits.files import find, read
from app.catalogue import SystemCard
from app.figures import claims, dots, paradox, paradox_map
from app.figures.dots import Dot, DotsInfo, dots_info
from app.live import Knobs
from app.views.live import Shown, answers, pictures, when_ready
from ddm_core.errors import WorkError
from ddm_core.summary import mean_of

__all__ = ["page", "verdict"]

#: Samples on which the local Lipschitz constant is measured: it costs several evaluations each.
_STEEP = 128
_MIXED = ("Top-1", "Top-2", "the full ensemble")


class _Step(NamedTuple):
    """A page of the tour: a question, what to know, what to try, and what is drawn."""

    question: str
    says: str
    draw: Callable[[], None]
    attempt: str


def page() -> None:
    """Draw the page."""
    at = min(max(state.view_number("tour") or 1, 1), len(_STEPS))
    state.show(tour=at)
    step = _STEPS[at - 1]
    st.caption(f"The paradox in five minutes  ·  {at} of {len(_STEPS)}")
    st.title(step.question, anchor=False)
    st.markdown(step.says)
    step.draw()
    st.markdown(f":material/touch_app: **Try:** {step.attempt}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Back",
            icon=":material/arrow_back:",
            disabled=at == 1,
            on_click=state.show,
            kwargs={"tour": at - 1},
            shortcut="B",
            key="tour_back",
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            type="primary",
            disabled=at == len(_STEPS),
            on_click=state.show,
            kwargs={"tour": at + 1},
            shortcut="N",
            key="tour_next",
        )
        st.caption("Keys: N for next, B for back.")


def _ring() -> SystemCard | None:
    card = state.catalogue().system("ring")
    if card is None or card.error:
        parts.empty("The system ring is not at hand here; go on with Next.")
        return None
    return card


def _routes(card: SystemCard, temperature: float) -> list[Knobs]:
    """Top-1, Top-2 and the full ensemble on the noise of the moment."""
    seed = state.view_number("noise") or 0
    return [Knobs("ring", temperature, k, seed) for k in (1, 2, card.experts)]


def _watch() -> None:
    card = _ring()
    if card is None or not when_ready():
        return
    with st.spinner("Sampling …", show_time=False):
        shown = answers(_routes(card, 1.0), card, "tour")
    if shown is not None:
        pictures(shown, "tour_player")


@st.fragment
def _own() -> None:
    _measured(1.0)


@st.fragment
def _softer() -> None:
    _measured(
        st.select_slider(
            "Router temperature: its logits are divided by it",
            live.TEMPERATURES,
            value=4.0,
            format_func=lambda t: f"T = {t:g}",
            key="tour_temperature",
        )
    )


def _measured(temperature: float) -> None:
    """Quality and smoothness of three routes, measured now, and what they say."""
    card = _ring()
    if card is None or not when_ready():
        return
    asked = _routes(card, temperature)
    with st.spinner("Sampling and measuring …", show_time=False):
        shown = answers(asked, card, "tour")
        steep = answers(asked, card, "tour_steep", probes=("local_lipschitz",), observed=_STEEP)
    if shown is None or steep is None:
        return
    quality, smooth = _dots(shown, steep)
    st.markdown(f":material/straighten: {verdict(quality, smooth)}")
    left, right = st.columns(2, gap="large")
    for place, info, says in (
        (left, quality, "Distance of the samples to exact draws; 0 is perfect, lower is better."),
        (right, smooth, "How fast the routed field turns, mean over steps; lower is smoother."),
    ):
        with place:
            parts.exhibit(
                f"tour_{info.name}",
                info.title,
                f"{says} 95% intervals.",
                lambda info=info: dots.figure(info, state.look()),
                lambda info=info: dots.table(info),
                key=shown.key,
            )
    st.button(
        "Measure on new noise",
        icon=":material/casino:",
        on_click=lambda: state.show(noise=(state.view_number("noise") or 0) + 1000),
        key="tour_noise",
    )


def _dots(shown: Shown, steep: Shown) -> tuple[DotsInfo, DotsInfo]:
    quality: list[Dot] = []
    smooth: list[Dot] = []
    for place, (one, other) in enumerate(zip(shown.answers, steep.answers, strict=True)):
        found = one.quality or {}
        value, low, high = (float(found.get(n, math.nan)) for n in ("value", "low", "high"))
        quality.append(Dot(shown.names[place], place, value, low, high, one.config.num))
        slope = mean_of(other.trace, "local_lipschitz")
        value, low, high = (math.nan if v is None else v for v in slope[:3])
        smooth.append(Dot(shown.names[place], place, value, low, high, slope.n))
    return (
        dots_info("energy_distance", "Energy distance", quality, better="lower"),
        dots_info("lipschitz", "Local Lipschitz constant", smooth, better="lower"),
    )


def verdict(quality: DotsInfo, smooth: DotsInfo) -> str:
    """What the numbers of Top-1, Top-2 and the full ensemble say; only what intervals allow."""
    worst = _apart(quality, largest=True)
    best = _apart(quality, largest=False)
    smoothest = _apart(smooth, largest=False)
    n = quality.dots[0].n
    head = f"Measured now, n = {n:,}: "
    if worst is not None and worst == smoothest:
        return (
            f"{head}{_MIXED[worst]} is the smoothest **and** the worst, beyond the intervals: "
            "the paradox."
        )
    words = [
        f"{_MIXED[place]} is the {word}"
        for place, word in ((smoothest, "smoothest"), (best, "best"), (worst, "worst"))
        if place is not None
    ]
    if best is None and worst is None:
        words.append("in quality their intervals overlap, so that nobody is ranked")
    text = "; ".join(words)
    return f"{head}{text}. Smoothest and worst are not the same here: no paradox."


def _apart(info: DotsInfo, *, largest: bool) -> int | None:
    """The place of the largest or smallest number whose interval touches no other one."""
    sign = 1.0 if largest else -1.0
    order = sorted(info.dots, key=lambda dot: sign * dot.value, reverse=True)
    if any(math.isnan(v) for dot in order for v in (dot.value, dot.low, dot.high)):
        return None
    first, others = order[0], order[1:]
    clear = all(first.low > other.high if largest else first.high < other.low for other in others)
    return first.place if clear else None


def _audit() -> Audit | None:
    """The audit that ships with mnist, else any other that there is; None without one."""
    folder = state.catalogue().checkpoints
    there = find(state.store().root, Path(folder) if folder else None)
    there.sort(key=lambda one: (one.key != "shipped:mnist", one.key != "shipped:digits"))
    for one in there:
        try:
            return state.kept(lambda one=one: read(one.path), "tour", str(one.path), one.stamp)
        except WorkError:
            continue
    parts.empty(
        "No audit is at hand; one measures all of this on a system of yours.",
        icon=":material/fact_check:",
        page="audit",
        label="Run an audit",
    )
    return None


def _map() -> None:
    audit = _audit()
    info = paradox.map_info(audit) if audit is not None else None
    if audit is None or info is None:
        return
    sentence = audit.map.sentence if audit.map is not None else ""
    shade = "lighter" if state.look().dark else "darker"
    parts.exhibit(
        "tour_map",
        f"{parts.literal(audit.name)}: quality and stability over experts mixed and temperature",
        f"Measured, n = {audit.plan.num:,} per cell; {shade} is larger, lower is better. "
        + parts.literal(sentence)
        + f" The rows above the cells: {paradox_map.ORDERS}",
        lambda: paradox_map.figure(info, state.look()),
        lambda: paradox.table(info),
        key=("tour", audit.config_hash, audit.created),
    )


def _claims() -> None:
    audit = _audit()
    if audit is None:
        return
    rows = [
        {
            "claim": parts.literal(one.title),
            f"on {parts.literal(audit.name)}": f"**{claims.VERDICTS[one.verdict].word}**",
            "measured": parts.literal(parts.minus(claims.forest_info(one).name)),
            "effect [95%]": claims.written(*claims.forest_info(one).effect[2:5]),
            "n": f"{one.n:,}",
        }
        for one in audit.claims
    ]
    st.table(
        pd.DataFrame(rows), border="horizontal", hide_index=True, alt="four claims and verdicts"
    )


def _yours() -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.code(
            "ddm train FOLDER --experts 8 --out checkpoints/mine   # a folder or .zip of images\n"
            "ddm audit checkpoints/mine --budget 10m               # the four claims, measured\n"
            "ddm tune checkpoints/mine                             # the cheapest good route",
            language="bash",
            wrap_lines=True,
        )
    pages = st.session_state["pages"]
    with right:
        for name, label, icon in (
            ("start", "Turn the knobs yourself", ":material/tune:"),
            ("compare", "Compare routers on the same noise", ":material/compare:"),
            ("trace", "See what happened in one run", ":material/timeline:"),
            ("audit", "Audit a system", ":material/fact_check:"),
            ("paradox", "The paradox map, cell by cell", ":material/grid_on:"),
        ):
            if name in pages:
                st.page_link(pages[name], label=label, icon=icon)


_STEPS = (
    _Step(
        "Who paints a sample?",
        "Six experts, each trained on one cluster of a ring and blind to the others. At every "
        "step a **router** guesses whose data the noisy point belongs to; one, two or all of the "
        "experts are mixed by its answer.",
        _watch,
        "play it with ▶ or the arrow keys, and click on a point: its colour is the expert that "
        "leads it.",
    ),
    _Step(
        "Does mixing more experts help?",
        "The router of the ring is exact. The paper *Decentralized Diffusion Models* reported "
        "that with a trained router the full ensemble is the best; another, on *Expert-Data "
        "Alignment*, reported it to be the stablest and the **worst**. This is what this router "
        "does:",
        _own,
        "measure again on new noise; the intervals should say the same.",
    ),
    _Step(
        "And with a router that is too soft?",
        "Divide the router's logits by a temperature: at T = 4 it is four times less sure, and "
        "the full ensemble listens to everybody. Nothing else has changed.",
        _softer,
        "move T back to 1 and on to 16: where does the full ensemble begin to lose?",
    ),
    _Step(
        "Is it so on images?",
        "The same knobs on eight networks trained on clusters of MNIST, measured by the audit "
        "that ships with it. Whether mixing all of them beats Top-2 or loses to it depends on how "
        "soft the router is.",
        _map,
        "find a row in which going right makes the field smoother and the images worse.",
    ),
    _Step(
        "Which of the paper's claims hold, then?",
        "An audit puts four reported claims to a system and says of each whether it holds *there*"
        ": as measured, with intervals and n. Stability is no guide to quality; nearness of the "
        "experts' data and their accuracy can be checked.",
        _claims,
        "open the Verdicts page at the end and unfold the evidence of a claim.",
    ),
    _Step(
        "And your model?",
        "A folder of images is enough: experts, router and monolith are trained, audited, and "
        "appear on every page.",
        _yours,
        "take the shipped systems first: `ddm audit digits --budget 2m`.",
    ),
)
