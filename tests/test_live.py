"""Live controls: the same samples as a run, the newest wins, and a child that dies is replaced."""

from __future__ import annotations

import io
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from ddm_core import wire
from ddm_core.config import RunConfig, make_config
from ddm_core.errors import RequestError, WorkError
from ddm_core.live import Live, Overtaken
from ddm_core.live_worker import _Desk
from ddm_core.run import execute
from ddm_core.shipped import checkpoints_folder

PROBES = ("weights", "cluster_distance", "state", "disagreement")


def config(router: str = "top_k:k=2", *, num: int = 60, steps: int = 5, **more: int) -> RunConfig:
    fields = {"system": "ring", "router": router, "num": num, "steps": steps, "observed": num}
    return make_config(fields | {"probes": PROBES} | more)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    one = Live(keep=4)
    yield one
    one.close()


def test_a_message_comes_back_as_it_was() -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.array([True]),
        "c": np.zeros((0, 4), "i2"),
    }
    pipe = io.BytesIO()
    wire.send(pipe, wire.Message({"x": [1, "ü"]}, arrays))
    wire.send(pipe, wire.Message({}))
    pipe.seek(0)
    got = wire.receive(pipe)
    assert got is not None
    assert got.head == {"x": [1, "ü"]}
    for name, values in arrays.items():
        np.testing.assert_array_equal(got.arrays[name], values)
        assert got.arrays[name].dtype == values.dtype
    assert wire.receive(pipe) == wire.Message({}, {})
    assert wire.receive(pipe) is None


def test_a_message_that_is_none_is_refused() -> None:
    with pytest.raises(WorkError, match="damaged"):
        wire.receive(io.BytesIO(b"\xff" * 12))
    pipe = io.BytesIO()
    wire.send(pipe, wire.Message({}, {"o": np.array([1.0])}))
    evil = pipe.getvalue().replace(b'"<f8"', b'"|O" ')
    with pytest.raises(WorkError, match="kind"):
        wire.receive(io.BytesIO(evil))


def test_an_answer_is_what_a_run_would_be(live: Live) -> None:
    asked = config("exact:temperature=4/full")
    answer = live.ask(asked, client="a")
    made = execute(asked).trace
    assert set(made.data_vars) == set(answer.trace.data_vars)
    for name in made.data_vars:
        np.testing.assert_array_equal(answer.trace[name].values, made[name].values)
        assert answer.trace[name].dims == made[name].dims
        assert answer.trace[name].attrs == made[name].attrs
    np.testing.assert_array_equal(answer.trace["t"].values, made["t"].values)
    assert answer.numbers["disagreement"].n == 60
    assert answer.quality is not None
    assert answer.quality["low"] < answer.quality["value"] < answer.quality["high"]
    assert answer.quality["n"] == 60


def test_going_back_is_at_once_and_what_is_old_is_forgotten(live: Live) -> None:
    asked = [config(seed=seed) for seed in range(5)]
    first = live.ask(asked[0], client="a")
    assert live.ask(asked[0], client="b") is first
    for one in asked[1:]:
        live.ask(one, client="a")
    assert live.known(asked[0]) is None
    assert live.known(asked[4]) is not None


def test_what_is_wrong_is_told_and_harms_nobody(live: Live) -> None:
    with pytest.raises(RequestError, match="there are"):
        live.ask(config("neerest/full"), client="a")
    with pytest.raises(RequestError, match="too many to be live"):
        live.ask(config(num=30_000, steps=2), client="a")
    assert live.ask(config(seed=50), client="a").trace.sizes["sample"] == 60


#: A child that works as many hundredths of a second as there are steps, and whose trace is empty.
SLOW = """
import queue, sys, threading, time
from ddm_core import wire
asked, dropped = queue.Queue(), set()
def read():
    while (message := wire.receive(sys.stdin.buffer)) is not None:
        if "drop" in message.head: dropped.add(message.head["drop"])
        else: asked.put(message.head)
    asked.put(None)
threading.Thread(target=read, daemon=True).start()
wire.send(sys.stdout.buffer, wire.Message({"kind": "ready"}))
empty = {"coords": [], "dims": {}, "words": {}, "attrs": {}, "numbers": {}, "quality": None}
while (one := asked.get()) is not None:
    kind = "answer"
    for _ in range(one["config"]["steps"]):
        time.sleep(0.01)
        if one["number"] in dropped: kind = "dropped"; break
    head = {"number": one["number"], "kind": kind, "seconds": 0.0, **empty}
    wire.send(sys.stdout.buffer, wire.Message(head))
"""


@pytest.fixture
def slow() -> Iterator[Live]:
    """Sleeps instead of sampling."""
    one = Live(command=(sys.executable, "-c", SLOW), idle=1.0)
    one.ask(config(steps=1), client="warm")
    yield one
    one.close()


def child() -> psutil.Process:
    """The newest one."""
    return max(psutil.Process().children(), key=lambda process: process.create_time())


def test_the_newest_request_of_a_client_wins_and_everybody_gets_a_turn(slow: Live) -> None:
    ended: list[str] = []

    def wait(name: str, client: str, steps: int) -> None:
        try:
            slow.ask(config(steps=steps), client=client)
            ended.append(name)
        except Overtaken:
            ended.append(f"{name} overtaken")

    asked = [("long", "a", 400), ("other", "b", 30), ("second", "a", 401), ("third", "a", 20)]
    threads = [threading.Thread(target=wait, args=one) for one in asked]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    begin = time.monotonic()
    for thread in threads:
        thread.join(60)
    # The third request took the place of the second, behind the other client's; neither of the
    # long ones was waited for.
    assert ended == ["long overtaken", "second overtaken", "other", "third"]
    assert time.monotonic() - begin < 3.0
    assert slow.known(config(steps=400)) is None


def test_what_nobody_wants_is_stopped_between_steps(slow: Live) -> None:
    begin = time.monotonic()
    with pytest.raises(Overtaken):
        slow.ask(config(steps=400), client="a", wanted=lambda: time.monotonic() < begin + 0.1)
    slow.ask(config(steps=2), client="b")
    assert time.monotonic() - begin < 3.0


def test_a_system_that_was_trained_again_is_asked_again(slow: Live, tmp_path: Path) -> None:
    manifest = tmp_path / "system.toml"
    manifest.write_text("old")
    asked = make_config({"system": str(tmp_path), "num": 1, "steps": 1})
    answer = slow.ask(asked, client="a")
    assert slow.known(asked) is answer
    manifest.write_text("newer")
    assert slow.known(asked) is None
    assert slow.ask(asked, client="a") is not answer


def test_the_child_looks_at_the_files_of_a_system_again(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(checkpoints_folder() / "digits", folder)
    desk = _Desk()
    before, _ = desk.system(str(folder))
    assert desk.system(str(folder))[0] is before
    os.utime(folder / "system.toml", (1, 1))
    assert desk.system(str(folder))[0] is not before
    ring, real = desk.system("ring")
    assert desk.system("ring") == (ring, real)
    assert real is not None


def test_a_child_that_dies_is_replaced(slow: Live) -> None:
    first = child()
    timer = threading.Timer(0.1, first.kill)
    timer.start()
    slow.ask(config(steps=50), client="a")
    assert not first.is_running()
    assert child().pid != first.pid


def test_a_child_that_cannot_start_says_why() -> None:
    one = Live(command=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    with pytest.raises(WorkError, match="no such thing"):
        one.ask(config(), client="a")
    assert "no such thing" in one.fault
    one.close()


#: A child whose first answer lacks what belongs to it.
BROKEN = SLOW.replace("**empty}", "**(empty if one['number'] > 1 else {})}")


def test_an_answer_that_cannot_be_read_is_a_sentence_and_the_next_one_counts() -> None:
    one = Live(command=(sys.executable, "-c", BROKEN))
    end = time.monotonic() + 20
    with pytest.raises(WorkError, match="an answer that cannot be read"):
        one.ask(config(steps=1), client="a", wanted=lambda: time.monotonic() < end)
    assert one.ask(config(steps=2), client="a").seconds == 0.0
    one.close()


def test_a_command_that_is_not_there_is_a_sentence() -> None:
    one = Live(command=("/no/such/program",))
    end = time.monotonic() + 5
    with pytest.raises(WorkError, match=r"does not start: .*/no/such/program"):
        one.ask(config(), client="a", wanted=lambda: time.monotonic() < end)
    one.close()


def test_it_ends_when_nobody_asks_and_starts_again(slow: Live) -> None:
    first = child()
    end = time.monotonic() + 30
    while slow.ready and time.monotonic() < end:
        time.sleep(0.05)
    assert not slow.ready
    slow.ask(config(steps=3), client="a")
    second = child()
    assert second.pid != first.pid
    slow.close()
    assert not second.is_running()
    with pytest.raises(Overtaken):
        slow.ask(config(steps=4), client="a")
