"""What sampling gives: samples, their trace, and what they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from torch import Tensor

from ddm_core.config import RunConfig
from ddm_core.plots import Shown, plots
from ddm_core.summary import summarize

__all__ = ["Result"]

SHORT = 4  # variables that are named in one line


class Result(NamedTuple):
    """A finished run, in memory."""

    config: RunConfig
    samples: Tensor  # [sample, *], images in [-1, 1]
    images: np.ndarray  # uint8 [sample, height, width, channel], or points float32 [sample, 2]
    seeds: np.ndarray  # int64 [sample]
    trace: xr.Dataset
    seconds: float
    device: str
    hashes: dict[str, str]  # of x_T, samples, system
    versions: dict[str, str]
    metrics: Mapping[str, Mapping[str, Any]] = {}  # of quality, by name

    @property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """Every number by name: value, low, high, n, and how it was made."""
        estimates = summarize(self.trace, self.seconds)
        measured = {name: dict(one) for name, one in self.metrics.items()}
        return {**{name: one.to_json() for name, one in estimates.items()}, **measured}

    @property
    def plot(self) -> Any:
        """Figures of the Trace page: plot.weights(), plot.<variable>()."""
        return plots("run", [Shown(self.config.router, self.trace, self.numbers)])

    def __repr__(self) -> str:
        config, names = self.config, [str(name) for name in self.trace.data_vars]
        more = f" and {len(names) - SHORT} more" if len(names) > SHORT else ""
        return (
            f"<run of {config.system}, {config.router}: {config.num:,} samples, "
            f"{config.steps:,} steps, {self.seconds:.1f} s; "
            f"variables: {', '.join(names[:SHORT]) or 'none'}{more}>"
        )
