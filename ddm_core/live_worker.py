"""The child process behind live controls: it has torch and the systems, and answers at once.

It reads configs from its standard input and writes traces to its standard output, one at a time;
a second thread reads on, so that a request which is overtaken ends at its next step. It ends with
the process that started it: then its input is closed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from dataclasses import replace
from typing import IO, Any

import numpy as np
import torch

from ddm_core import wire
from ddm_core.config import make_config
from ddm_core.errors import RequestError, WorkError
from ddm_core.kept import Kept
from ddm_core.metrics import measure
from ddm_core.metrics.base import Measured
from ddm_core.metrics.reference import Reference
from ddm_core.quality import extractor_of, reference_of
from ddm_core.run import Cancelled, Progress, Result, execute
from ddm_core.summary import summarize
from ddm_core.systems.base import System

__all__ = ["main", "serve"]

#: Exact points that stand for the real data of a system in the plane: enough for a number that
#: is shown while somebody drags, measured in a tenth of a second.
_REAL_POINTS = 2_000
_REPLICATES = 100
_LEAST = 50
_METRIC = "energy_distance"
_MOST_SYSTEMS = 4
_CPU = torch.device("cpu")


class _Desk:
    """What it keeps between requests, and which of them are not wanted any more."""

    def __init__(self) -> None:
        self.kept = Kept(most=_MOST_SYSTEMS)
        self.real: dict[str, tuple[System, Reference | None]] = {}
        self.asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.dropped: set[int] = set()

    def read(self, stream: IO[bytes]) -> None:
        """Take requests in until the other side ends."""
        while (message := wire.receive(stream)) is not None:
            if "drop" in message.head:
                self.dropped.add(message.head["drop"])
            else:
                self.asked.put(message.head)
        self.dropped.add(-1)  # nobody listens: whatever runs shall stop
        self.asked.put(None)

    def system(self, name: str) -> tuple[System, Reference | None]:
        """A system and, for points, the real ones."""
        system = self.kept.system(name)
        found = self.real.pop(name, None)
        if found is None or found[0] is not system:
            found = (system, None if system.is_image else _real(system))
        self.real[name] = found  # the last one is the last that was asked for
        while len(self.real) > _MOST_SYSTEMS:
            self.real.pop(next(iter(self.real)))
        return found

    def answer(self, asked: dict[str, Any]) -> wire.Message:
        """Run what is asked; or the sentence why not."""
        number: int = asked["number"]

        def go_on(_: Progress) -> None:
            if number in self.dropped or -1 in self.dropped:
                raise Cancelled("overtaken")

        try:
            config = make_config(asked["config"])
            system, real = self.system(config.system)
            result = execute(config, go_on, system=system)
            quality = None if real is None else _quality(result, system, real)
        except Cancelled:
            return wire.Message({"number": number, "kind": "dropped"})
        except RequestError as error:
            return wire.Message({"number": number, "kind": "wrong", "says": str(error)})
        except WorkError as error:
            return wire.Message({"number": number, "kind": "failed", "says": str(error)})
        return _written(number, result, quality)


def _real(system: System) -> Reference | None:
    """Exact points of a system in the plane; None where nobody knows any."""
    if system.extractor is None:
        return None
    whole = reference_of(system, extractor_of(system, "own", _CPU))
    return replace(whole, features=whole.features[:_REAL_POINTS])


def _quality(result: Result, system: System, real: Reference) -> Measured | None:
    """Energy distance of the points to the real ones; an interval needs a few."""
    if len(result.images) < _LEAST:
        return None
    extractor = extractor_of(system, "own", _CPU)
    found = measure([_METRIC], result.images, real, extractor, replicates=_REPLICATES)
    return found[_METRIC]


def _written(number: int, result: Result, quality: Measured | None) -> wire.Message:
    """The trace with everything that a page shows beside it."""
    trace = result.trace
    everything = {**trace.data_vars, **trace.coords}
    numbers = {name: one.to_json() for name, one in summarize(trace, result.seconds).items()}
    head = {
        "number": number,
        "kind": "answer",
        "seconds": result.seconds,
        "device": result.device,
        "hashes": result.hashes,
        "attrs": {str(name): value for name, value in trace.attrs.items()},
        "coords": [str(name) for name in trace.coords],
        "dims": {str(name): list(map(str, one.dims)) for name, one in everything.items()},
        "words": {str(name): dict(one.attrs) for name, one in trace.data_vars.items()},
        "numbers": numbers,
        "quality": None if quality is None else quality.to_json(),
    }
    arrays = {str(name): np.asarray(one.values) for name, one in everything.items()}
    return wire.Message(head, arrays)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the other side ends.

    A request is {"number": n, "config": {...}}, or {"drop": n} for one that is not wanted any
    more. An answer has the number, and a kind: answer, wrong, failed or dropped. The first
    message says that it is ready.
    """
    desk = _Desk()
    threading.Thread(target=desk.read, args=(requests,), daemon=True).start()
    wire.send(answers, wire.Message({"kind": "ready"}))
    while (asked := desk.asked.get()) is not None:
        wire.send(answers, desk.answer(asked))


def main() -> None:
    """Serve on standard input and output."""
    # What a library prints must not end up between the messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
