"""What figures are about: runs with their traces, and the numbers that are taken out of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

__all__ = [
    "AXES",
    "Band",
    "Subject",
    "axes_of",
    "axis_name",
    "axis_of",
    "band",
    "long_name",
    "measured",
    "rows",
    "together",
]

#: What the horizontal axis of figures over time can be.
AXES = {
    "step": "step",
    "t": "t (1 = noise, 0 = data)",
    "snr": "signal to noise, alpha² / sigma²",
}


class Subject(NamedTuple):
    """A run as a figure needs it.

    Arguments:
        label: what the legend calls it; escaped when drawn.
        trace: see ddm_core.trace.
    """

    label: str
    trace: xr.Dataset


class Band(NamedTuple):
    """A statistic over samples at each step.

    Arguments:
        median, low, high: [step]; low and high are the 10% and 90% quantiles of the samples.
        n: samples that were measured.
    """

    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def measured(variable: xr.DataArray) -> np.ndarray:
    """Values [step, sample, ...] as float64 of the samples on which the variable was measured."""
    values = np.asarray(variable.transpose("step", "sample", ...).values, dtype=np.float64)
    return values[:, rows(variable)]


def rows(variable: xr.DataArray) -> np.ndarray:
    """Which samples were measured, bool [sample]: the others are nan at every step."""
    values = np.asarray(variable.transpose("sample", ...).values, dtype=np.float64)
    return np.asarray(np.isfinite(values.reshape(len(values), -1)).any(axis=1))


def band(values: np.ndarray) -> Band:
    """Median and the middle 80% over samples of [step, sample]."""
    if values.shape[1] == 0:
        nothing = np.full(len(values), np.nan)
        return Band(nothing, nothing, nothing, 0)
    with warnings.catch_warnings():
        # A step at which nobody was measured is nan, which is what it should be.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, median, high = np.nanquantile(values, (0.1, 0.5, 0.9), axis=1)
    return Band(median, low, high, values.shape[1])


def axes_of(subjects: Sequence[Subject]) -> list[str]:
    """Which axes there are for all of them: a trace of an old run lacks the SNR."""
    return [axis for axis in AXES if all(axis in subject.trace.coords for subject in subjects)]


def axis_name(axis: str) -> str:
    """What the choice of an axis says."""
    return "by SNR" if axis == "snr" else f"by {axis}"


def axis_of(trace: xr.Dataset, axis: str = "step") -> np.ndarray:
    """Where the steps lie on the horizontal axis, float64 [step].

    Pure noise has SNR 0, which no logarithmic axis holds: it stands as far left of its neighbour
    as the next one stands right of it.
    """
    places = np.asarray(trace[axis].values, dtype=np.float64)
    if axis != "snr" or not (places == 0).any():
        return places
    above = np.sort(places[places > 0])
    least = above[0] ** 2 / above[1] if len(above) > 1 else above[0] / 10 if len(above) else 1e-3
    return np.where(places == 0, least, places)


def long_name(variable: xr.DataArray) -> str:
    """Name in words with its unit."""
    name = str(variable.attrs.get("long_name") or str(variable.name).replace("_", " "))
    units = str(variable.attrs.get("units") or "")
    return f"{name} ({units})" if units else name


def together(subjects: Sequence[Subject], name: str) -> list[Subject]:
    """The subjects that hold a variable."""
    return [subject for subject in subjects if name in subject.trace]
