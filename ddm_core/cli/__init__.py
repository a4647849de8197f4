"""`ddm`: the command line. Errors are one line on stderr; the exit code tells whose fault it was.

0: done. 1: the work failed. 2: the request was wrong. 130: stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from ddm_core.cli.stopping import STOPPED, Stopped, answer_ctrl_c, at_once
from ddm_core.errors import RequestError, WorkError, ran_out_of_memory

__all__ = ["main", "run"]

#: What a stream that takes no more says; errors of files name their file.
_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this account may write (ulimit -f)",
}


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        # Only here, since importing takes long enough for a Ctrl-C.
        from ddm_core.cli.commands import app

        code = app(list(arguments), prog_name="ddm", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = STOPPED
    except SystemExit as error:
        # Rich and typer say so where nobody reads on.
        if isinstance(error.__context__, BrokenPipeError):
            return _unread()
        return _say(f"something within the work called exit({error.code}); nothing follows", 1)
    except BrokenPipeError:
        return _unread()
    except Exception as error:
        return _told(error)
    if code == STOPPED:
        return _say("stopped by Ctrl-C", STOPPED)
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Say in one sentence what went wrong; returns the exit code."""
    from typer.exceptions import TyperException

    if isinstance(error, Stopped):
        return _say(str(error), STOPPED)
    if isinstance(error, RequestError):
        return _say(str(error), 2)
    if isinstance(error, TyperException):
        return _say(_mistyped(error), 2)
    if isinstance(error, WorkError):
        return _say(str(error), 1)
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        _hush()
        return _say(f"the answer cannot be written: {_NO_ROOM[error.errno]}", 1)
    if os.environ.get("DDM_TRACEBACK"):
        raise error
    if ran_out_of_memory(error):
        return _say(f"out of memory: take fewer samples or a smaller batch ({error})", 1)
    hint = "set DDM_TRACEBACK=1 for the whole story"
    return _say(f"the program failed: {type(error).__name__}: {error} ({hint})", 1)


def _mistyped(error: Exception) -> str:
    """What is wrong with a value, and whose it is: typer says only the one, and at length."""
    from pydantic import ValidationError

    name = str((getattr(getattr(error, "param", None), "opts", None) or [""])[-1])
    said = str(error)
    if isinstance(error.__cause__, ValidationError):
        found = error.__cause__.errors()[0]
        wanted = {"int_parsing": "whole number", "float_parsing": "number"}.get(found["type"])
        said = f"'{found['input']}' is no {wanted}" if wanted else found["msg"]
        said = said.removeprefix("Value error, ")
    return f"{name}: {said}" if name.startswith("-") else said


def _unread() -> int:
    """Whoever read the output has seen enough: as with `head`, that is no failure.

    Not 141: it would make a fault of every `ddm runs | head` under `set -o pipefail`.
    """
    _hush()
    return 0


def _hush() -> None:
    """Say no more on stdout, neither now nor when Python flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(sentence: str, code: int) -> int:
    with suppress(OSError):  # nobody hears it; the code still tells
        print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _open_streams() -> None:
    """Give a stream that was closed (`>&-`) somewhere to go.

    Else the next file that is opened takes its number, and what is printed lands in that file; of
    two streams Python would send what is for the one to the other.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - it stays open


def main() -> None:
    """The entry point."""
    answer_ctrl_c()
    _open_streams()
    if not sys.warnoptions:
        # Warnings of libraries are for developers; they would stand between a user and the answer.
        warnings.simplefilter("ignore")
    code = run(sys.argv[1:])
    at_once(code)
    sys.exit(code)
