"""Assembly: a config becomes a system, an ensemble, batches, a trace; the work is elsewhere."""

from __future__ import annotations

import hashlib
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ddm_core.config import RunConfig, consecutive, located, make_config
from ddm_core.devices import batch_on, device_name, pick_device, start_worker, workers_on
from ddm_core.errors import WorkError, ran_out_of_memory
from ddm_core.estimate import Subject, estimate, registered_costs, require_room
from ddm_core.flops import Flops
from ddm_core.noise import Noise
from ddm_core.probes.base import Probe, Scene, parse_probes
from ddm_core.probes.pictures import to_uint8
from ddm_core.record import record
from ddm_core.registry import load_plugin
from ddm_core.result import Result
from ddm_core.rollout import Step, along
from ddm_core.routes import parse_route
from ddm_core.segments import normal, segments
from ddm_core.systems import load_system, name_of
from ddm_core.systems.base import System
from ddm_core.trace import join
from ddm_core.versions import installed

__all__ = ["Cancelled", "Progress", "Result", "checked", "execute", "parts", "sample"]


class Cancelled(WorkError):
    """Raise it from on_progress to stop a run."""


class Progress(NamedTuple):
    """How far a run is."""

    done: int  # samples x steps
    total: int
    seconds: float
    eta: float | None  # seconds
    step: int  # of the batch that holds the first samples
    steps: int
    #: x0_hat of the first samples right now, uint8 [shown, height, width, channel], or points;
    #: copies, so ask rarely.
    preview: Callable[[], np.ndarray] | None


def ignore(progress: Progress) -> None:
    """Nobody looks."""


class _Plan(NamedTuple):
    """A config with its names turned into things."""

    config: RunConfig
    system: System
    device: torch.device
    dtype: torch.dtype
    probes: tuple[Probe, ...]
    flops: Flops


class _Batch(NamedTuple):
    """Some samples that run together."""

    start: int
    seeds: tuple[int, ...]
    probes: tuple[Probe, ...]
    shown: int


def checked(config: RunConfig, system: System | None = None) -> RunConfig:
    """The same config with its specs in normal form and its paths whole.

    Raises:
        RequestError: a name, a setting or a combination that cannot run; one sentence.
    """
    return _plan(config, system).config


def sample(
    system: System | str | Path,
    router: str = "top_k",
    *,
    seeds: Sequence[int] = range(16),
    steps: int = 50,
    sampler: str = "euler",
    probes: str | Sequence[str] | None = "standard",
    label: int | None = None,
    guidance: float = 1.0,
    device: str = "auto",
    dtype: str = "float32",
    batch: int = 0,
    workers: int = 0,
    observed: int = 64,
    shown: int = 16,
    metrics: str | Sequence[str] | None = None,
    on_progress: Callable[[Progress], None] = ignore,
) -> Result:
    """Sample a system with a route: the front door for notebooks.

    Arguments:
        system: a loaded system, a name, or a checkpoint folder.
        router: a route spec, such as top_k:k=2, learned:temperature=4/full or monolith.
        seeds: consecutive; sample i is that of seeds[i] in any batch. In batches of one size it is
            so bit for bit; in those of another size the sums of networks round otherwise, so that
            floats differ by 1e-7, a few by 1e-5, and one pixel in 100,000 by one grey level.
        steps: of the time grid.
        sampler: euler, heun, ddim or ddpm.
        probes: names, or standard, all, none.
        label: class that the experts are asked for.
        guidance: classifier-free guidance scale.
        device: auto, cpu, cuda or cuda:N.
        dtype: float32, float64 or bfloat16.
        batch: most samples in one batch; 0 leaves it to the device.
        workers: batches at a time on a CPU; 0 is one per core.
        observed: the first samples, on which costly probes run.
        shown: the first samples, of which pictures of every step are kept.
        metrics: of quality, such as fid; none unless asked for.
        on_progress: called now and then; raise Cancelled to stop.

    Raises:
        RequestError: the request was wrong.
        WorkError: as of `execute`.
    """
    chosen = consecutive(seeds)
    loaded = system if isinstance(system, System) else load_system(system)
    config = make_config(
        {
            "system": name_of(system) if isinstance(system, System) else str(system),
            "router": router,
            "seed": chosen.start,
            "num": len(chosen),
            "steps": steps,
            "sampler": sampler,
            "probes": parts(probes) or ("none",),
            "label": label,
            "guidance": guidance,
            "device": device,
            "dtype": dtype,
            "batch": batch,
            "workers": workers,
            "observed": observed,
            "shown": shown,
            "metrics": tuple(name for name in parts(metrics) if name != "none"),
        }
    )
    if not config.metrics:
        return execute(config, on_progress, system=loaded)
    # Imported here: who only samples does without.
    from ddm_core.metrics import measure
    from ddm_core.quality import require_metrics, yardstick
    from ddm_core.records import of_label

    require_metrics(config.metrics, config.num)
    rule = yardstick(loaded, device=config.device)
    result = execute(config, on_progress, system=loaded)
    images = np.moveaxis(result.images, -1, 1) if result.images.ndim == 4 else result.images
    found = measure(config.metrics, images, rule.reference, rule.extractor)
    numbers = {name: one.to_json() for name, one in found.items()}
    return result._replace(metrics=of_label(numbers, config.label))


def parts(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names, also of one text with commas between; of None there are none."""
    if isinstance(names, str):
        return tuple(part.strip() for part in names.split(",") if part.strip())
    return tuple(names or ())


def execute(
    config: RunConfig,
    on_progress: Callable[[Progress], None] = ignore,
    *,
    system: System | None = None,
) -> Result:
    """Run a config to its end.

    Arguments:
        on_progress: called about ten times a second from the calling thread; what it raises stops
            the run and is raised here.
        system: already loaded, if it is at hand.

    Raises:
        RequestError: the request was wrong.
        WorkError: an expert gave something that is no number, or memory ran out.
    """
    plan = _plan(config, system)
    begin = time.perf_counter()
    batches = _batches(plan)
    watch = _Watch(plan, batches)
    try:
        done = _run_all(plan, batches, watch, on_progress)
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise WorkError(
            f"out of memory on {plan.device}: take a smaller --batch ({error})"
        ) from None
    samples = torch.cat([x for x, _, _ in done])
    trace = join([part for _, part, _ in done])
    seconds = time.perf_counter() - begin
    images = _images(plan.system, samples)
    hashes = {
        "x_T": hashlib.sha256(b"".join(d for _, _, digests in done for d in digests)).hexdigest(),
        "samples": hashlib.sha256(images.tobytes()).hexdigest(),
        "system": plan.system.digest,
    }
    versions = {name: installed(name) for name in ("ddm", "torch", "numpy")}
    versions["python"] = platform.python_version()
    trace.attrs = {
        "system": plan.config.system,
        "router": plan.config.router,
        "sampler": plan.config.sampler,
        "config": plan.config.model_dump_json(),
        "config_digest": plan.config.digest,
        **{f"sha256_{name}": digest for name, digest in hashes.items()},
        **{f"version_{name}": text for name, text in versions.items()},
        **_flops(plan),
    }
    return Result(
        plan.config,
        samples.cpu(),
        images,
        np.array(config.seeds, dtype=np.int64),
        trace,
        seconds,
        device_name(plan.device),
        hashes,
        versions,
    )


def _flops(plan: _Plan) -> dict[str, int]:
    """What an evaluation of the networks that ran costs per sample."""
    cost, route = plan.flops, parse_route(plan.config.router)
    if route.monolith:
        return {"flops_evaluation": cost.monolith, "flops_router": 0}
    router = plan.system.default_router if route.router is None else route.router.name
    learned = router == "learned"
    return {"flops_evaluation": cost.expert, "flops_router": cost.router if learned else 0}


def _plan(config: RunConfig, system: System | None) -> _Plan:
    config = located(config)
    for plugin in dict.fromkeys(file for one in config.lineage for file in one.plugins):
        load_plugin(plugin)
    device = pick_device(config.device)
    system = system or load_system(config.system)
    fixed = normal(config, system)
    probes = parse_probes(config.probes, system)
    if any(parse_route(leg.config.router).monolith for leg in fixed.legs):
        probes = tuple(probe for probe in probes if not probe.of_experts)
    subject = Subject(len(system.experts), system.shape)
    require_room(estimate(fixed, subject, registered_costs()), fixed)
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    # Counted on the system as it came: it remembers, and comes again for the next run.
    return _Plan(fixed, system.to(device, dtype), device, dtype, probes, system.flops)


def _batches(plan: _Plan) -> list[_Batch]:
    """Observed samples first, with all probes; then the others, with the cheap ones."""
    config = plan.config
    workers = workers_on(plan.device, config.workers, points=not plan.system.is_image)
    most = batch_on(plan.device, config.batch, points=not plan.system.is_image)
    light = tuple(probe for probe in plan.probes if not probe.observed_only)
    observed = config.num if len(light) == len(plan.probes) else min(config.observed, config.num)
    seeds = tuple(config.seeds)
    out: list[_Batch] = []
    for first, last, probes in ((0, observed, plan.probes), (observed, config.num, light)):
        size = max(1, min(most, -(-(last - first) // workers)))
        for start in range(first, last, size):
            some = seeds[start : min(start + size, last)]
            shown = max(0, min(len(some), config.shown - start))
            kept = tuple(p for p in probes if shown or "shown" not in p.variable.dims)
            out.append(_Batch(start, some, kept, shown))
    return out


class _Watch:
    """What the workers tell and the caller's thread reads."""

    def __init__(self, plan: _Plan, batches: Sequence[_Batch]) -> None:
        self.plan = plan
        self.total = plan.config.num * plan.config.steps
        self.begin = time.perf_counter()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.done = 0
        self.step = 0
        self.mean: Tensor | None = None

    def follow(self, steps: Iterator[Step], batch: _Batch) -> Iterator[Step]:
        """The same steps, counted; ends early when somebody wants to stop."""
        for step in steps:
            if self.stop.is_set():
                raise Cancelled("cancelled")
            yield step
            with self.lock:
                self.done += len(batch.seeds)
                if batch.start == 0:
                    self.step = step.index + 1
                    self.mean = step.mixture.mean[: max(1, batch.shown)]

    def progress(self) -> Progress:
        """A snapshot."""
        with self.lock:
            done, step, mean = self.done, self.step, self.mean
        seconds = time.perf_counter() - self.begin
        eta = seconds / done * (self.total - done) if done else None
        preview = None
        if mean is not None:
            preview = lambda: _images(self.plan.system, mean)  # noqa: E731
        return Progress(done, self.total, seconds, eta, step, self.plan.config.steps, preview)


_Part = tuple[Tensor, xr.Dataset, list[bytes]]


def _run_all(
    plan: _Plan, batches: Sequence[_Batch], watch: _Watch, on_progress: Callable[[Progress], None]
) -> list[_Part]:
    workers = workers_on(plan.device, plan.config.workers, points=not plan.system.is_image)
    pool = ThreadPoolExecutor(workers, "batch", initializer=start_worker, initargs=(plan.device,))
    futures: list[Future[_Part]] = []
    try:
        futures = [pool.submit(_run_batch, plan, batch, watch) for batch in batches]
        waiting: set[Future[_Part]] = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            on_progress(watch.progress())
        return [future.result() for future in futures]
    finally:
        # Also after an error or Ctrl-C: no worker goes on behind the caller's back.
        watch.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _run_batch(plan: _Plan, batch: _Batch, watch: _Watch) -> _Part:
    config, system = plan.config, plan.system
    dense = any(probe.needs_all_experts for probe in batch.probes)
    path = segments(config, system, len(batch.seeds), plan.device, dense=dense)
    own = path[-1]
    noise = Noise(batch.seeds, system.shape, plan.dtype, plan.device)
    with torch.no_grad():
        x_T = noise.initial()
        scene = Scene(system, own.ensemble, own.sampler, noise, own.condition, batch.shown, path)
        steps = along(path, x_T, system.schedule.times(config.steps), noise)
        x_0, trace = record(watch.follow(steps, batch), config.steps, scene, batch.probes)
    host = x_T.cpu().to(torch.float32).numpy()
    return x_0, trace, [hashlib.sha256(row.tobytes()).digest() for row in host]


def _images(system: System, samples: Tensor) -> np.ndarray:
    with torch.no_grad():
        if not system.is_image:
            return samples.float().cpu().numpy()
        return to_uint8(system.decoder(samples)).cpu().numpy()
