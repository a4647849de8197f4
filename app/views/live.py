"""Live controls: temperature and strategy under the hand, pictures and curves at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import forms, live, parts, state
from app.catalogue import Catalogue, SystemCard
from app.components import knobs as controls
from app.components.player import player, player_data
from app.figures import alignment, series, weights
from app.figures.subjects import Subject
from app.live import Knobs
from app.views.tables import numbers_table
from ddm_core.errors import RequestError, WorkError
from ddm_core.live import Answer, Overtaken

__all__ = ["Shown", "answers", "pictures", "section", "when_ready"]

_KEY = "live_knobs"
_WORKER_SECONDS = 8.0  # how long the worker of the queue has for itself


class Shown(NamedTuple):
    """Answers side by side, as figures take them."""

    card: SystemCard
    names: tuple[str, ...]
    answers: tuple[Answer, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """For figures that are drawn once."""
        return tuple(one.config.digest for one in self.answers)

    @property
    def subjects(self) -> list[Subject]:
        return [Subject(n, a.trace) for n, a in zip(self.names, self.answers, strict=True)]


def section(catalogue: Catalogue) -> None:
    """The heading and, as soon as the process behind it is there, the controls."""
    cards = [card for name in live.SIZES if (card := catalogue.system(name)) and not card.error]
    if not cards:
        return
    st.subheader("Turn the knobs", anchor=False)
    if when_ready():
        _panel(cards)


def when_ready() -> bool:
    """Whether the live process is there; where it is not, says so and comes back when it is."""
    if live.engine().ready:
        return True
    _waiting()
    return False


@st.fragment(run_every=0.5)
def _waiting() -> None:
    if live.engine().ready:
        st.rerun()
    # A first comparison, and the worker that will make it, come first: beside each other both
    # would load at half the speed.
    waited = time.monotonic() - st.session_state.setdefault("live_awaited", time.monotonic())
    worker = state.jobs().ready() or waited > _WORKER_SECONDS
    if worker and not state.active_jobs():
        live.engine().warm()
    st.caption("The live process is getting ready …")
    if live.engine().fault:
        st.caption(f":material/warning: {parts.literal(live.engine().fault)}; trying again")
    st.skeleton(height=300)


@st.fragment
def _panel(cards: list[SystemCard]) -> None:
    names = [card.name for card in cards]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name = parts.choice("System", "live", names, segmented=True, hide_label=True)
        with st.container(width="stretch"):
            st.caption(
                "A is what you set, B the same with the router as it was trained, from the same "
                "noise. Nothing is stored."
            )
        st.button(
            "New noise", icon=":material/casino:", on_click=_reseed, type="tertiary", key="reseed"
        )
        keep = st.button("Keep as a run", icon=":material/save:", key="keep")
    card = cards[names.index(name)]
    at = _at(card)
    controls.knobs(
        live.TEMPERATURES,
        card.experts,
        controls.Setting(at.temperature, at.k),
        id=card.name,
        key=_KEY,
        on_move=_moved,
    )
    own = at._replace(temperature=1.0)
    if keep:
        _keep([at, own], card)
    shown = answers([at, own], card)
    if shown is None:
        return
    _drawn(shown, [at, own])


def _at(card: SystemCard) -> Knobs:
    """Where the controls stand, by the URL; anything else there is taken for the usual."""
    try:
        temperature = float(state.view("temperature", "4"))
    except ValueError:
        temperature = 4.0
    stops = live.TEMPERATURES
    nearest = min(stops, key=lambda one: abs(np.log(one) - np.log(max(temperature, 1e-9))))
    k = state.view_number("k") or card.experts
    return Knobs(card.name, nearest, min(max(k, 1), card.experts), state.view_number("noise") or 0)


def _moved() -> None:
    asked = controls.setting(_KEY)
    if asked is not None:
        state.show(temperature=f"{asked.temperature:g}", k=asked.k)


def _reseed() -> None:
    """Other samples, none of those before."""
    state.show(noise=(state.view_number("noise") or 0) + 1000)


def _keep(asked: list[Knobs], card: SystemCard) -> None:
    """The same configs, to the queue; on to where their result appears."""
    configs = {one.router: one for one in (live.config(knobs, card) for knobs in asked)}
    first = next(iter(configs.values()))
    fields = first.model_dump(include={"system", "num", "steps", "seed", "shown", "observed"})
    if parts.told(lambda: forms.submit(fields, list(configs))):
        st.switch_page(
            st.session_state["pages"]["compare"], query_params={"job": state.view("job")}
        )


def answers(
    asked: Sequence[Knobs],
    card: SystemCard,
    place: str = "live",
    *,
    probes: Sequence[str] = (),
    observed: int = 0,
) -> Shown | None:
    """What these settings give; what was there before, where the reader has moved on meanwhile.

    Arguments:
        place: where on which page; what was there before is looked for under this name.
        probes, observed: see `live.config`.
    """
    names = tuple(live.route_name(one, card) for one in asked)
    try:
        found = tuple(
            live.ask(live.config(one, card, probes=probes, observed=observed)) for one in asked
        )
    except Overtaken:
        before: Shown | None = st.session_state.get(f"shown_{place}")
        return before
    except (RequestError, WorkError) as error:
        st.error(parts.literal(error), icon=":material/error:")
        return None
    shown = Shown(card, names, found)
    st.session_state[f"shown_{place}"] = shown
    return shown


def _drawn(shown: Shown, asked: list[Knobs]) -> None:
    left, right = st.columns([6, 5], gap="large")
    with left:
        pictures(shown, "live_player")
    # As wide as the page, or columns of it are cut; here, since what follows may wait.
    with st.container():
        _numbers(shown)
    with right:
        sample = _sample(shown)
        who = weights.weights_info(shown.subjects, sample=sample)
        parts.exhibit(
            "live_weights",
            "Who is asked?",
            "Mean weight of every expert over samples; early is noise, late is detail."
            if sample is None
            else f"Weight of every expert on sample {sample}; click on another one to follow it.",
            lambda: weights.figure(who, state.look(), height=230),
            lambda: weights.table(who),
            key=(*shown.key, sample),
        )
        near = alignment.alignment_info(shown.subjects)
        parts.exhibit(
            "live_alignment",
            "Are the chosen experts the near ones?",
            "Distance of the predicted clean sample to the data of the chosen experts and, "
            "dotted, of all: chance.",
            lambda: alignment.figure(near, state.look(), height=210),
            lambda: alignment.table(near),
            key=shown.key,
        )
        wide = shown
        if shown.card.is_image:
            wide = answers(asked, shown.card, "live_later", probes=live.LATER)
        if wide is None:
            return
        apart = series.series_info(wide.subjects, "disagreement")
        parts.exhibit(
            "live_disagreement",
            "Do experts disagree?",
            parts.explained("angle between their velocities", apart.statistic),
            lambda: series.figure(apart, state.look(), height=200),
            lambda: series.table(apart),
            key=(*wide.key, "later"),
        )


def _sample(shown: Shown) -> int | None:
    """Whose weights are drawn: of the sample in focus, else the mean over all.

    On the ring all experts have the same share of the samples: there the mean says nothing.
    """
    seeds = shown.answers[0].config.seeds
    focus = state.view_number("sample")
    if focus is not None and focus in seeds:
        return focus
    return None if shown.card.is_image else seeds[0]


def pictures(shown: Shown, key: str) -> None:
    """Samples side by side under the time cursor."""
    card = shown.card
    notes = [_note(one) for one in shown.answers]
    centres = np.array(card.centres) if card.centres else None
    data = state.kept(
        lambda: player_data(shown.subjects, notes, centres=centres, spread=card.spread),
        *("live_player", shown.key, tuple(notes)),
    )
    if data is not None:
        player(
            data,
            state.look(),
            step=None,
            focus=state.view_number("sample"),
            key=key,
            on_focus=lambda: state.show(sample=st.session_state[key]["focus"]),
        )


def _note(one: Answer) -> str:
    calls = one.numbers["expert_calls"].value or 0.0
    return f"{calls:.3g} call{'s' * (calls != 1)} per step · {parts.seconds(one.seconds)}"


def _numbers(shown: Shown) -> None:
    """The same numbers as of a stored run, and what they rest on."""
    rows = numbers_of(shown)
    st.table(rows, border="horizontal", hide_index=True, alt="numbers of A and B, 95% intervals")
    first = shown.answers[0].config
    words = [f"{first.num:,} samples from seed {first.seed}, {first.steps} steps"]
    if shown.answers[0].quality is not None:
        words.append(f"energy distance of n = {first.num:,} to exact draws, lower is better")
    elif shown.card.is_image:
        words.append(f"{first.num} images are too few for an FID: keep a run of 100 or more")
    st.caption(f"{'; '.join(words)}. Small: 95% interval.")


def numbers_of(shown: Shown) -> pd.DataFrame:
    """A row per answer; cells are Markdown."""
    return numbers_table(
        shown.names,
        [{"energy_distance": one.quality} if one.quality else {} for one in shown.answers],
        [{n: e.to_json() for n, e in one.numbers.items()} for one in shown.answers],
        leave=("seconds", "expert_calls"),
    )
