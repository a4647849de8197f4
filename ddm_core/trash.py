"""Deleted runs: whole and out of sight, until they are put back or their time is over.

What is deleted at once lies in one folder, `.deleted/<time>-<hash>/<run>`, so that it can be put
back at once. A run moves by one rename: a killed process leaves it here or there, never in two.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ddm_core import disk
from ddm_core.archive import same_run
from ddm_core.errors import RequestError
from ddm_core.records import RUN_ID, new_id, read_record, resolve, unique

__all__ = ["DAYS", "Batch", "Trash", "folder_bytes"]

#: After so many days a deleted run is gone for good.
DAYS = 30
_FOLDER = ".deleted"
_BATCH = re.compile(r"([0-9]{8}-[0-9]{6})-[0-9a-f]{6}")
_TIME = "%Y%m%d-%H%M%S"


class Batch(NamedTuple):
    """Runs that were deleted at once.

    Arguments:
        id: of the batch.
        deleted: when, UTC.
        runs: ids of the runs.
        bytes: that they take on the disk, and that emptying frees.
    """

    id: str
    deleted: datetime
    runs: tuple[str, ...]
    bytes: int


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; 0 of one that is gone."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # deleted meanwhile
                total += os.lstat(os.path.join(place, name)).st_size
    return total


class Trash:
    """The deleted runs of a store.

    Arguments:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / _FOLDER

    def batches(self) -> list[Batch]:
        """What was deleted, latest first."""
        found: list[Batch] = []
        for name in sorted(self._names(), reverse=True):
            try:
                inside = os.listdir(self._folder / name)
            except FileNotFoundError:  # put back, or gone for good, since its name was read
                continue
            runs = sorted(one for one in inside if RUN_ID.fullmatch(one))
            if runs:
                size = folder_bytes(self._folder / name)
                found.append(Batch(name, _when(name), tuple(runs), size))
        return found

    def put(self, runs: Sequence[str]) -> str:
        """Take runs out of the store; the id of the batch, for `restore`.

        Raises:
            WorkError: the folder is not writable.
        """
        batch = f"{datetime.now(UTC).strftime(_TIME)}-{unique()}"
        with disk.told("delete the runs", self._root), disk.exclusive(self._root):
            (self._folder / batch).mkdir(parents=True)
            for run in runs:
                (self._root / run).replace(self._folder / batch / run)
            disk.sync_folder(self._folder / batch)
            disk.sync_folder(self._root)
        return batch

    def restore(self, what: str) -> list[str]:
        """Put back a whole batch, or one run of any; the ids under which they are there again.

        A run whose id was taken meanwhile gets a new one; one that is here again stays as it is.

        Raises:
            RequestError: nothing of this name lies in the trash, or several runs do.
            WorkError: the folder is not writable.
        """
        with disk.told("restore the runs", self._root), disk.exclusive(self._root):
            found = self._meant(what)
            ids = [self._put_back(path) for path in found]
            for name in self._names():
                _remove_if_empty(self._folder / name)
            disk.sync_folder(self._root)
        return ids

    def _meant(self, what: str) -> list[Path]:
        batches = {batch.id: batch for batch in self.batches()}
        if what in batches:
            return [self._folder / what / run for run in batches[what].runs]
        there = {run: batch for batch in reversed(batches.values()) for run in batch.runs}
        try:
            run = resolve(what, sorted(there, reverse=True))
        except RequestError as error:
            raise RequestError(f"in the trash: {error}") from None
        return [self._folder / there[run].id / run]

    def _put_back(self, path: Path) -> str:
        place = self._root / path.name
        if place.exists():
            if same_run(place, path):
                shutil.rmtree(path)
                return place.name
            record = read_record(path)
            moved = record.model_copy(update={"id": new_id(record.system, record.router)})
            place = self._root / moved.id
            disk.replace_file(path / "run.json", moved.to_json())
        path.replace(place)
        return place.name

    def empty(self, *, older_than: timedelta = timedelta(0)) -> int:
        """Delete for good what has lain here that long; the bytes that are free now.

        Raises:
            WorkError: the folder is not writable.
        """
        now = datetime.now(UTC)
        return self._remove(lambda batch: now - _when(batch) >= older_than)

    def _remove(self, chosen: Callable[[str], bool]) -> int:
        freed = 0
        for name in filter(chosen, self._names()):
            gone = self._root / disk.owned("trash", name)
            with disk.told("empty the trash", self._root):
                size = folder_bytes(self._folder / name)
                # Out of sight first: what a killed process leaves of it, the store sweeps.
                with disk.exclusive(self._root):
                    if not (self._folder / name).exists():
                        continue
                    (self._folder / name).replace(gone)
                shutil.rmtree(gone)
            freed += size
        return freed

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            if self._root.exists() and not self._root.is_dir():
                raise RequestError(f"{self._root} cannot be read: it is no folder")
            return []
        names = (path.name for path in self._folder.iterdir() if path.is_dir())
        return [name for name in names if _BATCH.fullmatch(name)]


def _when(batch: str) -> datetime:
    found = _BATCH.fullmatch(batch)
    try:
        return datetime.strptime(found[1] if found else "", _TIME).replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
