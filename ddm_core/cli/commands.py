"""All commands of `ddm`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from ddm_core.cli import audit, branch, components, dashboard, jobs, library, sampling, training

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    help="An instrument for decentralized diffusion models: sample, trace and compare routers.",
    rich_markup_mode="rich",
)
for group in (dashboard, components, sampling, branch, library, jobs, audit, training):
    group.register(app)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Print the help where no command is given."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"ddm {installed('ddm')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
