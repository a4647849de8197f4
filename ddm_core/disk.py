"""Files that appear whole or not at all, and folders that tell whose they are while they grow.

What is being made carries its owner (machine, process, start time) in its name, so that anybody
who finds it later can tell work in progress from what a killed process left. No lock file has to
be removed by a process that no longer can.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import re
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ddm_core.errors import WorkError

__all__ = [
    "alive",
    "elsewhere",
    "exclusive",
    "is_process",
    "make_folder",
    "owned",
    "owner",
    "owner_of",
    "remove_folder",
    "replace_file",
    "replacing",
    "sweep",
    "sync_file",
    "sync_folder",
    "sync_tree",
    "told",
    "write_file",
]

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this account may write (ulimit -f)",
    errno.EACCES: "it is not writable",
    errno.EPERM: "it is not writable",
    errno.EROFS: "it is not writable",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EEXIST: "a file is where a folder should be",
}
_LOCK_SECONDS = 30.0
#: What `replacing` writes, by a name of `owned`.
_NEW = re.compile(r"\.new-.+-[0-9a-f]{6}\.[0-9a-f]{8}-[0-9]+-[0-9]+")


@contextmanager
def told(what: str, place: Path) -> Generator[None]:
    """Whatever the operating system refuses inside becomes one sentence.

    Raises:
        WorkError: "cannot WHAT in PLACE: the disk is full".
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise WorkError(f"cannot {what} in {place}: {reason}") from None


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they are not there."""
    with told("make a folder", path):
        path.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(data)
        sync_file(file)


def sync_file(file: IO[bytes]) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file at once: a reader sees the old bytes or the new ones."""
    with replacing(path) as fresh:
        fresh.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """The same for who writes the file by another hand: under the name that comes, beside it."""
    fresh = path.with_name(owned("new", path.name))
    try:
        yield fresh
        with fresh.open("rb+") as file:
            sync_file(file)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete what processes that were killed while they replaced a file have left in a folder."""
    # Where the folder is not ours to change, or gone by now, it stays as it is.
    with suppress(OSError):
        for name in os.listdir(folder):
            if _NEW.fullmatch(name) and not alive(owner_of(name)):
                (folder / name).unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":  # Windows opens no folders; it keeps names in its own journal.
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until all that a folder holds is on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with Path(place, name).open("rb+") as file:
                sync_file(file)
        sync_folder(Path(place))


def remove_folder(path: Path) -> None:
    """Make a folder disappear at once, then delete what it held."""
    trash = path.with_name(owned("trash", path.name.lstrip(".").partition(".")[0]))
    path.replace(trash)
    shutil.rmtree(trash)


@contextmanager
def exclusive(root: Path) -> Generator[None]:
    """One process at a time changes what is in root; the operating system frees it after a crash.

    Raises:
        WorkError: the folder is not writable, or somebody held it for half a minute.
    """
    # SQLite's locks are the portable ones, and this file never holds a row.
    try:
        lock = sqlite3.connect(root / ".lock", timeout=_LOCK_SECONDS, isolation_level=None)
    except sqlite3.OperationalError:
        raise WorkError(f"cannot change {root}: it is not writable") from None
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            reason = "another process holds it" if "locked" in str(error) else str(error)
            raise WorkError(f"cannot change {root}: {reason}") from None
        yield
    finally:
        lock.close()


@functools.cache
def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def owner() -> str:
    """This process, as names of files carry it: host-pid-start time."""
    return _owner(os.getpid())


@functools.cache
def _owner(pid: int) -> str:
    import psutil

    return f"{_host()}-{pid}-{int(psutil.Process(pid).create_time())}"


def owned(kind: str, name: str) -> str:
    """A new name for something in the making: .kind-name-random.owner."""
    return f".{kind}-{name}-{os.urandom(3).hex()}.{owner()}"


def owner_of(name: str) -> str:
    """Whose it is, from a name that `owned` made."""
    return name.rpartition(".")[2]


def elsewhere(owner: str) -> bool:
    """Whether that process belongs to another machine."""
    return owner.partition("-")[0] != _host()


def is_process(owner: str, pid: int) -> bool:
    """Whether an owner is the process of this number on this machine."""
    return not elsewhere(owner) and owner.split("-")[1:2] == [str(pid)]


def alive(owner: str) -> bool:
    """Whether that process still runs; one on another machine counts as alive."""
    _, _, rest = owner.partition("-")
    pid, _, started = rest.partition("-")
    if not (pid.isdigit() and started.isdigit()):
        return False
    if elsewhere(owner):
        return True
    import psutil

    try:
        process = psutil.Process(int(pid))
        # A number is given again after a while; the start time tells the two apart.
        same = abs(process.create_time() - int(started)) < 2.5
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
