"""What every router promises: logits for each sample by itself, softened by the temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.noise import Noise
from ddm_core.routers.base import ROUTERS
from ddm_core.systems.analytic import ring
from ddm_core.systems.base import System
from ddm_core.testing.component import Contract

__all__ = ["RouterContract"]

_SAMPLES = 24


class RouterContract(Contract):
    """Tests of routers.

    Attributes:
        systems: makers of the systems that the routers are bound to.
    """

    registry: ClassVar = ROUTERS
    systems: ClassVar[Sequence[Callable[[], System]]] = (ring,)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        super().pytest_generate_tests(metafunc)
        if "make" in metafunc.fixturenames:
            metafunc.parametrize("make", self.systems, ids=[m().name for m in self.systems])

    def test_probabilities_are_finite(self, spec: str, make: Callable[[], System]) -> None:
        system = _double(make)
        state = states(system)
        for x_t in (state.x_t, 100 * state.x_t, torch.zeros_like(state.x_t)):
            x = ROUTERS.parse(spec).bind(system)(state._replace(x_t=x_t))
            assert x.shape == (_SAMPLES, len(system.experts))
            assert x.dtype == state.x_t.dtype
            # A logit of -inf is a probability of 0; nothing else may be endless.
            assert not bool(x.isnan().any())
            assert bool(torch.softmax(x, dim=1).isfinite().all())

    def test_a_sample_is_routed_alone(self, spec: str, make: Callable[[], System]) -> None:
        system = _double(make)
        state = states(system)
        logits = ROUTERS.parse(spec).bind(system)
        together = logits(state)
        for row in (0, _SAMPLES // 2, _SAMPLES - 1):
            one = slice(row, row + 1)
            x_0 = None if state.x_0 is None else state.x_0[one]
            alone = logits(State(state.x_t[one], state.t[one], x_0))
            torch.testing.assert_close(alone[0], together[row], rtol=1e-9, atol=1e-9)

    def test_is_pure(self, spec: str, make: Callable[[], System]) -> None:
        system = _double(make)
        state = states(system)
        before = state.x_t.clone()
        logits = ROUTERS.parse(spec).bind(system)
        assert torch.equal(logits(state), logits(state))
        assert torch.equal(state.x_t, before)

    def test_temperature_softens(self, spec: str, make: Callable[[], System]) -> None:
        system = _double(make)
        name = spec.partition(":")[0]
        rest = [part for part in spec.split(":")[1:] if not part.startswith("temperature=")]
        last: Tensor | None = None
        for temperature in (0.01, 0.5, 1.0, 2.0, 100.0):
            text = ":".join([name, *rest, f"temperature={temperature}"])
            router = ROUTERS.parse(text)
            x = router.bind(system)(states(system)) / router.temperature_on(system)
            p = torch.softmax(x, dim=1)
            entropy = -torch.xlogy(p, p).sum(dim=1)
            if last is not None:
                assert bool((entropy >= last - 1e-9).all())
            last = entropy


def states(system: System) -> State:
    """States along the whole path, from noise to almost clean, with a prediction beside each."""
    noise = Noise(tuple(range(_SAMPLES)), system.shape, torch.float64)
    t = torch.linspace(system.schedule.t_max, 0.02, _SAMPLES, dtype=torch.float64)
    centroids = system.clusters.centroids
    x_0 = centroids[torch.arange(_SAMPLES) % len(centroids)]
    x_t = system.schedule.noised(x_0, noise.initial(), t)
    return State(x_t, t, x_0 + 0.1 * noise.step(0))


def _double(make: Callable[[], System]) -> System:
    return make().to(torch.device("cpu"), torch.float64)
