"""Who leads at each step, how often that changes, and in what order samples tell it best.

The leading expert is the one with the largest weight; of several with the same weight it is the
one with the lowest number. A route that asks everybody has a leader too, who is not the only one
asked: what is counted here is the lead, never who was asked at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from ddm_core.intervals import Estimate, wilson_interval

__all__ = [
    "ORDERS",
    "Dwells",
    "Leading",
    "dwells",
    "leading",
    "order_of",
    "share_of",
    "stages_of",
    "transitions",
]

#: How samples can be put in a row, and what that is called.
ORDERS = {
    "pattern": "switching pattern",
    "final": "final expert",
    "switches": "number of switches",
    "first": "first switch",
    "seed": "seed",
}
_MOST_OPTIMAL = 200  # patterns: an optimal order of the leaves costs their cube
_MOST_STEPS = 200  # of a pattern; what is shorter than one of so many steps is not seen either


class Leading(NamedTuple):
    """The leading expert of every sample at every step.

    Arguments:
        expert: int16 [step, sample].
        alone: whether nobody else has the same weight, bool [step, sample].
        only: whether nobody else has any weight, bool [step, sample].
        seeds: int64 [sample].
        t: float64 [step].
        experts: how many there are.
    """

    expert: np.ndarray
    alone: np.ndarray
    only: np.ndarray
    seeds: np.ndarray
    t: np.ndarray
    experts: int

    @property
    def switches(self) -> np.ndarray:
        """Changes of the leader, int [sample]."""
        return (np.diff(self.expert, axis=0) != 0).sum(axis=0)

    @property
    def first(self) -> np.ndarray:
        """The first step with another leader than the one before, int [sample]; 0 for never."""
        changed = np.diff(self.expert, axis=0) != 0
        if not len(changed):
            return np.zeros(len(self.seeds), dtype=np.int64)
        return np.where(changed.any(axis=0), changed.argmax(axis=0) + 1, 0)

    @property
    def led(self) -> np.ndarray:
        """Share of the steps that each expert leads, float64 [sample, expert]; rows sum to 1."""
        each = self.expert[..., None] == np.arange(self.experts)
        return each.mean(axis=0)


class Dwells(NamedTuple):
    """Every stretch of steps with one leader.

    Arguments:
        expert, length: int [stretch]; the length in steps.
        sample: row of the sample, int [stretch].
        ended: whether another leader followed, bool [stretch]; the others last until the data.
    """

    expert: np.ndarray
    length: np.ndarray
    sample: np.ndarray
    ended: np.ndarray


def leading(trace: xr.Dataset, name: str = "weights") -> Leading:
    """Who leads, by the variable `name` [step, sample, expert] of a trace.

    Raises:
        KeyError: the trace does not hold it, or of one expert only.
    """
    if name not in trace or trace.sizes.get("expert", 1) < 2:
        raise KeyError(name)
    weights = trace[name].transpose("step", "sample", "expert").values
    most = weights.max(axis=2, keepdims=True)
    return Leading(
        weights.argmax(axis=2).astype(np.int16),
        (weights == most).sum(axis=2) == 1,
        (weights > 0).sum(axis=2) == 1,
        np.asarray(trace["sample"].values, dtype=np.int64),
        np.asarray(trace["t"].values, dtype=np.float64),
        weights.shape[2],
    )


def dwells(expert: np.ndarray) -> Dwells:
    """The stretches of leaders int [step, sample], sample by sample, in the order of the steps."""
    steps, samples = expert.shape
    begins = np.ones((samples, steps), dtype=bool)
    begins[:, 1:] = expert.T[:, 1:] != expert.T[:, :-1]
    sample, first = np.nonzero(begins)
    ends = np.append(first[1:], steps)
    last = np.append(sample[1:] != sample[:-1], True)
    ends = np.where(last, steps, ends)
    return Dwells(expert[first, sample].astype(np.int64), ends - first, sample, ~last)


def transitions(expert: np.ndarray, experts: int, before: int, after: int) -> np.ndarray:
    """Samples led by expert i at step `before` and by j at step `after`, int [i, j].

    The rows of all pairs of steps add up to the samples that i leads at `before`.
    """
    pairs = expert[before].astype(np.int64) * experts + expert[after]
    return np.bincount(pairs, minlength=experts**2).reshape(experts, experts)


def stages_of(steps: int, count: int = 4) -> tuple[int, ...]:
    """So many steps, evenly from the first to the last; fewer where there are fewer."""
    return tuple(sorted({round(i * (steps - 1) / max(count - 1, 1)) for i in range(count)}))


def order_of(who: Leading, by: str) -> np.ndarray:
    """In which order samples stand, int [sample]; equal ones by their seed. See ORDERS."""
    seeds = who.seeds
    if by == "pattern":
        return _by_pattern(who)
    if by == "final":
        # Those that have been with their last expert for longest come first.
        last = _last_change(who.expert)
        return np.lexsort((seeds, last, who.expert[-1]))
    if by == "switches":
        return np.lexsort((seeds, who.expert[-1], who.switches))
    if by == "first":
        never = who.first == 0
        return np.lexsort((seeds, who.expert[-1], who.first, never))
    return np.argsort(seeds, kind="stable")


def _last_change(expert: np.ndarray) -> np.ndarray:
    """The step at which the last leader took over, int [sample]."""
    same = (expert == expert[-1]).astype(np.int64)
    # Steps in a row, counted from the end.
    return len(expert) - np.cumprod(same[::-1], axis=0).sum(axis=0)


def _by_pattern(who: Leading) -> np.ndarray:
    """Like ones beside each other: the leaves of average linkage with Hamming's distance.

    Equal patterns are one leaf, and leaves are numbered by their content: the order does not
    depend on the order of the samples.
    """
    steps = np.array(stages_of(len(who.expert), _MOST_STEPS))
    patterns, which = np.unique(who.expert[steps].T, axis=0, return_inverse=True)
    which = which.reshape(-1)
    if len(patterns) < 3:
        place = np.arange(len(patterns))
    else:
        # Imported here: it takes as long as all of Streamlit, and every page needs this file.
        from scipy.cluster.hierarchy import leaves_list, linkage

        tree = linkage(
            patterns.astype(np.float64),
            method="average",
            metric="hamming",
            optimal_ordering=len(patterns) <= _MOST_OPTIMAL,
        )
        place = np.empty(len(patterns), dtype=np.int64)
        place[leaves_list(tree)] = np.arange(len(patterns))
    return np.lexsort((who.seeds, place[which]))


def share_of(count: int, n: int, what: str) -> Estimate:
    """A share of n samples with its 95% interval."""
    method = f"{what}; share of samples, Wilson's 95% interval"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    low, high = map(float, wilson_interval(count / n, n))
    return Estimate(count / n, low, high, n, method)
