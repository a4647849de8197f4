"""What the files of a system are like now: whoever keeps some of it sees when it is made anew.

Taken before something is loaded, a stamp is never newer than what was loaded: files that are
written meanwhile are another stamp at the next look.
"""

from __future__ import annotations

import os
from pathlib import Path

from ddm_core.shipped import checkpoints_folder

__all__ = ["Stamp", "folder_of", "stamp"]

#: Of every file: path, bytes, time of the last change in ns.
Stamp = frozenset[tuple[str, int, int]]


def folder_of(system: str) -> Path | None:
    """Where the files of a system are, by the name that `load_system` takes; None of no files."""
    for folder in (checkpoints_folder() / system, Path(system)):
        # Any folder can be named, and only one of a system is walked through. os.path, since it
        # takes a name that no file system would take for one that is not there.
        if os.path.isfile(folder / "system.toml"):
            return folder
    return None


def stamp(folder: Path | None) -> Stamp:
    """Sizes and times of all files in a folder; of None there are none."""
    found: set[tuple[str, int, int]] = set()
    for place, _, names in os.walk(folder) if folder is not None else ():
        for name in names:
            path = os.path.join(place, name)
            try:
                at = os.stat(path)
            except OSError:  # a new checkpoint takes its place at this moment
                continue
            found.add((path, at.st_size, at.st_mtime_ns))
    return frozenset(found)
