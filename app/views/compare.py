"""Compare: what changes when only the router does?"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import streamlit as st

from app import forms, parts, selection, state
from app.components.player import player, player_data
from app.exhibits.exhibits import comparison_lines
from app.figures import alignment, dots, series, weights
from app.figures.subjects import Subject, axes_of, axis_name, together
from app.views import parting, what_if
from app.views.choosing import selection_line
from app.views.groups import at_most, comparison_of
from app.views.tables import dots_of, summary_rows
from ddm_core.export import csv_bytes, run_tables
from ddm_core.records import RunRecord

__all__ = ["page"]

_MOST = 4
_LETTERS = "ABCD"


def page() -> None:
    """Draw the page."""
    st.title("What changes when only the router does?", anchor=False)
    state.publish("comparison", "runs", "shown", "sample", "axis", "job")
    records = _chosen()
    with st.expander(
        "New comparison",
        icon=":material/add:",
        expanded=bool(state.view("system")) or not (records or parts.awaited()),
    ):
        forms.new_comparison(state.catalogue(), records[0].system if records else "")
    if not records:
        if parts.awaited():
            st.caption("What is being sampled appears here as soon as it is done.")
        else:
            parts.empty("Choose a system and routers above. All start from the same noise.")
        return
    runs = [record for record in records if record.status == "done"]
    if len(runs) < len(records):
        st.warning(f"{len(records) - len(runs)} of {len(records)} runs have no result.")
    runs = at_most(runs, _MOST)
    if runs:
        _exhibits(runs, state.subjects(runs))


def _chosen() -> list[RunRecord]:
    """The runs in view: those named in the URL, else a comparison, by default the newest."""
    named = [one for one in state.view("runs").split(",") if one]
    comparisons = state.store().comparisons()
    asked = state.view("system")
    if asked and not state.view("comparison"):
        # Coming from a system: its own comparisons alone.
        comparisons = {id: runs for id, runs in comparisons.items() if runs[0].system == asked}
    options = list(comparisons)
    if named:
        options.insert(0, "")
    if not options:
        return []

    def says(id: str) -> str:
        runs = comparisons.get(id)
        if not runs:
            return _handpicked(state.runs_at(named))
        first = runs[0]
        routes = ", ".join(run.router for run in runs)
        words = (
            state.system_title(first) + ": " + routes,
            parts.counted(first.config.num, "sample"),
        )
        return " · ".join((*words, state.age(first.created)))

    if not named and not state.view("comparison") and parts.awaited():
        # Something new is on its way: its own result is shown, not an older one.
        return []
    picked = parts.choice("Comparison", "comparison", options, says=says, hide_label=True)
    if picked != state.view("comparison"):
        state.show(comparison=picked)
    if named and picked == "":
        return state.runs_at(named)
    if named:
        state.forget("runs")
    return comparisons[picked]


def _handpicked(runs: list[RunRecord]) -> str:
    """What runs are that no comparison holds together: a branch and its parent, or a choice."""
    branch = runs[-1].config.branch if _kin(runs) else None
    if branch is not None:
        where = f"{state.system_title(runs[0])}: {runs[0].router}"
        return f"{where} and its branch from step {branch.step}, {runs[1].router}"
    routes = ", ".join(dict.fromkeys(run.router for run in runs))
    return f"{parts.counted(len(runs), 'run')} chosen in the library: {routes}"


def _kin(runs: list[RunRecord]) -> bool:
    """Whether these are a run and a branch of it, whose samples start from the same noise."""
    return len(runs) == 2 and runs[1].parent == runs[0].id


def _exhibits(records: list[RunRecord], subjects: list[Subject]) -> None:
    ids = tuple(record.id for record in records)
    focus = state.view_number("sample")
    selection_line(subjects, ids)
    chosen = selection.current().chosen
    group = comparison_of(records)
    _player(records, subjects, focus)
    _branches(records, focus)
    _recipe(records)
    rows = summary_rows(records, [s.label for s in subjects])
    st.table(rows, border="horizontal", hide_index=True, alt="numbers of every run, 95% intervals")
    st.caption(
        "Small: 95% interval.  **chosen − chance**: distance to the data of the chosen experts "
        "less that to all, negative is nearer.  **nearest asked**: share of steps at which the "
        "nearest expert is among the chosen.  **disagreement**: mean angle between experts, in "
        "radians.  **growth**: of a small push, median at the end.  **calls**: experts asked per "
        "sample and step."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("Over time", anchor=False, width="stretch")
        axis = parts.choice(
            "Time axis",
            "axis",
            axes_of(subjects),
            segmented=True,
            hide_label=True,
            says=axis_name,
        )
    parting.exhibit(records, subjects)
    if together(subjects, "weights"):
        info = state.kept(
            lambda: weights.weights_info(subjects, axis=axis), "weights_info", ids, axis
        )
        if info.panels:
            parts.exhibit(
                "weights",
                "Who is asked?",
                "Mean weight of every expert over samples; early is noise, late is detail.",
                lambda: weights.figure(info, state.look()),
                lambda: weights.table(info),
                key=(ids, axis),
                code=comparison_lines(group, f'weights(axis="{axis}")'),
            )
    _alignment(ids, subjects, axis)
    shown = [
        ("disagreement", "Do experts disagree?", "angle between their velocities"),
        (
            "perturbation_growth",
            "Does a small push grow?",
            "distance to a twin that got a tiny push at the start, relative to the push",
        ),
        ("entropy", "How sure is the router?", "entropy of its probabilities, 0 is sure"),
        ("nearest_selected", "Is the nearest expert asked?", "whether it is among the chosen"),
    ]
    there = [one for one in shown if together(subjects, one[0])]
    for place, (name, title, says) in zip(parts.pairs(len(there)), there, strict=True):
        with place:
            lines = state.kept(
                lambda name=name: series.series_info(
                    subjects, name, focus=focus, axis=axis, chosen=chosen
                ),
                *("series_info", name, ids, focus, axis, chosen),
            )
            parts.exhibit(
                name,
                title,
                parts.explained(says, lines.statistic, definition=lines.definition),
                lambda lines=lines: series.figure(lines, state.look()),
                lambda lines=lines: series.table(lines),
                key=(ids, focus, axis, chosen),
                code=comparison_lines(group, f'{name}(sample={focus}, axis="{axis}")'),
            )
    quality = [dots_of(records, subjects, name) for name in _metrics(records)]
    quality.append(dots_of(records, subjects, "expert_calls"))
    known = [one for one in quality if one is not None]
    for place, found in zip(parts.pairs(len(known)), known, strict=True):
        with place:
            parts.exhibit(
                f"number_{found.name}",
                found.title,
                parts.literal(parts.capital(found.note)),
                lambda found=found: dots.figure(found, state.look()),
                lambda found=found: dots.table(found),
            )


def _metrics(records: list[RunRecord]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.metrics))


def _recipe(records: list[RunRecord]) -> None:
    """The head of the numbers: on what they rest, and the downloads of everything."""
    first = records[0].config
    same = len({record.hashes.get("x_T") for record in records}) == 1
    counts = sorted({record.config.num for record in records})
    few = "" if len(counts) == 1 else f"{counts[0]:,} to "
    where = "" if len({one.config.seed for one in records}) > 1 else f" from seed {first.seed}"
    words = [
        f"{few}{parts.counted(counts[-1], 'sample')}{where}",
        f"{parts.counted(first.steps, 'step')} of {parts.literal(first.sampler)}",
    ]
    if first.label is not None:
        words.append(f"label {first.label}, guidance {first.guidance:g}")
    if same:
        words.append(f"same noise (x_T {records[0].hashes.get('x_T', '')[:8]})")
    else:
        words.append("same noise for the same seed" if _kin(records) else "**different noise**")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.subheader("In numbers", anchor=False, width="content")
        st.caption("  ·  ".join(words), width="stretch")
        st.download_button(
            "All tables",
            data=lambda: _everything(records),
            file_name=f"comparison-{records[0].id[-6:]}.zip",
            mime="application/zip",
            key="everything",
            icon=":material/folder_zip:",
            type="tertiary",
            on_click="ignore",
            help="every table of every run as CSV, in one zip",
        )


def _player(records: list[RunRecord], subjects: list[Subject], focus: int | None) -> None:
    card = state.catalogue().system(records[0].system)
    centres = np.array(card.centres) if card is not None and card.centres else None
    notes = tuple(_note(record) for record in records)
    data = state.kept(
        lambda: player_data(
            subjects, notes, centres=centres, spread=card.spread if card is not None else 0.0
        ),
        *("player", tuple(record.id for record in records), notes),
    )
    if data is None:
        st.caption("These runs kept no pictures of their steps, or share no seed.")
        return
    player(
        data,
        state.look(),
        step=state.view_number("step"),
        focus=focus,
        key="player",
        on_focus=_focused,
        axis=state.view("axis", "step"),
        pairing=parting.pairing(records, subjects, "player"),
        name="-".join(record.id[-6:] for record in records),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if focus is None:
            st.caption(
                f"{_legend(subjects[0])} Click on a sample to follow it; arrow keys move "
                "through time.",
                width="stretch",
            )
        else:
            st.caption(f"Sample {focus} is in focus: dotted in the charts below.", width="stretch")
            st.button(
                "Clear",
                key="clear",
                type="tertiary",
                on_click=state.forget,
                args=("sample",),
            )
        for letter, record in zip(_LETTERS, records, strict=False):
            query = {"run": record.id} | ({} if focus is None else {"sample": str(focus)})
            st.page_link(
                st.session_state["pages"]["trace"],
                label=f"Trace {letter}",
                icon=":material/timeline:",
                query_params=query,
                help=f"what happened inside {parts.literal(record.router)}",
            )


def _branches(records: list[RunRecord], focus: int | None) -> None:
    """The way to What if from every run."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("What if another expert had been asked here?", width="stretch")
        for letter, record in zip(_LETTERS, records, strict=False):
            what_if.link(
                record.id,
                focus,
                state.view_number("step"),
                label=f"What if {letter}",
                help=f"branch from this step of {parts.literal(record.router)}",
            )


def _legend(subject: Subject) -> str:
    if "x0_hat" in subject.trace:
        # The browser changes how runs are compared without asking: the line is true of each way.
        return "Predicted clean image at every step; side by side, bars show who painted it."
    return "The state at every step, in the colour of the expert with the largest weight."


def _focused() -> None:
    state.show(sample=st.session_state["player"]["focus"])


def _note(record: RunRecord) -> str:
    fid = record.metrics.get("fid")
    calls = record.summary.get("expert_calls", {}).get("value")
    words = []
    if fid and fid.get("value") is not None:
        words.append(f"FID {fid['value']:.3g}")
    if calls is not None:
        words.append(f"{calls:.3g} call{'s' * (calls != 1)} per step")
    words.append(parts.seconds(record.seconds))
    return " · ".join(words)


def _alignment(ids: tuple[str, ...], subjects: list[Subject], axis: str) -> None:
    try:
        info = state.kept(
            lambda: alignment.alignment_info(subjects, axis=axis), "alignment_info", ids, axis
        )
    except KeyError:
        return
    gains = ", ".join(
        f"{panel.gain[0]:.0%} ({parts.literal(panel.label)})" for panel in info.panels
    )
    lines = parts.explained(
        "lines: distance of the predicted clean image to them",
        "median over samples, band: middle 80%",
        definition=info.definition,
    )
    parts.exhibit(
        "alignment",
        "Are the chosen experts the near ones?",
        f"Chosen experts' data are nearer than chance by {gains}. {lines}",
        lambda: alignment.figure(info, state.look()),
        lambda: alignment.table(info),
        key=(ids, axis),
    )


def _everything(records: list[RunRecord]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        everything: list[pd.DataFrame] = []
        for record in records:
            tables = run_tables(record, state.trace(record.id), state.store().samples(record.id))
            for name, table in tables.items():
                archive.writestr(f"{record.id}/{name}.csv", csv_bytes(table.frame))
            metrics = tables["metrics"].frame.copy()
            metrics.insert(0, "router", record.router)
            metrics.insert(0, "run", record.id)
            everything.append(metrics)
        archive.writestr("numbers.csv", csv_bytes(pd.concat(everything, ignore_index=True)))
    return out.getvalue()
