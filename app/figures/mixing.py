"""How many experts a route mixes, as a colour: from one to all, even on a scale of doublings."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from app.audits.file import Route
from app.figures.look import Look

__all__ = ["mix_colour", "mix_key", "mixed"]

#: From one expert to all of them; told apart by lightness too.
_MIX_LIGHT = ("#E3B505", "#4A9C8C", "#1B3B6F")
_MIX_DARK = ("#F2D15C", "#4FB3A2", "#7C9BEF")


def mixed(route: Route) -> float:
    """How many experts a route mixes: as it says, else as many as it asked on average."""
    return float(route.k or max(route.calls or 1.0, 1.0))


def mix_colour(count: float, experts: int, look: Look) -> str:
    """The colour of a number of experts mixed, "#rrggbb", even on a scale of doublings."""
    stops = _MIX_DARK if look.dark else _MIX_LIGHT
    share = math.log2(max(count, 1.0)) / math.log2(max(experts, 2))
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    parts = [
        round(int(stops[first][i : i + 2], 16) * (first + 1 - place))
        + round(int(stops[first + 1][i : i + 2], 16) * (place - first))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{min(part, 255):02X}" for part in parts)


def mix_key(chart: go.Figure, experts: int, look: Look) -> None:
    """The scale of colours: how many experts are mixed."""
    counts = [2**i for i in range(int(math.log2(max(experts, 1))) + 1)]
    if experts not in counts:
        counts.append(experts)
    chart.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        showlegend=False,
        hoverinfo="skip",
        marker={
            "color": [0.0],
            "cmin": 0.0,
            "cmax": math.log2(max(experts, 2)),
            "colorscale": [
                [i / 16, mix_colour(max(experts, 2) ** (i / 16), experts, look)] for i in range(17)
            ],
            "showscale": True,
            "colorbar": {
                "thickness": 8,
                "len": 0.6,
                "outlinewidth": 0,
                "tickvals": [math.log2(count) for count in counts],
                "ticktext": [str(count) for count in counts],
                "tickfont": {"size": 11, "color": look.muted},
                "title": {
                    "text": "experts mixed",
                    "side": "right",
                    "font": {"size": 11, "color": look.muted},
                },
            },
        },
    )
