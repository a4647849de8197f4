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
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from ddm_core import disk
from ddm_core.analysis.crew import Kit, crew_size, measure_routes
from ddm_core.analysis.document import Measured, document
from ddm_core.analysis.numbers import Judged, judge
from ddm_core.analysis.parts import Part
from ddm_core.analysis.plan import GRIDS, Entry, Plan, Request, make_plan
from ddm_core.analysis.truth import Truth, load_truth, measure_truth, save_truth
from ddm_core.devices import device_name, start_worker
from ddm_core.errors import RequestError
from ddm_core.run import Cancelled, Progress
from ddm_core.store import Store
from ddm_core.systems.base import System
from ddm_core.versions import installed

__all__ = ["State", "audit"]

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


def audit(
    request: Request,
    store: Store,
    *,
    on_state: Callable[[State], None],
    should_stop: Callable[[], bool],
    workers: int = 1,
) -> tuple[Path, dict[str, Any]]:
    """Audit a system; returns the folder and the document that is in it.

    Arguments:
        store: keeps the runs of the routes, and the audit's folder.
        on_state: called about ten times a second; what it raises stops the audit.
        should_stop: asked now and then.
        workers: processes that measure routes side by side on a CPU, 0 being one per core; more
            than one need a program that can be imported, as every process starts with it.

    Raises:
        RequestError: no such system, one expert, nothing to measure quality with.
        WorkError: a process was ended from outside. What is finished is kept.
        Cancelled: should_stop said so. What is finished is kept.
    """
    kit = Kit(request, store)
    system, device, folder = kit.system, kit.device, kit.folder
    clock = _Clock(folder)
    plan = _plan(folder, request, system)
    meter = _Meter(plan, len(system.experts), on_state, should_stop)
    truth, no_truth = _truth(kit, plan, meter)
    with _Judges(kit, plan, device) as judges:
        missing: list[int] = []

        def done(index: int) -> None:
            clock.keep()
            judges.add(index)
            meter.end(index)

        for index in range(len(plan.entries)):
            if judges.add(index):
                meter.end(index)
            else:
                missing.append(index)
        size = crew_size(kit, plan, workers, len(missing))
        measure_routes(kit, plan, missing, size, on_progress=meter.sampling, on_done=done)
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
    found = document(header, plan, kit, measured, truth, no_truth, meter.check)
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


def _truth(kit: Kit, plan: Plan, meter: _Meter) -> tuple[Truth | None, str]:
    """The pass over real data, or why there is none."""
    path = kit.folder / "truth.npz"
    if path.is_file():
        return load_truth(path), ""
    data, why = kit.real(plan.truth_images)
    if data is None:
        return None, why
    truth = measure_truth(
        kit.system,
        data,
        plan.times,
        seed=plan.request.seed,
        device=plan.request.device,
        on_progress=meter.noising,
        should_stop=meter.should_stop,
    )
    meter.check()
    with disk.told("keep a part of the audit", kit.folder):
        save_truth(path, truth)
    return truth, ""


class _Judges:
    """Computes the intervals of routes while others are sampled."""

    def __init__(self, kit: Kit, plan: Plan, device: torch.device) -> None:
        self.kit, self.plan = kit, plan
        self.ended = threading.Event()
        self.pool = ThreadPoolExecutor(1, "judge", start_worker, (device,))
        self.routes: dict[int, tuple[Part, Future[Judged] | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.pool.shutdown(cancel_futures=True)

    def add(self, index: int) -> bool:
        """Take a route if it is measured."""
        part = self.kit.kept(self.plan, index)
        if part is None:
            return False
        entry, judging = self.plan.entries[index], None
        if not part.failed:
            judging = self.pool.submit(
                judge,
                part.features,
                self.kit.about(entry)[1],
                self.kit.metric,
                full=entry.kind != "map",
                should_stop=self.ended.is_set,
            )
        self.routes[index] = (part, judging)
        return True

    def measured(self, meter: _Meter) -> list[Measured]:
        """All routes, in the order of the plan, as soon as the last one is judged."""
        waiting = {judging for _, judging in self.routes.values() if judging is not None}
        total = len(waiting)
        while waiting:
            meter.tell(f"intervals: {total - len(waiting)} of {total} routes")
            _, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
        return [
            Measured(self.plan.entries[index], part, judging and judging.result())
            for index, (part, judging) in sorted(self.routes.items())
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
        self.fresh = 0.0  # of it, made by this audit
        self.begun = time.monotonic()
        self.routes: dict[int, _RouteMeter] = {}  # that are measured now

    def sampling(self, index: int, progress: Progress) -> None:
        """A route has come further."""
        if index not in self.routes:
            self.routes[index] = _RouteMeter(self.plan, self.plan.entries[index], self.experts)
        route = self.routes[index]
        what = route.follow(progress)
        self._say(f"{route.name}: {what}", progress if what == "sampling" else None)

    def end(self, index: int) -> None:
        """The route is there, made now or before."""
        cost = self.plan.cost(self.plan.entries[index], self.experts)
        self.before += cost
        if self.routes.pop(index, None) is not None:
            self.fresh += cost

    def noising(self, done: int, total: int) -> None:
        """Real data have been noised so far."""
        self._say(f"real data noised to every t: {done} of {total}", None)

    def tell(self, text: str) -> None:
        """Something that has no count."""
        self._say(text, None)

    def check(self) -> None:
        """Raise Cancelled if somebody wants to stop."""
        if self.should_stop():
            raise Cancelled("cancelled")

    def _say(self, text: str, sampling: Progress | None) -> None:
        self.check()
        inside = sum(route.inside for route in self.routes.values())
        made = self.fresh + inside
        spent = time.monotonic() - self.begun
        left = self.total - self.before - inside
        eta = spent / made * left if made > 0.01 * self.total else None
        self.on_state(State(int(self.before + inside), int(self.total), text, eta, sampling))


class _RouteMeter:
    """Expert calls of one route, from the progress of the runs that measure it one by one."""

    def __init__(self, plan: Plan, entry: Entry, experts: int) -> None:
        base = plan.request.steps * plan.stability_samples * entry.calls
        curves = [base * entry.sensitivity_calls, *(base * share for share in GRIDS)]
        self.phases = [max(0.0, plan.cost(entry, experts) - sum(curves)), *curves]
        self.phase, self.last = 0, -1.0
        self.inside = 0.0
        self.name = entry.router + (f" on {entry.system}" if entry.system else "")

    def follow(self, progress: Progress) -> str:
        """What is done now; a new run begins where its clock does."""
        if progress.seconds < self.last and self.phase < len(self.phases) - 1:
            self.phase += 1
        self.last = progress.seconds
        share = progress.done / max(1, progress.total)
        inside = sum(self.phases[: self.phase]) + share * self.phases[self.phase]
        # Runs so short that nobody saw them begin must not turn the clock back.
        self.inside = max(inside, self.inside)
        return ("sampling", "sensitivity", *("convergence",) * len(GRIDS))[self.phase]


def summary(found: Mapping[str, Any]) -> list[str]:
    """The verdicts in a line each."""
    return [
        f"{claim['claim']}. {claim['title']}: {claim['verdict']}. {claim['sentence']}"
        for claim in found["claims"]
    ]
