"""A small made-up result, so that tests of the store need neither a system nor torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from ddm_core.config import RunConfig


class MadeUp(NamedTuple):
    """The part of ddm_core.run.Result that the store reads."""

    config: RunConfig
    images: np.ndarray
    seeds: np.ndarray
    trace: xr.Dataset
    seconds: float
    device: str
    hashes: dict[str, str]
    versions: dict[str, str]


def made_up(seed: int = 0, num: int = 6, steps: int = 5, experts: int = 3, **fields) -> MadeUp:
    """A result with weights, distances, growth and pictures of random numbers."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(experts), (steps, num)).astype("f4")
    distance = random.random((steps, num, experts)).astype("f4")
    growth = random.random((steps, num)).astype("f4")
    growth[:, num // 2 :] = np.nan  # observed on the first half only
    sample, cell = ("step", "sample"), ("step", "sample", "expert")
    trace = xr.Dataset(
        {
            "weights": (cell, weights, {"definition": "w", "units": ""}),
            "cluster_distance": (cell, distance, {"definition": "d", "units": ""}),
            "selected_distance": (sample, (weights * distance).sum(axis=2)),
            "nearest_selected": (sample, random.random((steps, num)) > 0.5),
            "perturbation_growth": (sample, growth),
            "expert_calls": ("step", np.full(steps, 2 * num)),
            "x0_hat": (
                ("step", "shown", "height", "width", "channel"),
                random.integers(0, 256, (steps, 2, 8, 8, 1), dtype=np.uint8),
            ),
        },
        {
            "step": np.arange(steps),
            "t": ("step", np.linspace(1, 1 / steps, steps)),
            "sample": np.arange(num, dtype=np.int64),
            "expert": np.arange(experts),
            "shown": np.arange(2, dtype=np.int64),
        },
    )
    config = RunConfig(**{"system": "digits", "num": num, "steps": steps, **fields})
    images = random.integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)
    seeds = np.arange(num, dtype=np.int64)
    return MadeUp(config, images, seeds, trace, 1.5, "cpu", {"x_T": "a" * 64}, {"ddm": "0"})
