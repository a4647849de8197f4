"""A dashboard on a store of its own, with a comparison large enough to be slow."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.exhibits.paper import find_browser
from ddm_core.config import make_config
from ddm_core.records import stamped
from ddm_core.run import execute
from ddm_core.store import Store

__all__ = [
    "ROUTERS",
    "SAMPLES",
    "STEPS",
    "Served",
    "launch_arguments",
    "require_chromium",
    "served",
]

ROUTERS = ("top_k:k=1", "top_k:k=2", "full", "uniform/full")
SAMPLES, STEPS = 256, 50
_START_SECONDS = 120.0


class Served(NamedTuple):
    """A running dashboard.

    Arguments:
        url: of its first page.
        process: of its server.
        system: that the runs are of.
        comparison: id of the runs that share their noise.
        runs: their ids, one per router.
        chromium: the browser's program.
    """

    url: str
    process: subprocess.Popen[bytes]
    system: str
    comparison: str
    runs: tuple[str, ...]
    chromium: str

    @property
    def what(self) -> str:
        """What the pages show, in words."""
        return f"{len(self.runs)} routers x {SAMPLES} samples x {STEPS} steps of {self.system}"


def require_chromium() -> str:
    """The browser's program.

    Raises:
        RuntimeError: there is none, or nothing to drive it.
    """
    try:
        import playwright.sync_api  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise RuntimeError("playwright is not installed") from None
    chromium = find_browser()
    if chromium is None:
        raise RuntimeError("there is no Chromium on this machine")
    return chromium


def launch_arguments() -> list[str]:
    """What Chromium is started with: quiet, and right also as root."""
    return [
        *("--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    ]


@contextmanager
def served(
    system: str = "digits", tell: Callable[[str], None] = lambda line: None
) -> Generator[Served]:
    """Sample the comparison, serve it, and end the server afterwards.

    Raises:
        RuntimeError: no browser, or no server within two minutes; says which.
    """
    chromium = require_chromium()
    with tempfile.TemporaryDirectory() as folder:
        store, comparison = Store(Path(folder)), stamped()
        runs: list[str] = []
        for router in ROUTERS:
            tell(f"sampling {SAMPLES} x {STEPS} with {router}")
            fields = {"num": SAMPLES, "steps": STEPS, "observed": SAMPLES, "router": router}
            config = make_config({"system": system, **fields})
            runs.append(store.save(execute(config), comparison=comparison).id)
        port = _free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "app.server.serve", "--port", f"{port}", "--runs", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://localhost:{port}"
            _wait(f"{url}/_stcore/health")
            yield Served(url, server, system, comparison, tuple(runs), chromium)
        finally:
            server.terminate()
            server.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def _wait(url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not start within {_START_SECONDS:.0f} s")
