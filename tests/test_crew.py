"""Routes measured side by side: the same document as alone, and no process outlives the audit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import psutil
import pytest

from ddm_core.analysis import crew as crew_module
from ddm_core.analysis import plan as plan_module
from ddm_core.analysis.audit import State, audit
from ddm_core.analysis.crew import SHORT_SECONDS, Kit, crew_size
from ddm_core.analysis.plan import Request, make_plan
from ddm_core.errors import WorkError
from ddm_core.store import Store

REQUEST = Request(system="ring:experts=2", num=32, steps=4, budget=2 * SHORT_SECONDS, map=False)
_CLOCKS = {"created", "seconds", "run"}


def audited(root: Path, workers: int, on_state: Any = lambda state: None) -> dict[str, Any]:
    return audit(
        REQUEST, Store(root), on_state=on_state, should_stop=lambda: False, workers=workers
    )[1]


def crew(of: int | None = None) -> list[psutil.Process]:
    """The processes that one has begun to measure with; this one, unless told."""
    found: list[psutil.Process] = []
    for one in psutil.Process(of).children(recursive=True):
        # One that has just ended has no command line.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
    return found


def same(one: Any, other: Any, at: str = "") -> None:
    """Equal but for what is of the clock, and for the last bits of numbers."""
    assert type(one) is type(other), at
    if isinstance(one, dict):
        assert one.keys() == other.keys(), at
        for name in one.keys() - _CLOCKS:
            same(one[name], other[name], f"{at}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), at
        for place, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{at}[{place}]")
    elif isinstance(one, float):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7, err_msg=at)
    else:
        assert one == other, at


def test_killed_and_asked_again_it_says_what_one_process_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "LEAST_REAL", 32)

    def kill(state: State) -> None:
        if "sampling" in state.text or "sensitivity" in state.text:
            for one in crew():
                one.kill()

    with pytest.raises(WorkError, match="ended from outside, as where memory runs out; what is"):
        audited(tmp_path / "crew", 2, kill)
    assert crew() == []

    done: list[int] = []
    whole = audited(tmp_path / "crew", 2, lambda state: done.append(state.done))
    assert done == sorted(done)
    assert crew() == []
    routers = [run.router for run in Store(tmp_path / "crew").runs() if run.status == "done"]
    assert len(routers) == len(set(routers))  # no run was made twice
    alone = audited(tmp_path / "alone", 1)
    same(json.loads(json.dumps(whole)), json.loads(json.dumps(alone)))


def test_a_short_audit_and_a_gpu_get_no_crew(tmp_path: Path) -> None:
    kit = Kit(REQUEST, Store(tmp_path))
    plan = make_plan(REQUEST, kit.system)
    assert crew_size(kit, plan, 4, routes=9) == 4
    assert crew_size(kit, plan, 4, routes=2) == 2
    assert crew_size(kit, plan, 4, routes=0) == 1
    short = plan.model_copy(update={"budget": SHORT_SECONDS / 2})
    assert crew_size(kit, short, 4, routes=9) == 1


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core measures in one process")
def test_killed_the_first_process_takes_the_others_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ddm_core", "audit", "ring:experts=3", "--no-map"]
    command += ["--num", "64", "--steps", "6", "--budget", "60s", "--runs", str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    others: list[psutil.Process] = []
    end = time.monotonic() + 60
    while len(others) < 2 and first.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        others = crew(first.pid)
    first.kill()
    first.wait()
    assert len(others) == 2
    _, alive = psutil.wait_procs(others, timeout=20)
    assert alive == []


def test_what_a_plugin_prints_in_a_crew_is_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(crew_module, "_here", {})
    monkeypatch.setattr(crew_module.signal, "signal", Mock())
    crew_module._begin(REQUEST, Path(), Mock(), Mock(), Mock())
    print("a plug-in says")
    assert capsys.readouterr() == ("", "a plug-in says\n")
