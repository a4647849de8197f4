"""Trace: what happens inside one run, step by step?"""

from __future__ import annotations

import numpy as np
import streamlit as st
import xarray as xr

from app import parts, selection, state
from app.components.player import player, player_data
from app.exhibits.exhibits import run_lines
from app.figures import heatmap, samples_scatter, variables, weights
from app.figures.subjects import Subject, axes_of, axis_name, long_name
from app.views import what_if
from app.views.choosing import selection_line
from app.views.film import film
from app.views.painted import painted
from ddm_core.analysis import subset
from ddm_core.records import RunRecord

__all__ = ["page"]

_MEAN = "mean of all"
#: Drawn unasked, in this order.
_FIRST = ("selected_distance", "disagreement", "perturbation_growth", "entropy")
_MOST_OWN = 2
#: What samples are drawn by unasked: the first two that were measured.
_AGAINST = ("selected_distance", "disagreement", "entropy", "nearest_selected")


def page() -> None:
    """Draw the page."""
    st.title("What happens inside one run?", anchor=False)
    state.publish("run", "sample", "axis", "variable", "figures", "across", "up")
    records = [record for record in state.store().runs() if record.status == "done"]
    if not records:
        parts.empty(
            "There is no run yet. Start a comparison; its runs can be opened here.",
            page="compare",
            label="New comparison",
        )
        return
    ids = {record.id: record for record in records}
    wanted = state.view("run")
    first = wanted if wanted in ids else _telling(records)
    chosen, shown, by = st.columns([4, 2, 3])
    with chosen:
        id = parts.choice("Run", "run", list(ids), default=first, says=lambda one: _says(ids[one]))
    if id != wanted:
        state.show(run=id)
    record = ids[id]
    subject = state.subjects([record])[0]
    trace = subject.trace
    mine = selection.current().among(_observed(trace))
    # The chosen ones come first: the first of them is what one wants to see. Any sample can be
    # followed, also one that the list would leave out.
    asked = [seed for seed in [state.view_number("sample")] if seed in _every(trace)]
    seeds = [str(seed) for seed in dict.fromkeys([*mine, *_observed(trace), *asked])]
    with shown:
        sample = parts.choice(
            "Sample in focus",
            "sample",
            [_MEAN, *seeds],
            default=seeds[0] if seeds else _MEAN,
            says=lambda one: f"{one} (chosen)" if one in map(str, mine) else one,
        )
    with by:
        axis = parts.choice(
            "Time axis", "axis", axes_of([subject]), segmented=True, says=axis_name
        )
    focus = None if sample == _MEAN else int(sample)
    selection_line([subject], [id])
    _pictures(record, subject, focus, axis)
    what_if.link(id, focus, state.view_number("step"))
    film(record, trace, focus)
    painted(id, subject, focus, axis)
    _others(id, subject, focus, axis)
    _samples(id, subject, focus)


def _telling(records: list[RunRecord]) -> str:
    """A run that chooses between experts: of the comparison in view, else the newest."""
    compared = [one for one in records if one.comparison == state.view("comparison")]
    some = compared or records
    return next((one.id for one in some if "top_k" in one.router), some[0].id)


def _says(record: RunRecord) -> str:
    title = f"{state.system_title(record)}: {record.router}"
    words = (title, parts.counted(record.config.num, "sample"))
    return " · ".join((*words, state.age(record.created), record.id[-6:]))


def _observed(trace: xr.Dataset) -> list[int]:
    """Seeds that can be in focus: those with pictures first, then the others, 200 at most."""
    with_pictures = trace["shown"].values.tolist() if "shown" in trace.coords else []
    return list(dict.fromkeys([*with_pictures, *_every(trace)]))[:200]


def _every(trace: xr.Dataset) -> list[int]:
    return trace["sample"].values.tolist() if "sample" in trace.coords else []


def _pictures(record: RunRecord, subject: Subject, focus: int | None, axis: str) -> None:
    look = state.look()
    card = state.catalogue().system(record.system)
    centres = np.array(card.centres) if card is not None and card.centres else None
    spread = card.spread if card is not None else 0.0
    data = state.kept(
        lambda: player_data([subject], [""], centres=centres, spread=spread), "player", record.id
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        if data is None:
            st.caption("This run kept no pictures of its steps.")
        else:
            player(
                data,
                look,
                step=state.view_number("step"),
                focus=focus,
                key="player",
                on_focus=_focused,
                axis=axis,
                name=record.id[-6:],
            )
    per_expert = [
        name
        for name, variable in subject.trace.data_vars.items()
        if set(variable.dims) == {"step", "sample", "expert"}
    ]
    if not per_expert:
        with right:
            st.caption("One model does all the work here: there are no experts to choose from.")
        return
    with right:
        name = parts.choice(
            "Variable",
            "variable",
            sorted(map(str, per_expert), key=lambda one: one != "weights"),
            says=lambda one: _titled(subject.trace[one]),
            pills=True,
            hide_label=True,
        )
        info = heatmap.heatmap_info(subject.trace, name, sample=focus, axis=axis)
        whose = "mean over samples" if focus is None else f"sample {focus}"
        dotted = "dots: the expert with the largest weight" if info.chosen is not None else ""
        parts.exhibit(
            f"heatmap_{name}",
            f"{parts.literal(parts.capital(info.title))}, expert by step",
            parts.explained(whose, dotted, definition=info.definition),
            lambda: heatmap.figure(info, state.look()),
            lambda: heatmap.table(info),
            key=(record.id, focus, axis),
            code=run_lines(record.id, f'{name}(sample={focus}, axis="{axis}")')
            if name != "weights"
            else "",
        )
        if "weights" not in subject.trace:
            return
        mean = weights.weights_info([subject], sample=focus, axis=axis)
        if mean.panels:
            parts.exhibit(
                "own_weights",
                "Who is asked?",
                f"Weights of {whose}, stacked; the leading expert changes {_times(mean)}.",
                lambda: weights.figure(mean, state.look(), height=220),
                lambda: weights.table(mean),
                key=(record.id, focus, axis),
                code=run_lines(record.id, f'weights(sample={focus}, axis="{axis}")'),
            )


def _times(mean: weights.WeightsInfo) -> str:
    """How often the leader changes: once, 2 times, 1.3 times."""
    count = f"{mean.panels[0].switches:.2g}"
    return {"0": "never", "1": "once"}.get(count, f"{count} times")


def _focused() -> None:
    state.show(sample=st.session_state["player"]["focus"])


@st.fragment
def _others(run: str, subject: Subject, focus: int | None, axis: str) -> None:
    """Everything else that was measured: a few figures at first, the others on request."""
    chosen = selection.current().chosen
    names = [
        name
        for name in variables.drawable(subject.trace)
        if set(subject.trace[name].dims) != {"step", "sample", "expert"}
    ]
    if not names:
        return
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    st.subheader("Everything else that was measured", anchor=False)
    shown = parts.choices(
        "Figures",
        "figures",
        names,
        default=_told_first(names),
        says=lambda name: _titled(subject.trace[name]),
    )
    if not shown:
        st.caption("No figure is chosen: pick some above.")
    for place, name in zip(parts.pairs(len(shown)), shown, strict=True):
        variable = subject.trace[name]
        with place:

            def made(name: str = name) -> variables.Drawn:
                look = state.look()
                return state.kept(
                    lambda: variables.draw(
                        subject, name, look, focus=focus, axis=axis, chosen=chosen
                    ),
                    *("variable", name, run, focus, axis, look, chosen),
                )

            definition = str(variable.attrs.get("definition", ""))
            parts.exhibit(
                f"variable_{name}",
                _titled(variable),
                parts.explained(made().says, definition=definition),
                lambda made=made: made().figure,
                lambda made=made: made().table,
                runs=[run],
                code=run_lines(run, f'{name}(sample={focus}, axis="{axis}")'),
            )


@st.fragment
def _samples(run: str, subject: Subject, focus: int | None) -> None:
    """Every sample by two of its numbers; a lasso chooses."""
    names = subset.rankable(subject.trace)
    if len(names) < 2:
        return
    st.subheader("Sample by sample", anchor=False)
    usual = [name for name in _AGAINST if name in names]
    usual += [name for name in names if name not in usual]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        across, up = (
            parts.choice(
                label,
                part,
                names,
                default=default,
                says=lambda name: parts.capital(long_name(subject.trace[name])),
            )
            for label, part, default in (("Across", "across", usual[0]), ("Up", "up", usual[1]))
        )
    chosen = selection.current().among(subject.trace["sample"].values.tolist())
    key = (run, across, up, chosen, focus)

    def made() -> samples_scatter.SamplesInfo:
        return state.kept(
            lambda: samples_scatter.samples_info(subject, across, up, chosen=chosen, focus=focus),
            "samples_scatter",
            *key,
        )

    parts.exhibit(
        "samples",
        f"{_titled(subject.trace[up])} against {parts.literal(long_name(subject.trace[across]))}",
        "A point is a sample, its mean over all steps; its colour is the expert of the largest "
        f"weight. {samples_scatter.says(made())} Draw a lasso to choose samples on every page, "
        "click on one to follow it.",
        lambda: samples_scatter.figure(made(), state.look()),
        lambda: samples_scatter.table(made()),
        key=key,
        code=run_lines(run, f'samples("{across}", "{up}")'),
        on_pick=lambda seed: state.show(sample=seed),
        on_lasso=lambda seeds: selection.choose(
            map(int, seeds), f"lasso over {up} against {across}, {subject.label}"
        ),
    )


def _titled(variable: xr.DataArray) -> str:
    return parts.literal(parts.capital(long_name(variable)))


def _told_first(names: list[str]) -> list[str]:
    """What is drawn unasked: every figure costs a part of each click.

    A variable of the reader's own probe is among them: nobody brings one to leave it unseen.
    """
    known = {probe.name for probe in state.catalogue().probes}
    own = [name for name in names if name not in known and name not in _FIRST]
    return [name for name in names if name in _FIRST] + own[:_MOST_OWN]
