"""Ctrl-C: one sentence that says what is kept, whenever it is pressed and however often."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from ddm_core.errors import STOPPED

__all__ = ["STOPPED", "Stopped", "answer_ctrl_c", "at_once", "if_stopped"]


class Stopped(Exception):
    """Ctrl-C was pressed; says what has become of the work."""


@contextmanager
def if_stopped(kept: Callable[[], str]) -> Generator[None]:
    """Say what is kept where Ctrl-C ends the work inside.

    Raises:
        Stopped: it did.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped by Ctrl-C; {kept()}") from None


def answer_ctrl_c() -> None:
    """Let the first Ctrl-C interrupt the work, and a second one end the program where it stands.

    What the first one has begun to put away may take a while, and has no use for a second one.
    """
    # Where it is ignored (a job in the background) it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _first)


def at_once(code: int) -> None:
    """From now on Ctrl-C ends the program with this code: all is said."""
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))


def _first(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, _second)
    raise KeyboardInterrupt


def _second(number: int, frame: object) -> None:
    # Not by print: it may have been in the middle of one.
    os.write(2, b"error: stopped at once by a second Ctrl-C\n")
    os._exit(STOPPED)
