"""A .zip's own word about its list of files, read before the library reads the list.

Python's reader makes an object of every entry before anybody can count them: a list of a million
names is a hundred megabytes of memory out of a file that one would take.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ddm_core.errors import RequestError

__all__ = ["require_plain_zip"]

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_MOST_COMMENT = 65_535
_MOST_ENTRY_BYTES = 46 + 300  # of the list, with the longest name that a run's file has


def require_plain_zip(file: Path, *, most_files: int) -> None:
    """Refuse a file whose list of entries is longer than so many files need.

    Raises:
        RequestError: it is no .zip, or its list is too long.
    """
    try:
        size = _list_bytes(file)
    except (OSError, struct.error):
        raise RequestError(f"{file.name} is no readable archive") from None
    if size is None:
        raise RequestError(f"{file.name} is no readable archive: it has no list of files")
    if size > most_files * _MOST_ENTRY_BYTES:
        raise RequestError(f"{file.name} holds too many files; at most {most_files}")


def _list_bytes(file: Path) -> int | None:
    """Bytes of the list of entries (APPNOTE 4.3.16 and 4.3.14); None where there is none."""
    with file.open("rb") as stream:
        length = stream.seek(0, 2)
        start = max(0, length - _END.size - _MOST_COMMENT)
        stream.seek(start)
        tail = stream.read()
        place = tail.rfind(b"PK\x05\x06")
        if place < 0 or len(tail) - place < _END.size:
            return None
        size = _END.unpack_from(tail, place)[5]
        locator = start + place - _LOCATOR_64.size
        if locator < 0:
            return size
        stream.seek(locator)
        magic, _, offset, _ = _LOCATOR_64.unpack(stream.read(_LOCATOR_64.size))
        if magic != b"PK\x06\x07":
            return size
        # Readers differ in where they look for the larger record, and in which of the two they
        # believe; whoever writes them may lie in any.
        sizes = [0 if size == 0xFFFFFFFF else size]
        for at in (offset, locator - _END_64.size):
            stream.seek(min(max(at, 0), length))
            record = stream.read(_END_64.size)
            if record[:4] == b"PK\x06\x06" and len(record) == _END_64.size:
                sizes.append(_END_64.unpack(record)[8])
        return max(sizes)
