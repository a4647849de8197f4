"""Live controls: configs in, traces out, from a warm child process; nothing is stored.

One child serves everybody. Each client has one place in the line: its newest request takes the
place of its last one, wherever that is, so that the fast mover neither waits for itself nor keeps
others waiting. Answers are kept for a while: going back is at once.

This module needs no torch; the child is `ddm_core.live_worker`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

import xarray as xr

from ddm_core import wire
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError, WorkError
from ddm_core.intervals import Estimate
from ddm_core.stamps import Stamp, folder_of, stamp

__all__ = ["Answer", "Live", "Overtaken"]

_MOST_WORK = 30_000  # samples x steps of one request
_LOOK_SECONDS = 0.01  # how often a waiting client is asked whether it still wants its answer
_MOST_SECONDS = 120.0  # of one request, before the child is taken for stuck
_START_SECONDS = 300.0
_COMMAND = (sys.executable, "-m", "ddm_core.live_worker")


class Overtaken(Exception):
    """The client has asked for something else meanwhile, or went away."""


class Answer(NamedTuple):
    """What a config gives.

    Arguments:
        trace: as of a stored run.
        numbers: as in `ddm_core.summary`.
        quality: energy distance with its interval, for points; None where n says nothing.
        seconds: that sampling took.
    """

    config: RunConfig
    trace: xr.Dataset
    numbers: dict[str, Estimate]
    quality: dict[str, Any] | None
    seconds: float


_Key = tuple[str, Stamp]


def _key(config: RunConfig) -> _Key:
    """What is asked for, and of which files: a system that was trained again has others."""
    return config.model_dump_json(), stamp(folder_of(config.system))


class _Ticket:
    """A request on its way."""

    def __init__(self, number: int, client: str, config: RunConfig) -> None:
        self.number = number
        self.client = client
        self.config = config
        self.key = _key(config)  # as of now: the child reads the system's files later than this
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: Exception | None = None

    def end(self, *, answer: Answer | None = None, error: Exception | None = None) -> None:
        """Tell whoever waits; the first word counts."""
        if not self.done.is_set():
            self.answer, self.error = answer, error
            self.done.set()


class Live:
    """A warm process and its line. Safe to use from any number of threads.

    Arguments:
        idle: seconds without a request after which the child is ended; the next one starts anew.
        keep: answers that are remembered.
        command: starts the child, which talks as `ddm_core.live_worker` does.
    """

    def __init__(
        self, *, idle: float = 900.0, keep: int = 48, command: Sequence[str] = _COMMAND
    ) -> None:
        self._command = command
        self._idle = idle
        self._keep = keep
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._line: OrderedDict[str, _Ticket] = OrderedDict()
        self._running: _Ticket | None = None
        self._known: OrderedDict[_Key, Answer] = OrderedDict()
        self._child: _Child | None = None
        self._thread: threading.Thread | None = None
        self._number = 0
        self._closed = False
        #: Why the child did not start when it was last tried; "" where it did.
        self.fault = ""

    @property
    def ready(self) -> bool:
        """Whether the child has loaded what it needs."""
        child = self._child
        return child is not None and child.ready and child.alive

    def warm(self) -> None:
        """Start the child before anybody asks; returns at once."""
        with self._lock:
            self._begin()
            self._changed.notify_all()

    def known(self, config: RunConfig) -> Answer | None:
        """The answer, where it is at hand."""
        with self._lock:
            key = _key(config)
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def ask(
        self,
        config: RunConfig,
        *,
        client: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """The answer; waits for it.

        Arguments:
            client: whose request it is; a newer one of the same client overtakes it.
            wanted: asked now and then; where it says no, the work is stopped at its next step.

        Raises:
            Overtaken: nobody wants it any more.
            RequestError: the request is wrong, or too large to be live.
            WorkError: the child failed; the next request starts another one.
        """
        if config.num * config.steps > _MOST_WORK:
            raise RequestError(
                f"{config.num} samples x {config.steps} steps are too many to be live; "
                f"{_MOST_WORK:,} are not: keep it as a run instead"
            )
        known = self.known(config)
        if known is not None:
            return known
        ticket = self._queue(client, config)
        while not ticket.done.wait(_LOOK_SECONDS):
            if not wanted():
                self._drop(ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.answer is not None  # one of the two is there
        return ticket.answer

    def close(self) -> None:
        """End the child and everything that waits."""
        with self._lock:
            self._closed = True
            for ticket in (*self._line.values(), *([self._running] if self._running else [])):
                ticket.end(error=Overtaken())
            self._line.clear()
            if self._child is not None:
                self._child.kill()
            self._changed.notify_all()
            serving = self._thread
        if serving is not None:
            serving.join(10)

    def _queue(self, client: str, config: RunConfig) -> _Ticket:
        with self._lock:
            if self._closed:
                raise Overtaken
            self._number += 1
            ticket = _Ticket(self._number, client, config)
            before = self._line.get(client)
            if before is not None:
                before.end(error=Overtaken())
            self._line[client] = ticket  # keeps the place of the one before
            if self._running is not None and self._running.client == client:
                self._drop(self._running)
            self._begin()
            self._changed.notify_all()
            return ticket

    def _drop(self, ticket: _Ticket) -> None:
        with self._lock:
            ticket.end(error=Overtaken())
            if self._line.get(ticket.client) is ticket:
                del self._line[ticket.client]
            if self._running is ticket and self._child is not None:
                self._child.drop(ticket.number)

    def _begin(self) -> None:
        """See to it that somebody serves the line."""
        if self._closed or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._serve, daemon=True, name="live")
        self._thread.start()

    def _serve(self) -> None:
        """Take one request after the other to the child, until nobody asks for a while."""
        try:
            self._child = self._child or _Child(self._command)
            self.fault = ""
            while (ticket := self._next()) is not None:
                self._run(ticket)
        except Exception as error:
            # Whatever it is, those who wait get a sentence; of a fault, the log gets it all.
            if not isinstance(error, WorkError):
                traceback.print_exc()
                error = WorkError(f"the live process failed: {type(error).__name__}: {error}")
            self._fail(error)
        finally:
            with self._lock:
                if self._child is not None:
                    self._child.end()
                self._child = None
                self._thread = None
                if self._line:  # somebody came in at the last moment
                    self._begin()

    def _next(self) -> _Ticket | None:
        end = time.monotonic() + self._idle
        with self._changed:
            while not self._line:
                if self._closed or not self._changed.wait(end - time.monotonic()):
                    return None
            _, self._running = self._line.popitem(last=False)
            return self._running

    def _run(self, ticket: _Ticket) -> None:
        """One request; where the child dies of it, another one tries once more."""
        for last in (False, True):
            child = self._child
            if child is None or not child.alive:
                child = self._child = _Child(self._command)
            message = child.run(ticket)
            if message is not None:
                self._end(ticket, message)
                return
            said = child.end()
            if last:
                ticket.end(error=WorkError(f"the live process ended: {said}"))
            if ticket.done.is_set():
                break
        with self._lock:
            self._running = None

    def _end(self, ticket: _Ticket, message: wire.Message) -> None:
        kind, said = message.head["kind"], message.head.get("says", "")
        with self._lock:
            try:
                if kind == "answer":
                    answer = _answer(ticket.config, message)
                    self._known[ticket.key] = answer
                    while len(self._known) > self._keep:
                        self._known.popitem(last=False)
                    ticket.end(answer=answer)
                elif kind == "dropped":
                    ticket.end(error=Overtaken())
                else:
                    ticket.end(error=RequestError(said) if kind == "wrong" else WorkError(said))
            except Exception:
                # A fault of the program: the log gets it all, and the next one is not its victim.
                traceback.print_exc()
            finally:
                ticket.end(error=WorkError("the live process gave an answer that cannot be read"))
                self._running = None

    def _fail(self, error: WorkError) -> None:
        with self._lock:
            waiting = [*self._line.values(), *([self._running] if self._running else [])]
            self._line.clear()
            self._running = None
            self.fault = str(error)
        for ticket in waiting:
            ticket.end(error=error)


class _Child:
    """The process; started with the object, and ready some seconds later."""

    def __init__(self, command: Sequence[str]) -> None:
        # A file, not a pipe: nobody reads it until something has gone wrong.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # Batches run side by side; threads within one would wait for each other.
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            self._log.close()
            raise WorkError(f"the live process does not start: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        self._writing = threading.Lock()
        self._said = ""
        self.ready = False
        watch = self._watch(_START_SECONDS)
        message = wire.receive(self._from)
        watch.cancel()
        if message is None or message.head.get("kind") != "ready":
            raise WorkError(f"the live process does not start: {self.end()}")
        self.ready = True

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def run(self, ticket: _Ticket) -> wire.Message | None:
        """Its answer; None where it died over it."""
        watch = self._watch(_MOST_SECONDS)
        try:
            config = ticket.config.model_dump(mode="json")
            self._send({"number": ticket.number, "config": config})
            if ticket.done.is_set():  # dropped before the child knew of it
                self.drop(ticket.number)
            while (message := wire.receive(self._from)) is not None:
                if message.head.get("number") == ticket.number:
                    return message
            return None
        except (OSError, WorkError, ValueError):
            return None
        finally:
            watch.cancel()

    def drop(self, number: int) -> None:
        """Have it stop at the next step."""
        with contextlib.suppress(OSError, ValueError):
            self._send({"drop": number})

    def kill(self) -> None:
        """End it now; from any thread."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def end(self) -> str:
        """End it and close what leads to it; its last words."""
        self.kill()
        code = self._process.wait()
        if not self._log.closed:
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            self._said = lines[-1] if lines else f"it was ended with code {code}"
        for stream in (self._to, self._from, self._log):
            # What was not sent yet has nobody to go to.
            with contextlib.suppress(OSError):
                stream.close()
        return self._said

    def _send(self, head: dict[str, Any]) -> None:
        with self._writing:
            wire.send(self._to, wire.Message(head))

    def _watch(self, seconds: float) -> threading.Timer:
        """Kills it where it takes too long; cancel it in time."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        return timer


def _answer(config: RunConfig, message: wire.Message) -> Answer:
    head = message.head
    arrays = {
        name: xr.DataArray(values, dims=head["dims"][name], attrs=head["words"].get(name, {}))
        for name, values in message.arrays.items()
    }
    coords = {name: arrays.pop(name) for name in head["coords"]}
    trace = xr.Dataset(arrays, coords, attrs=head["attrs"])
    numbers = {name: Estimate(**one) for name, one in head["numbers"].items()}
    return Answer(config, trace, numbers, head["quality"], head["seconds"])
