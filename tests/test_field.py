"""The flow of a route on a grid: against closed forms, probes, and the runs themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from ddm_core.analysis.field import PUSH, Box, field, field_of, steepness
from ddm_core.analysis.field_file import field_path, load_field, save_field
from ddm_core.config import make_config
from ddm_core.ensemble import Ensemble
from ddm_core.errors import RequestError
from ddm_core.jobs import Jobs
from ddm_core.noise import Noise
from ddm_core.probes.base import Scene
from ddm_core.probes.disagreement import Disagreement
from ddm_core.rollout import Step, bound
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.run import execute
from ddm_core.store import Store
from ddm_core.systems import load_system
from ddm_core.systems.base import System
from ddm_core.worker import work

BOX = Box(-1.5, 1.5, -1.0, 1.0)
TIMES = (1.0, 0.7, 0.3, 0.06)
GRID = 7


@pytest.fixture(scope="module")
def ring() -> System:
    return load_system("ring:error=0.5")


def places(flow: xr.Dataset) -> torch.Tensor:
    """The points of the grid in the order of its cells, [point, 2]."""
    x, y = np.meshgrid(flow["x"].values, flow["y"].values)
    return torch.from_numpy(np.stack((x.ravel(), y.ravel()), axis=1))


def at(flow: xr.Dataset, name: str, frame: int) -> np.ndarray:
    """A variable at a frame, [point, ...]."""
    values = flow[name].values[frame]
    return values.reshape(GRID * GRID, *values.shape[2:]).astype(float)


def test_full_with_the_exact_router_is_the_flow_of_the_whole_mixture() -> None:
    exact = load_system("ring")
    flow = field(exact, parse_route("exact/full"), TIMES, BOX, GRID)
    assert exact.monolith is not None
    x = places(flow)
    for frame, time in enumerate(TIMES):
        t = torch.full((len(x),), time, dtype=x.dtype)
        truth = exact.monolith(x, t).numpy()
        np.testing.assert_allclose(
            at(flow, "velocity", frame), truth, atol=1e-6 * np.abs(truth).max()
        )


def test_the_field_is_the_weighted_sum_of_the_experts(ring: System) -> None:
    for route in ("top_k:k=2", "exact:temperature=4/full"):
        flow = field(ring, parse_route(route), TIMES, BOX, GRID)
        mixed = (flow["weights"].values[..., None] * flow["expert_velocity"].values).sum(axis=3)
        np.testing.assert_allclose(flow["velocity"].values, mixed, atol=2e-5)
        np.testing.assert_allclose(flow["weights"].sum("expert"), 1, atol=1e-6)
        x = places(flow)
        t = torch.full((len(x),), TIMES[2], dtype=x.dtype)
        own = np.stack([expert(x, t).numpy() for expert in ring.experts], axis=1)
        np.testing.assert_allclose(at(flow, "expert_velocity", 2), own, atol=1e-5)


def test_disagreement_is_that_of_the_probe_at_the_same_points(ring: System) -> None:
    route = parse_route("top_k:k=1")
    flow = field(ring, route, TIMES, BOX, GRID)
    x = places(flow)
    ensemble = build_ensemble(ring, route, dense=True)
    noise = Noise(tuple(range(len(x))), (2,), x.dtype)
    scene = Scene(ring, ensemble, None, noise, None, 0)
    measure = Disagreement().begin(scene)
    for frame, time in enumerate(TIMES):
        mixture = bound(ensemble, None, None, None)(x, time)  # pyright: ignore[reportArgumentType]
        calls = mixture.calls
        step = Step(frame, time, 0.0, x, x, mixture, calls, None, mixture.memory, None)
        np.testing.assert_allclose(
            at(flow, "disagreement", frame), measure(step).numpy(), atol=1e-6
        )


def test_steepness_counts_the_routers_gradient_and_frozen_weights_do_not(ring: System) -> None:
    ensemble = build_ensemble(ring, parse_route("full"))
    x = torch.tensor([[0.3, 0.2], [-0.4, 0.9], [0.05, -0.6]], dtype=torch.float64)
    t = torch.full((3,), 0.4, dtype=x.dtype)

    class Frozen(Ensemble):
        def forward(self, x_t, t, condition=None):
            return self.mix(x_t, t, condition, weights=weights[: len(x_t)]).velocity

    weights = ensemble.mix(x, t).weights
    frozen = Frozen(ensemble.experts, ensemble.route, ensemble.schedule)

    def differences(of: Ensemble) -> np.ndarray:
        """sigma_max by central differences."""
        h, columns = 1e-5, []
        for axis in torch.eye(2, dtype=x.dtype):
            columns.append((of(x + h * axis, t) - of(x - h * axis, t)) / (2 * h))
        return torch.linalg.svdvals(torch.stack(columns, dim=2))[:, 0].numpy()

    routed, kept = (steepness(one, x, t).numpy() for one in (ensemble, frozen))
    np.testing.assert_allclose(routed, differences(ensemble), rtol=1e-6)
    np.testing.assert_allclose(kept, differences(frozen), rtol=1e-6)
    assert np.abs(routed - kept).max() > 0.1


def test_ways_and_twins_are_those_of_the_run(tmp_path: Path) -> None:
    growth = f"perturbation_growth:h={PUSH}"
    config = make_config(
        {
            "system": "ring",
            "router": "top_k:k=2",
            "seed": 5,
            "num": 6,
            "steps": 8,
            "probes": ["state", "weights", "local_lipschitz:first=24:iterations=24", growth],
            "dtype": "float64",
        }
    )
    run, flow = execute(config), field_of(config)
    np.testing.assert_allclose(flow["state"], run.trace["state"], atol=1e-6)
    np.testing.assert_array_equal(flow["leader"], run.trace["weights"].values.argmax(axis=2))
    # The probe looks at x_s, after the step; the next state is where it begins.
    apart = np.linalg.norm(flow["twin"].values - flow["state"].values, axis=2)
    np.testing.assert_allclose(apart[0], PUSH, rtol=1e-5)
    np.testing.assert_allclose(
        apart[1:] / PUSH, run.trace["perturbation_growth"].values[:-1], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        flow["path_lipschitz"], run.trace["local_lipschitz"], rtol=2e-2, atol=1e-3
    )
    # At a point of the grid the field is what a sample there would follow.
    assert flow.sizes["step"] == 8
    path = tmp_path / ".fields" / "x.nc"
    save_field(path, flow)
    xr.testing.assert_equal(load_field(path), flow)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RequestError, match="no readable trace"):
        load_field(path)


def test_what_has_no_flow_is_refused_in_a_sentence(ring: System) -> None:
    with pytest.raises(RequestError, match="draws its experts"):
        field(ring, parse_route("sample"), TIMES, BOX, GRID)
    for route in ("sticky:k=1:margin=0.5", "nearest/full"):
        with pytest.raises(RequestError, match=f"the route {route} looks back"):
            field(ring, parse_route(route), TIMES, BOX, GRID)
    # Whoever asks several experts before it decides remembers nothing of it.
    field(ring, parse_route("disagreement_aware"), TIMES[:1], BOX, 3)
    with pytest.raises(RequestError, match="not in the plane"):
        field(load_system("digits"), parse_route("full"), TIMES, BOX, GRID)


def test_a_job_lays_the_flow_beside_the_runs(tmp_store: Path) -> None:
    store = Store(tmp_store)
    config = make_config({"system": "ring", "router": "full", "num": 3, "steps": 2})
    record = store.save(execute(config))
    jobs = Jobs(tmp_store)
    # No worker of its own: this process does the work.
    jobs._start = lambda lane: None  # pyright: ignore[reportPrivateUsage]
    id = jobs.enqueue("field", {"runs": [record.id]}, title="flow", device="cpu")
    work(tmp_store, "cpu", 0.0)
    assert jobs.job(id).state == "done"
    flow = load_field(field_path(tmp_store, record))
    assert dict(flow.sizes)["sample"] == 3
    assert [run.id for run in store.runs()] == [record.id]
