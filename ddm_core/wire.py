"""Messages between two processes of ours: a JSON head and arrays behind it, each with its length.

    message = length (8 bytes) | length of the head (4 bytes) | head | array | array | ...

Nothing in a message is ever run: no pickle, numbers and booleans only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from ddm_core.errors import WorkError

__all__ = ["Message", "receive", "send"]

_MOST_BYTES = 2**30
_KINDS = frozenset("biuf")  # of numpy: booleans, integers, floats


class Message(NamedTuple):
    """What is sent at once.

    Arguments:
        head: anything that JSON holds; the key "arrays" is taken.
        arrays: numbers of any shape, by name.
    """

    head: dict[str, Any]
    arrays: Mapping[str, np.ndarray] = {}


def send(stream: IO[bytes], message: Message) -> None:
    """Write a message; OSError where nobody listens any more."""
    arrays = {name: np.ascontiguousarray(a) for name, a in message.arrays.items()}
    shapes = [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()]
    head = json.dumps(message.head | {"arrays": shapes}).encode()
    length = 4 + len(head) + sum(a.nbytes for a in arrays.values())
    stream.write(struct.pack("<QI", length, len(head)) + head)
    for one in arrays.values():
        stream.write(one.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read a message; None where the other side has ended.

    Raises:
        WorkError: what came is no message.
    """
    begin = stream.read(12)
    if len(begin) < 12:
        return None
    length, of_head = struct.unpack("<QI", begin)
    if not 4 + of_head <= length <= _MOST_BYTES:
        raise WorkError("a message between processes is damaged")
    rest = stream.read(length - 4)
    if len(rest) < length - 4:
        return None
    head: dict[str, Any] = json.loads(rest[:of_head])
    arrays: dict[str, np.ndarray] = {}
    place = of_head
    for name, kind, shape in head.pop("arrays"):
        dtype = np.dtype(kind)
        if dtype.kind not in _KINDS:
            raise WorkError(f"a message between processes holds '{name}' of kind {kind}")
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(rest, dtype, count, place).reshape(shape)
        place += count * dtype.itemsize
    return Message(head, arrays)
