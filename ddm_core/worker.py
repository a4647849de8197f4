"""The child process that runs jobs: one per device, until there was nothing to do for a while.

A handler is a function of a Task; a new kind of job is a new line in HANDLERS. While a handler
works, a second thread writes its progress into the queue and reads whether it shall stop, so that
the loop over steps never waits for a disk.
"""

from __future__ import annotations

import importlib
import math
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ddm_core import disk, pictures
from ddm_core.branching import branch_config, compare_branch, order_branch, sample_branch
from ddm_core.config import RunConfig, make_config
from ddm_core.errors import RequestError, WorkError, ran_out_of_memory
from ddm_core.kept import Kept
from ddm_core.make import Order, complete_run, measure_run, prepare, sample_run
from ddm_core.metrics.fidelity.lean import import_torchvision
from ddm_core.queue import Claim, Queue
from ddm_core.records import RunRecord
from ddm_core.run import Cancelled, Progress
from ddm_core.store import Store

__all__ = ["HANDLERS", "Handler", "Task", "work"]

_BEAT_SECONDS = 0.25
_IDLE_BEAT_SECONDS = 10.0
_PREVIEW_SECONDS = 0.5
_WARM_SECONDS = 2.0  # without a job: then there is time for what a later one may need


class Task:
    """A job as its handler sees it.

    Attributes:
        payload: what was submitted.
        comparison: that its runs shall share, or None.
        store: where runs go.
        kept: systems that earlier jobs have loaded.
        runs: ids of the runs that are in the store; a handler appends, before it measures them.
    """

    def __init__(self, claim: Claim, store: Store, kept: Kept | None = None) -> None:
        self.payload: dict[str, Any] = claim.payload
        self.comparison = claim.comparison
        self.store = store
        self.kept = kept or Kept()
        self.runs: list[str] = []
        self.done = 0
        self.eta: float | None = None
        self.message = "starting"
        self._stop = threading.Event()
        self._folder = store.root / ".jobs" / claim.id
        self._shown = 0.0

    def report(self, done: int, message: str, eta: float | None = None) -> None:
        """Tell how far the job is.

        Raises:
            Cancelled: it shall stop.
        """
        self.done, self.message, self.eta = done, message, eta
        self.check()

    def check(self) -> None:
        """Raise Cancelled if the job shall stop."""
        if self._stop.is_set():
            raise Cancelled("cancelled")

    def stopping(self) -> bool:
        """Whether the job shall stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the handler to stop at its next report."""
        self._stop.set()

    def show(self, picture: Callable[[], np.ndarray]) -> None:
        """Show samples as they are now, at most twice a second; the picture is made only then."""
        now = time.monotonic()
        if now - self._shown < _PREVIEW_SECONDS:
            return
        self._shown = now
        data = pictures.png(pictures.grid(picture(), most=16))
        self._folder.mkdir(parents=True, exist_ok=True)
        disk.replace_file(self._folder / "preview.png", data)


Handler = Callable[[Task], None]


class _Series:
    """How far a job of several runs is."""

    def __init__(self, task: Task, orders: Sequence[Order]) -> None:
        self._task = task
        self._begun = time.monotonic()
        self._config = orders[0].config
        self._before = 0  # samples x steps of the runs that are there
        self._made = 0  # those of them that this job has made
        self._total = sum(order.config.num * order.config.steps for order in orders)

    def begin(self, config: RunConfig) -> None:
        """The next run."""
        self._config = config

    def end(self, *, made: bool) -> None:
        """The run is there."""
        size = self._config.num * self._config.steps
        self._before += size
        self._made += size if made else 0

    def sampling(self, progress: Progress) -> None:
        """How far the run is."""
        eta = progress.eta
        if eta is not None:
            # The runs still to come: at the pace of this job so far.
            rest = self._total - self._before - progress.total
            pace = (time.monotonic() - self._begun) / max(1, self._made + progress.done)
            eta += rest * pace
        text = f"{self._config.router}: step {progress.step} of {progress.steps}"
        self._task.report(self._before + progress.done, text, eta)
        if progress.preview is not None:
            self._task.show(progress.preview)

    def measuring(self, done: int, total: int) -> None:
        """How far its quality is measured."""
        text = f"{self._config.router}: measuring {', '.join(self._config.metrics)}"
        size = self._config.num * self._config.steps
        self._task.report(self._before + size, f"{text}, {done} of {total}")


def _sample(task: Task) -> None:
    orders = prepare([make_config(fields) for fields in task.payload["configs"]], kept=task.kept)
    have = _left(task)
    series = _Series(task, orders)
    for order in orders:
        series.begin(order.config)
        kept = next((run for run in have if _is(run, order)), None)
        if kept is not None:
            have.remove(kept)  # two orders that are alike are two runs
        record = kept or sample_run(
            task.store, order, comparison=task.comparison, on_progress=series.sampling
        )
        # Told before it is measured: whoever cancels that, and tries again, has the samples.
        task.runs.append(record.id)
        complete_run(
            task.store, record, order, on_measure=series.measuring, should_stop=task.stopping
        )
        series.end(made=kept is None)


def _is(run: RunRecord, order: Order) -> bool:
    """Whether it was made by this order, from the system as it is now."""
    made_by = run.hashes.get("system", order.system.digest)
    return run.config == order.config and made_by == order.system.digest


def _left(task: Task) -> list[RunRecord]:
    """Finished runs that earlier tries of this job left; of a comparison, what they broke goes."""
    ids: list[str] = task.payload.get("have", [])
    left = [
        run
        for run in task.store.runs()
        if run.id in ids or (task.comparison is not None and run.comparison == task.comparison)
    ]
    if task.comparison is not None:
        # It is about to be made anew.
        task.store.remove([run.id for run in left if run.status == "interrupted"])
    return [run for run in left if run.status == "done"]


def _measure(task: Task) -> None:
    names: list[str] = task.payload["metrics"]
    device: str = task.payload.get("device", "auto")
    records = [task.store.run(id) for id in task.payload["runs"]]
    for done, record in enumerate(records):

        def measuring(part: int, total: int, at: int = done, id: str = record.id) -> None:
            task.report(at, f"{id}: {part} of {total}")

        rule = task.kept.yardstick(record.system, device)
        measure_run(
            task.store, record, rule, names, on_measure=measuring, should_stop=task.stopping
        )
        task.runs.append(record.id)


def _branch(task: Task) -> None:
    parent = task.store.run(task.payload["parent"])
    asked = task.payload
    config = branch_config(
        parent.config,
        step=asked["step"],
        seeds=range(asked["seed"], asked["seed"] + asked["num"]),
        router=asked["router"],
        sampler=asked["sampler"],
        label=asked["label"],
        guidance=asked["guidance"],
    )
    order = order_branch(parent, config, kept=task.kept)
    series = _Series(task, [order])
    # Trying again is not asking for a second one: what an earlier try has made is this branch.
    made = task.store.branches(parent.id) if "have" in asked else []
    found = (run for run in made if run.status == "done" and run.config == order.config)
    record = next(found, None) or sample_branch(
        task.store, parent, order, on_progress=series.sampling
    )
    task.runs.append(record.id)
    if not record.departure:
        rule = task.kept.yardstick_or_none(config.system, config.device)
        compare_branch(task.store, parent, record, rule)


#: An audit tells its progress in thousandths: what it will do is known only when it has begun.
AUDIT_UNITS = 1000


def _audit(task: Task) -> None:
    # Imported here: a worker that only samples does without.
    from ddm_core.analysis.audit import State, audit
    from ddm_core.analysis.plan import Request

    def tell(state: State) -> None:
        task.report(AUDIT_UNITS * state.done // max(1, state.total), state.text, state.eta)
        if state.sampling is not None and state.sampling.preview is not None:
            task.show(state.sampling.preview)

    fields = {name: task.payload[name] for name in Request.model_fields if name in task.payload}
    try:
        request = Request.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"no such audit: {first['loc'][0]}: {first['msg']}") from None
    _, found = audit(request, task.store, on_state=tell, should_stop=task.stopping, workers=0)
    task.runs.extend(route["run"] for route in found["routes"] if route["run"])


def _map(task: Task) -> None:
    # Imported here: a worker that only samples does without.
    from ddm_core.analysis.map_file import kept_path, save_map
    from ddm_core.analysis.map_source import stages

    system = task.kept.system(task.payload["system"])
    path = kept_path(task.store.root, system.digest)
    for stage in stages(system):
        if stage.data_map is not None:
            save_map(path, stage.data_map)
        task.report(stage.done, stage.says)


def _field(task: Task) -> None:
    # Imported here: a worker that only samples does without.
    from ddm_core.analysis.field import field_of
    from ddm_core.analysis.field_file import field_path, save_field

    records = [task.store.run(id) for id in task.payload["runs"]]
    refused: RequestError | None = None
    for done, record in enumerate(records):

        def tell(frame: int, frames: int, at: int = done, router: str = record.router) -> None:
            task.report(at, f"{router}: step {frame} of {frames}")

        try:
            flow = field_of(record.config, tell=tell)
        except RequestError as error:
            # The others are drawn all the same; what cannot be is said at the end.
            refused = refused or error
            continue
        save_field(field_path(task.store.root, record), flow)
    if refused is not None:
        raise refused


#: What jobs can do, by kind.
HANDLERS: dict[str, Handler] = {
    "sample": _sample,
    "branch": _branch,
    "metrics": _measure,
    "audit": _audit,
    "map": _map,
    "field": _field,
}


def work(root: Path, lane: str, idle: float) -> None:
    """Run the jobs of a lane until none came for `idle` seconds, or another process runs them.

    Arguments:
        root: the store's folder.
        lane: the device whose jobs these are.
    """
    queue, store, kept = Queue(root), Store(root), Kept()
    for folder in (root / ".jobs").glob("*"):
        disk.sweep(folder)  # what the one before it was killed over
    warm = threading.Thread(target=_warm, daemon=True)
    last, beaten = time.monotonic(), -math.inf
    while root.is_dir():
        if time.monotonic() - beaten > _IDLE_BEAT_SECONDS:
            if not queue.beat(lane):
                return  # taken for dead while this machine slept: there is another worker by now
            beaten = time.monotonic()
        claim = queue.claim(lane)
        if claim is not None:
            _run(queue, store, claim, lane, kept)
            last = time.monotonic()
        elif time.monotonic() - last > idle and queue.leave(lane):
            return
        else:
            if time.monotonic() - last > _WARM_SECONDS and warm.ident is None:
                warm.start()
            time.sleep(0.1)


def _warm() -> None:
    """Import what the first measurement needs, while nobody waits for it."""
    import_torchvision()
    importlib.import_module("torch_fidelity")


def _run(queue: Queue, store: Store, claim: Claim, lane: str, kept: Kept) -> None:
    task = Task(claim, store, kept)
    ended = threading.Event()
    pulse = threading.Thread(target=_pulse, args=(queue, claim.id, lane, task, ended), daemon=True)
    pulse.start()
    state, message = "done", ""
    try:
        handler = HANDLERS.get(claim.kind)
        if handler is None:
            raise RequestError(f"no job of kind '{claim.kind}'; there are: {', '.join(HANDLERS)}")
        handler(task)
    except Cancelled:
        state, message = "cancelled", "cancelled; the finished runs are kept"
    except (RequestError, WorkError) as error:
        # Measuring says a cancel in its own words.
        state = "cancelled" if task.stopping() else "failed"
        message = str(error)
    except Exception as error:
        state = "failed"
        if ran_out_of_memory(error):
            message = f"out of memory: take fewer samples or a smaller batch ({error})"[:500]
        else:
            # A fault of the program: the log gets it all, and the next job is not its victim.
            traceback.print_exc()
            message = f"the program failed: {type(error).__name__}: {error}"[:500]
    ended.set()
    pulse.join()
    queue.finish(claim.id, state, message, task.runs)


def _pulse(queue: Queue, id: str, lane: str, task: Task, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        try:
            queue.beat(lane)
            going = queue.report(id, task.done, task.eta, task.message, list(task.runs))
        except WorkError as error:
            # A full disk may have room again at the next beat; the job itself tells if it fails.
            print(f"ddm: {error}", flush=True)
            continue
        if not going:
            task.stop()
