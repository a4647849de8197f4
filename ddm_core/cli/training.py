"""`ddm train` and `ddm bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import progress, say_json, say_table, warn
from ddm_core.cli.stopping import if_stopped
from ddm_core.errors import RequestError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(bench)


def train(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="digits, mnist, a folder or .zip of images.")
    ],
    experts: Annotated[
        str, typer.Option("--experts", metavar="K", help="How many, or auto.")
    ] = "8",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", parser=o.place, help="The checkpoint folder to make."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where mnist's files are.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", metavar="N", help="Side of a folder's images, pixels.")
    ] = None,
    grey: Annotated[
        bool | None, typer.Option("--grey/--no-grey", help="Of a folder's images.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Of each expert's training.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="Images per step of training.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", metavar="X", help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of all that is random.")] = 0,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Networks trained side by side.")
    ] = 2,
    device: o.Device = "auto",
    monolith: Annotated[
        bool, typer.Option("--monolith/--no-monolith", help="Train one model on everything too.")
    ] = True,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="PART", help="One part, as in expert:3; joined later."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Train a system: clusters, experts, router, statistics. Goes on where it stopped."""
    number = int(experts) if experts.lstrip("-").isdigit() else experts
    if isinstance(number, str) and number != "auto":
        raise RequestError(f"--experts {experts} is neither a number nor auto")
    if out is not None:
        o.require_room_in(out.parent, out)
    # Only now, since torch takes seconds to load and the request may be wrong.
    from ddm_core.training import TrainConfig, TrainProgress, train_system

    config = TrainConfig(
        dataset, out, data, number, size, grey, steps, batch, lr, seed, workers, device, monolith,
        only,
    )  # fmt: skip
    with (
        if_stopped(lambda: "the same command goes on with it"),
        progress(f"train {config.name}") as bar,
    ):

        def tell(now: TrainProgress) -> None:
            loss = "" if now.loss is None else f"loss {now.loss:.4f}"
            text = ", ".join(part for part in (now.stage, now.part, loss) if part)
            bar.update(now.done, now.total, text, now.eta)

        folder = train_system(config, progress=tell)
    if json:
        say_json({"system": config.name, "folder": str(folder), "command": config.command})
        return
    print(folder)


def bench(
    system: Annotated[str, typer.Argument(metavar="SYSTEM")] = "mnist",
    device: o.Device = "auto",
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", help="Of each pair, interleaved.")
    ] = 7,
    readers: Annotated[
        int, typer.Option("--readers", metavar="N", help="Browsers that wander over the pages.")
    ] = 0,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="M", help="How long they do.")
    ] = 5.0,
    interactions: Annotated[
        int, typer.Option("--interactions", metavar="N", help="To watch the server's memory over.")
    ] = 0,
    json: o.Json = False,
) -> None:
    """Measure what speed costs and gives, as ratios."""
    for name, value, least, most in (
        ("rounds", rounds, 1, 1000),
        ("readers", readers, 0, 64),
        ("minutes", minutes, 0.1, 600),
        ("interactions", interactions, 0, 100_000),
    ):
        if not least <= value <= most:
            raise RequestError(f"--{name} {value:g} is not possible; take {least:g} to {most:g}")
    from ddm_core.bench import run_bench

    with progress("bench") as bar:
        report = run_bench(
            system,
            device=device,
            rounds=rounds,
            readers=readers,
            minutes=minutes,
            interactions=interactions,
            tell=lambda line: bar.update(0, 0, line),
        )
    if json:
        say_json(report.to_json())
        return
    verdict = {True: "holds", False: "does not hold", None: ""}
    rows = [
        [
            row.name,
            f"{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]",
            "" if row.limit is None else f"{'>=' if row.at_least else '<='} {row.limit:g}",
            verdict[row.holds],
            row.detail,
        ]
        for row in report.rows
    ]
    columns = ("what", "ratio [range]", "limit", "verdict", "measured")
    say_table(f"{report.system} on {report.device}", columns, rows)
    if report.left_out:
        warn(f"the page was not measured: {report.left_out}")
    print(f"other processes took {100 * report.foreign_cpu:.0f}% of the machine meanwhile")
