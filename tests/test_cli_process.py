"""`ddm` as a process of its own: Ctrl-C at any moment; streams that are closed, full, unread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import start_dashboard
from made_up import made_up

from ddm_core.store import Store

DDM = f"{sys.executable} -m ddm_core"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a run in it."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("DDM_RUNS", str(folder))
    Store(folder).save(made_up())
    return folder


def shell(line: str) -> tuple[int, str, str]:
    """What bash makes of a line; a part of a pipe that fails is its failure."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def interrupted(script: str) -> tuple[int, str, str]:
    """A Python program in which SIGINT is what it is on a terminal."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    return done.returncode, done.stdout, done.stderr


PRESS = "os.kill(os.getpid(), signal.SIGINT)"


def test_ctrl_c_while_the_program_is_loaded() -> None:
    found = interrupted(f"""
        import os, signal, sys

        class Pressed:
            def find_spec(self, name, path=None, target=None):
                if name == "typer":
                    {PRESS}

        sys.meta_path.insert(0, Pressed())
        from ddm_core.cli import main
        sys.argv = ["ddm", "list", "routers"]
        main()
    """)
    assert found == (130, "", "error: stopped by Ctrl-C\n")


def test_a_second_ctrl_c_ends_what_the_first_one_began() -> None:
    found = interrupted(f"""
        import os, signal, sys, time
        from ddm_core.cli import library, main

        def open_store(runs):
            try:
                {PRESS}
                time.sleep(30)
            finally:
                {PRESS}
                time.sleep(30)

        library.o.open_store = open_store
        sys.argv = ["ddm", "runs"]
        main()
    """)
    assert found == (130, "", "error: stopped at once by a second Ctrl-C\n")


def test_ctrl_c_when_all_is_said_changes_nothing() -> None:
    found = interrupted(f"""
        import atexit, os, signal, sys
        from ddm_core.cli import main
        atexit.register(lambda: {PRESS})
        sys.argv = ["ddm", "--version"]
        main()
    """)
    assert found[0] == 0
    assert found[1].startswith("ddm ")
    assert found[2] == ""


def test_a_closed_stream_takes_nothing_along(root: Path) -> None:
    assert shell(f"{DDM} runs >&-") == (0, "", "")
    code, out, err = shell(f"{DDM} show nothing --json 2>&-")
    assert (code, out, err) == (2, "", "")
    line = f"{DDM} sample ring --num 2 --steps 2 --device cpu --json"
    code, out, _ = shell(f"{line} 2>&- <&-")
    assert code == 0
    assert json.loads(out)["status"] == "done"
    # What went nowhere went into no file.
    code, _, _ = shell(f"{line} >&- 2>&- <&-")
    assert code == 0
    assert all(run.status == "done" for run in Store(root).runs())
    assert Store(root).unreadable == {}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this machine has no /dev/full")
@pytest.mark.usefixtures("root")
def test_an_answer_that_cannot_be_written_is_a_sentence() -> None:
    for words in ("runs", "runs --json", "--help"):
        code, _, err = shell(f"{DDM} {words} > /dev/full")
        assert (code, err) == (1, "error: the answer cannot be written: the disk is full\n")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("words", ["runs", "runs --json", "--help"])
def test_who_stops_reading_is_no_failure(words: str) -> None:
    assert shell(f"{DDM} {words} | true") == (0, "", "")
    code, _, err = shell(f"{DDM} {words} | head -c 1")
    assert (code, err) == (0, "")


def test_a_server_that_ctrl_c_ends_says_nothing_more(root: Path, tmp_path: Path) -> None:
    server = start_dashboard(root, tmp_path / "log")
    try:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 130
        assert "Traceback" not in server.log.read_text()
    finally:
        server.stop()


def test_children_leave_ctrl_c_to_the_one_that_started_them() -> None:
    found = interrupted(f"""
        import os, signal, subprocess, sys
        from ddm_core.deaf import deaf_children

        ask = [sys.executable, "-c", "import os, signal; {PRESS}; print('lives')"]
        with deaf_children():
            deaf = subprocess.run(ask, capture_output=True, text=True)
        hears = subprocess.run(ask, capture_output=True, text=True)
        print(deaf.stdout.strip(), hears.stdout.strip(), "KeyboardInterrupt" in hears.stderr)
    """)
    assert found == (0, "lives  True\n", "")
