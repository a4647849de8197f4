"""Who can reach the server: nobody but this machine, unless somebody opened it on purpose."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence

__all__ = ["ADDRESS", "LOCAL", "is_local", "names_of", "notice"]

LOCAL = ("localhost", "127.0.0.1", "::1")
#: Where the server tells its pages the address that it was opened on.
ADDRESS = "DDM_HOST"
_EVERY = ("0.0.0.0", "::", "")


def is_local(host: str) -> bool:
    """Whether an address is this machine's own, which nobody else can reach."""
    if host in LOCAL:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(host: str, more: Sequence[str] = ()) -> list[str]:
    """The names under which a server on this address answers; any other name is refused.

    A page elsewhere can make its own name point here. What the browser then sends has that name.

    Arguments:
        more: names that only the network knows, such as a proxy's.
    """
    names = [*LOCAL, host, *more]
    if host in _EVERY:
        names += [socket.gethostname(), socket.getfqdn(), *_addresses()]
    return list(dict.fromkeys(name.lower() for name in names if name not in _EVERY))


def _addresses() -> list[str]:
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return [
        one.address.partition("%")[0]
        for each in psutil.net_if_addrs().values()
        for one in each
        if one.family in families
    ]


def notice() -> None:
    """Say it on every page where others can reach the server."""
    import streamlit as st

    from app.parts import literal

    host = os.environ.get(ADDRESS, "")
    if host and not is_local(host):
        st.warning(
            f"Open to the network on {literal(host)}: everybody who can reach it can use, change "
            "and delete the runs.",
            icon=":material/public:",
        )
