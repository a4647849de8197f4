"""Who leads each sample at each step: a row per sample, a column per step, a panel per run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import Look, base_figure, expert_colours, plain, run_style
from app.figures.subjects import Subject
from app.pictures import data_url
from ddm_core.analysis.switching import ORDERS, Leading, leading, order_of
from ddm_core.intervals import Estimate, estimate_mean

__all__ = ["LeadersInfo", "LeadersPanel", "figure", "leaders_info", "table"]

#: Rows of a picture; more than a screen has, and a browser draws them at once.
MOST_ROWS = 4000


class LeadersPanel(NamedTuple):
    """One run.

    Arguments:
        place: of the run in the comparison.
        who: of the samples in the order of the rows.
        switches: changes of the leader per sample.
        first: the step of the first change [sample that changes], mean over those that do.
        alone, only: share of steps and samples where the leader has the largest weight alone, and
            where nobody else has any.
    """

    label: str
    place: int
    who: Leading
    switches: Estimate
    first: Estimate
    alone: float
    only: float


class LeadersInfo(NamedTuple):
    """All runs, with the same sample in the same row.

    Arguments:
        order: of the rows; see `switching.ORDERS`.
        by: label of the run whose leaders make the order.
        seeds: of the rows, int64 [row].
        left_out: samples beyond those that are drawn.
    """

    order: str
    by: str
    seeds: np.ndarray
    panels: tuple[LeadersPanel, ...]
    left_out: int

    @property
    def experts(self) -> int:
        """The most experts that a run has."""
        return max(panel.who.experts for panel in self.panels)


def leaders_info(
    subjects: Sequence[Subject], *, order: str = "pattern", lead: int = 0
) -> LeadersInfo:
    """Leaders of every run that chooses between experts, of the samples that they share.

    Arguments:
        order: of the rows; see `switching.ORDERS`.
        lead: place of the run that makes the order; the first one where that has no experts.

    Raises:
        KeyError: no run holds weights of several experts, or they share no sample.
    """
    found: list[tuple[int, Subject, Leading]] = []
    for place, subject in enumerate(subjects):
        if "weights" in subject.trace and subject.trace.sizes.get("expert", 1) > 1:
            found.append((place, subject, leading(subject.trace)))
    if not found:
        raise KeyError("weights")
    shared = sorted(set.intersection(*(set(who.seeds.tolist()) for _, _, who in found)))
    if not shared:
        raise KeyError("sample")
    drawn = np.array(shared[:MOST_ROWS])
    some = [_rows(who, drawn) for _, _, who in found]
    index = next((i for i, (place, _, _) in enumerate(found) if place == lead), 0)
    rows = order_of(some[index], order)
    panels = tuple(
        _panel(subject.label, place, _rows(who, drawn[rows]), whole=who)
        for (place, subject, who) in found
    )
    return LeadersInfo(order, panels[index].label, drawn[rows], panels, len(shared) - len(drawn))


def _rows(who: Leading, seeds: np.ndarray) -> Leading:
    """The leaders of these samples, in this order."""
    place = {int(seed): row for row, seed in enumerate(who.seeds)}
    some = np.array([place[int(seed)] for seed in seeds])
    return who._replace(
        expert=who.expert[:, some],
        alone=who.alone[:, some],
        only=who.only[:, some],
        seeds=who.seeds[some],
    )


def _panel(label: str, place: int, who: Leading, *, whole: Leading) -> LeadersPanel:
    """Numbers are of all samples, also of those that are not drawn."""
    changed = whole.first[whole.first > 0]
    return LeadersPanel(
        label,
        place,
        who,
        estimate_mean(whole.switches, "changes of the leading expert"),
        estimate_mean(changed, "step of the first change, of the samples that change"),
        float(whole.alone.mean()),
        float(whole.only.mean()),
    )


def figure(info: LeadersInfo, look: Look, *, height: int = 460) -> go.Figure:
    """Each panel is one picture: thousands of rows cost what one costs."""
    count = len(info.panels)
    chart = make_subplots(
        rows=1,
        cols=count,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[_title(panel, look, count) for panel in info.panels],
        figure=base_figure(look, height=height),
    )
    palette = np.array(
        [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in expert_colours(info.experts)],
        dtype=np.uint8,
    )
    for column, panel in enumerate(info.panels):
        chart.add_image(
            source=data_url(palette[panel.who.expert.T]),
            hovertemplate="step %{x}, row %{y}<extra></extra>",
            row=1,
            col=column + 1,
        )
    for k in range(info.experts):
        chart.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=f"expert {k}",
            marker={"size": 10, "symbol": "square", "color": expert_colours(info.experts)[k]},
        )
    chart.update_xaxes(title_text="step", showgrid=False, constrain="domain")
    chart.update_yaxes(scaleanchor=False, showgrid=False, showticklabels=False)
    chart.update_yaxes(title_text=f"samples by {ORDERS[info.order]}", col=1)
    chart.update_annotations(font={"size": 12, "color": look.ink})
    chart.update_layout(hovermode="closest", legend={"y": -0.12, "yanchor": "top"})
    return chart


def _title(panel: LeadersPanel, look: Look, count: int) -> str:
    """Who it is; nothing where there is nobody to tell it from."""
    return f"{run_style(panel.place, look).letter}  {plain(panel.label, 32)}" if count > 1 else ""


def table(info: LeadersInfo) -> pd.DataFrame:
    """A row per run and sample, in the order of the picture."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "run": panel.label,
                    "row": np.arange(len(info.seeds)),
                    "sample": info.seeds,
                    "first_expert": panel.who.expert[0],
                    "final_expert": panel.who.expert[-1],
                    "switches": panel.who.switches,
                    "first_switch": np.where(panel.who.first > 0, panel.who.first, -1),
                    "steps_tied": (~panel.who.alone).sum(axis=0),
                }
            )
            for panel in info.panels
        ],
        ignore_index=True,
    )
