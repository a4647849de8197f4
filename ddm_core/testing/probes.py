"""What every probe promises: its variable's shape, numbers, and a sample that does not notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from ddm_core.ensemble import Ensemble
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES, Probe, Scene
from ddm_core.record import record
from ddm_core.rollout import noising, rollout
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.systems.analytic import ring
from ddm_core.systems.base import System
from ddm_core.testing.component import Contract

__all__ = ["ProbeContract", "Recorded", "recorded"]

_STEPS = 3
_SEEDS = (11, 12, 13, 14, 15)
_SHOWN = 2


class Recorded(NamedTuple):
    """A short run."""

    samples: Tensor
    trace: xr.Dataset


class ProbeContract(Contract):
    """Tests of probes.

    Attributes:
        systems: makers of the systems that are measured; a probe of images skips those of points.
    """

    registry: ClassVar = PROBES
    systems: ClassVar[Sequence[Callable[[], System]]] = (ring,)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "make" not in metafunc.fixturenames:
            return super().pytest_generate_tests(metafunc)
        cases = [(s, make) for s in self.specs for make in self.systems if fits(s, make())]
        ids = [f"{spec}-{make().name}" for spec, make in cases]
        return metafunc.parametrize(("spec", "make"), cases, ids=ids)

    def test_variable_is_described(self, spec: str) -> None:
        probe = PROBES.parse(spec)
        known = {"sample", "shown", "expert", "height", "width", "channel", "coordinate"}
        assert probe.variable.name == probe.name
        assert probe.variable.dims[0] == "step"
        assert set(probe.variable.dims[1:]) <= known
        assert probe.variable.definition
        assert not ("sample" in probe.variable.dims and "shown" in probe.variable.dims)

    def test_every_observed_value_is_a_number(self, spec: str, make: Callable[[], System]) -> None:
        probe, system = PROBES.parse(spec), make()
        array = recorded(system, [probe]).trace[probe.name]
        assert array.dims == probe.variable.dims
        assert [array.sizes[d] for d in array.dims] == [_size(str(d), system) for d in array.dims]
        assert array.dtype.kind in "fbiu"
        assert bool(np.isfinite(array.values).all())
        assert array.attrs["definition"] == probe.variable.definition

    def test_the_sample_does_not_notice(self, spec: str, make: Callable[[], System]) -> None:
        system = make()
        for route in ("top_k:k=2", "nearest/sticky:k=1"):
            plain = recorded(system, [], route=route)
            watched = recorded(system, [PROBES.parse(spec)], route=route)
            assert torch.equal(plain.samples, watched.samples)

    def test_a_value_belongs_to_its_seed(self, spec: str, make: Callable[[], System]) -> None:
        probe, system = PROBES.parse(spec), make().to(torch.device("cpu"), torch.float64)
        if "sample" not in probe.variable.dims:
            return
        together = recorded(system, [probe], dtype=torch.float64).trace[probe.name]
        for seed in _SEEDS[::2]:
            alone = recorded(system, [probe], seeds=(seed,), dtype=torch.float64).trace[probe.name]
            one, other = alone.sel(sample=seed), together.sel(sample=seed)
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)

    def test_is_deaf_to_other_probes(self, spec: str, make: Callable[[], System]) -> None:
        """Other probes, dense ones too, may run beside it without changing what it says."""
        probe, system = PROBES.parse(spec), make()
        free = [n for n in PROBES if n != probe.name and fits(n, system)]
        # Costly ones evaluate experts apart; the dense ones change how the ensemble itself runs.
        others = [one for one in map(PROBES.parse, free) if not one.costly]
        alone = recorded(system, [probe]).trace[probe.name]
        among = recorded(system, [*others, probe]).trace[probe.name]
        np.testing.assert_array_equal(alone, among)

    def test_measures_a_monolith_if_it_can(self, spec: str, make: Callable[[], System]) -> None:
        probe, system = PROBES.parse(spec), make()
        if probe.of_experts or system.monolith is None:
            return
        array = recorded(system, [probe], route="monolith").trace[probe.name]
        assert array.dims == probe.variable.dims
        assert bool(np.isfinite(array.values).all())

    def test_measures_real_data_on_their_way_to_noise(
        self, spec: str, make: Callable[[], System]
    ) -> None:
        probe, system = PROBES.parse(spec), make()
        noise = Noise(_SEEDS, system.shape)
        system = system.to(noise.device)
        ensemble = _ensemble(system, "top_k:k=2", [probe])
        x_0 = system.clusters.centroids[torch.arange(len(_SEEDS)) % len(system.experts)]
        scene = Scene(system, ensemble, None, noise, None, _SHOWN)
        with torch.no_grad():
            steps = noising(ensemble, x_0, (0.2, 0.5, 0.9), noise)
            _, trace = record(steps, _STEPS, scene, [probe])
        sizes = [trace[probe.name].sizes[d] for d in probe.variable.dims]
        assert sizes == [_size(d, system) for d in probe.variable.dims]


def fits(spec: str, system: System) -> bool:
    """Whether the probe has a meaning on such samples."""
    probe = PROBES.parse(spec)
    return not (probe.points_only if system.is_image else probe.images_only)


def recorded(
    system: System,
    probes: Sequence[Probe],
    *,
    route: str = "top_k:k=2",
    sampler: str = "euler",
    seeds: Sequence[int] = _SEEDS,
    steps: int = _STEPS,
    dtype: torch.dtype = torch.float32,
) -> Recorded:
    """A run of one batch, without anything around it."""
    noise = Noise(tuple(seeds), system.shape, dtype)
    system = system.to(noise.device, dtype)
    ensemble = _ensemble(system, route, probes)
    walk = SAMPLERS.parse(sampler)
    scene = Scene(system, ensemble, walk, noise, None, min(_SHOWN, len(seeds)))
    times = system.schedule.times(steps)
    with torch.no_grad():
        trajectory = rollout(ensemble, walk, noise.initial(), times, noise)
        return Recorded(*record(trajectory, steps, scene, probes))


def _ensemble(system: System, route: str, probes: Sequence[Probe]) -> Ensemble:
    dense = any(probe.needs_all_experts for probe in probes)
    return build_ensemble(system, parse_route(route), dense=dense)


def _size(dim: str, system: System) -> int:
    sizes = {
        "step": _STEPS,
        "sample": len(_SEEDS),
        "shown": _SHOWN,
        "expert": len(system.experts),
        "coordinate": system.shape[0],
    }
    if system.is_image:
        channel, height, width = system.shape
        sizes |= {"channel": channel, "height": height, "width": width}
    return sizes[dim]
