"""The audit: every route sampled and measured, real data noised, four verdicts, one document.

Parts are kept as they are finished, so that an audit that was stopped, or killed, goes on where it
was; a finished one is read again without sampling.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from ddm_core import disk
from ddm_core.analysis.document import Measured, document
from ddm_core.analysis.held_out import HeldOut, held_out
from ddm_core.analysis.numbers import Judged, judge
from ddm_core.analysis.parts import Part, load_part, measure_part, save_part
from ddm_core.analysis.plan import Entry, Plan, Request, make_plan
from ddm_core.analysis.truth import Truth, load_truth, measure_truth, save_truth
from ddm_core.devices import device_name, pick_device, start_worker
from ddm_core.errors import RequestError
from ddm_core.metrics import Reference
from ddm_core.quality import extractor_of, reference_of
from ddm_core.registry import load_plugin
from ddm_core.run import Cancelled, Progress
from ddm_core.store import Store
from ddm_core.systems import load_system
from ddm_core.systems.base import System
from ddm_core.versions import installed

__all__ = ["State", "audit", "audit_folder"]

DOCUMENT = "audit.json"


class State(NamedTuple):
    """How far an audit is.

    Arguments:
        done, total: expert calls.
        text: what it does now.
        eta: seconds, or None while nobody can tell.
        sampling: of the route that is sampled now, or None.
    """

    done: int
    total: int
    text: str
    eta: float | None
    sampling: Progress | None


def audit_folder(store: Store, system: System, request: Request) -> Path:
    """Where the audit of a request is kept: equal requests on one system share it."""
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in system.name)[:40]
    return store.root / "audits" / f"{name}-{request.digest(system)}"


def audit(
    request: Request,
    store: Store,
    *,
    on_state: Callable[[State], None],
    should_stop: Callable[[], bool],
) -> tuple[Path, dict[str, Any]]:
    """Audit a system; returns the folder and the document that is in it.

    Arguments:
        store: keeps the runs of the routes, and the audit's folder.
        on_state: called about ten times a second; what it raises stops the audit.
        should_stop: asked now and then.

    Raises:
        RequestError: no such system, one expert, nothing to measure quality with.
        Cancelled: should_stop said so. What is finished is kept.
    """
    for plugin in request.plugins:
        load_plugin(plugin)
    system = load_system(request.system)
    device = pick_device(request.device)
    extractor = extractor_of(system, "own", device)
    reference = reference_of(system, extractor)
    metric = "fid" if system.is_image else "energy_distance"
    folder = audit_folder(store, system, request)
    clock = _Clock(folder)
    plan = _plan(folder, request, system)
    meter = _Meter(plan, len(system.experts), on_state, should_stop)
    real = cache(lambda: _held_out(system, plan))
    truth, no_truth = _truth(folder, plan, system, real, meter)
    others: dict[str, tuple[System, Reference]] = {}
    with _Judges(metric, device) as judges:
        for index, entry in enumerate(plan.entries):
            path = folder / f"part-{index:03d}.npz"
            about, yardstick = system, reference
            if entry.system is not None:
                if entry.system not in others:
                    other = load_system(entry.system)
                    others[entry.system] = (other, reference_of(other, extractor))
                about, yardstick = others[entry.system]
            part = _kept(path, entry)
            if part is None:
                meter.begin(entry)
                data, _ = real()
                part = measure_part(
                    plan,
                    entry,
                    about,
                    extractor,
                    store if entry.system is None else None,
                    ("audit", folder.name[:60]),
                    meter.sampling,
                    None if data is None else data.x_0,
                )
                save_part(path, part)
                clock.keep()
            meter.end(entry)
            judges.add(entry, part, yardstick)
        measured = judges.measured(meter)
    meter.tell("analysing")
    header = {
        "system": request.system,
        "title": system.name,
        "description": system.description,
        "digest": system.digest,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": request.command,
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), {device_name(device)}",
        "versions": {
            **{name: installed(name) for name in ("ddm", "torch", "numpy", "torch-fidelity")},
            "python": platform.python_version(),
        },
        "config_hash": request.digest(system),
    }
    found = document(
        header, plan, system, measured, metric, reference, truth, no_truth, store, meter.check
    )
    # Last of all, so that it leaves out nothing.
    found["seconds"] = round(clock.keep(), 1)
    with disk.told("write the audit", folder):
        disk.replace_file(folder / DOCUMENT, json.dumps(found, allow_nan=False).encode())
    return folder, found


def _plan(folder: Path, request: Request, system: System) -> Plan:
    """The plan that was begun, or a new one: a machine that is slower today changes nothing."""
    path = folder / "plan.json"
    if path.is_file():
        try:
            return Plan.model_validate_json(path.read_bytes())
        except ValueError:
            raise RequestError(f"{path} is no plan of an audit; delete its folder") from None
    plan = make_plan(request, system)
    # Only now: an audit that cannot be leaves nothing behind.
    disk.make_folder(folder)
    with disk.told("begin the audit", folder):
        disk.replace_file(path, plan.model_dump_json(indent=1).encode())
    return plan


def _kept(path: Path, entry: Entry) -> Part | None:
    if not path.is_file():
        return None
    part = load_part(path)
    return part if (part.router, part.error) == (entry.router, entry.error) else None


def _held_out(system: System, plan: Plan) -> tuple[HeldOut | None, str]:
    """Real data that no expert has seen, or why there are none."""
    data = None if plan.request.data is None else Path(plan.request.data)
    try:
        return held_out(system, plan.truth_images, data=data, seed=plan.request.seed), ""
    except RequestError as error:
        return None, str(error)


def _truth(
    folder: Path,
    plan: Plan,
    system: System,
    real: Callable[[], tuple[HeldOut | None, str]],
    meter: _Meter,
) -> tuple[Truth | None, str]:
    """The pass over real data, or why there is none."""
    path = folder / "truth.npz"
    if path.is_file():
        return load_truth(path), ""
    data, why = real()
    if data is None:
        return None, why
    truth = measure_truth(
        system,
        data,
        plan.times,
        seed=plan.request.seed,
        device=plan.request.device,
        on_progress=meter.noising,
        should_stop=meter.should_stop,
    )
    meter.check()
    with disk.told("keep a part of the audit", folder):
        save_truth(path, truth)
    return truth, ""


class _Judges:
    """Computes the intervals of routes while the next ones are sampled.

    Arguments:
        metric: that the routes are judged by.
    """

    def __init__(self, metric: str, device: torch.device) -> None:
        self.metric = metric
        self.ended = threading.Event()
        self.pool = ThreadPoolExecutor(1, "judge", start_worker, (device,))
        self.routes: list[tuple[Entry, Part, Future[Judged] | None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.pool.shutdown(cancel_futures=True)

    def add(self, entry: Entry, part: Part, reference: Reference) -> None:
        """A route is measured."""
        judging = None
        if not part.failed:
            judging = self.pool.submit(
                judge,
                part.features,
                reference,
                self.metric,
                full=entry.kind != "map",
                should_stop=self.ended.is_set,
            )
        self.routes.append((entry, part, judging))

    def measured(self, meter: _Meter) -> list[Measured]:
        """All routes, as soon as the last one is judged."""
        waiting = {judging for _, _, judging in self.routes if judging is not None}
        total = len(waiting)
        while waiting:
            meter.tell(f"intervals: {total - len(waiting)} of {total} routes")
            _, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
        return [
            Measured(entry, part, None if judging is None else judging.result())
            for entry, part, judging in self.routes
        ]


class _Clock:
    """Seconds that an audit took, over all the times that it was begun and stopped."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "seconds.json"
        self.begin = time.monotonic()
        try:
            self.before = float(json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            self.before = 0.0

    def keep(self) -> float:
        """All of them until now, written down: what is killed later has not lost them."""
        total = self.before + time.monotonic() - self.begin
        with disk.told("keep a part of the audit", self.path.parent):
            disk.replace_file(self.path, json.dumps(total).encode())
        return total


class _Meter:
    """Progress of the whole audit in expert calls, from that of its many small runs."""

    def __init__(
        self,
        plan: Plan,
        experts: int,
        on_state: Callable[[State], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.experts = experts
        self.on_state = on_state
        self.should_stop = should_stop
        self.total = sum(plan.cost(entry, experts) for entry in plan.entries)
        self.before = 0.0  # of what is finished
        self.fresh = 0.0  # of it, made in this process
        self.begun = time.monotonic()
        self.text = ""
        self.phases: list[float] = []
        self.phase = 0
        self.last = -1.0
        self.cost = 0.0
        self.inside = 0.0  # of the route that is measured now

    def begin(self, entry: Entry) -> None:
        """The next route."""
        plan = self.plan
        steps, few = plan.request.steps, plan.stability_samples
        self.cost = plan.cost(entry, self.experts)
        base = steps * few * entry.calls
        curves = [base * entry.sensitivity_calls, base * 0.5, base, base * 2]
        self.phases = [max(0.0, self.cost - sum(curves)), *curves]
        self.phase, self.last = 0, -1.0
        self.text = entry.router + (f" on {entry.system}" if entry.system else "")

    def sampling(self, progress: Progress) -> None:
        """A run of the route has come further; a new run begins where its clock does."""
        if progress.seconds < self.last and self.phase < len(self.phases) - 1:
            self.phase += 1
        self.last = progress.seconds
        share = progress.done / max(1, progress.total)
        inside = sum(self.phases[: self.phase]) + share * self.phases[self.phase]
        what = ("sampling", "sensitivity", *("convergence",) * 3)[self.phase]
        self._say(inside, f"{self.text}: {what}", progress if self.phase == 0 else None)

    def noising(self, done: int, total: int) -> None:
        """Real data have been noised so far."""
        self._say(0.0, f"real data noised to every t: {done} of {total}", None)

    def end(self, entry: Entry) -> None:
        """The route is there, made now or before."""
        cost = self.plan.cost(entry, self.experts)
        self.before += cost
        if self.cost:
            self.fresh += cost
        self.cost = self.inside = 0.0

    def tell(self, text: str) -> None:
        """Something that has no count."""
        self._say(0.0, text, None)

    def check(self) -> None:
        """Raise Cancelled if somebody wants to stop."""
        if self.should_stop():
            raise Cancelled("cancelled")

    def _say(self, inside: float, text: str, sampling: Progress | None) -> None:
        self.check()
        # Runs so short that nobody saw them begin must not turn the clock back.
        inside = self.inside = max(inside, self.inside)
        made = self.fresh + inside
        spent = time.monotonic() - self.begun
        left = self.total - self.before - inside
        eta = spent / made * left if made > 0.01 * self.total else None
        self.on_state(State(int(self.before + inside), int(self.total), text, eta, sampling))


def summary(found: Mapping[str, Any]) -> list[str]:
    """The verdicts in a line each."""
    return [
        f"{claim['claim']}. {claim['title']}: {claim['verdict']}. {claim['sentence']}"
        for claim in found["claims"]
    ]
