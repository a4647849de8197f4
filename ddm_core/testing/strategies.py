"""What every strategy promises: weights on the simplex, for each sample by itself."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as run_with
from hypothesis import strategies as st
from torch import Tensor

from ddm_core.ensemble import Decision, Moment
from ddm_core.strategies.base import STRATEGIES, Strategy
from ddm_core.testing.component import Contract

__all__ = ["StrategyContract", "probabilities"]

_CASES = run_with(
    max_examples=20,
    # Contended machines are slow: what takes long is not wrong.
    deadline=None,
    # The same cases at every run, hence nothing to replay and nothing that a subclass could spoil.
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.differing_executors],
)


@st.composite
def probabilities(draw: st.DrawFn, steps: int = 3) -> Tensor:
    """Softmax outputs [step, sample, expert]: even, soft, sharp, underflowing and one-hot."""
    experts = draw(st.sampled_from((1, 2, 3, 8, 64)))
    samples = draw(st.integers(1, 5))
    # Logits of such size; 0 is uniform, 30 underflows to numbers below the normal ones, the
    # largest leave exact zeros beside an exact one.
    scale = draw(st.sampled_from((0.0, 1e-3, 1.0, 8.0, 30.0, 100.0, 1e5)))
    dtype = draw(st.sampled_from((torch.float32, torch.float64)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = scale * random.standard_normal((steps, samples, experts))
    return torch.softmax(torch.from_numpy(logits).to(dtype), dim=2)


class StrategyContract(Contract):
    """Tests of strategies."""

    registry: ClassVar = STRATEGIES

    @_CASES
    @given(steps=probabilities())
    def test_weights_lie_on_the_simplex(self, spec: str, steps: Tensor) -> None:
        for p, decision in zip(steps, decisions(STRATEGIES.parse(spec), steps), strict=True):
            w = decision.weights
            assert w.shape == p.shape
            assert w.dtype == p.dtype
            assert bool((w >= 0).all())
            torch.testing.assert_close(w.sum(dim=1), torch.ones_like(p[:, 0]))

    @_CASES
    @given(steps=probabilities())
    def test_asks_no_more_experts_than_it_says(self, spec: str, steps: Tensor) -> None:
        """What a run will cost is told by it."""
        strategy = STRATEGIES.parse(spec)
        asks = strategy.asks
        most = getattr(strategy, asks) if isinstance(asks, str) else asks or steps.shape[2]
        for decision in decisions(strategy, steps):
            assert int((decision.weights > 0).sum(dim=1).max()) <= most

    @_CASES
    @given(steps=probabilities())
    def test_a_sample_decides_alone(self, spec: str, steps: Tensor) -> None:
        strategy = STRATEGIES.parse(spec)
        together = [d.weights for d in decisions(strategy, steps)]
        backwards = [d.weights for d in decisions(strategy, steps.flip(1), flip=True)]
        for row in range(steps.shape[1]):
            alone = decisions(strategy, steps[:, row : row + 1], row=row)
            for index, decision in enumerate(alone):
                assert torch.equal(decision.weights[0], together[index][row])
                assert torch.equal(decision.weights[0], backwards[index].flip(0)[row])

    @_CASES
    @given(steps=probabilities(), data=st.data())
    def test_experts_are_interchangeable(
        self, spec: str, steps: Tensor, data: st.DataObject
    ) -> None:
        strategy = STRATEGIES.parse(spec)
        if strategy.draws:
            # Inversion walks along the experts: only the frequencies are interchangeable.
            return
        flat = steps.flatten(0, 1)
        if any(len(row.unique()) < len(row) for row in flat):
            return
        order = data.draw(st.permutations(range(steps.shape[2])))
        plain = decisions(strategy, steps)
        renamed = decisions(strategy, steps[:, :, order])
        for one, other in zip(plain, renamed, strict=True):
            torch.testing.assert_close(one.weights[:, order], other.weights)

    @_CASES
    @given(steps=probabilities())
    def test_is_pure(self, spec: str, steps: Tensor) -> None:
        strategy = STRATEGIES.parse(spec)
        before = steps.clone()
        first = decisions(strategy, steps)
        again = decisions(strategy, steps)
        assert torch.equal(steps, before)
        for one, other in zip(first, again, strict=True):
            assert torch.equal(one.weights, other.weights)
            if one.memory is not None:
                assert len(one.memory) == steps.shape[1], "memory is [sample, ...]"

    @_CASES
    @given(steps=probabilities())
    def test_a_broken_sample_harms_no_other(self, spec: str, steps: Tensor) -> None:
        """A router may give nan for one sample; the others decide as they would."""
        strategy = STRATEGIES.parse(spec)
        sound = decisions(strategy, steps)[0].weights
        broken = torch.cat((steps, torch.full_like(steps[:, :1], torch.nan)), dim=1)
        weights = decisions(strategy, broken)[0].weights
        assert torch.equal(weights[:-1], sound)


def decisions(
    strategy: Strategy, steps: Tensor, *, row: int = 0, flip: bool = False
) -> list[Decision]:
    """What the strategy decides at probabilities [step, sample, expert], one step after another.

    Arguments:
        row: number of the first sample; numbers that are drawn belong to the sample.
        flip: the samples stand in the opposite order.
    """
    rows = torch.arange(row, row + steps.shape[1], dtype=steps.dtype)
    rows = rows.flip(0) if flip else rows
    memory: Tensor | None = None
    out: list[Decision] = []
    for index, p in enumerate(steps):
        # Far from even, in [0, 1), different for every sample and step.
        draw = torch.frac(0.61803 * (rows + 1) + 0.41421 * index) if strategy.draws else None
        t = torch.full_like(p[:, 0], 1 - index / len(steps))
        decision = strategy.decide(p, Moment(t, memory, draw))
        memory = decision.memory
        out.append(decision)
    return out
