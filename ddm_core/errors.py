"""The two ways in which things go wrong for a user, each told in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["RequestError", "WorkError", "unknown"]


_LONGEST = 80  # characters of what somebody typed that are worth repeating


class RequestError(ValueError):
    """The request was wrong (a name, a setting, a file): exit code 2."""


class WorkError(RuntimeError):
    """The request was right and the work failed (disk full, NaN, cancelled): exit code 1."""


def unknown(kind: str, name: object, known: Iterable[str]) -> RequestError:
    """The sentence for a name that is not there, with all that are."""
    there = ", ".join(sorted(known)) or "none"
    said = str(name)
    shown = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."
    return RequestError(f"no {kind} '{shown}'; there are: {there}")
