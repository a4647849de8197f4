"""The horizontal axis of figures over time: step, t, or the signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from app.figures.subjects import AXES

__all__ = ["over_time"]

_MOST_TICKS = 5


def over_time(chart: go.Figure, axis: str, x: np.ndarray) -> None:
    """Name and turn all x axes of a chart, so that noise is on the left and data on the right.

    Arguments:
        axis: one of AXES.
        x: where the steps lie, from `subjects.axis_of`.
    """
    chart.update_xaxes(title_text=AXES[axis])
    if axis == "t":
        chart.update_xaxes(autorange="reversed")
    if axis == "snr":
        decades = _decades(x)
        chart.update_xaxes(
            type="log",
            tickvals=[10.0**d for d in decades],
            ticktext=["1" if d == 0 else f"10<sup>{d}</sup>".replace("-", "−") for d in decades],
        )


def _decades(x: np.ndarray) -> list[int]:
    """Powers of ten within the steps, few enough to be read in a narrow panel; 1 among them."""
    known = x[np.isfinite(x) & (x > 0)]
    if not len(known):
        return [0]
    low, high = int(np.ceil(np.log10(known.min()))), int(np.floor(np.log10(known.max())))
    every = max(1, -(-(high - low + 1) // _MOST_TICKS))
    return [d for d in range(low, high + 1) if d % every == 0] or [low]
