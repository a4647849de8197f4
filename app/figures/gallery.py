"""The samples of every cell of the paradox map in their place, the same seeds everywhere."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import Look, base_figure, plain
from app.figures.paradox import MapInfo, k_name
from app.figures.paradox_map import frames, targets

__all__ = ["figure"]

#: What the pictures share in width, in pixels; none is drawn larger or smaller than this.
_WIDTH, _SMALLEST, _LARGEST = 1050, 84, 150


def figure(info: MapInfo, look: Look) -> go.Figure:
    """A block per error; frames as on the map."""
    blocks, ks, temperatures = len(info.errors), len(info.ks), len(info.temperatures)
    pixels = min(max(_WIDTH // (blocks * temperatures), _SMALLEST), _LARGEST)
    chart = make_subplots(
        rows=1,
        cols=blocks,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        column_titles=[
            f"experts' error outside their cluster: <b>{plain(f'{error:g}')}</b>"
            for error in info.errors
        ]
        if blocks > 1
        else None,
        figure=base_figure(look, height=pixels * ks + 74),
    )
    chart.update_annotations(font={"size": 12, "color": look.muted})
    for e in range(blocks):
        where = {"row": 1, "col": e + 1}
        for k in range(ks):
            for t in range(temperatures):
                picture = info.pictures[e][k][t]
                if picture is not None:
                    chart.add_layout_image(
                        source=picture,
                        x=t,
                        y=k,
                        xanchor="center",
                        yanchor="middle",
                        sizex=0.92,
                        sizey=0.92,
                        **where,
                    )
        frames(chart, info, e, look, where)
        targets(chart, info, e, where)
    ticks = {"size": 12, "color": look.ink}
    chart.update_xaxes(
        range=[-0.5, temperatures - 0.5],
        tickvals=list(range(temperatures)),
        ticktext=[f"{t:g}" for t in info.temperatures],
        title_text="router temperature",
        showgrid=False,
        fixedrange=True,
        tickfont=ticks,
    )
    chart.update_yaxes(
        range=[-0.5, ks - 0.5],
        tickvals=list(range(ks)),
        ticktext=[k_name(k, info.experts) for k in info.ks],
        showgrid=False,
        fixedrange=True,
        tickfont=ticks,
    )
    chart.update_layout(
        hovermode="closest", clickmode="event+select", hoverdistance=80, margin={"t": 26, "b": 8}
    )
    return chart
