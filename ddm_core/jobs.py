"""Work that goes on in child processes: submit it, watch it, cancel it, come back later.

One worker per device takes jobs in their order. It is a process of its own session, so that a
reload of the page or a restart of the server does not touch it, and it ends when there was nothing
to do for a while. Everything that is known about a job is in the store's folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ddm_core import disk
from ddm_core.branching import change_in_words
from ddm_core.config import RunConfig, located
from ddm_core.errors import STOPPED, RequestError, WorkError
from ddm_core.queue import Queue, Row, lane_of
from ddm_core.records import stamped

__all__ = ["Job", "Jobs", "State"]

State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

#: How long a worker waits for another job, in seconds.
IDLE_SECONDS = 120.0
_MOST_LOG_BYTES = 1024**2
_WATCH_SECONDS = 1.0


class Job(NamedTuple):
    """What a person may know about a job.

    Arguments:
        id, title, kind: which one it is.
        state: queued, running, done, failed, cancelled or interrupted.
        created: ISO 8601, UTC.
        done, total: samples x steps, over all runs of the job.
        seconds: since it began, or that it took.
        eta: seconds until it is done, or None while nobody can tell.
        message: what it does now, or why it ended.
        runs: ids of its runs that are in the store; while it works, the last is being measured.
        comparison: that its runs share, or None.
        device: whose worker runs it.
        position: 1 for the next one in the queue; 0 once it has begun.
        preview: PNG of the samples as they are now, or None.
    """

    id: str
    title: str
    kind: str
    state: State
    created: str
    done: int
    total: int
    seconds: float
    eta: float | None
    message: str
    runs: tuple[str, ...]
    comparison: str | None
    device: str
    position: int
    preview: Path | None

    @property
    def active(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in ("queued", "running")


class Jobs:
    """The jobs of one store.

    Arguments:
        root: the store's folder; default $DDM_RUNS, else runs.
        idle: seconds that a worker started here waits for another job.
    """

    def __init__(self, root: Path | None = None, *, idle: float = IDLE_SECONDS) -> None:
        self.root = (root or Path(os.environ.get("DDM_RUNS") or "runs")).absolute()
        self._queue = Queue(self.root)
        self._idle = idle
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._watch = threading.Lock()  # held by the thread that watches the queue
        # Of two that look at once, one starts a worker. Never asked for inside a transaction of
        # the queue, whose lock is waited for in here.
        self._looking = threading.Lock()

    def submit(
        self,
        configs: Sequence[RunConfig],
        *,
        metrics: Sequence[str] = (),
        title: str = "",
        comparison: bool = False,
    ) -> str:
        """Have these runs made, one after the other.

        Arguments:
            configs: one per run.
            metrics: quality to measure after each; () for what the configs say.
            title: default: the system and the routers.
            comparison: whether the runs belong together.

        Returns:
            The id of the job.

        Raises:
            RequestError: there are no configs, or they ask for several devices.
            WorkError: the folder is not writable.
        """
        if not configs:
            raise RequestError("nothing to sample: no config given")
        if len({config.device for config in configs}) > 1:
            raise RequestError("the runs of one job go to one device; submit a job per device")
        # For a process that may have been started in another folder.
        chosen = [located(config) for config in configs]
        if metrics:
            chosen = [one.model_copy(update={"metrics": tuple(metrics)}) for one in chosen]
        routers = ", ".join(dict.fromkeys(config.router for config in configs))
        return self.enqueue(
            "sample",
            {"configs": [config.model_dump(mode="json") for config in chosen]},
            title=title or f"{Path(configs[0].system).name}: {routers}",
            device=configs[0].device,
            total=sum(config.num * config.steps for config in configs),
            comparison=stamped() if comparison else None,
        )

    def submit_branch(self, parent: str, config: RunConfig, *, title: str = "") -> str:
        """Have a branch of a stored run made and compared with it.

        Arguments:
            parent: id of the run.
            config: of the branch, as `ddm_core.branching.branch_config` makes it.
        """
        if config.branch is None:
            raise RequestError("this config is no branch: it leaves no other run's path")
        what = {"seed", "num", "router", "sampler", "label", "guidance"}
        change = config.model_dump(mode="json", include=what)
        return self.enqueue(
            "branch",
            {"parent": parent, "step": config.branch.step, **change},
            title=title or f"{Path(config.system).name}: what if {change_in_words(config)}",
            device=config.device,
            total=config.num * config.steps,
        )

    def submit_metrics(
        self, runs: Sequence[str], metrics: Sequence[str], *, device: str = "auto"
    ) -> str:
        """Have metrics of stored runs measured.

        Raises:
            RequestError: there are no runs or no metrics.
        """
        if not runs or not metrics:
            raise RequestError("name at least one run and one metric")
        payload = {"runs": list(runs), "metrics": list(metrics), "device": device}
        title = f"{', '.join(metrics)} of {len(runs)} run{'s' if len(runs) > 1 else ''}"
        return self.enqueue("metrics", payload, title=title, device=device, total=len(runs))

    def enqueue(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        title: str,
        device: str = "auto",
        total: int = 1,
        comparison: str | None = None,
    ) -> str:
        """Queue a job of any kind that `ddm_core.worker` handles, and see to it that it is run.

        Arguments:
            kind: name of the handler.
            payload: what it is given; JSON.
            total: units of work, for the progress.

        Raises:
            RequestError: no such device.
            WorkError: the folder is not writable.
        """
        lane = lane_of(device)
        id = stamped()
        gone = self._queue.add(
            id, kind, payload, title=title, lane=lane, total=total, comparison=comparison
        )
        for old in gone:
            shutil.rmtree(self._folder(old), ignore_errors=True)
        self._look()
        return id

    def warm(self, device: str = "auto") -> None:
        """Start the worker of a device before there is a job: it takes seconds."""
        lane = lane_of(device)
        with self._looking:
            self._queue.tidy(self._why)
            before = self._started.get(lane)
            if (before is None or before.poll() is not None) and not self._queue.lives(lane):
                self._start(lane)

    def ready(self, device: str = "auto") -> bool:
        """Whether the worker of a device waits for jobs, or works."""
        return self._queue.lives(lane_of(device))

    def job(self, id: str) -> Job:
        """One job, as it is now.

        Raises:
            RequestError: no such job.
        """
        self._look()
        row = self._queue.row(id)
        if row is None:
            raise RequestError(f"no job '{id[:60]}'; the latest are: {self._latest()}")
        return self._job(row, self._queue.waiting())

    def jobs(self, limit: int = 50) -> list[Job]:
        """The newest jobs, newest first."""
        self._look()
        waiting = self._queue.waiting()
        return [self._job(row, waiting) for row in self._queue.rows(limit)]

    def cancel(self, id: str) -> None:
        """Stop a job; its finished runs are kept. One that has ended stays as it is.

        Raises:
            RequestError: no such job.
        """
        self.job(id)
        self._queue.cancel(id)

    def retry(self, id: str) -> str:
        """Queue an ended job again, without the runs that it had finished.

        Returns:
            The id of the new job.

        Raises:
            RequestError: no such job, or it has not ended.
        """
        job = self.job(id)
        row = self._queue.row(id)
        if job.active or row is None:
            raise RequestError(f"job {id} is still {job.state}; cancel it first")
        payload = json.loads(row["payload"])
        # An earlier try may have had more: this one can have ended before it came to them.
        payload["have"] = list(dict.fromkeys([*payload.get("have", ()), *job.runs]))
        return self.enqueue(
            job.kind,
            payload,
            title=job.title,
            device=job.device,
            total=job.total,
            comparison=job.comparison,
        )

    def _latest(self) -> str:
        return ", ".join(row["id"] for row in self._queue.rows(5)) or "none"

    def _look(self) -> None:
        """Find what died, and start the workers that are needed."""
        with self._looking:
            self._queue.tidy(self._why)
            waiting = self._queue.waiting()
            if waiting and self._watch.acquire(blocking=False):
                threading.Thread(target=self._keep_looking, daemon=True).start()
            for lane in waiting:
                if not self._queue.lives(lane):
                    self._see_to(lane)

    def _see_to(self, lane: str) -> None:
        """Start the worker of a lane, unless it is on its way or cannot work."""
        before = self._started.get(lane)
        code = None if before is None else before.poll()
        # A worker that was killed is started again, by Ctrl-C, too; one that fails by itself would
        # fail again.
        if code is not None and code > 0 and code != STOPPED:
            del self._started[lane]
            said = f"the worker ends by itself; its last words are in {self._log(lane)}"
            self._queue.fail(lane, said)
        elif before is None or code is not None:
            self._start(lane)

    def _keep_looking(self) -> None:
        """While jobs wait, see to it that somebody runs them, though no page is open."""
        try:
            while self.root.is_dir() and self._queue.waiting():
                time.sleep(_WATCH_SECONDS)
                self._look()
        except WorkError as error:
            # Whoever looks next is told the same.
            print(f"ddm: {error}", file=sys.stderr, flush=True)
        finally:
            self._watch.release()

    def _why(self, owner: str) -> str:
        """How a worker ended, if this process started it and so was told."""
        for worker in self._started.values():
            if disk.is_process(owner, worker.pid):
                return _ending(worker.poll())
        return ""

    def _start(self, lane: str) -> None:
        log = self._log(lane)
        disk.make_folder(log.parent)
        command = [sys.executable, "-m", "ddm_core", "work", "--runs", str(self.root)]
        command += ["--lane", lane, "--idle", f"{self._idle:g}"]
        with disk.told("start a worker", log.parent):
            fresh = not log.exists() or log.stat().st_size > _MOST_LOG_BYTES
            with log.open("wb" if fresh else "ab") as output:
                worker = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        self._started[lane] = worker
        # Somebody has to take note of its end, or it stays as a zombie while this process lives.
        threading.Thread(target=worker.wait, daemon=True).start()

    def _log(self, lane: str) -> Path:
        return self.root / ".jobs" / f"worker-{lane.replace(':', '-')}.log"

    def _folder(self, id: str) -> Path:
        return self.root / ".jobs" / id

    def _job(self, row: Row, waiting: Mapping[str, Sequence[str]]) -> Job:
        id: str = row["id"]
        queue = waiting.get(row["lane"], ())
        preview = self._folder(id) / "preview.png"
        begun: float | None = row["begun"]
        ended: float = row["ended"] or time.time()
        stopping = row["state"] == "running" and row["cancel"]
        return Job(
            id,
            row["title"],
            row["kind"],
            row["state"],
            datetime.fromtimestamp(row["created"], UTC).isoformat(),
            row["done"],
            row["total"],
            0.0 if begun is None else max(0.0, ended - begun),
            row["eta"],
            "cancelling" if stopping else row["message"],
            tuple(json.loads(row["runs"])),
            row["comparison"],
            row["lane"],
            queue.index(id) + 1 if id in queue else 0,
            preview if preview.is_file() else None,
        )


def _ending(code: int | None) -> str:
    """What an exit code says, in words; "" of none."""
    if code is None:
        return ""
    if code >= 0:
        return f"the worker ended by itself (exit code {code})"
    reasons = {
        signal.SIGKILL: "most often because memory ran out",
        signal.SIGTERM: "by somebody who asked it to end",
        signal.SIGSEGV: "a fault of the program or of a library",
        signal.SIGABRT: "a fault of the program or of a library",
        signal.SIGBUS: "most often because the disk or the memory is full",
    }
    reason = next((f", {said}" for one, said in reasons.items() if one == -code), "")
    return f"the worker was killed (signal {-code}){reason}"
