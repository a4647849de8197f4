"""Runs on disk: one folder each, which appears whole or not at all.

A run grows in a hidden folder that carries its owner in its name, is flushed, and gets its own
name at the end. What a killed process left is found at the next look: if everything had been
written it is taken in, else it is kept as "interrupted", with the config that was asked for and
nothing else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ddm_core import disk
from ddm_core.config import RunConfig
from ddm_core.draft import Draft
from ddm_core.errors import RequestError
from ddm_core.records import RUN_ID, RunRecord, new_id, of_label, read_record, resolve
from ddm_core.trash import DAYS, Trash, folder_bytes

if TYPE_CHECKING:
    import xarray as xr

    from ddm_core.formats import Samples
    from ddm_core.run import Result

__all__ = ["Draft", "RunRecord", "Store"]

_INTERRUPTED = "its process ended before it was finished; run it again or delete it"


class _Stamp(NamedTuple):
    """When a file was what it was."""

    changed: int
    size: int
    inode: int


class Store:
    """All runs of one folder.

    Arguments:
        root: the folder; default $DDM_RUNS, else runs. It is made when the first run is written.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(os.environ.get("DDM_RUNS") or "runs")).absolute()
        self._known: dict[str, tuple[_Stamp, RunRecord]] = {}
        #: Folders that look like runs and cannot be read, with the reason; of the last look.
        self.unreadable: dict[str, str] = {}
        #: Deleted runs, until they are put back or their time is over.
        self.trash = Trash(self.root)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first. Cheap: only what changed is read again."""
        names = self._names()
        known: dict[str, tuple[_Stamp, RunRecord]] = {}
        unreadable: dict[str, str] = {}
        for name in names:
            try:
                known[name] = self._read(name)
            except RequestError as error:
                # Deleted by somebody else since its name was read, or damaged.
                if (self.root / name).is_dir():
                    unreadable[name] = str(error)
        self._known = known
        self.unreadable = unreadable
        return sorted(
            (record for _, record in known.values()),
            key=lambda record: (record.created, record.id),
            reverse=True,
        )

    def resolve(self, text: str) -> str:
        """The full id that a prefix of it, or its hash alone, stands for.

        Raises:
            RequestError: no run, or several; with the alternatives.
        """
        return resolve(text, sorted(self._names(), reverse=True))

    def run(self, id: str) -> RunRecord:
        """The record of a run, by id, prefix or hash.

        Raises:
            RequestError: no such run, with the alternatives.
        """
        name = self.resolve(id)
        self._known[name] = self._read(name)
        return self._known[name][1]

    def folder(self, id: str) -> Path:
        """Where a run's files are."""
        return self.root / self.resolve(id)

    def size(self, id: str) -> int:
        """Bytes on disk."""
        return folder_bytes(self.folder(id))

    def trace(self, id: str) -> xr.Dataset:
        """The trace of a run.

        Raises:
            RequestError: no such run, it has none, or the file is damaged.
        """
        from ddm_core.formats import read_trace

        return read_trace(self._file(id, "trace.nc"))

    def samples(self, id: str) -> Samples:
        """(images, seeds) of a run.

        Raises:
            RequestError: no such run, it has none, or the file is damaged.
        """
        from ddm_core.formats import read_samples

        return read_samples(self._file(id, "samples.npz"))

    def _file(self, id: str, name: str) -> Path:
        record = self.run(id)
        path = self.root / record.id / name
        if record.status != "done":
            raise RequestError(f"run {record.id} was {record.status} and has no {name}")
        return path

    @contextmanager
    def begin(
        self, config: RunConfig, *, comparison: str | None = None, parent: str | None = None
    ) -> Generator[Draft]:
        """A place for a run that is about to be made; left without `save`, it disappears.

        Raises:
            WorkError: the folder is not writable.
        """
        disk.make_folder(self.root)
        record = RunRecord(
            id=new_id(config.system, config.router),
            status="interrupted",
            created=datetime.now(UTC).isoformat(),
            system=config.system,
            router=config.router,
            config=config,
            comparison=comparison,
            parent=parent,
            error=_INTERRUPTED,
        )
        folder = self.root / disk.owned("tmp", record.id)
        try:
            with disk.told("begin a run", self.root):
                folder.mkdir()
                disk.write_file(folder / "run.json", record.to_json())
            yield Draft(self.root, record, folder)
        finally:
            if folder.exists():
                disk.remove_folder(folder)

    def save(
        self,
        result: Result,
        *,
        comparison: str | None = None,
        parent: str | None = None,
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> RunRecord:
        """Keep a result.

        Raises:
            WorkError: the disk is full, the folder is not writable.
        """
        with self.begin(result.config, comparison=comparison, parent=parent) as draft:
            return draft.save(result, metrics)

    def add_metrics(self, id: str, metrics: Mapping[str, Mapping[str, Any]]) -> RunRecord:
        """Add quality metrics to a run; one of the same name is replaced.

        Where the samples are of one label, their protocols say so.
        """

        def change(record: RunRecord) -> dict[str, Any]:
            fresh = of_label(metrics, record.config.label)
            return {"metrics": {**record.metrics, **fresh}}

        return self._change(id, change)

    def set_departure(self, id: str, departure: Mapping[str, Mapping[str, Any]]) -> RunRecord:
        """Note how a branch differs from its parent."""
        fresh = {name: dict(one) for name, one in departure.items()}
        return self._change(id, lambda record: {"departure": fresh})

    def branches(self, id: str) -> list[RunRecord]:
        """The runs that branch from a run, oldest first."""
        return [run for run in reversed(self.runs()) if run.parent == id]

    def label(
        self, id: str, *, tags: Sequence[str] | None = None, note: str | None = None
    ) -> RunRecord:
        """Set the user's own words; None leaves them as they are.

        Raises:
            RequestError: no such run, a tag or a note that is too long.
        """

        def change(record: RunRecord) -> dict[str, Any]:
            words = record.tags if tags is None else tuple(dict.fromkeys(t.strip() for t in tags))
            kept = tuple(tag for tag in words if tag)
            if len(kept) > 50 or any(len(tag) > 60 for tag in kept):
                raise RequestError("a run takes at most 50 tags of at most 60 characters")
            if note is not None and len(note) > 10_000:
                raise RequestError("a note takes at most 10,000 characters")
            return {"tags": kept, "note": record.note if note is None else note}

        return self._change(id, change)

    def _change(self, id: str, change: Callable[[RunRecord], dict[str, Any]]) -> RunRecord:
        name = self.resolve(id)
        with disk.exclusive(self.root):
            record = self.run(name)
            record = record.model_copy(update=change(record))
            with disk.told("change the run", self.root):
                disk.replace_file(self.root / name / "run.json", record.to_json())
        return record

    def delete(self, ids: Sequence[str]) -> str:
        """Move runs to the trash; all of them are looked up before the first one goes.

        What has lain there for too long is gone for good after that.

        Returns:
            What `trash.restore` takes to undo it.

        Raises:
            RequestError: no such run.
            WorkError: the folder is not writable.
        """
        names = list(dict.fromkeys(self.resolve(one) for one in ids))
        if not names:
            raise RequestError("no runs to delete")
        batch = self.trash.put(names)
        for name in names:
            self._known.pop(name, None)
        self.trash.empty(older_than=timedelta(days=DAYS))
        return batch

    def remove(self, ids: Sequence[str]) -> None:
        """Delete runs for good.

        Raises:
            RequestError: no such run.
        """
        names = dict.fromkeys(self.resolve(one) for one in ids)
        for name in names:
            with disk.told("delete the run", self.root):
                disk.remove_folder(self.root / name)
            self._known.pop(name, None)

    def alike(self, digests: Collection[str]) -> list[RunRecord]:
        """Finished runs whose samples are those of a config with such a digest, newest first."""
        return [
            run for run in self.runs() if run.status == "done" and run.config.digest in digests
        ]

    def comparison(self, id: str) -> list[RunRecord]:
        """The runs of one comparison, in the order in which they were made."""
        return [run for run in reversed(self.runs()) if run.comparison == id]

    def comparisons(self) -> dict[str, list[RunRecord]]:
        """All comparisons, newest first, each with its runs in the order they were made."""
        out: dict[str, list[RunRecord]] = {}
        for run in self.runs():
            if run.comparison:
                out.setdefault(run.comparison, []).insert(0, run)
        return out

    def export_tables(self, id: str, folder: Path, format: str = "csv") -> list[Path]:
        """Write a run's tables into a folder; see `ddm_core.export`."""
        from ddm_core.export import write_tables

        record = self.run(id)
        return write_tables(record, self.trace(record.id), self.samples(record.id), folder, format)

    def export_archive(self, ids: Sequence[str], file: Path) -> Path:
        """Write runs as one .zip that `import_archive` reads."""
        from ddm_core.archive import pack

        pack([self.folder(one) for one in ids], file)
        return file

    def import_archive(self, file: Path) -> list[RunRecord]:
        """Take in the runs of a .zip; nothing is taken in if anything in it is wrong.

        A run that is here already is left as it is; another one under the same id gets a new id.

        Returns:
            The runs of the archive as they are in the store now.

        Raises:
            RequestError: the file is no archive of runs, or cannot be trusted.
            WorkError: the disk is full, the folder is not writable.
        """
        from ddm_core.intake import take_in

        return take_in(self.root, file)

    def _names(self) -> list[str]:
        """Ids of all runs, after what dead processes left has been dealt with."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RequestError(f"{self.root} cannot be read: {error.strerror}") from None
        left = [n for n in names if n.startswith((".tmp-", ".import-", ".trash-"))]
        if any(not disk.alive(disk.owner_of(name)) for name in left) and self._sweep():
            names = os.listdir(self.root)
        return [name for name in names if RUN_ID.fullmatch(name)]

    def _sweep(self) -> bool:
        """Deal with what dead processes left; False where this folder may only be read."""
        if not os.access(self.root, os.W_OK):
            return False
        with disk.exclusive(self.root), disk.told("tidy up", self.root):
            for path in self.root.iterdir():
                if path.name.startswith((".tmp-", ".import-", ".trash-")) and not disk.alive(
                    disk.owner_of(path.name)
                ):
                    self._sweep_one(path)
        return True

    def _sweep_one(self, path: Path) -> None:
        record = _left_behind(path)
        if record is None or (self.root / record.id).exists():
            shutil.rmtree(path)
            return
        if record.status == "interrupted":
            for other in path.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
                elif other.name != "run.json":
                    other.unlink()
        path.replace(self.root / record.id)
        disk.sync_folder(self.root)

    def _read(self, name: str) -> tuple[_Stamp, RunRecord]:
        folder = self.root / name
        try:
            found = (folder / "run.json").stat()
        except OSError as error:
            raise RequestError(f"{folder} has no run.json: {error.strerror}") from None
        stamp = _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known
        # Looked at once for every run, as it is read: whoever is killed while changing a record
        # leaves nothing that could be seen from above.
        disk.sweep(folder)
        record = read_record(folder)
        if record.id != name:
            raise RequestError(f"{folder} holds the record of another run")
        return stamp, record


def _left_behind(path: Path) -> RunRecord | None:
    """The record of an unfinished run; None for rubbish, and where not even that was written."""
    if not path.name.startswith(".tmp-"):
        return None
    try:
        record = read_record(path)
    except RequestError:
        return None
    return record if RUN_ID.fullmatch(record.id) else None
