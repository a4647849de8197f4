"""Who runs the jobs: one worker for each device, whoever looks, and none that lost its place."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from made_up import made_up
from test_jobs import ring

from ddm_core import disk, worker
from ddm_core.errors import RequestError
from ddm_core.jobs import Jobs
from ddm_core.kept import Kept
from ddm_core.queue import Queue
from ddm_core.run import Cancelled
from ddm_core.store import Store
from ddm_core.worker import work


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs that nobody runs until this process does."""
    monkeypatch.setattr(Jobs, "_start", lambda self, lane: None)
    return Jobs(tmp_path / "runs")


class Starting:
    """A worker on its way, which takes its time to say so."""

    def __init__(self, on_pid: Callable[[], object] = int) -> None:
        self._on_pid = on_pid

    @property
    def pid(self) -> int:
        self._on_pid()
        return 0

    def poll(self) -> None:
        time.sleep(0.2)


def at_once(*looks: Callable[[], object]) -> list[BaseException]:
    """What looks on threads of their own die of."""
    died: list[BaseException] = []

    def run(look: Callable[[], object]) -> None:
        try:
            look()
        except BaseException as error:
            died.append(error)

    threads = [threading.Thread(target=run, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return died


def test_two_that_look_at_once_start_one_worker(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.submit([ring()])
    started: list[str] = []
    monkeypatch.setattr(Jobs, "_start", lambda self, lane: started.append(lane))
    alone._started["cpu"] = Starting()  # type: ignore[assignment]
    assert at_once(*[lambda: alone.jobs()] * 3, lambda: alone.warm("cpu")) == []
    assert started == []


def test_a_worker_is_started_while_another_thread_asks_how_one_ended(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.submit([ring()])
    asks, started = threading.Event(), threading.Event()

    def start(self: Jobs, lane: str) -> None:
        asks.wait(0.5)
        self._started[lane] = Starting()  # type: ignore[assignment]
        started.set()

    def ask() -> None:
        asks.set()
        started.wait(0.5)

    monkeypatch.setattr(Jobs, "_start", start)
    alone._started["cuda:0"] = Starting(ask)  # type: ignore[assignment]

    def look_for_dead() -> None:
        time.sleep(0.1)  # the other one is past its own look for them by now
        with closing(sqlite3.connect(alone.root / "jobs.sqlite")) as db:
            dead = disk.owner().partition("-")[0] + "-1-1"
            db.execute("INSERT INTO workers VALUES ('cuda:0', ?, 0)", (dead,))
            db.execute("UPDATE jobs SET state = 'running', owner = ?, heartbeat = 0", (dead,))
            db.commit()
        alone.jobs()

    assert at_once(alone.jobs, look_for_dead) == []


def test_metrics_are_measured_on_the_device_that_was_asked_for(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Store(alone.root).save(made_up(system="ring"))
    devices: list[str] = []

    def yardstick(self: Kept, name: str, device: str = "auto") -> None:
        devices.append(device)
        raise RequestError("enough")

    monkeypatch.setattr(Kept, "yardstick", yardstick)
    for device in ("cpu", "auto"):
        alone.submit_metrics([record.id], ["fid"], device=device)
        work(alone.root, alone.jobs()[0].device, 0.0)
    assert devices == ["cpu", "auto"]


def test_a_worker_that_lost_its_lane_takes_no_job_and_ends(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = alone.submit([ring()])
    queue = Queue(alone.root)

    def heartbeat() -> float:
        with closing(sqlite3.connect(queue.path)) as db:
            return db.execute("SELECT heartbeat FROM workers").fetchone()[0]

    with monkeypatch.context() as patch:
        patch.setattr(disk, "owner", lambda: "00000000-1-1")  # of another machine
        assert queue.enter("cpu")
        since = heartbeat()
    assert not queue.beat("cpu")
    assert heartbeat() == since
    assert queue.claim("cpu") is None
    begun = time.monotonic()
    work(alone.root, "cpu", 60.0)
    assert time.monotonic() - begun < 5.0
    assert alone.job(id).state == "queued"


def test_a_worker_that_was_taken_for_dead_and_has_no_heir_goes_on(alone: Jobs) -> None:
    queue = Queue(alone.root)
    assert queue.enter("cpu")
    with closing(sqlite3.connect(queue.path)) as db:
        db.execute("DELETE FROM workers")
        db.commit()
    assert not queue.lives("cpu")
    assert queue.beat("cpu")
    assert queue.lives("cpu")


def test_a_worker_sweeps_what_the_one_before_it_was_killed_over(alone: Jobs) -> None:
    assert Queue(alone.root).enter("cpu")
    folder = alone.root / ".jobs" / "j"
    folder.mkdir(parents=True)
    dead = disk.owner().partition("-")[0] + "-1-1"
    (folder / f".new-preview.png-abcdef.{dead}").touch()
    (folder / "preview.png").touch()
    work(alone.root, "cpu", 0.0)
    assert [path.name for path in folder.iterdir()] == ["preview.png"]


@pytest.mark.parametrize(("code", "again"), [(-9, True), (130, True), (0, True), (1, False)])
def test_a_worker_that_was_ended_is_started_again_and_one_that_fails_is_not(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch, code: int, again: bool
) -> None:
    id = alone.submit([ring()])
    started: list[str] = []
    monkeypatch.setattr(Jobs, "_start", lambda self, lane: started.append(lane))
    alone._started["cpu"] = Mock(pid=0, poll=Mock(return_value=code))
    state = alone.job(id).state
    assert (state, "cpu" in started) == (("queued", True) if again else ("failed", False))


def test_a_run_of_a_system_as_it_was_is_made_again(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = alone.submit([ring(), ring("full")], comparison=True)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "complete_run", Mock(side_effect=Cancelled("cancelled")))
        work(alone.root, "cpu", 0.0)
    (old,) = Store(alone.root).runs()
    path = alone.root / old.id / "run.json"
    path.write_text(path.read_text().replace(old.hashes["system"], "0" * 64))
    second = alone.retry(first)
    work(alone.root, "cpu", 0.0)
    job = alone.job(second)
    assert (job.state, len(job.runs), old.id in job.runs) == ("done", 2, False)
