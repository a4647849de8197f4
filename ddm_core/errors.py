"""The two ways in which things go wrong for a user, each told in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["STOPPED", "RequestError", "WorkError", "ran_out_of_memory", "unknown"]

STOPPED = 130  # the exit code after Ctrl-C
_LONGEST = 80  # characters of what somebody typed that are worth repeating


class RequestError(ValueError):
    """The request was wrong (a name, a setting, a file): exit code 2."""


class WorkError(RuntimeError):
    """The request was right and the work failed (disk full, NaN, cancelled): exit code 1."""


#: How torch says it, which has a class of its own only for the memory of a GPU.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy or torch says that there is no memory left."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_MEMORY)


def unknown(kind: str, name: object, known: Iterable[str]) -> RequestError:
    """The sentence for a name that is not there, with all that are."""
    there = ", ".join(sorted(known)) or "none"
    said = str(name)
    shown = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."
    return RequestError(f"no {kind} '{shown}'; there are: {there}")
