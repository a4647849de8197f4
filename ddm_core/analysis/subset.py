"""Some of a run's samples: which stand out by a variable, and how their numbers differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ddm_core.errors import RequestError, unknown
from ddm_core.intervals import Estimate
from ddm_core.summary import summarize

__all__ = ["SubsetRow", "by_sample", "extreme", "rankable", "sample_table", "subset_rows"]

#: What the chosen are compared by, where it was recorded.
_NUMBERS = (
    "selected_distance",
    "selected_minus_chance",
    "disagreement",
    "perturbation_growth_median",
    "entropy",
)


class SubsetRow(NamedTuple):
    """One number of the chosen samples beside the same of all others.

    Arguments:
        name: as `summarize` has it.
        chosen, others: each with interval and n.
    """

    name: str
    chosen: Estimate
    others: Estimate


def subset_rows(trace: xr.Dataset, seeds: Sequence[int]) -> tuple[SubsetRow, ...]:
    """The main numbers of some samples of a run and of its others.

    Whoever was chosen by a variable differs in it by construction; what else differs is a finding.

    Arguments:
        seeds: those that the run does not hold are left out.
    """
    mine = np.isin(trace["sample"].values, np.asarray(list(seeds), dtype=np.int64))
    if not mine.any():
        return ()
    chosen = summarize(trace.isel(sample=np.flatnonzero(mine)), math.nan)
    others = (
        summarize(trace.isel(sample=np.flatnonzero(~mine)), math.nan) if not mine.all() else {}
    )
    nothing = Estimate(None, None, None, 0, "no others")
    return tuple(
        SubsetRow(name, chosen[name], others.get(name, nothing))
        for name in _NUMBERS
        if name in chosen
    )


def rankable(trace: xr.Dataset) -> list[str]:
    """The variables by which samples can be put in order: those of dims [step, sample]."""
    ours = {"step", "sample"}
    return [str(name) for name, one in trace.data_vars.items() if set(one.dims) == ours]


def by_sample(trace: xr.Dataset, name: str) -> np.ndarray:
    """The mean over steps of a variable, float64 [sample]; nan where it was not measured.

    Raises:
        RequestError: the trace has no such variable of dims [step, sample].
    """
    if name not in rankable(trace):
        raise unknown("variable of step and sample", name, rankable(trace))
    return trace[name].transpose("step", "sample").values.astype(np.float64).mean(axis=0)


def extreme(
    trace: xr.Dataset, name: str, share: float, *, highest: bool = True
) -> tuple[int, ...]:
    """Seeds of the samples with the highest or lowest mean of a variable over the path.

    Arguments:
        share: of the measured samples, in (0, 1]; at least one is taken. Equals go by seed.

    Raises:
        RequestError: no such variable, or a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise RequestError(f"a share lies between 0 and 1, and {share:g} does not")
    values = by_sample(trace, name)
    seeds = trace["sample"].values
    measured = np.flatnonzero(~np.isnan(values))
    if not len(measured):
        return ()
    count = max(1, round(share * len(measured)))
    order = np.lexsort((seeds[measured], -values[measured] if highest else values[measured]))
    return tuple(sorted(int(seed) for seed in seeds[measured[order[:count]]]))


def sample_table(trace: xr.Dataset) -> pd.DataFrame:
    """One row per sample: its seed, and the mean over steps of each variable of its own."""
    columns = {name: by_sample(trace, name) for name in rankable(trace)}
    return pd.DataFrame({"seed": trace["sample"].values, **columns})
