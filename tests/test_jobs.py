"""Jobs: they run elsewhere, tell how far they are, stop when asked, and survive what happens."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from PIL import Image

from ddm_core import make
from ddm_core.branching import branch_config
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError, WorkError
from ddm_core.jobs import Job, Jobs, _ending
from ddm_core.kept import Kept
from ddm_core.queue import Queue
from ddm_core.run import Cancelled
from ddm_core.store import Store
from ddm_core.worker import AUDIT_UNITS, work

PATIENCE = 240.0


def workers(root: Path) -> list[psutil.Process]:
    """Processes that work for this store."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "work" in command and str(root) in command:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("jobs") / "runs"
    yield root
    for process in workers(root):
        process.kill()


@pytest.fixture
def jobs(place: Path) -> Jobs:
    return Jobs(place, idle=60)


def ring(router: str = "top_k", **fields) -> RunConfig:
    given = {"num": 8, "steps": 5, "probes": ("weights",), "device": "cpu", "workers": 1}
    return RunConfig(**{"system": "ring", "router": router, **given, **fields})


LONG = {"num": 2000, "steps": 5000, "batch": 500}


def wait(jobs: Jobs, id: str, until: Callable[[Job], object]) -> Job:
    end = time.monotonic() + PATIENCE
    while not until(job := jobs.job(id)):
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


def ended(job: Job) -> bool:
    return not job.active


def test_nothing_is_there_before_anything_was_asked(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "runs")
    assert jobs.jobs() == []
    with pytest.raises(RequestError, match="no job 'x'; the latest are: none"):
        jobs.job("x")
    assert not (tmp_path / "runs").exists()


def test_a_comparison_is_made_in_order(jobs: Jobs) -> None:
    id = jobs.submit([ring("full"), ring("top_k:k=1")], comparison=True)
    assert jobs.job(id).position in (0, 1)
    job = wait(jobs, id, ended)
    assert (job.state, job.message) == ("done", "")
    assert job.done == job.total == 2 * 8 * 5
    assert job.comparison is not None
    runs = Store(jobs.root).comparison(job.comparison)
    assert [run.id for run in runs] == list(job.runs)
    assert [run.router for run in runs] == ["full", "top_k:k=1"]
    assert len({run.hashes["x_T"] for run in runs}) == 1


def test_first_come_first_served_and_a_wrong_one_fails_with_its_sentence(jobs: Jobs) -> None:
    long = jobs.submit([ring(**LONG)])
    wrong = jobs.submit([ring("neerest/full")])
    right = jobs.submit([ring()], title="<b>mine</b>")
    place = {job.id: job.position for job in jobs.jobs()}
    assert place[right] - place[wrong] == 1
    # A second look at the same files, as after a restart of the server.
    other = Jobs(jobs.root)
    job = wait(other, long, lambda job: job.preview and job.done and job.eta)
    assert job.state == "running"
    assert 0 < job.done < job.total
    assert job.eta is not None
    assert job.eta > 0
    assert job.preview is not None
    with Image.open(job.preview) as picture:
        assert picture.size[0] > 0
    asked = time.monotonic()
    other.cancel(long)
    job = wait(other, long, ended)
    assert job.state == "cancelled"
    assert time.monotonic() - asked < 3.0  # a second, and the load of the machine
    assert job.runs == ()
    job = wait(jobs, wrong, ended)
    assert job.state == "failed"
    assert job.message.startswith("no router 'neerest'; there are:")
    assert wait(jobs, right, ended).state == "done"
    assert jobs.job(right).title == "<b>mine</b>"
    assert len(workers(jobs.root)) == 1
    jobs.cancel(right)  # what has ended stays as it is
    assert jobs.job(right).state == "done"


def test_killed_worker_interrupted_job_next_job_runs_retry_makes_the_rest(jobs: Jobs) -> None:
    broken = jobs.submit([ring("full"), ring("top_k:k=1", **LONG)], comparison=True)
    after = jobs.submit([ring(seed=7)])
    with pytest.raises(RequestError, match="cancel it first"):
        jobs.retry(broken)
    wait(jobs, broken, lambda job: job.runs and "top_k:k=1: step" in job.message)
    (worker,) = workers(jobs.root)
    os.kill(worker.pid, signal.SIGKILL)
    # Nobody asks about the jobs: the process that holds the queue goes on by itself.
    queue, end = Queue(jobs.root), time.monotonic() + PATIENCE
    while (row := queue.row(after)) is None or row["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.1)
    job = jobs.job(broken)
    assert job.state == "interrupted"
    # The signal is named where the process that started the worker was the first to look.
    assert re.search(r"was killed( \(signal 9\))?, .*memory ran out; the runs that", job.message)
    assert job.message.endswith("and trying again makes the rest")
    assert len(job.runs) == 1
    store = Store(jobs.root)
    assert store.run(job.runs[0]).status == "done"
    left = [run for run in store.runs() if run.status == "interrupted"]
    assert [run.router for run in left] == ["top_k:k=1"]
    again = jobs.retry(broken)
    wait(jobs, again, lambda now: "top_k:k=1: step" in now.message)
    assert jobs.job(again).comparison == job.comparison
    assert jobs.job(again).runs == job.runs  # not made twice
    assert len(store.comparison(str(job.comparison))) == 1  # the broken one made room
    jobs.cancel(again)
    assert wait(jobs, again, ended).state == "cancelled"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs that nobody runs until this process does, by `work`."""
    monkeypatch.setattr(Jobs, "_start", lambda self, lane: None)
    return Jobs(tmp_path / "runs")


def fail_with(error: Exception) -> Callable[..., None]:
    def fail(*of: object, **named: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("known", [True, False], ids=["told", "killed before it was told"])
def test_a_run_whose_measuring_was_cancelled_is_measured_and_not_made_again(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    wanted = [ring(num=32, metrics=("energy_distance",)), ring("full", num=32)]
    first = alone.submit(wanted, comparison=True)
    with monkeypatch.context() as patch:
        patch.setattr(make, "measure_evidence", fail_with(Cancelled("cancelled")))
        work(alone.root, "cpu", 0.0)
    job = alone.job(first)
    assert job.state == "cancelled"
    (id,) = job.runs
    if not known:
        with closing(sqlite3.connect(alone.root / "jobs.sqlite")) as db:
            db.execute("UPDATE jobs SET runs = '[]'")
            db.commit()
    second = alone.retry(first)
    alone.cancel(second)  # before it came to anything: what the first one had is not forgotten
    third = alone.retry(second)
    work(alone.root, "cpu", 0.0)
    job = alone.job(third)
    assert (job.state, len(job.runs)) == ("done", 2)
    runs = Store(alone.root).runs()
    assert {run.id for run in runs} == set(job.runs)
    assert job.runs[0] == id
    assert set(Store(alone.root).run(id).metrics) == {"energy_distance"}


def test_a_branch_whose_comparing_failed_is_compared_and_not_made_again(
    alone: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.submit([ring()])
    work(alone.root, "cpu", 0.0)
    (parent,) = Store(alone.root).runs()
    config = branch_config(parent.config, step=2, seeds=[1], router="fixed:expert=3/full")
    first = alone.submit_branch(parent.id, config)
    with monkeypatch.context() as patch:
        patch.setattr(Kept, "yardstick_or_none", fail_with(WorkError("the disk is full")))
        work(alone.root, "cpu", 0.0)
    job = alone.job(first)
    assert (job.state, job.message) == ("failed", "the disk is full")
    again = alone.retry(first)
    work(alone.root, "cpu", 0.0)
    assert alone.job(again).state == "done"
    (branch,) = Store(alone.root).branches(parent.id)
    assert job.runs == alone.job(again).runs == (branch.id,)
    assert branch.departure["image_difference"]["n"] == 1
    # Another job is another wish.
    other = alone.submit_branch(parent.id, config)
    work(alone.root, "cpu", 0.0)
    assert alone.job(other).runs != job.runs


def test_the_end_of_a_worker_of_another_process_is_told_as_far_as_it_is_known(
    tmp_path: Path,
) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from ddm_core.queue import Queue
        queue = Queue(Path(sys.argv[1]))
        queue.enter("cpu")
        print(queue.claim("cpu").id, flush=True)
        time.sleep(600)
    """
    Queue(tmp_path).add("a", "x", {}, title="", lane="cpu", total=1, comparison=None)
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "a\n"
        jobs = Jobs(tmp_path)
        assert jobs.job("a").state == "running"
        worker.kill()
    job = jobs.job("a")
    assert job.state == "interrupted"
    assert job.message.startswith("the worker ended before the job was done: it was killed, or")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, ""),
        (3, "the worker ended by itself (exit code 3)"),
        (-9, "the worker was killed (signal 9), most often because memory ran out"),
        (-11, "the worker was killed (signal 11), a fault of the program or of a library"),
        (-63, "the worker was killed (signal 63)"),
    ],
)
def test_how_a_worker_ended_is_said_in_words(code: int | None, said: str) -> None:
    assert _ending(code) == said


def test_metrics_of_stored_runs_are_a_job(jobs: Jobs) -> None:
    run = wait(jobs, jobs.submit([ring(num=32)]), ended).runs[0]
    job = wait(jobs, jobs.submit_metrics([run], ["energy_distance"], device="cpu"), ended)
    assert job.state == "done"
    assert Store(jobs.root).run(run).metrics["energy_distance"]["n"] == 32


def test_an_audit_is_a_job(jobs: Jobs) -> None:
    payload = {"system": "ring:experts=2", "num": 32, "steps": 4, "budget": 1.0, "map": False}
    id = jobs.enqueue("audit", payload, title="audit of ring", total=AUDIT_UNITS)
    job = wait(jobs, id, ended)
    assert job.state == "done", job.message
    assert job.done <= job.total == AUDIT_UNITS
    (document,) = (jobs.root / "audits").glob("*/audit.json")
    assert len(json.loads(document.read_text())["claims"]) == 4
    assert {Store(jobs.root).run(run).tags[0] for run in job.runs} == {"audit"}
    wrong = jobs.enqueue("audit", {"system": "ring", "num": 1}, title="too few")
    assert "num" in wait(jobs, wrong, ended).message


def test_an_unknown_kind_fails_and_the_worker_lives(jobs: Jobs) -> None:
    job = wait(jobs, jobs.enqueue("nonsense", {}, title="x", device="cpu"), ended)
    assert job.state == "failed"
    there = "sample, branch, metrics, audit, map, field"
    assert job.message == f"no job of kind 'nonsense'; there are: {there}"


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    with pytest.raises(RequestError, match="no config"):
        jobs.submit([])
    with pytest.raises(RequestError, match="no device 'cpu; rm'"):
        jobs.enqueue("sample", {}, title="", device="cpu; rm")
    with pytest.raises(RequestError, match="one device"):
        jobs.submit([ring(), ring(device="cuda:1")])
    assert jobs.jobs() == []


def test_a_queued_job_is_cancelled_at_once_and_one_worker_per_lane(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add("a", "sample", {}, title="", lane="cpu", total=1, comparison=None)
    assert queue.enter("cpu")
    assert not queue.enter("cpu")
    assert not queue.leave("cpu")
    queue.cancel("a")
    row = queue.row("a")
    assert row is not None
    assert row["state"] == "cancelled"
    assert queue.claim("cpu") is None
    assert queue.leave("cpu")
    assert queue.enter("cpu")


def test_every_job_is_taken_once(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for number in range(40):
        queue.add(f"{number:02}", "x", {}, title="", lane="cpu", total=1, comparison=None)
    script = """
        import sys
        from pathlib import Path
        from ddm_core.queue import Queue
        queue = Queue(Path(sys.argv[1]))
        while claim := queue.claim("cpu"):
            print(claim.id)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [one.communicate(timeout=60)[0].split() for one in both]
    assert sorted(taken[0] + taken[1]) == [f"{number:02}" for number in range(40)]
    assert all(part == sorted(part) for part in taken)


def test_a_damaged_queue_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(WorkError, match=r"cannot use the job queue .*jobs\.sqlite"):
        Jobs(tmp_path).jobs()


def test_a_worker_that_cannot_start_fails_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    job = wait(jobs, jobs.submit([ring()]), ended)
    assert job.state == "failed"
    assert "worker-cpu.log" in job.message


def test_old_jobs_make_room(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add("old", "x", {}, title="", lane="cpu", total=1, comparison=None)
    queue.cancel("old")
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as db:
        db.execute("UPDATE jobs SET number = -1000")
        db.commit()
    gone = queue.add("new", "x", {}, title="", lane="cpu", total=1, comparison=None)
    assert gone == ["old"]
    assert [row["id"] for row in queue.rows(10)] == ["new"]
