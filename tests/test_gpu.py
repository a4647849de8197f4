"""A GPU gives what a CPU gives: samples, traces, features, losses, verdicts.

In float64, where the order of sums hardly shows, everything is compared; in float32 what a user
gets by default.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import STEPS, run

from ddm_core import cuda_graphs
from ddm_core.analysis import parts, plan
from ddm_core.analysis.audit import audit
from ddm_core.analysis.plan import Request
from ddm_core.cuda_graphs import replaying
from ddm_core.denoise import Bfloat16Denoiser
from ddm_core.devices import start_worker
from ddm_core.flops import counted
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES, STANDARD, Scene, parse_probes
from ddm_core.quality import extractor_of
from ddm_core.record import record
from ddm_core.rollout import Step, rollout
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.store import Store
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import load_system
from ddm_core.systems.base import System
from ddm_core.systems.manifest import read_manifest
from ddm_core.training import TrainConfig, train_system

pytestmark = pytest.mark.gpu

GPU = "cuda:0"
ROUTES = [f"{router}/{strategy}" for router in sorted(ROUTERS) for strategy in sorted(STRATEGIES)]
CASES = [(route, "euler") for route in (*ROUTES, "monolith")]
CASES += [(route, sampler) for route in ("top_k:k=2", "sample") for sampler in sorted(SAMPLERS)]


@pytest.fixture(autouse=True)
def whole_numbers() -> None:
    """Convolutions in float32, as in every run: other batch sizes take other kernels."""
    start_worker(torch.device(GPU))


def system_for(route: str) -> str:
    return "ring" if route.startswith("exact") else "digits"


@pytest.mark.parametrize(("route", "sampler"), CASES)
def test_samples_are_those_of_the_cpu(route: str, sampler: str) -> None:
    system = load_system(system_for(route))
    for dtype, tolerance in (("float64", 1e-8), ("float32", 2e-3)):
        asked = {"sampler": sampler, "dtype": dtype, "num": 16}
        here = run(system, route, device="cpu", **asked)
        there = run(system, route, device=GPU, **asked)
        assert there.device.startswith(GPU)
        assert there.hashes["x_T"] == here.hashes["x_T"]
        error = (there.samples - here.samples).abs().flatten(1).amax(dim=1)
        # Where two experts are equally likely, float32 may choose the other one.
        parted = int((error > tolerance).sum())
        assert parted <= (0 if dtype == "float64" else 1), error


@pytest.mark.parametrize("probe", [*STANDARD, *sorted(set(PROBES) - set(STANDARD))])
def test_probes_are_those_of_the_cpu(probe: str) -> None:
    system = load_system("ring" if PROBES[probe].points_only else "digits")
    asked = {"dtype": "float64", "probes": (probe,)}
    here = run(system, "top_k:k=2", device="cpu", **asked).trace
    there = run(system, "top_k:k=2", device=GPU, **asked).trace
    assert list(here.data_vars) == list(there.data_vars) == [probe]
    one, other = here[probe].values, there[probe].values
    if one.dtype == np.uint8:
        assert int(np.abs(one.astype(int) - other.astype(int)).max()) <= 1
        return
    # Traces are kept in float32.
    np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-6)


def test_bfloat16_is_near_float32() -> None:
    system = load_system("digits")
    plain = run(system, device=GPU, num=64).samples
    half = run(system, device=GPU, num=64, dtype="bfloat16").samples
    assert half.dtype == torch.float32
    assert 0 < float((half - plain).abs().mean()) < 0.05


@pytest.mark.parametrize("route", ["top_k:k=2", "sticky:k=1", "monolith"])
def test_a_step_waits_once_for_the_device(route: str) -> None:
    system = load_system("digits").to(torch.device(GPU), torch.float32)
    meters = parse_probes(("weights", "entropy", "cluster_distance"), system)
    ensemble = build_ensemble(system, parse_route(route), dense=False)
    noise = Noise(tuple(range(8)), system.shape, torch.float32, torch.device(GPU))
    euler = SAMPLERS.parse("euler")
    scene = Scene(system, ensemble, euler, noise, None, 0)
    if route == "monolith":
        meters = tuple(probe for probe in meters if not probe.of_experts)
    x_T, times = noise.initial(), system.schedule.times(STEPS)
    waits: list[int] = []

    def counted(steps: Iterator[Step], caught: list[warnings.WarningMessage]) -> Iterator[Step]:
        yield from steps
        waits.append(sum("called a synchronizing" in str(one.message) for one in caught))

    with torch.no_grad():
        # Libraries wait when they are first called.
        record(rollout(ensemble, euler, x_T, times, noise), STEPS, scene, meters)
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            steps = rollout(ensemble, euler, x_T, times, noise)
            record(counted(steps, caught), STEPS, scene, meters)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert waits == [STEPS]


@pytest.mark.parametrize("label", [None, 3])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_captured_pass_is_the_plain_pass(label: int | None, *, bfloat16: bool) -> None:
    system = load_system("mnist").to(torch.device(GPU))
    expert = Bfloat16Denoiser(system.experts[0]) if bfloat16 else system.experts[0]
    torch.manual_seed(0)
    answers: list[tuple[torch.Tensor, torch.Tensor]] = []
    for count in (1, 7, 8, 9, 100, 256, 257):
        condition = None if label is None else torch.full((count,), label, device=GPU)
        for _ in range(4):
            x = torch.randn(count, *system.shape, device=GPU)
            t = torch.rand(count, device=GPU)
            with torch.no_grad():
                plain = expert(x, t, condition)
                with replaying():
                    answers.append((plain, expert(x, t, condition)))
    with torch.no_grad(), replaying():
        # Nobody can tell the first time, which is no graph's, from the others.
        small = torch.randn(20, *system.shape, device=GPU), torch.rand(20, device=GPU)
        first, second, third = (expert(*small) for _ in range(3))
    assert torch.equal(first, second)
    assert torch.equal(second, third)
    # An answer stays what it was when the graph runs again.
    for plain, captured in answers:
        error = (captured - plain).norm() / plain.norm()
        assert float(error) < (1e-2 if bfloat16 else 1e-5)
    assert count_graphs(system) == 5  # of 8, 16, 32, 128 and 256 samples


def count_graphs(system: System) -> int:
    nets = [part for expert in system.experts for part in expert.modules()]
    passes = [cuda_graphs._passes[net].known for net in nets if net in cuda_graphs._passes]
    return sum(captured is not None for known in passes for captured in known.values())


def test_experts_side_by_side_do_not_disturb_each_other() -> None:
    system = load_system("mnist").to(torch.device(GPU))
    ensemble = build_ensemble(system, parse_route("uniform/sample"), guidance=2.0)
    random = torch.Generator(GPU).manual_seed(0)

    def work(rounds: int) -> list[float]:
        errors: list[torch.Tensor] = []
        for _ in range(rounds):
            count = int(torch.randint(1, 1500, (), generator=random, device=GPU))
            x = torch.randn(count, *system.shape, device=GPU)
            t, draw = torch.rand(2, count, device=GPU)
            label = torch.randint(0, 10, (count,), device=GPU)
            with torch.no_grad():
                fast = ensemble.mix(x, t, label, draw=draw)
            with torch.enable_grad():  # where derivatives may be wanted, nothing is captured
                plain = ensemble.mix(x, t, label, draw=draw)
            errors.append((fast.velocity - plain.velocity).abs().max())
        return torch.stack(errors).tolist()

    assert max(work(200)) < 1e-4
    assert count_graphs(system) >= 40
    # Two threads may use one system at the same time.
    with ThreadPoolExecutor(2) as pool:
        for errors in pool.map(work, (50, 50)):
            assert max(errors) < 1e-4


def test_derivatives_pass_by_the_graphs() -> None:
    system = load_system("digits").to(torch.device(GPU))
    ensemble = build_ensemble(system, parse_route("full"))
    x, t = torch.randn(4, *system.shape, device=GPU), torch.rand(4, device=GPU)
    tangent = torch.randn_like(x)
    with torch.no_grad():
        for _ in range(3):
            ensemble.mix(x, t)
        _, forward = torch.func.jvp(lambda y: ensemble.mix(y, t).velocity, (x,), (tangent,))
    h = 1e-2
    with torch.no_grad():
        difference = ensemble.mix(x + h * tangent, t).velocity
        difference = (difference - ensemble.mix(x - h * tangent, t).velocity) / (2 * h)
    torch.testing.assert_close(forward, difference, atol=2e-2, rtol=2e-2)
    assert counted(lambda: system.experts[0](x[:1], t[:1])) == system.flops.expert > 0


def test_a_copy_captures_anew() -> None:
    system = load_system("digits").to(torch.device(GPU))
    x, t = torch.randn(4, *system.shape, device=GPU), torch.rand(4, device=GPU)
    with torch.no_grad(), replaying():
        for _ in range(3):
            here = system.experts[0](x, t)
        back = system.to(torch.device("cpu"))
        there = back.experts[0](x.cpu(), t.cpu())
    torch.testing.assert_close(here.cpu(), there, atol=1e-5, rtol=0)
    assert count_graphs(system) == 1
    known = len(cuda_graphs._passes)
    del system
    gc.collect()
    assert len(cuda_graphs._passes) < known  # nothing is kept of a network that is gone
    assert count_graphs(back) == 0


def test_features_are_those_of_the_cpu() -> None:
    system = load_system("digits")
    images = torch.from_numpy(run(system, num=64, device="cpu").images).permute(0, 3, 1, 2)
    here, there = (
        extractor_of(system, "own", torch.device(device))(images).cpu() for device in ("cpu", GPU)
    )
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_training_ends_where_it_ends_on_the_cpu(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(48):
        array = rng.integers(0, 40, (8, 8)) + (180 if index % 2 else 0)
        Image.fromarray(array.astype(np.uint8)).save(folder / f"{index:02}.png")
    made = {}
    for device in ("cpu", GPU):
        config = TrainConfig(
            str(folder),
            out=tmp_path / device[:4] / "tiny",
            size=8,
            experts=2,
            steps=30,
            batch=16,
            precision="fp32",
            workers=1 if device == "cpu" else 2,
            device=device,
        )
        made[device] = train_system(config, progress=lambda now: None)
    losses = [
        {
            part: facts["final_loss"]
            for part, facts in read_manifest(out)[1]["training"]["parts"].items()
        }
        for out in made.values()
    ]
    # They begin above 1; Adam turns the last digits of the first gradients into steps.
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert torch.cuda.get_device_name(0) in (made[GPU] / "system.toml").read_text()


def test_an_audit_says_what_it_says_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LEVELS", (0.5,))
    monkeypatch.setattr(plan, "SENSITIVE_IMAGES", 4)
    found = {}
    for device in ("cpu", GPU):
        request = Request(system="digits", num=32, steps=4, map=False, device=device)
        store = Store(tmp_path / device[:4])
        _, found[device] = audit(
            request, store, on_state=lambda state: None, should_stop=lambda: False, workers=1
        )
    here, there = found.values()
    assert [one["verdict"] for one in here["claims"]] == [
        one["verdict"] for one in there["claims"]
    ]
