"""`ddm audit` and `ddm tune`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import number, progress, say_json, say_table, warn
from ddm_core.cli.stopping import if_stopped
from ddm_core.errors import RequestError, WorkError

if TYPE_CHECKING:
    from ddm_core.analysis.audit import State
    from ddm_core.run import Progress

__all__ = ["register"]

System = Annotated[str, typer.Argument(metavar="SYSTEM", help="A name, or a checkpoint folder.")]
REPORT = "report.html"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(audit)
    app.command()(tune)


def audit(
    system: System,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="As in 90s, 10m, 1h; default by system."),
    ] = None,
    num: Annotated[
        int | None, typer.Option("--num", metavar="N", help="Samples per route; default: budget.")
    ] = None,
    steps: o.Steps = 25,
    sampler: o.Sampler = "euler",
    seed: o.Seed = 0,
    map: Annotated[
        bool, typer.Option("--map/--no-map", help="Measure other router temperatures too.")
    ] = True,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where the dataset's files are.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", parser=o.place, help="Also put JSON and report here."
        ),
    ] = None,
    device: o.Device = "auto",
    plugin: o.Plugins = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Put the paper's four claims to a system: verdicts, intervals, a report."""
    # Only now, since torch takes seconds to load and the request may be wrong.
    from pydantic import ValidationError

    from ddm_core.analysis.audit import DOCUMENT, Request, audit, summary
    from ddm_core.analysis.plan import parse_budget

    seconds = None if budget is None else parse_budget(budget)
    if out is not None:
        o.require_room_in(out, out)
    try:
        request = Request(
            system=system,
            num=num,
            steps=steps,
            sampler=sampler,
            seed=seed,
            budget=seconds,
            map=map,
            device=device,
            data=None if data is None else str(data.absolute()),
            plugins=tuple(str(file.absolute()) for file in plugin or []),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0]
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise RequestError(f"--{where} {first['input']} is not possible: {reason}") from None
    with (
        if_stopped(lambda: "what was measured is kept: the same command goes on with it"),
        progress(f"audit {system}") as bar,
    ):

        def tell(state: State) -> None:
            bar.update(state.done, state.total, state.text, state.eta)

        folder, found = audit(
            request,
            o.open_store(runs),
            on_state=tell,
            should_stop=lambda: False,
            workers=0,
        )
    report = _report(folder / DOCUMENT, folder / REPORT)
    if out is not None:
        _copy([folder / DOCUMENT, *([report] if report else [])], out)
    if json:
        say_json(found)
        return
    for line in summary(found):
        print(line)
    print(found["league"]["sentence"])
    print(found["map"]["sentence"])
    for line in [*found["health"], *found["plan"]["given_up"]]:
        warn(line)
    print(out or folder)


def tune(
    system: System,
    max_calls: Annotated[
        float, typer.Option("--max-calls", metavar="N", help="Expert calls per sample and step.")
    ] = 2.0,
    num: Annotated[
        int, typer.Option("--num", metavar="N", help="Samples of each of the two sets of seeds.")
    ] = 1000,
    steps: o.Steps = 25,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    plugin: o.Plugins = None,
    json: o.Json = False,
) -> None:
    """Find the cheapest route whose quality is within the interval of the best."""
    if not 32 <= num <= 100_000:
        raise RequestError(f"--num {num} is not possible; take 32 to 100000")
    from ddm_core.analysis.tune import tune
    from ddm_core.registry import load_plugin

    for file in plugin or []:
        load_plugin(file)
    with progress(f"tune {system}") as bar:

        def tell(done: int, total: int, route: str, now: Progress) -> None:
            share = now.done / max(1, now.total)
            bar.update(int(100 * (done + share)), 100 * total, f"{route}, step {now.step}")

        found = tune(
            system,
            max_calls=max_calls,
            num=num,
            steps=steps,
            seed=seed,
            device=device,
            on_progress=tell,
        )
    if json:
        say_json({"system": system, "num": num, "steps": steps, "seed": seed, **found.to_json()})
        return
    rows: list[list[str]] = []
    for one in found.candidates:
        said: Any = None if one.quality is None else one.quality.to_json()
        rows.append([one.router, f"{one.calls:.2f}", number(said, 4, interval=True) + one.failed])
    say_table("", ("route", "calls per step", f"{found.metric} [95%] (n)"), rows)
    again = number(found.chosen_again.to_json(), 4, interval=True)
    rival = number(found.rival_again.to_json(), 4, interval=True)
    apart = number(found.difference.to_json(), 4, interval=True)
    if found.chosen == found.best:
        print(f"{found.chosen}: the best, and none cheaper is within its interval")
    else:
        print(f"{found.chosen}: the cheapest within the interval of the best, {found.best}")
    print(found.says)
    print(f"other seeds: {again} against {rival}, difference {apart}")


def _report(document: Path, report: Path) -> Path | None:
    """The HTML report; drawing is another program's work, and its failure costs nothing."""
    command = [sys.executable, "-m", "app.audits.report", str(document), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return report
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    warn(f"the HTML report was not written: {reason}")
    return None


def _copy(files: list[Path], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise WorkError(f"cannot write the audit into {folder}: {error.strerror}") from None
