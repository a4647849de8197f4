"""Routing: who is asked, and when does it change?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import parts, selection, state
from app.components.raster import picked_rows, raster, raster_data
from app.exhibits.exhibits import export_menu, stamp
from app.figures import alluvial, dwelling, leaders, usage, weights
from app.figures.leaders import LeadersInfo
from app.figures.subjects import Subject
from app.selection import Selection
from app.views.groups import at_most, picked_group
from ddm_core.analysis.switching import ORDERS, stages_of
from ddm_core.records import RunRecord

__all__ = ["page"]

_MOST = 4
_KEY = "raster"
_LETTERS = "ABCDEFGH"
_ROWS = (
    "A row is a sample, from noise on the left to data on the right; its colour is the expert "
    "with the largest weight, at ties the lowest number."
)


def page() -> None:
    """Draw the page."""
    st.title("Who is asked, and when does it change?", anchor=False)
    state.publish(
        "routed", "shown", "order", "lead", "counted", "stages", "sample", "chosen", "job"
    )
    records = _chosen()
    if not records:
        parts.empty(
            "No run that chooses between experts is here yet. Compare a few routes; who leads in "
            "them is shown here.",
            page="compare",
            label="New comparison",
        )
        return
    subjects = state.subjects(records)
    ids = tuple(record.id for record in records)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        order = parts.choice(
            "Rows by", "order", list(ORDERS), segmented=True, says=lambda one: ORDERS[one]
        )
        lead = _lead(subjects) if len(subjects) > 1 and order != "seed" else 0
    try:
        info = state.kept(
            lambda: leaders.leaders_info(subjects, order=order, lead=lead),
            *("leaders", ids, order, lead),
        )
    except KeyError:
        parts.empty(
            "These runs have no samples in common, or chose between no experts.",
            page="compare",
            label="New comparison",
        )
        return
    shown = [subjects[panel.place] for panel in info.panels]
    now = selection.bar(info.seeds.tolist(), runs=ids)
    _picture(info, now, (*ids, order, lead))
    _finding(info)
    _ribbons(info, now, ids)
    _numbers(info, shown, records, ids)


def _chosen() -> list[RunRecord]:
    """The runs in view: only those that choose between experts."""
    done = (run for run in state.store().runs() if run.status == "done")
    runs = picked_group((run for run in done if run.router != "monolith"), "routed")
    if runs and runs[0].comparison in state.store().comparisons():
        state.show(comparison=runs[0].comparison)
    return at_most(runs, _MOST)


def _lead(subjects: Sequence[Subject]) -> int:
    """Whose leaders make the order of the rows."""
    names = [str(index) for index in range(len(subjects))]
    return int(
        parts.choice(
            "Order of",
            "lead",
            names,
            segmented=True,
            says=lambda one: f"{_LETTERS[int(one)]}",
            help="The same sample is in the same row of every picture.",
        )
    )


def _picture(info: LeadersInfo, now: Selection, key: tuple[object, ...]) -> None:
    """The heatmap with its table; a click focuses, a drag chooses."""
    title = "Leading expert of every sample at every step"
    with st.container(key="exhibit_leaders", gap="xsmall"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="stretch")
            as_table = st.toggle("Table", key="table_leaders")
            export_menu(
                "leaders",
                stamp(title, _ROWS, key),
                lambda: leaders.figure(info, state.look()),
                lambda: leaders.table(info),
            )
        left = f" The first {len(info.seeds):,} samples." if info.left_out else ""
        st.caption(
            f"{_ROWS} Click on a row to follow its sample, drag over rows to choose them, click "
            f"on an expert to choose those that it leads.{left}"
        )
        if as_table:
            st.dataframe(leaders.table(info), hide_index=True, height=420, placeholder="–")
            return
        rows = {int(seed): row for row, seed in enumerate(info.seeds)}
        raster(
            state.kept(lambda: raster_data(info), "raster", *key),
            state.look(),
            step=state.view_number("step"),
            focus=-1 if now.focus is None else rows.get(now.focus, -1),
            chosen=[rows[seed] for seed in now.among(info.seeds.tolist())],
            key=_KEY,
            on_pick=lambda: _picked(info, now),
        )


def _picked(info: LeadersInfo, now: Selection) -> None:
    pick = picked_rows(st.session_state[_KEY]["pick"], info)
    if pick is None:
        return
    seeds = info.seeds[pick.rows].tolist()
    if pick.one:
        selection.focus_on(seeds[0])
        return
    selection.choose([*now.chosen, *seeds] if pick.add else seeds, pick.says)


def _finding(info: LeadersInfo) -> None:
    """What one sees, in numbers."""
    lines: list[str] = []
    for panel in info.panels:
        mean, first = panel.switches, panel.first
        text = f"**{parts.literal(panel.label)}** changes its leader {_interval(mean)} times"
        if first.value is not None:
            text += f", first at step {_interval(first)} (of the {first.n:,} that change)"
        lines.append(f"{text}; n = {mean.n:,}.")
    st.markdown("  \n".join(lines))
    st.caption("Means over samples with 95% intervals.")


def _interval(one: object) -> str:
    value, low, high = (getattr(one, name) for name in ("value", "low", "high"))
    text = "–" if value is None else f"{value:.2f}"
    return text if low is None else parts.literal(f"{text} [{low:.2f}, {high:.2f}]")


def _ribbons(info: LeadersInfo, now: Selection, ids: tuple[str, ...]) -> None:
    st.subheader("From whom to whom?", anchor=False)
    steps = min(len(panel.who.expert) for panel in info.panels)
    stages = _stages(steps)
    for place, panel in zip(parts.pairs(len(info.panels)), info.panels, strict=True):
        found = state.kept(
            lambda panel=panel: alluvial.alluvial_info(panel.label, panel.who, stages),
            *("alluvial", ids, panel.place, stages),
        )
        with place:
            parts.exhibit(
                f"ribbons_{panel.place}",
                f"{_LETTERS[panel.place]}  {parts.literal(panel.label)}",
                "Samples by leading expert at a few steps; ribbons carry those that go on "
                f"together. n = {found.n:,}.",
                lambda found=found: alluvial.figure(found, state.look()),
                lambda found=found: alluvial.table(found),
                key=(ids, panel.place, stages),
            )
    every = st.expander("Every change as a matrix", key="matrix", on_change="rerun")
    if not every.open:
        return
    with every:
        for place, panel in zip(parts.pairs(len(info.panels)), info.panels, strict=True):
            found = state.kept(
                lambda panel=panel: alluvial.alluvial_info(panel.label, panel.who, stages),
                *("alluvial", ids, panel.place, stages),
            )
            total = int(found.moves.sum() - np.trace(found.moves))
            with place:
                parts.exhibit(
                    f"matrix_{panel.place}",
                    f"{_LETTERS[panel.place]}  {parts.literal(panel.label)}: {total:,} changes",
                    f"From row to column, over all steps of {found.n:,} samples.",
                    lambda found=found: alluvial.matrix(found, state.look()),
                    lambda found=found: alluvial.matrix_table(found),
                    key=(ids, panel.place),
                )


def _stages(steps: int) -> tuple[int, ...]:
    """At which steps the ribbons stand; in the URL as 0,16,49."""
    usual = stages_of(steps)
    said = [int(one) for one in state.view("stages").split(",") if one.isdigit()]
    wanted = sorted({one for one in said if one < steps})
    key = "stages_pick"
    st.session_state[key] = wanted if len(wanted) > 1 else list(usual)

    def changed() -> None:
        picked = sorted(st.session_state[key])
        plain = tuple(picked) == usual or len(picked) < 2
        state.show(stages=None if plain else ",".join(map(str, picked)))

    st.multiselect("Steps", range(steps), key=key, max_selections=8, on_change=changed, width=520)
    return tuple(sorted(st.session_state[key]))


def _numbers(
    info: LeadersInfo,
    shown: Sequence[Subject],
    records: Sequence[RunRecord],
    ids: tuple[str, ...],
) -> None:
    st.subheader("How long, how often, how much?", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        counts = dwelling.switches_info(info.panels)
        parts.exhibit(
            "switches",
            "Changes per sample",
            "Share of the samples by how often their leading expert changes; means with 95% "
            "intervals.",
            lambda: dwelling.switches_figure(counts, state.look()),
            lambda: dwelling.switches_table(counts),
            key=ids,
        )
    with right:
        stays = dwelling.dwell_info(info.panels)
        parts.exhibit(
            "dwell",
            "How long an expert keeps the lead",
            "Stretches of steps with one leader: dot the median, thick half of them, thin the "
            "middle 80%. The last stretch of a sample ends with the data.",
            lambda: dwelling.figure(stays, state.look()),
            lambda: dwelling.table(stays),
            key=ids,
        )
    left, right = st.columns(2, gap="large")
    with left:
        _usage(info, shown, records[0], ids)
    with right:
        over = weights.weights_info(shown)
        parts.exhibit(
            "weights",
            "Weight of every expert over time",
            "Mean over samples; early is noise, late is detail.",
            lambda: weights.figure(over, state.look(), height=380),
            lambda: weights.table(over),
            key=ids,
        )


def _usage(
    info: LeadersInfo, shown: Sequence[Subject], record: RunRecord, ids: tuple[str, ...]
) -> None:
    proportions = _proportions(record, info.experts)
    if proportions is None:
        st.caption("How large the clusters are is not known for this system.")
        return
    counted = parts.choice(
        "What is counted",
        "counted",
        list(usage.COUNTS),
        segmented=True,
        hide_label=True,
        says=lambda one: parts.capital(usage.COUNTS[one]),
    )
    found = state.kept(
        lambda: usage.usage_info(info.panels, [one.trace for one in shown], proportions, counted),
        *("usage", ids, counted),
    )
    most = usage.farthest(found)
    says = "On the dotted line an expert is asked as often as its data are frequent."
    if most is not None:
        says += (
            f" Farthest above it: expert {most.expert} of {parts.literal(most.label)} with "
            f"{most.share.value:.0%} for {most.data:.0%} of the data."
        )
    parts.exhibit(
        "usage",
        "Is an expert asked as often as its data are there?",
        says,
        lambda: usage.figure(found, state.look()),
        lambda: usage.table(found),
        key=(ids, counted),
    )


def _proportions(record: RunRecord, experts: int) -> list[float] | None:
    """Share of the data in each cluster; points are equally many in each."""
    card = state.catalogue().system(record.system)
    if card is not None and len(card.sizes) == experts:
        return [size / sum(card.sizes) for size in card.sizes]
    if record.system.partition(":")[0] == "ring":
        return [1 / experts] * experts
    return None
