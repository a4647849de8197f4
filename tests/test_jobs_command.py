"""`ddm jobs`, memory that runs out, and the name of a GPU."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ddm_core import cli, devices, run
from ddm_core.config import RunConfig
from ddm_core.errors import WorkError, ran_out_of_memory
from ddm_core.kept import Kept
from ddm_core.queue import Queue
from ddm_core.store import Store
from ddm_core.worker import HANDLERS, _run

NO_ROOM = 2**60


def add(queue: Queue, id: str, kind: str = "sample") -> None:
    queue.add(id, kind, {}, title=f"job {id}", lane="cpu", total=10, comparison=None)


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Held by this process, so that no worker is started."""
    queue = Queue(tmp_path)
    assert queue.enter("cpu")
    return queue


def ask(capsys: pytest.CaptureFixture[str], root: Path, *more: str) -> tuple[int, str, str]:
    code = cli.run(["jobs", "--runs", str(root), *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_jobs_are_listed_cancelled_and_tried_again(
    queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, tmp_path)[:2] == (0, "no jobs: the dashboard submits them\n")
    for id in ("a", "b", "c"):
        add(queue, id)
    code, out, _ = ask(capsys, tmp_path, "--json")
    assert code == 0
    assert [(j["id"], j["state"], j["position"]) for j in json.loads(out)] == [
        ("c", "queued", 3),
        ("b", "queued", 2),
        ("a", "queued", 1),
    ]
    code, out, _ = ask(capsys, tmp_path, "--cancel", "b", "--json")
    assert [(j["id"], j["state"]) for j in json.loads(out)] == [("b", "cancelled")]
    _, out, _ = ask(capsys, tmp_path)
    assert "queued, number 2" in out.splitlines()[3]
    assert "cancelled" in out
    code, out, _ = ask(capsys, tmp_path, "--retry", "b", "--json")
    (again,) = json.loads(out)
    assert (code, again["title"], again["state"], again["position"]) == (0, "job b", "queued", 3)
    assert ask(capsys, tmp_path, "--retry", "a")[::2] == (
        2,
        "error: job a is still queued; cancel it first\n",
    )
    assert ask(capsys, tmp_path, "--cancel", "x")[0] == 2
    assert ask(capsys, tmp_path, "--cancel", "a", "--retry", "b")[0] == 2


def test_a_killed_worker_is_told(
    queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(queue, "a")
    assert queue.claim("cpu") is not None
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    with queue._open() as db:
        owner = db.execute("SELECT owner FROM jobs").fetchone()["owner"]
        gone = owner.replace(str(os.getpid()), str(dead))
        db.execute("UPDATE jobs SET owner = ?, heartbeat = ?", (gone, time.time()))
    _, out, _ = ask(capsys, tmp_path)
    assert "interrupted" in out
    assert "it was killed, or memory ran out; the runs that it had finished are kept" in out


def no_room() -> object:
    return torch.empty(NO_ROOM // 4)


@pytest.mark.parametrize(
    "allocate", [no_room, lambda: np.empty(NO_ROOM // 16), lambda: b"0" * NO_ROOM]
)
def test_memory_that_is_not_there_is_one_sentence(
    allocate: object,
    queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*of: object, **named: object) -> None:
        allocate()  # type: ignore[operator]

    with pytest.raises((MemoryError, RuntimeError)) as caught:
        fail()
    assert ran_out_of_memory(caught.value)
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    monkeypatch.setitem(HANDLERS, "huge", fail)
    add(queue, "a", "huge")
    claim = queue.claim("cpu")
    assert claim is not None
    _run(queue, Store(tmp_path), claim, "cpu", Kept())
    row = queue.row("a")
    assert row is not None
    assert (row["state"], row["message"][:27]) == ("failed", "out of memory: take fewer s")

    monkeypatch.setattr(run, "_run_batch", fail)
    with pytest.raises(WorkError, match="out of memory on cpu: take a smaller --batch"):
        run.execute(RunConfig(system="ring", num=2, steps=2, device="cpu"))
    monkeypatch.setattr("ddm_core.make.checked", fail)
    code = cli.run(["sample", "ring", "--num", "2", "--runs", str(tmp_path)])
    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith("error: out of memory: take fewer samples or a smaller batch (")
    assert said.count("\n") == 1


def test_a_gpu_comes_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, torch refuses to make it the current device."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    chosen: list[int] = []
    monkeypatch.setattr(torch._C, "_cuda_setDevice", chosen.append, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    for name, number in (("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)):
        assert devices.pick_device(name) == torch.device("cuda", number)
        devices.start_worker(devices.pick_device(name))
    assert chosen == [0, 0, 0, 1]
    assert not torch.backends.cudnn.allow_tf32
