"""The routes of a plan, measured: in this process, or side by side in processes of their own.

Sensitivities are taken on few samples, where Python's overhead is most of the cost and threads
take the interpreter from each other; processes do not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ddm_core.analysis.held_out import HeldOut, held_out
from ddm_core.analysis.parts import Part, load_part, measure_part, save_part
from ddm_core.analysis.plan import Entry, Plan, Request
from ddm_core.deaf import deaf_children
from ddm_core.devices import pick_device
from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics import Reference
from ddm_core.quality import extractor_of, reference_of
from ddm_core.registry import load_plugin
from ddm_core.run import Cancelled, Progress
from ddm_core.store import Store
from ddm_core.systems import load_system
from ddm_core.systems.base import System

__all__ = ["Kit", "crew_size", "measure_routes"]

#: A process takes some seconds to begin: an audit that shall be as short as this does without.
SHORT_SECONDS = 30.0
_TELL_SECONDS = 0.2
_PREVIEW_SECONDS = 1.0


class Kit:
    """What measuring the routes of a system takes: systems, features, data, a place to keep them.

    Raises:
        RequestError: no such system, or nothing to measure quality with.
    """

    def __init__(self, request: Request, store: Store) -> None:
        for plugin in request.plugins:
            load_plugin(plugin)
        self.request = request
        self.store = store
        self.system = load_system(request.system)
        self.device = pick_device(request.device)
        self.extractor = extractor_of(self.system, "own", self.device)
        self.reference = reference_of(self.system, self.extractor)
        self.metric = "fid" if self.system.is_image else "energy_distance"
        # Equal requests on one system share a folder.
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.system.name)[:40]
        self.folder = store.root / "audits" / f"{name}-{request.digest(self.system)}"
        self._subjects: dict[str | None, tuple[System, Reference]] = {}
        self._real: tuple[HeldOut | None, str] | None = None

    def about(self, entry: Entry) -> tuple[System, Reference]:
        """The system that an entry is about, and the real data that it is judged by.

        It is on the device already, in the precision of runs: a dozen of them share one copy.
        """
        name = entry.system
        if name not in self._subjects:
            one = self.system if name is None else load_system(name)
            real = self.reference if name is None else reference_of(one, self.extractor)
            self._subjects[name] = (one.to(self.device), real)
        return self._subjects[name]

    def real(self, count: int) -> tuple[HeldOut | None, str]:
        """Real data that no expert has seen, or why there are none; always asked for one count."""
        if self._real is None:
            data = None if self.request.data is None else Path(self.request.data)
            try:
                found = held_out(self.system, count, data=data, seed=self.request.seed)
                self._real = found, ""
            except RequestError as error:
                self._real = None, str(error)
        return self._real

    def kept(self, plan: Plan, index: int) -> Part | None:
        """A route that is measured already."""
        path, entry = self._path(index), plan.entries[index]
        if not path.is_file():
            return None
        part = load_part(path)
        return part if (part.router, part.error) == (entry.router, entry.error) else None

    def measure(
        self, plan: Plan, index: int, on_progress: Callable[[Progress], None], *, workers: int = 0
    ) -> None:
        """Measure a route and keep it.

        Arguments:
            on_progress: called now and then; raises Cancelled to stop.
            workers: batches at a time, as in a run's config.
        """
        entry = plan.entries[index]
        real, _ = self.real(plan.truth_images)
        part = measure_part(
            plan,
            entry,
            self.about(entry)[0],
            self.extractor,
            self.store if entry.system is None else None,
            ("audit", self.folder.name[:60]),
            on_progress,
            real=None if real is None else real.x_0,
            workers=workers,
        )
        save_part(self._path(index), part)

    def _path(self, index: int) -> Path:
        return self.folder / f"part-{index:03d}.npz"


def crew_size(kit: Kit, plan: Plan, asked: int, routes: int) -> int:
    """Processes that measure: as many as were asked for, 0 being one per core, or 1 for this one.

    A GPU serves one process best, and one that is about to end is not worth a second.
    """
    if kit.device.type != "cpu" or plan.budget < SHORT_SECONDS:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked or cores or 1, routes))


def measure_routes(
    kit: Kit,
    plan: Plan,
    routes: Sequence[int],
    workers: int,
    *,
    on_progress: Callable[[int, Progress], None],
    on_done: Callable[[int], None],
) -> None:
    """Measure routes of a plan, by their places in it; several at a time where there is a crew.

    Arguments:
        workers: processes; 1 is this one.
        on_progress: called now and then, in this thread; raises Cancelled to stop.
        on_done: called when a route is there.

    Raises:
        WorkError: a process was ended from outside. What is finished is kept.
    """
    if workers > 1:
        _side_by_side(kit, plan, routes, workers, on_progress, on_done)
        return
    for index in routes:
        kit.measure(plan, index, lambda progress, at=index: on_progress(at, progress))
        on_done(index)


class _Told(NamedTuple):
    """Progress as it goes from process to process."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  # hides tuple.index
    done: int
    total: int
    seconds: float
    step: int
    steps: int
    preview: np.ndarray | None


def _side_by_side(
    kit: Kit,
    plan: Plan,
    routes: Sequence[int],
    workers: int,
    on_progress: Callable[[int, Progress], None],
    on_done: Callable[[int], None],
) -> None:
    # Forked, a child would inherit locks that other threads of this process hold.
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    pool = ProcessPoolExecutor(
        workers,
        context,
        initializer=_begin,
        initargs=(kit.request, kit.store.root, plan, stop, told),
    )
    now: dict[int, Progress] = {}
    # In a thread: a process that is killed in the middle of a word would keep its reader for ever.
    threading.Thread(target=_listen, args=(told, now), daemon=True).start()
    try:
        # The dearest first: at the end the cheap ones fill the gaps.
        count = len(kit.system.experts)
        order = sorted(routes, key=lambda i: -plan.cost(plan.entries[i], count))
        with deaf_children():  # the pool starts its processes at the first orders
            futures: dict[Future[None], int] = {pool.submit(_measure, i): i for i in order}
        waiting: set[Future[None]] = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                on_done(futures[future])
            # What a route said last may be heard when it is done already.
            for index in (futures[future] for future in waiting):
                if index in now:
                    on_progress(index, now[index])
    except BrokenProcessPool:
        raise WorkError(
            "a process that measured routes was ended from outside, as where memory runs out; "
            "what is finished is kept: ask again to go on"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        told.put(None)


def _listen(told: Any, now: dict[int, Progress]) -> None:
    """Note the last word of every route, until there is no more to hear."""
    one: _Told | None
    while (one := told.get()) is not None:
        now[one.index] = _progress(one)


def _progress(one: _Told) -> Progress:
    eta = one.seconds / one.done * (one.total - one.done) if one.done else None
    picture = one.preview
    preview = None if picture is None else lambda: picture
    return Progress(one.done, one.total, one.seconds, eta, one.step, one.steps, preview)


#: Of a process of the crew, once it has begun.
_here: dict[str, Any] = {}


def _begin(request: Request, root: Path, plan: Plan, stop: Any, told: Any) -> None:
    """Begin a process of the crew."""
    # Ctrl-C reaches every process of a terminal: the first one decides, and tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An answer may be one document, the first process's: what plug-ins print goes beside it.
    sys.stdout = sys.stderr
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    threadpool_limits(1)
    # What nobody reads any more must not hold up the end.
    told.cancel_join_thread()
    _here.update(request=request, root=root, plan=plan, stop=stop, told=told)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _measure(index: int) -> None:
    """Measure a route in a process of the crew."""
    if "kit" not in _here:
        _here["kit"] = Kit(_here["request"], Store(_here["root"]))
    kit: Kit = _here["kit"]
    plan: Plan = _here["plan"]
    last, pictured, before = 0.0, 0.0, -1.0

    def tell(progress: Progress) -> None:
        nonlocal last, pictured, before
        if _here["stop"].is_set():
            raise Cancelled("cancelled")
        now = time.monotonic()
        # That a new run of the route has begun is told in any case.
        again, before = progress.seconds < before, progress.seconds
        if now - last < _TELL_SECONDS and not again:
            return
        last, picture = now, None
        if progress.preview is not None and now - pictured >= _PREVIEW_SECONDS:
            pictured, picture = now, progress.preview()
        done, total, seconds, _, step, steps, _ = progress
        _here["told"].put(_Told(index, done, total, seconds, step, steps, picture))

    kit.measure(plan, index, tell, workers=1)
