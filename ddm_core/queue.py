"""The queue of jobs: two tables in one SQLite file, for any number of processes at once.

Every change is one transaction, so that a process may be killed between any two lines. Whether a
worker lives is asked of the operating system, never concluded from silence.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ddm_core import disk
from ddm_core.errors import RequestError, WorkError

__all__ = ["Claim", "Queue", "Row", "lane_of"]

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
    title TEXT NOT NULL, payload TEXT NOT NULL, lane TEXT NOT NULL, comparison TEXT,
    state TEXT NOT NULL DEFAULT 'queued', created REAL NOT NULL, begun REAL, ended REAL,
    done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL, eta REAL,
    message TEXT NOT NULL DEFAULT '', runs TEXT NOT NULL DEFAULT '[]',
    cancel INTEGER NOT NULL DEFAULT 0, owner TEXT, heartbeat REAL
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, lane);
CREATE TABLE IF NOT EXISTS workers (
    lane TEXT PRIMARY KEY, owner TEXT NOT NULL, heartbeat REAL NOT NULL
) STRICT;
"""
_ENDED = "the worker ended before the job was done: it was killed, or memory ran out"
_KEPT_RUNS = "the runs that it had finished are kept, and trying again makes the rest"
_STALE_SECONDS = 60.0  # of a worker on another machine, which cannot be asked
_KEPT = 500
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")

#: A row of the table of jobs; its columns by name.
Row = sqlite3.Row


class Claim(NamedTuple):
    """A job that a worker has taken."""

    id: str
    kind: str
    payload: dict[str, Any]
    comparison: str | None


class Queue:
    """The tables in `<root>/jobs.sqlite`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "jobs.sqlite"

    @contextmanager
    def _open(self, *, write: bool = True) -> Generator[sqlite3.Connection]:
        """A connection, in one transaction that is undone if the block fails."""
        try:
            with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as db:
                db.row_factory = Row
                # A killed process loses nothing; a power cut may lose the last second of progress.
                db.execute("PRAGMA synchronous = NORMAL")
                if write:
                    db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                if db.in_transaction:
                    db.execute("COMMIT")
        except sqlite3.Error as error:
            raise WorkError(f"cannot use the job queue {self.path}: {error}") from None

    def _make(self) -> None:
        disk.make_folder(self.root)
        with self._open(write=False) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_TABLES)

    def rows(self, limit: int) -> list[Row]:
        """The newest jobs, newest first."""
        if not self.path.exists():
            return []
        with self._open(write=False) as db:
            return db.execute(
                "SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (limit,)
            ).fetchall()

    def row(self, id: str) -> Row | None:
        """One job."""
        if not self.path.exists():
            return None
        with self._open(write=False) as db:
            return db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()

    def waiting(self) -> dict[str, list[str]]:
        """Ids of the queued jobs of each lane, in their order."""
        out: dict[str, list[str]] = {}
        if self.path.exists():
            with self._open(write=False) as db:
                found = db.execute(
                    "SELECT lane, id FROM jobs WHERE state = 'queued' ORDER BY number"
                )
                for lane, id in found:
                    out.setdefault(lane, []).append(id)
        return out

    def add(
        self,
        id: str,
        kind: str,
        payload: Mapping[str, Any],
        *,
        title: str,
        lane: str,
        total: int,
        comparison: str | None,
    ) -> list[str]:
        """Put a job at the end; returns the ids of old jobs that made room for it."""
        self._make()
        fields = (id, kind, title, json.dumps(payload), lane, comparison, time.time(), total)
        with self._open() as db:
            db.execute(
                "INSERT INTO jobs (id, kind, title, payload, lane, comparison, created, total)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                fields,
            )
            gone = db.execute(
                "DELETE FROM jobs WHERE state NOT IN ('queued', 'running')"
                " AND number <= (SELECT max(number) FROM jobs) - ? RETURNING id",
                (_KEPT,),
            ).fetchall()
        return [row["id"] for row in gone]

    def cancel(self, id: str) -> None:
        """End a queued job now; ask the worker of a running one to stop."""
        with self._open() as db:
            db.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'",
                (time.time(), id),
            )
            db.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (id,))

    def fail(self, lane: str, message: str) -> None:
        """End the queued jobs of a lane that nobody can run."""
        with self._open() as db:
            db.execute(
                "UPDATE jobs SET state = 'failed', ended = ?, message = ?"
                " WHERE lane = ? AND state = 'queued'",
                (time.time(), message, lane),
            )

    def tidy(self, why: Callable[[str], str] = lambda owner: _ENDED) -> None:
        """Mark the jobs of dead workers as interrupted, and forget those workers.

        Arguments:
            why: a worker's owner -> what is known about its end.
        """
        if not self.path.exists():
            return
        with self._open(write=False) as db:
            workers = db.execute("SELECT owner, heartbeat FROM workers").fetchall()
            running = db.execute(
                "SELECT owner, heartbeat FROM jobs WHERE state = 'running'"
            ).fetchall()
        dead = {row["owner"] for row in (*workers, *running) if _dead(row)}
        if not dead:
            return
        with self._open() as db:
            for owner in dead:
                db.execute("DELETE FROM workers WHERE owner = ?", (owner,))
                db.execute(
                    "UPDATE jobs SET state = 'interrupted', ended = ?, message = ?"
                    " WHERE owner = ? AND state = 'running'",
                    (time.time(), f"{why(owner) or _ENDED}; {_KEPT_RUNS}", owner),
                )

    def lives(self, lane: str) -> bool:
        """Whether a worker has this lane; ask after `tidy`."""
        if not self.path.exists():
            return False
        with self._open(write=False) as db:
            found = db.execute("SELECT 1 FROM workers WHERE lane = ?", (lane,)).fetchone()
        return found is not None

    def enter(self, lane: str) -> bool:
        """Make this process the worker of a lane; False where another one is."""
        self._make()
        self.tidy()
        with self._open() as db:
            done = db.execute(
                "INSERT OR IGNORE INTO workers (lane, owner, heartbeat) VALUES (?, ?, ?)",
                (lane, disk.owner(), time.time()),
            )
            return done.rowcount == 1

    def leave(self, lane: str) -> bool:
        """End as the worker of a lane; False where a job has come in meanwhile."""
        with self._open() as db:
            found = db.execute(
                "SELECT 1 FROM jobs WHERE state = 'queued' AND lane = ?", (lane,)
            ).fetchone()
            if found is not None:
                return False
            db.execute("DELETE FROM workers WHERE lane = ? AND owner = ?", (lane, disk.owner()))
            return True

    def claim(self, lane: str) -> Claim | None:
        """Take the oldest job of a lane; none where another process has become its worker."""
        with self._open(write=False) as db:
            # Looked at without a lock first: an idle worker must not keep others from writing.
            query = "SELECT id FROM jobs WHERE state = 'queued' AND lane = ? LIMIT 1"
            if db.execute(query, (lane,)).fetchone() is None:
                return None
        with self._open() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'running', begun = ?, owner = ?, heartbeat = ?"
                " WHERE number = (SELECT min(number) FROM jobs"
                " WHERE state = 'queued' AND lane = ?)"
                " AND NOT EXISTS (SELECT 1 FROM workers WHERE lane = ? AND owner != ?)"
                " RETURNING *",
                (time.time(), disk.owner(), time.time(), lane, lane, disk.owner()),
            ).fetchone()
        if row is None:
            return None
        return Claim(row["id"], row["kind"], json.loads(row["payload"]), row["comparison"])

    def beat(self, lane: str) -> bool:
        """Show that this process is the worker of a lane; False where another one is by now.

        A process that could not show it for too long was taken for dead. Where nobody has come in
        its place, it is the worker again.
        """
        with self._open() as db:
            done = db.execute(
                "INSERT INTO workers (lane, owner, heartbeat) VALUES (?, ?, ?)"
                " ON CONFLICT (lane) DO UPDATE SET heartbeat = excluded.heartbeat"
                " WHERE owner = excluded.owner",
                (lane, disk.owner(), time.time()),
            )
            return done.rowcount == 1

    def report(self, id: str, done: int, eta: float | None, message: str, runs: list[str]) -> bool:
        """Tell how far a job is; returns whether it shall go on."""
        with self._open() as db:
            row = db.execute(
                "UPDATE jobs SET done = ?, eta = ?, message = ?, runs = ?, heartbeat = ?"
                " WHERE id = ? AND state = 'running' AND owner = ? RETURNING cancel",
                (done, eta, message, json.dumps(runs), time.time(), id, disk.owner()),
            ).fetchone()
        return row is not None and not row["cancel"]

    def finish(self, id: str, state: str, message: str, runs: list[str]) -> None:
        """End a job that this process runs."""
        with self._open() as db:
            db.execute(
                "UPDATE jobs SET state = ?, message = ?, runs = ?, ended = ?, eta = NULL,"
                " done = CASE ? WHEN 'done' THEN total ELSE done END"
                " WHERE id = ? AND state = 'running' AND owner = ?",
                (state, message, json.dumps(runs), time.time(), state, id, disk.owner()),
            )


def lane_of(device: str) -> str:
    """Whose queue a device name means. Without torch, since the server does without.

    Raises:
        RequestError: no such device.
    """
    if not _DEVICE.fullmatch(device):
        raise RequestError(f"no device '{device[:20]}'; there are: auto, cpu, cuda, cuda:0, ...")
    if device == "auto":
        # Where torch then finds no GPU after all, the work is done on the CPU in this queue.
        return "cuda:0" if Path("/dev/nvidia0").exists() else "cpu"
    return "cuda:0" if device == "cuda" else device


def _dead(row: Row) -> bool:
    if not disk.alive(row["owner"]):
        return True
    return disk.elsewhere(row["owner"]) and time.time() - row["heartbeat"] > _STALE_SECONDS
