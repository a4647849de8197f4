"""`ddm sample` and `ddm compare`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddm_core.cli import options as o
from ddm_core.cli.recipes import with_recipe
from ddm_core.cli.screen import (
    Bar,
    aside,
    counted,
    note,
    number,
    progress,
    run_json,
    say_json,
    say_table,
    tell_labels,
    warn,
)
from ddm_core.cli.stopping import if_stopped
from ddm_core.errors import RequestError, WorkError, unknown

if TYPE_CHECKING:
    from ddm_core.records import RunRecord
    from ddm_core.run import Progress
    from ddm_core.store import Store

__all__ = ["comparison_table", "register"]

DTYPES = ("float32", "float64", "bfloat16")
System = Annotated[str, typer.Argument(metavar="SYSTEM", help="A name, or a checkpoint folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sample)
    app.command()(compare)


def sample(
    context: typer.Context,
    system: Annotated[
        str | None, typer.Argument(metavar="[SYSTEM]", help="A name, or a checkpoint folder.")
    ] = None,
    router: Annotated[
        str, typer.Option("--router", metavar="SPEC", help="STRATEGY or ROUTER/STRATEGY.")
    ] = "top_k",
    num: o.Num = 16,
    steps: o.Steps = 50,
    sampler: o.Sampler = "euler",
    seed: o.Seed = 0,
    probes: o.Probes = "standard",
    label: o.Label = None,
    guidance: o.Guidance = 1.0,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    batch: o.Batch = 0,
    workers: o.Workers = 0,
    observed: o.Observed = 64,
    shown: o.Shown = 16,
    metrics: o.Metrics = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.png", help="Settings from a run's samples.png."),
    ] = None,
    plugin: o.Plugins = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Sample a system with one router and keep the run."""
    fields = _fields(
        system or "", num, steps, sampler, seed, probes, label, guidance, device, dtype, batch,
        workers, observed, shown, metrics, plugin,
    )  # fmt: skip
    fields = with_recipe(context, recipe, {**fields, "router": router})
    (record,) = _make(o.open_store(runs), [fields], measured=False)
    if json:
        say_json(run_json(record))
        return
    say_table("", ("number", "value [95%] (n)"), _numbers(record))
    print(f"{record.id}: {counted(record.config.num, 'sample')} in {record.seconds:.1f} s")


def compare(
    system: System,
    routers: Annotated[
        str, typer.Option("--routers", metavar="SPEC,SPEC", help="Routes with commas between.")
    ],
    num: o.Num = 16,
    steps: o.Steps = 50,
    sampler: o.Sampler = "euler",
    seed: o.Seed = 0,
    probes: o.Probes = "standard",
    label: o.Label = None,
    guidance: o.Guidance = 1.0,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    batch: o.Batch = 0,
    workers: o.Workers = 0,
    observed: o.Observed = 64,
    shown: o.Shown = 16,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="A,B",
            help="Quality, as in fid,kid; or none; default fid, of points energy_distance too.",
        ),
    ] = None,
    plugin: o.Plugins = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Sample a system with several routers from the same noise, and put them side by side."""
    fields = _fields(
        system, num, steps, sampler, seed, probes, label, guidance, device, dtype, batch, workers,
        observed, shown, metrics, plugin,
    )  # fmt: skip
    from ddm_core.records import stamped
    from ddm_core.registry import load_plugin
    from ddm_core.routes import split_routes

    for file in plugin or []:
        load_plugin(file)
    chosen = split_routes(routers)
    twice = [route for at, route in enumerate(chosen) if route in chosen[:at]]
    if twice:
        raise RequestError(f"the route {twice[0]} is there twice: a comparison has each once")
    comparison = stamped()
    wanted = [{**fields, "router": route} for route in chosen]
    records = _make(o.open_store(runs), wanted, measured=True, comparison=comparison)
    noise = {record.hashes["x_T"] for record in records}
    if len(noise) > 1:
        raise WorkError("the routers did not start from the same noise; this is a fault of ddm")
    if json:
        document = {
            "comparison": comparison,
            "x_T": noise.pop(),
            "runs": [run_json(record) for record in records],
        }
        say_json(document)
        return
    comparison_table(records)
    runs_made = counted(len(records), "run")
    print(f"comparison {comparison}: {runs_made} from the same noise {noise.pop()[:12]}")


def _fields(
    system: str,
    num: int,
    steps: int,
    sampler: str,
    seed: int,
    probes: str,
    label: int | None,
    guidance: float,
    device: str,
    dtype: str,
    batch: int,
    workers: int,
    observed: int,
    shown: int,
    metrics: str | None,
    plugin: list[Path] | None,
) -> dict[str, Any]:
    """What the options say, as fields of a RunConfig."""
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    return {
        "system": system,
        "num": num,
        "steps": steps,
        "sampler": sampler,
        "seed": seed,
        "probes": o.words(probes),
        "label": label,
        "guidance": guidance,
        "device": device,
        "dtype": dtype,
        "batch": batch,
        "workers": workers,
        "observed": observed,
        "shown": shown,
        "metrics": o.words(metrics),
        "plugins": tuple(str(file) for file in plugin or []),
    }


def _make(
    store: Store,
    wanted: Sequence[dict[str, Any]],
    *,
    measured: bool,
    comparison: str | None = None,
) -> list[RunRecord]:
    """Check all, then make one after the other; measured: with the system's own quality metric."""
    from ddm_core.config import make_config

    configs = [make_config(fields) for fields in wanted]
    # Only now, since torch takes seconds to load and the request may be wrong.
    from ddm_core import disk
    from ddm_core.estimate import Subject, estimate, registered_costs, together
    from ddm_core.make import FEWEST, make_run, prepare
    from ddm_core.quality import default_metrics

    with aside():
        orders = prepare(configs, default_metrics if measured else None)
    one = configs[0]
    if measured and not one.metrics and one.num < FEWEST:
        note(f"no quality is measured: it takes {FEWEST} samples at least, not {one.num}")
    tell_labels(order.config.label for order in orders if order.yardstick is not None)
    # Where nothing can be kept, that is told before the long wait.
    disk.make_folder(store.root)
    costs, earlier = registered_costs(), store.runs()
    each = [
        estimate(one.config, Subject(len(one.system.experts), one.system.shape), costs, earlier)
        for one in orders
    ]
    note(f"expected: {together(each)}")
    records: list[RunRecord] = []
    kept: list[str] = []
    with _telling_what_is_kept(kept):
        for order in orders:
            with progress(order.config.router) as bar:
                record = make_run(
                    store,
                    order,
                    comparison=comparison,
                    on_progress=_Teller(bar).sampling,
                    on_measure=_Teller(bar).measuring,
                    on_kept=lambda record: kept.append(record.id),
                )
            records.append(record)
    return records


@contextmanager
def _telling_what_is_kept(ids: Sequence[str]) -> Generator[None]:
    """Where the work inside ends early, its runs are told of: a long one may be among them."""

    def kept() -> str:
        are = "is" if len(ids) == 1 else "are"
        return f"{counted(len(ids), 'run')} {are} kept: {', '.join(ids)}" if ids else ""

    with if_stopped(lambda: kept() or "nothing was kept"):
        try:
            yield
        except Exception:
            if ids:
                note(kept())
            raise


class _Teller:
    """Progress of one run, in words."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def sampling(self, now: Progress) -> None:
        """While it samples."""
        text = f"step {now.step} of {now.steps}"
        self._bar.update(now.done, now.total, text, now.eta)

    def measuring(self, done: int, total: int) -> None:
        """While its quality is measured."""
        self._bar.update(done, total, "measuring")


def comparison_table(records: Sequence[RunRecord]) -> None:
    """Print runs side by side. Numbers of different n are not to be compared: it says so."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    columns = [
        "router",
        *(f"{name} [95%] (n)" for name in names),
        "selected distance",
        "chance",
        "disagreement",
        "growth",
        "calls per step",
        "seconds",
    ]
    summary = (
        "selected_distance",
        "chance_distance",
        "disagreement",
        "perturbation_growth",
        "expert_calls",
        "seconds",
    )
    rows = [
        [
            record.router,
            *(number(record.metrics.get(name), 4, interval=True) for name in names),
            *(number(record.summary.get(name)) for name in summary),
        ]
        for record in records
    ]
    say_table("", columns, rows)
    if len({record.config.num for record in records}) > 1:
        warn("these runs have different numbers of samples: FID must not be compared")


def _numbers(record: RunRecord) -> list[list[str]]:
    numbers = {**record.metrics, **record.summary}
    return [[name.replace("_", " "), number(n, 4, interval=True)] for name, n in numbers.items()]
