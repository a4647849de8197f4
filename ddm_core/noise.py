"""A sample is its seed: every random number of a sample comes from a counter keyed by its seed.

The streams are Philox generators keyed by (seed, purpose, step): no state, hence the same numbers
for a sample alone, in any batch, on any worker, on CPU and GPU, in float32 and (up to rounding)
float64, and for the perturbed twin of a trajectory.

References:
    Parallel random numbers: as easy as 1, 2, 3 (Salmon et al., 2011)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddm_core.devices import place

__all__ = ["Noise"]

_INITIAL, _STEP, _UNIFORM, _DIRECTION = range(4)


class Noise(NamedTuple):
    """The random numbers of a batch of samples.

    Arguments:
        seeds: one per sample, 0 <= seed < 2**63.
        shape: of one sample, without the batch.
    """

    seeds: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")

    def initial(self) -> Tensor:
        """x_T [sample, *], standard normal."""
        return self._normal(_INITIAL, 0)

    def step(self, index: int) -> Tensor:
        """Fresh standard normal noise [sample, *] of a step, for ancestral samplers."""
        return self._normal(_STEP, index)

    def direction(self, index: int = 0) -> Tensor:
        """A random unit vector [sample, *], for perturbations."""
        u = self._normal(_DIRECTION, index)
        norm = u.flatten(1).norm(dim=1)
        return u / norm.reshape(-1, *[1] * len(self.shape))

    def uniform(self, index: int) -> Tensor:
        """One number in [0, 1) per sample [sample], for strategies that draw."""
        streams = self._streams(_UNIFORM, index)
        values = np.array([stream.random() for stream in streams])
        # Cut to the 24 bits of a float32: rounded, one in 30 million would become 1.
        return self._tensor(np.floor(values * 2**24) / 2**24)

    def _normal(self, purpose: int, index: int) -> Tensor:
        values = np.empty((len(self.seeds), *self.shape))
        for row, stream in enumerate(self._streams(purpose, index)):
            values[row] = stream.standard_normal(self.shape)
        return self._tensor(values)

    def _streams(self, purpose: int, index: int) -> Iterator[np.random.Generator]:
        """The generator of each sample in turn, at its start; each ends the one before."""
        # One generator that gets another key: a new one costs twenty times as much, and points
        # spend most of their time here.
        bits = np.random.Philox(key=0)
        stream, start = np.random.Generator(bits), bits.state
        start["state"]["key"][1] = (purpose << 48) + index
        for seed in self.seeds:
            start["state"]["key"][0] = seed
            bits.state = start
            yield stream

    def _tensor(self, values: np.ndarray) -> Tensor:
        return place(torch.from_numpy(values).to(self.dtype), self.device)
