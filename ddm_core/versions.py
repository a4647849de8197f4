"""Versions of what is installed."""

from __future__ import annotations

import functools
from importlib.metadata import version

__all__ = ["installed"]


@functools.cache
def installed(package: str) -> str:
    """The version of a package; its metadata are read once, which takes milliseconds."""
    return version(package)
