"""jobs: what the workers do, also for those who have no browser at hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import say_json, say_table
from ddm_core.errors import RequestError
from ddm_core.jobs import Job, Jobs

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(jobs)


def jobs(
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="ID", help="Stop a job.")
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option("--retry", metavar="ID", help="Queue an ended job again, less what it made."),
    ] = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """List the jobs, newest first: state, place in the queue, message; cancel or retry one."""
    if cancel is not None and retry is not None:
        raise RequestError("--cancel and --retry at once: choose one")
    here = Jobs(o.open_store(runs).root)
    if cancel is not None:
        here.cancel(cancel)
    chosen = cancel if retry is None else here.retry(retry)
    found = here.jobs() if chosen is None else [here.job(chosen)]
    if json:
        say_json([_plain(job) for job in found])
        return
    if not found:
        print("no jobs: the dashboard submits them")
        return
    rows = [[job.id, job.title, _state(job), _progress(job), job.message] for job in found]
    say_table("", ("job", "what", "state", "done", "message"), rows)


def _state(job: Job) -> str:
    return f"queued, number {job.position}" if job.state == "queued" else job.state


def _progress(job: Job) -> str:
    return f"{100 * job.done // max(1, job.total)}%"


def _plain(job: Job) -> dict[str, Any]:
    preview = None if job.preview is None else str(job.preview)
    return {**job._asdict(), "preview": preview}
