"""Processes that are started so that Ctrl-C is left to the one that started them."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["deaf_children"]


@contextmanager
def deaf_children() -> Generator[None]:
    """Processes that are started in here never hear Ctrl-C, which reaches all of a terminal.

    They may ignore it themselves, but only once they have imported what they need, for seconds.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # A blocked signal is inherited, and kept for this process until it is let through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
