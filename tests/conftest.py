"""What all tests share: the device, MNIST's files, a store, a browser and a running dashboard."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from browsing import settled, windows
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180.0
#: The files that take a minute or more, the longest first.
LONG = (
    *("test_audit", "test_axe", "test_sampling", "test_training", "test_browser", "test_looking"),
    *("test_embedding", "test_probes", "test_jobs", "test_what_if", "test_flow_pages"),
    *("test_audit_pages", "test_map_page", "test_selection_browser", "test_exhibits"),
    *("test_exposure", "test_chart", "test_report"),
)
LOG_LINES = 40

# One thread a process: two that share a busy core wait for each other most of the time.
torch.set_num_threads(1)
threadpool_limits(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the servers and workers that tests start

_logs = pytest.StashKey[list[Path]]()


class Dashboard(NamedTuple):
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The last lines that the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def stop(self) -> None:
        """End the server and all that it started."""
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.process.pid)
            family = [server, *server.children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for one in alive:
            one.kill()
        self.process.wait()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tests with a device run: cpu or cuda")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_logs] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: at the end the short ones fill the gaps between workers."""
    items.sort(
        key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG)
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if item.get_closest_marker("browser") and find_chromium() is None:
        message = "needs Chromium: install it, or name it in DDM_CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None, Any, Any]:
    report = yield
    if report.failed and "dashboard" in getattr(item, "fixturenames", ()):
        for log in item.config.stash[_logs]:
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            report.sections.append((f"the dashboard's last lines ({log.name})", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of --device."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder that holds MNIST's four IDX files, below it or in it."""
    named = os.environ.get("DDM_MNIST")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "MNIST"
    if not any(folder.rglob("train-images-idx3-ubyte*")):
        pytest.skip("needs MNIST's files: name their folder in DDM_MNIST")
    return folder


@pytest.fixture
def tmp_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, which is also the default of every command."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("DDM_RUNS", str(folder))
    return folder


def find_chromium() -> str | None:
    """The browser's program: $DDM_CHROMIUM, else where Linux puts it, else what the PATH has."""
    named = os.environ.get("DDM_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    # The shell is the same engine without windows, and takes a quarter less of the processor.
    names = ("chromium-headless-shell", "/usr/bin/chromium", "chromium", "chromium-browser")
    names += ("google-chrome", "chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser's program, for tests marked `browser`."""
    path = find_chromium()
    if path is None:
        pytest.fail("this test uses Chromium and lacks the marker `browser`")
    return path


@pytest.fixture(scope="session")
def launch_options(chromium: str) -> dict[str, Any]:
    """What playwright's `chromium.launch` needs to be quiet, alone, and right as root."""
    quiet = ("background-networking", "component-update", "sync")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    return {
        "executable_path": chromium,
        "headless": True,
        "args": [*arguments, *(f"--disable-{name}" for name in quiet)],
    }


# Not for the whole session: as long as it is open, playwright's event loop runs in this thread,
# and nothing else may start one.
@pytest.fixture(scope="module")
def browser(launch_options: dict[str, Any]) -> Iterator[Any]:
    """A Chromium; `browser.new_page(viewport=..., color_scheme=...)` opens a fresh window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(**launch_options)
        yield opened
        opened.close()


# Not for the whole session either: each server has workers that hold a gigabyte together.
@pytest.fixture(scope="module")
def dashboard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], str]]:
    """Call it with a folder of runs: the address of a dashboard that shows them.

    One server a folder; all end with the module.
    """
    logs = tmp_path_factory.mktemp("dashboards")
    running: dict[Path, Dashboard] = {}

    def start(runs: Path) -> str:
        if runs not in running:
            running[runs] = start_dashboard(runs, logs / f"{len(running)}.log")
            request.config.stash[_logs].append(running[runs].log)
        return running[runs].url

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture
def page(
    browser: Any, shown: Any, dashboard: Callable[[Path], str]
) -> Iterator[Callable[..., Any]]:
    """Open an address of the dashboard on the module's own `shown` store, in a fresh window."""
    with windows(browser) as opened:

        def go(path: str, **options: Any) -> Any:
            window = opened(f"{dashboard(shown.root)}/{path}", **options)
            settled(window)
            return window

        yield go


def start_dashboard(runs: Path, log: Path) -> Dashboard:
    """Start the command that users type, and wait until its server answers."""
    port = free_port()
    command = [sys.executable, "-m", "ddm_core", "dashboard", "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--runs", str(runs)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    server = Dashboard(f"http://localhost:{port}", process, log)
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(server.url):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            pytest.fail(f"the dashboard does not start:\n{server.tail()}", pytrace=False)
        time.sleep(0.1)
    return server


def is_healthy(url: str) -> bool:
    """Whether the server says that it is ready for pages."""
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])
