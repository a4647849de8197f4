"""Commands on stored runs, from runs and show to the trash; and metrics, which uses torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import (
    counted,
    number,
    progress,
    run_json,
    say_json,
    say_table,
    tell_labels,
    warn,
)
from ddm_core.cli.stopping import if_stopped
from ddm_core.errors import unknown

__all__ = ["register"]

FORMATS = ("csv", "parquet", "netcdf", "zip")
Run = Annotated[str, typer.Argument(metavar="RUN", help="Id, the start of one, or its hash.")]
Many = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, or what stands for one.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("runs")(list_runs)
    app.command()(show)
    app.command()(delete)
    app.command()(restore)
    app.command()(trash)
    app.command()(export)
    app.command("import")(import_runs)
    app.command()(metrics)


def list_runs(
    filter: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="EXPR",
            help="""As in 'router == "top_k" and fid < 30'; or words that must occur.""",
        ),
    ] = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """List the stored runs, newest first."""
    from ddm_core.filters import understand

    store = o.open_store(runs)
    every = store.runs()
    meant = understand(filter or "", every)
    records = [record for record in every if meant.matches(record)]
    for name, reason in store.unreadable.items():
        warn(f"{name} cannot be read: {reason}")
    if json:
        say_json([run_json(record) for record in records])
        return
    rows = [
        [
            record.id,
            record.status,
            record.system,
            record.router,
            f"{record.config.num} x {record.config.steps}",
            number(record.metrics.get("fid"), 4, interval=True),
            " ".join(record.tags),
        ]
        for record in records
    ]
    columns = ("run", "status", "system", "router", "samples x steps", "FID [95%] (n)", "tags")
    say_table("", columns, rows)
    found = f"{len(records)} of " if filter else ""
    print(f"{found}{counted(len(every), 'run')} in {store.root}")


def show(run: Run, runs: o.Runs = None, json: o.Json = False) -> None:
    """Show a run: what was asked for, and its numbers."""
    store = o.open_store(runs)
    record = store.run(run)
    if json:
        say_json({**run_json(record), "bytes": store.size(record.id)})
        return
    facts = {
        "status": record.error or record.status,
        "created": record.created,
        "ran on": record.device or "-",
        "comparison": record.comparison or "-",
        "tags": " ".join(record.tags) or "-",
        "note": record.note or "-",
        **{
            name: ", ".join(value) if isinstance(value, tuple) else str(value)
            for name, value in record.config
            if value not in ((), None)
        },
        **{f"sha256 of {name}": digest[:12] for name, digest in record.hashes.items()},
        **record.versions,
    }
    say_table(record.id, ("what", "value"), [[name, text] for name, text in facts.items()])
    numbers = {**record.metrics, **record.summary}
    rows = [
        [
            name.replace("_", " "),
            number(one, 4, interval=True),
            str(one.get("protocol") or one.get("method") or ""),
        ]
        for name, one in numbers.items()
    ]
    say_table("", ("number", "value [95%] (n)", "how"), rows)


def delete(
    run: Many,
    for_good: Annotated[bool, typer.Option("--for-good", help="At once, past the trash.")] = False,
    runs: o.Runs = None,
) -> None:
    """Move runs to the trash, from where `ddm restore` brings them back."""
    store = o.open_store(runs)
    ids = list(dict.fromkeys(store.resolve(one) for one in run))
    batch = store.remove(ids) if for_good else store.delete(ids)
    for one in ids:
        print(f"deleted {one}")
    if batch is not None:
        print(f"to undo it: ddm restore {batch}")


def restore(
    what: Annotated[
        list[str], typer.Argument(metavar="WHAT...", help="Deleted runs, or what delete printed.")
    ],
    runs: o.Runs = None,
) -> None:
    """Bring deleted runs back."""
    store = o.open_store(runs)
    for one in what:
        for id in store.trash.restore(one):
            print(f"restored {id}")


def trash(
    empty: Annotated[bool, typer.Option("--empty", help="Delete for good what is in it.")] = False,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """List the deleted runs that can still be restored."""
    from ddm_core.trash import DAYS

    store = o.open_store(runs)
    batches = store.trash.batches()
    if empty:
        freed = store.trash.empty()
        count = sum(len(batch.runs) for batch in batches)
        print(f"{counted(count, 'run')} deleted for good, {freed / 2**20:.1f} MiB freed")
        return
    if json:
        say_json([{**batch._asdict(), "deleted": batch.deleted.isoformat()} for batch in batches])
        return
    rows = [
        [batch.id, run, f"{batch.deleted:%Y-%m-%d %H:%M} UTC"]
        for batch in batches
        for run in batch.runs
    ]
    say_table("", ("deleted at once", "run", "when"), rows)
    size = sum(batch.bytes for batch in batches) / 2**20
    found = counted(len(rows), "run")
    print(f"{found}, {size:.1f} MiB; each is gone for good after {DAYS} days")


def export(
    run: Many,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", parser=o.place, help="Where the files go."),
    ],
    format: Annotated[
        str,
        typer.Option("--format", metavar="F", help="csv, parquet, netcdf; zip: to import again."),
    ] = "csv",
    runs: o.Runs = None,
) -> None:
    """Write a run as tables for other programs, or runs as one archive (--format zip)."""
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    o.require_room_in(out.parent if out.suffix == ".zip" and format == "zip" else out, out)
    store = o.open_store(runs)
    ids = list(dict.fromkeys(store.resolve(one) for one in run))
    if format == "zip":
        name = ids[0] if len(ids) == 1 else "runs"
        print(store.export_archive(ids, out if out.suffix == ".zip" else out / f"{name}.zip"))
        return
    for one in ids:
        # One run goes right where it was asked for; several must not overwrite each other.
        for path in store.export_tables(one, out if len(ids) == 1 else out / one, format):
            print(path)


def import_runs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .zip made by export.")],
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Take in the runs of an archive; those that are here already are left as they are."""
    store = o.open_store(runs)
    before = {record.id for record in store.runs()}
    records = store.import_archive(file)
    if json:
        say_json([run_json(record) for record in records])
        return
    for record in records:
        print(f"{'is here already' if record.id in before else 'imported'}: {record.id}")


def metrics(
    run: Many,
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="A,B", help="As in fid,kid; see ddm list metrics.")
    ] = "fid",
    extractor: Annotated[
        str, typer.Option("--extractor", metavar="NAME", help="own or inception.")
    ] = "own",
    device: o.Device = "auto",
    plugin: o.Plugins = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Measure the quality of stored runs and note it in them."""
    store = o.open_store(runs)
    records = [store.run(one) for one in run]
    names = o.words(metrics)
    # Only now, since torch takes seconds to load and the request may be wrong.
    from ddm_core.make import measure_run, yardstick
    from ddm_core.registry import load_plugin
    from ddm_core.systems import load_system

    for file in plugin or []:
        load_plugin(file)
    rules = {
        name: yardstick(load_system(name), extractor, device)
        for name in sorted({record.system for record in records})
    }
    tell_labels(record.config.label for record in records)
    measured = []
    for record in records:
        with if_stopped(lambda: "what was measured is kept"), progress(record.id) as bar:
            measured.append(
                measure_run(store, record, rules[record.system], names, on_measure=bar.update)
            )
    if json:
        say_json({"runs": [run_json(record) for record in measured]})
        return
    rows = [
        [record.id, name, number(record.metrics[name], 4, interval=True)]
        for record in measured
        for name in record.metrics
    ]
    say_table("", ("run", "metric", "value [95%] (n)"), rows)
