"""Parts side by side: slices of training dealt out to worker processes of one thread each.

A part is trained in slices, and the part that is furthest behind comes next. So all parts of a
system advance together, and a look at a half-done training shows a half-trained system instead of
half of its experts.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open

from ddm_core.deaf import deaf_children
from ddm_core.errors import WorkError
from ddm_core.training.parts import is_finished, part_path, train_part
from ddm_core.training.plan import Plan

__all__ = ["Report", "stopped", "train_parts"]

_SLICES = 12  # per part


class Report(NamedTuple):
    """What a worker says: how far a part is, and whether its slice has ended (or failed)."""

    part: str
    step: int
    loss: float
    ended: bool = False
    error: str = ""


def train_parts(
    plan: Plan,
    folder: Path,
    parts: list[str],
    workers: int,
    report: Callable[[dict[str, int], Report], None],
    should_stop: Callable[[], bool],
) -> None:
    """Train parts to their ends.

    Arguments:
        workers: 1 trains in this process; more start as many child processes.
        report: called with (steps done by part, the latest report).

    Raises:
        WorkError: a part failed, a worker died, or the training was stopped.
    """
    done = {part: _steps_done(plan, folder, part) for part in parts}

    def hear(one: Report) -> None:
        done[one.part] = max(done[one.part], one.step)
        report(done, one)
        if one.error:
            raise WorkError(one.error)

    left = [part for part in parts if not is_finished(folder, part)]
    if workers == 1 or len(left) < 2:
        while not should_stop() and (task := _next_slice(plan, folder, done, set())):
            _train_slice(plan, folder, *task, hear, should_stop)
    else:
        _train_in_children(plan, folder, done, min(workers, len(left)), hear, should_stop)
    if not all(is_finished(folder, part) for part in parts):
        raise stopped()


def stopped() -> WorkError:
    """The sentence for a training that was asked to stop."""
    return WorkError("the training was stopped; the same command goes on with it")


def _steps_done(plan: Plan, folder: Path, part: str) -> int:
    if is_finished(folder, part):
        return plan.parts[part].steps
    resume = part_path(folder / "resume", part)
    if not resume.is_file():
        return 0
    with safe_open(resume, "pt") as file:
        return file.get_slice("losses").get_shape()[0]


def _next_slice(
    plan: Plan, folder: Path, done: dict[str, int], busy: set[str]
) -> tuple[str, int] | None:
    """The idle part that is furthest behind (of several, the longest), and how far it may go."""
    waiting = [part for part in done if part not in busy and not is_finished(folder, part)]
    if not waiting:
        return None
    part = min(waiting, key=lambda p: (done[p] / plan.parts[p].steps, -plan.parts[p].steps))
    steps = plan.parts[part].steps
    return part, min(steps, done[part] + -(-steps // _SLICES))


def _train_slice(
    plan: Plan,
    folder: Path,
    part: str,
    until: int,
    say: Callable[[Report], None],
    should_stop: Callable[[], bool],
) -> None:
    def report(step: int, loss: float) -> None:
        say(Report(part, step, loss))

    train_part(plan, folder, part, until, report, should_stop)


def _train_in_children(
    plan: Plan,
    folder: Path,
    done: dict[str, int],
    workers: int,
    hear: Callable[[Report], None],
    should_stop: Callable[[], bool],
) -> None:
    # Spawned, not forked: torch's thread pools do not survive a fork.
    context = multiprocessing.get_context("spawn")
    tasks: Queue[tuple[str, int]] = context.Queue()
    reports: Queue[Report] = context.Queue()
    stop = context.Event()
    settings = (plan.to_json(), folder, tasks, reports, stop)
    children = [context.Process(target=_work, args=settings, daemon=True) for _ in range(workers)]
    with deaf_children():
        for child in children:
            child.start()
    busy: set[str] = set()
    try:
        while True:
            while len(busy) < workers and not should_stop():
                task = _next_slice(plan, folder, done, busy)
                if task is None:
                    break
                busy.add(task[0])
                tasks.put(task)
            if not busy:
                return
            if should_stop():
                stop.set()
            try:
                one = reports.get(timeout=0.5)
            except queue.Empty:
                # A stopped worker may leave before it takes its slice.
                if not all(child.is_alive() for child in children):
                    if should_stop():
                        return
                    raise WorkError(
                        "a training worker died (out of memory?); the same command goes on"
                    ) from None
                continue
            if one.ended:
                busy.discard(one.part)
            hear(one)
    finally:
        stop.set()
        for child in children:
            child.join()


def _work(
    plan_json: str,
    folder: Path,
    tasks: Queue[tuple[str, int]],
    reports: Queue[Report],
    stop: Event,
) -> None:
    """The life of a worker: slices until told to stop, or until its parent is gone."""
    # Ctrl-C reaches the whole group; the parent answers it and says stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    plan = Plan.from_json(plan_json)
    parent = multiprocessing.parent_process()

    def should_stop() -> bool:
        return stop.is_set() or (parent is not None and not parent.is_alive())

    while not should_stop():
        try:
            part, until = tasks.get(timeout=0.5)
        except queue.Empty:
            continue
        last = Report(part, 0, float("nan"), ended=True)
        try:
            _train_slice(plan, folder, part, until, reports.put, should_stop)
        except WorkError as error:
            last = last._replace(error=str(error))
        except Exception as error:
            last = last._replace(
                error=f"training of {part} fails: {type(error).__name__}: {error}"
            )
        reports.put(last)
