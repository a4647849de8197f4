"""The server: Streamlit on localhost with the project's settings, tuned for small updates.

Two stalls of the stock server are removed. Sockets get TCP_NODELAY, since a click is answered by
many small messages, each of which would otherwise wait 40 ms for the acknowledgement of the one
before. And garbage is collected on a clock, not after every click.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
import sys
import tomllib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.server.exposed import ADDRESS, names_of
from app.server.headers import Headers
from ddm_core.errors import STOPPED, RequestError, WorkError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["main", "options"]

_HERE = Path(__file__).parents[1]
_COLLECT_SECONDS = 30.0


def main(
    port: int = 8501,
    host: str = "localhost",
    runs: Path | None = None,
    names: Sequence[str] = (),
) -> None:
    """Serve the dashboard until it is stopped.

    Arguments:
        port: to listen on; 0 takes a free one.
        host: the address to bind to; anything but localhost lets others in.
        runs: the store; default $DDM_RUNS, else runs.
        names: under which the server is known, beside its address.
    """
    if runs is not None:
        os.environ["DDM_RUNS"] = str(runs.absolute())
    os.environ[ADDRESS] = host
    # Before Streamlit is imported: it reads its own environment only once.
    import streamlit as st

    _without_delay()
    from starlette.middleware import Middleware
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    dashboard = st.App(
        _HERE / "main.py",
        lifespan=_lifespan,
        on_script_error=_in_words,
        routes=[
            # Plotly's script, as its Python package brings it; components/chart.js asks for it.
            Mount("/plotly", StaticFiles(packages=[("plotly", "package_data")])),
            Route("/start", _start),
        ],
        middleware=[Middleware(Headers, hosts=names_of(host, names))],
    )
    try:
        dashboard.run(config=options(port, host, names))
    except KeyboardInterrupt:  # how a server is ended
        sys.exit(STOPPED)


def _start(request: Request) -> Response:
    """Streamlit knows its first page by no name, and would say that there is no such page."""
    from starlette.responses import RedirectResponse

    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")


def options(port: int, host: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """Streamlit's settings: the project's file, then what the command line said."""
    flat = _flat(tomllib.loads(_config_file().read_text())) if _config_file().is_file() else {}
    flat |= {
        "server.port": port,
        "server.address": host,
        "server.headless": True,
        "runner.postScriptGC": False,
        "browser.gatherUsageStats": False,
        # A file of settings elsewhere, or a variable, must not take these away.
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.enableStaticServing": False,
    }
    flat.setdefault("theme.paddingTop", "1.5rem")
    flat["server.allowedHosts"] = names_of(host, names)
    return flat


def _config_file() -> Path:
    """Beside the code in an installed package, at the root in a checkout."""
    inside = _HERE / ".streamlit" / "config.toml"
    return inside if inside.is_file() else _HERE.parent / ".streamlit" / "config.toml"


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _without_delay() -> None:
    """Set TCP_NODELAY on the listening socket; the sockets that it accepts inherit it."""
    from streamlit.web.server.starlette import starlette_server

    name = "_bind_socket"
    bind = getattr(starlette_server, name, None)
    if bind is None:
        # Another version of Streamlit: slower by a few hundredths of a second, and right.
        return

    def bind_without_delay(*arguments: Any) -> socket.socket:
        listening: socket.socket = bind(*arguments)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening

    setattr(starlette_server, name, bind_without_delay)


def _in_words(error: Exception) -> bool:
    """Show what a person can act on as a sentence; True if this was such an error."""
    import streamlit as st

    from app.parts import literal

    if not isinstance(error, RequestError | WorkError):
        return False
    st.error(literal(error), icon=":material/error:")
    return True


@asynccontextmanager
async def _lifespan(dashboard: object) -> AsyncGenerator[None]:
    """Warm up what the first page needs, and collect garbage now and then."""
    from app.state import catalogue_source

    catalogue_source().start()
    sweeping = asyncio.create_task(_sweep())
    yield
    sweeping.cancel()


async def _sweep() -> None:
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.sleep(_COLLECT_SECONDS)
        gc.collect()


def _from_command_line() -> None:
    parser = argparse.ArgumentParser(prog="python -m app.server.serve", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--runs", type=Path, default=None)
    parser.add_argument("--name", action="append", default=[])
    asked = parser.parse_args()
    main(asked.port, asked.host, asked.runs, asked.name)


if __name__ == "__main__":
    _from_command_line()
