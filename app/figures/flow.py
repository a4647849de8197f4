"""What flow does a route make? Its field at every step, with what the stored run says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from app.figures.look import Look, base_figure, expert_colour, plain, run_style
from ddm_core.intervals import Estimate, estimate_mean
from ddm_core.records import RunRecord

__all__ = [
    "GROUNDS",
    "FlowInfo",
    "FlowPanel",
    "figure",
    "finding",
    "flow_info",
    "flow_scale",
    "table",
    "written",
]

#: What the colour of the ground can be.
GROUNDS = {
    "disagreement": "disagreement of the experts (rad)",
    "lipschitz": "local Lipschitz constant",
    "speed": "speed |v|",
}
_COMETS = 15  # along each side of the figure
_REACH = 0.1  # of t: how far a comet goes


class FlowPanel(NamedTuple):
    """The flow of one route.

    Arguments:
        place: of the run in the comparison.
        flow: see `ddm_core.analysis.field.field_of`.
        lipschitz: mean local Lipschitz constant along the path, and where it comes from.
        steep: the same of each sample, by its seed.
        distance: energy distance to the data, as the run has it.
    """

    label: str
    place: int
    flow: xr.Dataset
    lipschitz: Estimate
    steep: pd.Series
    distance: Estimate


class FlowInfo(NamedTuple):
    """Routes on one system.

    Arguments:
        bounds: of the ground's colours by name, (low, high) over all panels and steps.
    """

    panels: tuple[FlowPanel, ...]
    bounds: dict[str, tuple[float, float]]


def flow_info(
    records: Sequence[RunRecord],
    labels: Sequence[str],
    flows: Sequence[xr.Dataset],
    traces: Sequence[xr.Dataset],
) -> FlowInfo:
    """Fields and numbers of these runs."""
    panels = tuple(
        FlowPanel(label, place, flow, *_lipschitz(trace, flow), _distance(record))
        for place, (record, label, flow, trace) in enumerate(
            zip(records, labels, flows, traces, strict=True)
        )
    )
    bounds: dict[str, tuple[float, float]] = {}
    for name in GROUNDS:
        values = np.concatenate([ground(flow, name).ravel() for flow in flows])
        least, low, high = np.quantile(values, (0.0, 0.02, 0.98))
        bounds[name] = (float(max(least, low)), max(float(high), float(low) + 1e-9))
    bounds["speed"] = (0.0, bounds["speed"][1])
    return FlowInfo(panels, bounds)


def ground(flow: xr.Dataset, name: str) -> np.ndarray:
    """The variable that colours the ground, float64 [step, y, x]."""
    if name == "speed":
        return np.linalg.norm(flow["velocity"].values.astype(np.float64), axis=3)
    return flow[name].values.astype(np.float64)


def share(values: np.ndarray, name: str, bounds: tuple[float, float]) -> np.ndarray:
    """Where values lie between the bounds, 0 to 1; by decades where they span several."""
    low, high = bounds
    if name == "lipschitz":
        low, high = max(low, 1e-3), max(high, 2e-3)
        values, low, high = np.log(np.maximum(values, 1e-6)), np.log(low), np.log(high)
    return np.clip((values - low) / (high - low), 0, 1)


def _lipschitz(trace: xr.Dataset, flow: xr.Dataset) -> tuple[Estimate, pd.Series]:
    """Of the run where it was measured, else along the ways that were simulated again."""
    where, name = (trace, "local_lipschitz")
    what = "sigma_max(dv/dx) as the run has it, mean over steps"
    if name not in trace:
        where, name, what = (flow, "path_lipschitz", "sigma_max(dv/dx), mean over steps")
    values = where[name].transpose("step", "sample").values.astype(np.float64).mean(axis=0)
    each = pd.Series(values, index=where["sample"].values).dropna()
    return estimate_mean(each.to_numpy(), what), each


def _distance(record: RunRecord) -> Estimate:
    said = record.metrics.get("energy_distance", {})
    value, low, high = (said.get(name) for name in ("value", "low", "high"))
    return Estimate(value, low, high, int(said.get("n") or 0), str(said.get("protocol", "")))


def written(one: Estimate, digits: int = 2) -> str:
    """A number with its interval and n."""
    if one.value is None:
        return "not measured"
    text = f"{one.value:.{digits}f}"
    if one.low is not None and one.high is not None:
        text += f" [{one.low:.{digits}f}, {one.high:.{digits}f}]"
    return f"{text}, n = {one.n:,}"


def finding(info: FlowInfo) -> str:
    """What the numbers of the panels say together; "" where they say nothing."""
    known = [
        panel
        for panel in info.panels
        if panel.lipschitz.high is not None and panel.distance.high is not None
    ]
    if len(known) < 2:
        return ""
    smooth = min(known, key=lambda panel: panel.lipschitz.value or 0)
    worst = max(known, key=lambda panel: panel.distance.value or 0)
    best = min(known, key=lambda panel: panel.distance.value or 0)
    others = [panel for panel in known if panel is not smooth]
    smoother = all(_steeper(smooth, other) for other in others)
    farther = all(_below(other.distance, smooth.distance) for other in others)
    if smooth is worst and smoother and farther:
        return (
            f"The paradox: {smooth.label} is the smoothest flow and the farthest from the data. "
            "Its router goes on asking experts whose data are elsewhere: the mixed field points "
            "between the clusters, and the more it averages, the smoother it is."
        )
    if smooth is best:
        return f"{smooth.label} is the smoothest flow here and the nearest to the data."
    return (
        f"{smooth.label} is the smoothest flow here, {best.label} the nearest to the data, "
        f"{worst.label} the farthest; look at the intervals before you rank them."
    )


def _steeper(smooth: FlowPanel, other: FlowPanel) -> bool:
    """Whether the other flow is the steeper one, sample by sample: both start from one noise."""
    more = estimate_mean((other.steep - smooth.steep).dropna().to_numpy(), "difference")
    return more.low is not None and more.low > 0


def _below(one: Estimate, other: Estimate) -> bool:
    """Whether the intervals are apart."""
    return one.high is not None and other.low is not None and one.high < other.low


def flow_scale(look: Look) -> tuple[str, ...]:
    """Colours of the ground: from the page itself to violet, which no expert has."""
    if look.dark:
        return ("#10141C", "#1A1B31", "#29264E", "#3E3674", "#584A98", "#7B69B8", "#A695D8")
    return ("#FFFFFF", "#F4F3F9", "#E4E1F0", "#CBC5E3", "#ABA2D2", "#887CBD", "#6455A3")


def figure(info: FlowInfo, look: Look, *, name: str = "disagreement", frame: int = 0) -> go.Figure:
    """The fields at one frame: the ground, comets along the flow, samples and their twins."""
    count = len(info.panels)
    chart = make_subplots(
        rows=1,
        cols=count,
        horizontal_spacing=0.03,
        subplot_titles=[
            f"{run_style(panel.place, look).letter}  {plain(panel.label, 32)}"
            for panel in info.panels
        ],
        figure=base_figure(look, height=440),
    )
    stops = flow_scale(look)
    colours = [(i / (len(stops) - 1), colour) for i, colour in enumerate(stops)]
    for column, panel in enumerate(info.panels, start=1):
        flow = panel.flow.isel(step=frame)
        values = share(ground(panel.flow, name)[frame], name, info.bounds[name])
        chart.add_heatmap(
            x=flow["x"].values,
            y=flow["y"].values,
            z=values,
            zmin=0,
            zmax=1,
            zsmooth="best",
            colorscale=colours,
            showscale=False,
            hoverinfo="skip",
            row=1,
            col=column,
        )
        x, y = _comets(flow)
        _line(chart, x, y, {"color": look.ink, "width": 0.8}, column, 0.5)
        for points, dash in (("twin", "dot"), ("state", "solid")):
            ways = panel.flow[points].values[: frame + 1]
            gap = np.full((1, *ways.shape[1:]), np.nan)
            joined = np.concatenate((ways, gap)).transpose(1, 0, 2).reshape(-1, 2)
            width = 1.2 if points == "state" else 0.7
            _line(
                chart,
                joined[:, 0],
                joined[:, 1],
                {"color": look.ink, "width": width, "dash": dash},
                column,
                0.6,
            )
        here, leader = flow["state"].values, flow["leader"].values
        chart.add_scatter(
            x=here[:, 0],
            y=here[:, 1],
            mode="markers",
            marker={
                "size": 7,
                "color": [expert_colour(int(k)) for k in leader],
                "line": {"color": look.paper, "width": 1},
            },
            text=[f"sample {seed}" for seed in flow["sample"].values],
            hoverinfo="text",
            row=1,
            col=column,
        )
        chart.update_yaxes(
            scaleanchor="x" if column == 1 else f"x{column}", visible=False, row=1, col=column
        )
    chart.update_xaxes(visible=False)
    chart.update_annotations(font={"size": 12, "color": look.ink})
    chart.update_layout(hovermode="closest", showlegend=False, margin={"t": 30, "b": 4})
    return chart


def _line(
    chart: go.Figure, x: np.ndarray, y: np.ndarray, line: dict[str, object], column: int, o: float
) -> None:
    chart.add_scatter(
        x=x, y=y, mode="lines", line=line, opacity=o, hoverinfo="skip", row=1, col=column
    )


def _comets(flow: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Short lines from points of the grid along the motion, with nan between."""
    every = max(1, flow.sizes["x"] // _COMETS)
    some = flow.isel(x=slice(every // 2, None, every), y=slice(every // 2, None, every))
    x, y = np.meshgrid(some["x"].values, some["y"].values)
    step = -_REACH * some["velocity"].values.astype(np.float64)
    longest = float(np.diff(some["x"].values).min()) * 0.9
    length = np.linalg.norm(step, axis=2, keepdims=True)
    step = step * np.minimum(1, longest / np.maximum(length, 1e-12))
    gap = np.full(x.shape, np.nan)
    lines = [np.stack(one, axis=-1).ravel() for one in ((x, x + step[..., 0], gap),)]
    lines += [np.stack((y, y + step[..., 1], gap), axis=-1).ravel()]
    return lines[0], lines[1]


def table(info: FlowInfo, frame: int) -> pd.DataFrame:
    """The fields at one frame, a row per route and point of the grid."""
    parts: list[pd.DataFrame] = []
    for panel in info.panels:
        flow = panel.flow.isel(step=frame)
        x, y = np.meshgrid(flow["x"].values, flow["y"].values)
        parts.append(
            pd.DataFrame(
                {
                    "run": panel.label,
                    "step": int(flow["step"]),
                    "t": float(flow["t"]),
                    "x": x.ravel(),
                    "y": y.ravel(),
                    "v_x": flow["velocity"].values[..., 0].ravel(),
                    "v_y": flow["velocity"].values[..., 1].ravel(),
                    "disagreement": flow["disagreement"].values.ravel(),
                    "lipschitz": flow["lipschitz"].values.ravel(),
                    "leading_expert": flow["weights"].values.argmax(axis=2).ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
