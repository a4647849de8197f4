"""The paradox map as a picture: heatmaps with iso-lines, marks and the two published orders."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.claims import colour_of, shown, written
from app.figures.look import Look, alpha, base_figure, plain, scale
from app.figures.paradox import Layer, MapInfo, cell_name, k_name, place_of

__all__ = ["ORDERS", "figure", "frames", "targets"]

#: Beyond this ratio colours are on a logarithmic scale.
_WIDE = 2.5
_ROW, _STRIP = 46, 30  # pixels of a row of cells, and of a row of the strip above them
#: What is not clicked on does not fade.
_AS_IT_IS = {"marker": {"opacity": 1}}
_STRIPS = ("DDM order", "Paris order")
#: What the rows above the cells say, as Markdown.
ORDERS = (
    "*Paris order*: Top-2 is the best and the full ensemble the worst, as the paper on Paris "
    "reports it; *DDM order*: the full ensemble beats the monolith, as the paper on DDM reports "
    "it; *unclear*: the intervals overlap."
)


def figure(info: MapInfo, look: Look) -> go.Figure:
    """A row of panels per error, a panel per quantity; darker is larger.

    Quality marks its best and its worst cell of each column, the others their most stable one; a
    frame is where the most stable cell is the worst. The strip above says which published order
    is seen at each temperature.
    """
    count, layers = len(info.errors), len(info.layers)
    strip = 0.62 * len(_STRIPS) + 0.12
    panel = _ROW * len(info.ks) + _STRIP * len(_STRIPS)
    gap = 44 if count > 1 else 0
    height = panel * count + gap * (count - 1) + 128
    inner = panel * count + gap * (count - 1)
    chart = make_subplots(
        rows=count,
        cols=layers,
        shared_yaxes=True,
        shared_xaxes=True,
        horizontal_spacing=0.025,
        vertical_spacing=gap / inner if count > 1 else 0.0,
        column_titles=[f"<b>{plain(layer.title)}</b>" for layer in info.layers],
        figure=base_figure(look, height=height),
    )
    chart.update_annotations(font={"size": 13, "color": look.ink})
    for e in range(count):
        for i, layer in enumerate(info.layers):
            where = {"row": e + 1, "col": i + 1}
            _cells(chart, info, layer, e, look, where)
            _lines(chart, _painted(layer.values)[e], look, where)
            frames(chart, info, e, look, where)
            _marks(chart, info, layer, e, where)
            _own(chart, info, where)
            targets(chart, info, e, where)
        _strip(chart, info, e, look)
        if count > 1:
            _error(chart, info, e, look)
    _legend(chart, info, look)
    _axes(chart, info, strip, look)
    return chart


def _axes(chart: go.Figure, info: MapInfo, strip: float, look: Look) -> None:
    rows = [*range(len(info.ks)), *(len(info.ks) + 0.05 + 0.62 * i for i in range(len(_STRIPS)))]
    names = [*(k_name(k, info.experts) for k in info.ks), *(f"<i>{name}</i>" for name in _STRIPS)]
    chart.update_yaxes(
        range=[-0.5, len(info.ks) - 0.5 + strip + 0.15],
        tickvals=rows,
        ticktext=names,
        showgrid=False,
        fixedrange=True,
        tickfont={"size": 12, "color": look.ink},
    )
    chart.update_xaxes(
        range=[-0.5, len(info.temperatures) - 0.5],
        tickvals=list(range(len(info.temperatures))),
        ticktext=[f"{t:g}" for t in info.temperatures],
        showgrid=False,
        fixedrange=True,
        tickfont={"size": 12, "color": look.ink},
    )
    for i in range(len(info.layers)):
        chart.update_xaxes(title_text="router temperature", row=len(info.errors), col=i + 1)
    chart.update_layout(
        hovermode="closest",
        clickmode="event+select",
        hoverdistance=60,
        margin={"t": 74, "b": 44, "r": 8},
        legend={"y": 1.0, "yref": "container", "yanchor": "top", "x": 0, "itemwidth": 30},
    )


def _cells(
    chart: go.Figure, info: MapInfo, layer: Layer, e: int, look: Look, where: dict[str, int]
) -> None:
    painted = _painted(layer.values)
    ends = painted[np.isfinite(painted)]
    low, high = float(ends.min()), float(ends.max())
    digits = 3 if len(info.temperatures) * len(info.layers) <= 12 else 2
    texts = [[_short(v, digits) for v in row] for row in layer.values[e]]
    chart.add_heatmap(
        z=painted[e],
        x=list(range(len(info.temperatures))),
        y=list(range(len(info.ks))),
        # Half of the scale stays free: the darkest cell still shows a mark, and errors share it.
        zmin=low - 0.12 * (high - low),
        zmax=high + 0.25 * (high - low) + 1e-12,
        colorscale=scale(look),
        xgap=3,
        ygap=3,
        text=texts,
        texttemplate="%{text}",
        textfont={"size": 12},
        showscale=False,
        hoverinfo="skip",
        **where,
    )


def _short(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return text.replace("-", "−")


def _painted(values: np.ndarray) -> np.ndarray:
    """Values as colours show them: logarithms where they differ much."""
    known = values[np.isfinite(values)]
    if not len(known) or known.max() <= 0 or known.max() <= _WIDE * max(float(known.min()), 0):
        return values
    # What is zero or below, as an unbiased estimate of a distance may be, is as pale as can be.
    least = max(float(known.min()), float(known.max()) / 300)
    return np.log(np.maximum(values, least))


def _lines(chart: go.Figure, values: np.ndarray, look: Look, where: dict[str, int]) -> None:
    """Lines of equal value at quarters of the colour scale, where there are enough cells."""
    known = np.isfinite(values)
    if min(values.shape) < 2 or known.sum() < 4 or np.ptp(values[known]) == 0:
        return
    low, high = float(values[known].min()), float(values[known].max())
    for share in (0.25, 0.5, 0.75):
        level = low + share * (high - low)
        chart.add_contour(
            z=values,
            x=list(range(values.shape[1])),
            y=list(range(values.shape[0])),
            contours={"coloring": "none", "start": level, "end": level, "size": 1.0},
            autocontour=False,
            line={"color": alpha(look.muted, 0.45), "width": 1.0, "smoothing": 1.0},
            showscale=False,
            showlegend=False,
            hoverinfo="skip",
            **where,
        )


def _marks(chart: go.Figure, info: MapInfo, layer: Layer, e: int, where: dict[str, int]) -> None:
    kinds: list[tuple[str, str, list[int | None]]] = []
    columns = info.columns[e]
    if layer.name == "quality":
        kinds = [
            ("best", "star", [one.best for one in columns]),
            ("worst", "x", [one.worst for one in columns]),
        ]
    elif layer.name == "delta_refine":
        kinds = [("stable", "diamond", [one.best_converged for one in columns])]
    else:
        kinds = [("stable", "diamond", [one.smoothest for one in columns])]
    for kind, symbol, ks in kinds:
        spots = [(t, info.ks.index(k)) for t, k in enumerate(ks) if k in info.ks]
        chart.add_scatter(
            x=[t + 0.33 for t, _ in spots],
            y=[row + 0.27 for _, row in spots],
            mode="markers",
            marker=_marker(kind, symbol),
            unselected=_AS_IT_IS,
            hoverinfo="skip",
            showlegend=False,
            **where,
        )


def _marker(kind: str, symbol: str) -> dict[str, object]:
    return {
        "symbol": symbol,
        "size": 12 if kind == "best" else 10,
        "color": "#FFFFFF" if kind == "worst" else "#F0E442",
        "line": {"color": "#1B2028", "width": 1.2},
    }


def frames(chart: go.Figure, info: MapInfo, e: int, look: Look, where: dict[str, int]) -> None:
    """A frame around the cell that is both the most stable and the worst."""
    for t, column in enumerate(info.columns[e]):
        if column.paradox and column.worst in info.ks:
            row = info.ks.index(column.worst)
            chart.add_shape(
                type="rect",
                x0=t - 0.47,
                x1=t + 0.47,
                y0=row - 0.46,
                y1=row + 0.46,
                line={"color": colour_of("contradicted", look), "width": 3.5},
                **where,
            )


def _own(chart: go.Figure, info: MapInfo, where: dict[str, int]) -> None:
    """Where the system's own router sits: its fitted temperature, with the interval."""
    at = place_of(info.router_temperature[0], info.temperatures)
    if at is None:
        return
    low, high = (place_of(one, info.temperatures) for one in info.router_temperature[1:])
    top = len(info.ks) - 0.48
    if low is not None and high is not None:
        for y in (-0.5, top):
            chart.add_scatter(
                x=[low, high],
                y=[y, y],
                mode="lines",
                line={"color": alpha(_OWN, 0.6), "width": 6},
                hoverinfo="skip",
                showlegend=False,
                **where,
            )
    # Not a line: it would go through the numbers.
    chart.add_scatter(
        x=[at, at],
        y=[-0.5, top],
        mode="markers",
        marker=_OWN_MARKER | {"symbol": ["triangle-up", "triangle-down"]},
        unselected=_AS_IT_IS,
        hoverinfo="skip",
        showlegend=False,
        **where,
    )


_OWN = "#009E73"
_OWN_MARKER = {"size": 13, "color": _OWN, "line": {"color": "#FFFFFF", "width": 1}}


def targets(chart: go.Figure, info: MapInfo, e: int, where: dict[str, int]) -> None:
    """What is hovered over and clicked on: a heatmap's own cells cannot be selected."""
    spots = [(t, k) for k in range(len(info.ks)) for t in range(len(info.temperatures))]
    lines = [
        "<br>".join(
            f"{plain(layer.title)} {written(*layer.at((e, k, t)))}, n = {layer.n[e, k, t]:,}"
            for layer in info.layers
        )
        for t, k in spots
    ]
    chart.add_scatter(
        x=[t for t, _ in spots],
        y=[k for _, k in spots],
        mode="markers",
        marker={"size": 40, "symbol": "square", "color": "rgba(0,0,0,0)"},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[
            [cell_name(info, e, k, t), plain(info.routers[e][k][t] or "not measured"), line]
            for (t, k), line in zip(spots, lines, strict=True)
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}"
        "<extra></extra>",
        showlegend=False,
        **where,
    )


def _strip(chart: go.Figure, info: MapInfo, e: int, look: Look) -> None:
    """Above the quality: at which temperatures each published order is seen."""
    for t, column in enumerate(info.columns[e]):
        seen = (
            (column.ddm, column.ddm_clear, colour_of("supported", look)),
            (column.paris, column.separated, colour_of("contradicted", look)),
        )
        for i, (holds, clear, colour) in enumerate(seen):
            if holds is None:
                continue
            y = len(info.ks) + 0.05 + 0.62 * i
            chart.add_shape(
                type="rect",
                x0=t - 0.47,
                x1=t + 0.47,
                y0=y - 0.24,
                y1=y + 0.24,
                fillcolor=alpha(colour, 0.9) if holds and clear else "rgba(0,0,0,0)",
                line={"color": colour if holds else look.grid, "width": 1.4},
                row=e + 1,
                col=1,
            )
            chart.add_annotation(
                x=t,
                y=y,
                text="yes" if holds and clear else "unclear" if holds else "no",
                showarrow=False,
                font={
                    "size": 11,
                    "color": look.paper if holds and clear else colour if holds else look.muted,
                },
                row=e + 1,
                col=1,
            )


def _error(chart: go.Figure, info: MapInfo, e: int, look: Look) -> None:
    """Which error of the experts a row of panels has."""
    chart.add_annotation(
        x=len(info.temperatures) - 0.5,
        y=len(info.ks) + 0.35,
        xanchor="right",
        text=f"experts' error outside their cluster: <b>{info.errors[e]:g}</b>",
        showarrow=False,
        font={"size": 12, "color": look.muted},
        row=e + 1,
        col=len(info.layers),
    )


def _legend(chart: go.Figure, info: MapInfo, look: Look) -> None:
    entries: list[tuple[str, dict[str, object]]] = [
        ("best", _marker("best", "star")),
        ("worst", _marker("worst", "x")),
        ("most stable", _marker("stable", "diamond")),
    ]
    if any(column.paradox for row in info.columns for column in row):
        frame = {"color": colour_of("contradicted", look), "width": 3}
        box: dict[str, object] = {"symbol": "square-open", "size": 13, "line": frame}
        box["color"] = frame["color"]
        entries.append(("the paradox: most stable is worst", box))
    for name, drawn in entries:
        chart.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=drawn)
    own = info.router_temperature[0]
    if place_of(own, info.temperatures) is not None:
        name = f"the router's own temperature: {shown(own)}"
        marker: dict[str, object] = {**_OWN_MARKER, "symbol": "triangle-up"}
        chart.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)
    chart.update_layout(legend_font={"color": look.ink})
