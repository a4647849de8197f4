"""`ddm branch`: what if another expert had been asked?"""

from __future__ import annotations

from typing import Annotated

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import aside, number, progress, run_json, say_json, say_table
from ddm_core.errors import RequestError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(branch)


def branch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run whose path is left.")],
    step: Annotated[int, typer.Option("--step", metavar="N", help="The first step that differs.")],
    sample: Annotated[
        str, typer.Option("--sample", metavar="SEED", help="One sample of the run, or all.")
    ] = "all",
    router: Annotated[
        str | None, typer.Option("--router", metavar="SPEC", help="As in fixed:expert=3/full.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", metavar="NAME", help="euler, heun, ddim, ddpm.")
    ] = None,
    label: o.Label = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", metavar="X", help="Another guidance.")
    ] = None,
    plugin: o.Plugins = None,
    runs: o.Runs = None,
    json: o.Json = False,
) -> None:
    """Resample a run from the very state that it had at a step; what is not named stays."""
    from ddm_core.branching import branch_config, change_in_words

    store = o.open_store(runs)
    parent = store.run(run)
    config = branch_config(
        parent.config,
        step=step,
        seeds=None if sample == "all" else [_seed(sample)],
        router=router,
        sampler=sampler,
        label=label,
        guidance=guidance,
        plugins=[str(file) for file in plugin or []],
    )
    # Only now, since torch takes seconds to load and the request may be wrong.
    from ddm_core.branching import make_branch, order_branch
    from ddm_core.make import yardstick_or_none
    from ddm_core.run import Progress

    with aside():
        order = order_branch(parent, config)
    with progress(order.config.router) as bar:

        def tell(now: Progress) -> None:
            bar.update(now.done, now.total, f"step {now.step} of {now.steps}", now.eta)

        record = make_branch(
            store,
            parent,
            order,
            on_progress=tell,
            yardstick=lambda: yardstick_or_none(order.system, order.config.device),
        )
    if json:
        say_json(run_json(record))
        return
    rows = [
        [name.replace("_", " "), number(one, 4, interval=True)]
        for name, one in record.departure.items()
    ]
    say_table("", ("against the parent", "value [95%] (n)"), rows)
    change = change_in_words(record.config)
    print(f"{record.id}: from step {step} of {parent.id}: {change}")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise RequestError(f"'{text[:40]}' is no sample: write its seed, or all")
    return int(text)
