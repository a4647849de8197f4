"""`ddm dashboard`, and the hidden command that is the worker of a device."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import warn
from ddm_core.errors import RequestError, WorkError

__all__ = ["register"]

_LOCAL = ("localhost", "127.0.0.1", "::1")
#: Waits for the server, then opens its page: in its own process, since `ddm` becomes the server.
_OPEN = """
import socket, sys, time, webbrowser
host, port = sys.argv[1], int(sys.argv[2])
for _ in range(300):
    try:
        socket.create_connection((host, port), 1).close()
        webbrowser.open(f"http://{host}:{port}")
        break
    except OSError:
        time.sleep(0.1)
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(dashboard)
    app.command(hidden=True)(work)


def dashboard(
    port: Annotated[int, typer.Option("--port", metavar="N", help="Where to listen.")] = 8501,
    host: Annotated[
        str, typer.Option("--host", metavar="H", help="Anything but localhost lets others in.")
    ] = "localhost",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Also answer to it, as behind a proxy."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page on a terminal.")
    ] = True,
    runs: o.Runs = None,
) -> None:
    """Open the browser app."""
    root = Path(__file__).parents[2]
    if not (root / "app" / "server" / "serve.py").is_file():
        raise WorkError("this installation holds no dashboard: the folder 'app' is missing")
    if not 0 <= port <= 65_535:
        raise RequestError(f"--port {port} is no port; take one of 1024 to 65535")
    if host not in _LOCAL:
        warn(f"everybody who can reach {host}:{port} can use and delete the runs")
    _require_free(host, port)
    # Safe path: a folder named app where the user stands must not be taken for ours.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    if str(root) not in sys.path[1:]:
        there = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *([there] if there else [])])
    command = [sys.executable, "-m", "app.server.serve", "--port", str(port), "--host", host]
    for one in name or []:
        command += ["--name", one]
    if runs is not None:
        command += ["--runs", str(runs.absolute())]
        environment["DDM_RUNS"] = str(runs.absolute())
    if open_page and port and sys.stdout.isatty():
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, "localhost" if host in _LOCAL else host, str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    os.execve(sys.executable, command, environment)


def _require_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise RequestError(f"there is no address '{host}' to listen on") from None
    with socket.socket(family, kind, protocol) as probe:
        # As the server does it: a port whose last connection has just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise RequestError(
                f"port {port} of {host} cannot be used ({error.strerror}); take another --port"
            ) from None


def work(
    lane: Annotated[str, typer.Option("--lane")],
    idle: Annotated[float, typer.Option("--idle")] = 120.0,
    runs: o.Runs = None,
) -> None:
    """Run the jobs of a device until there are none."""
    from ddm_core.queue import Queue

    store = o.open_store(runs)
    # Before torch is loaded: of two that were started at once, one shall end at once.
    if not Queue(store.root).enter(lane):
        return
    from ddm_core.worker import work as run_jobs

    run_jobs(store.root, lane, idle)
