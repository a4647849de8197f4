"""The only loop: from noise to data one step at a time, and from data to noise for measuring.

Both yield the same Step, so that every probe works in both directions. The loop knows nobody: no
recorder, no progress, no screen. Whoever iterates decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddm_core.ensemble import Ensemble, Memory, Mixture
from ddm_core.noise import Noise
from ddm_core.samplers.base import Mix, Sampler, Transition

__all__ = ["Segment", "Step", "along", "bound", "noising", "rollout", "segment_at"]


class Step(NamedTuple):
    """One step of a trajectory."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  # hides tuple.index
    t: float
    s: float
    x_t: Tensor  # [sample, *]
    x_s: Tensor  # [sample, *]
    mixture: Mixture  # at (x_t, t)
    calls: Tensor  # [sample], expert evaluations of all stages
    noise: Tensor | None  # [sample, *], what a stochastic sampler was given
    memory: Memory  # of the step before: what the route knew when it decided
    draw: Tensor | None  # [sample], what a drawing strategy was given


class Segment(NamedTuple):
    """A part of a path: who goes on from which step."""

    ensemble: Ensemble
    sampler: Sampler
    condition: Tensor | None  # [sample, *]
    start: int = 0  # the step at which it takes over
    resumes: bool = False  # its strategy is that of the segment before, and remembers

    def memory(self, index: int, before: Mixture | None) -> Memory:
        """What routing knows at a step, from the mixture of the step before.

        A new strategy begins without memory. The predicted clean sample is no memory of a
        strategy: it belongs to the state, and is handed on to a router that looks at it.
        """
        if before is None:
            return Memory()
        if index > self.start:
            return before.memory
        kept = before.memory.strategy if self.resumes else None
        return Memory(kept, before.mean if self.ensemble.route.needs_x_0 else None)


def segment_at(segments: Sequence[Segment], index: int) -> Segment:
    """The segment that a step belongs to: the last one that has begun."""
    return next(one for one in reversed(segments) if one.start <= index)


def bound(
    ensemble: Ensemble,
    condition: Tensor | None,
    memory: Memory,
    draw: Tensor | None,
    weights: Tensor | None = None,
) -> Mix:
    """The ensemble as a function of the state alone; with frozen weights if they are given.

    Every stage of a step sees the same draw; the first one sees the memory given here.
    """

    def mix(x_t: Tensor, t: float, after: Mixture | None = None) -> Mixture:
        times = torch.full((len(x_t),), t, dtype=x_t.dtype, device=x_t.device)
        known = memory if after is None else after.memory
        return ensemble.mix(x_t, times, condition, memory=known, draw=draw, weights=weights)

    return mix


def rollout(
    ensemble: Ensemble,
    sampler: Sampler,
    x_T: Tensor,
    times: Sequence[float],
    noise: Noise,
    condition: Tensor | None = None,
) -> Iterator[Step]:
    """Sample: from x_T [sample, *] at times[0] to times[-1], a Step per interval."""
    return along([Segment(ensemble, sampler, condition)], x_T, times, noise)


def along(
    segments: Sequence[Segment], x_T: Tensor, times: Sequence[float], noise: Noise
) -> Iterator[Step]:
    """Sample over segments, the first of which starts at 0: the path of a branch.

    The noise of a step is that of its index, whoever goes it.
    """
    before: Mixture | None = None
    x_t = x_T
    for index, (t, s) in enumerate(itertools.pairwise(times)):
        part = segment_at(segments, index)
        ensemble, sampler = part.ensemble, part.sampler
        memory = part.memory(index, before)
        draw = noise.uniform(index) if ensemble.route.draws else None
        fresh = noise.step(index) if sampler.stochastic else None
        mix = bound(ensemble, part.condition, memory, draw)
        done: Transition = sampler.step(mix, ensemble.schedule, x_t, t, s, fresh)
        yield Step(index, t, s, x_t, done.x_s, done.mixture, done.calls, fresh, memory, draw)
        before, x_t = done.mixture, done.x_s


def noising(
    ensemble: Ensemble,
    x_0: Tensor,
    times: Sequence[float],
    noise: Noise,
    condition: Tensor | None = None,
) -> Iterator[Step]:
    """Measure on real data: x_0 [sample, *] with one eps per sample, noised to each of times.

    The times rise; x_s is the same sample at the next time, on the same straight or curved path.
    """
    eps = noise.initial()
    schedule = ensemble.schedule
    ones = torch.ones(len(x_0), dtype=x_0.dtype, device=x_0.device)
    memory = Memory()
    for index, t in enumerate(times):
        s = times[min(index + 1, len(times) - 1)]
        x_t = schedule.noised(x_0, eps, t * ones)
        x_s = schedule.noised(x_0, eps, s * ones)
        draw = noise.uniform(index) if ensemble.route.draws else None
        mixture = bound(ensemble, condition, memory, draw)(x_t, t)
        yield Step(index, t, s, x_t, x_s, mixture, mixture.calls, None, memory, draw)
        memory = mixture.memory
