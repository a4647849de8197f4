"""What every answer of the server says to the browser: nothing is loaded from, or sent, elsewhere.

Even if markup of somebody else's were ever drawn, no script of it would run, no picture of it
would be fetched, and no page elsewhere could put the dashboard into a frame.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Headers", "policy"]

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+))(?::[0-9]+)?")
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def policy(index: str) -> str:
    """The Content-Security-Policy for a frame page.

    Arguments:
        index: the page's HTML; the scripts that stand in it may run, and no other inline ones.
    """
    own = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts(index)]
    said = {
        "default-src": "'self'",
        # Streamlit imports the code of components from blobs, which only a script can make.
        "script-src": " ".join(["'self'", "blob:", *(f"'sha256-{one}'" for one in own)]),
        "worker-src": "'self' blob:",
        # Its styles are made at run time, and Plotly sets them one by one.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "media-src": "'self' data: blob:",
        "connect-src": "'self' data: blob:",
        "frame-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in said.items())


def scripts(index: str) -> list[str]:
    """The scripts that stand in a page."""
    return _INLINE.findall(index)


def _index() -> str:
    import streamlit

    file = Path(streamlit.__file__).parent / "static" / "index.html"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


class Headers:
    """Middleware that adds the headers to every answer, and answers under no other name.

    Arguments:
        app: what answers.
        hosts: the names of the server. Streamlit asks for them on its socket alone.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        said = {
            "content-security-policy": policy(_index()),
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        }
        self._said = [(name.encode(), value.encode()) for name, value in said.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in self._said}
                there = [
                    pair for pair in message.get("headers", []) if pair[0].lower() not in ours
                ]
                message = {**message, "headers": [*there, *self._said]}
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif host_of(scope) not in self._hosts:
            await _refuse(with_headers)
        else:
            await self._app(scope, receive, with_headers)


def host_of(scope: Scope) -> str:
    """The name under which the server was asked, without its port."""
    said = next((value for name, value in scope["headers"] if name == b"host"), b"")
    found = _HOST.fullmatch(said.decode("latin-1").lower())
    return (found["six"] or found["name"]) if found else ""


async def _refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 403, "headers": []})
    await send({"type": "http.response.body", "body": b"this server has another name"})
