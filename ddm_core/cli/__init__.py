"""`ddm`: the command line. Errors are one line on stderr; the exit code tells whose fault it was.

0: done. 1: the work failed. 2: the request was wrong. 130: stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ddm_core.cli import audit, branch, components, dashboard, jobs, library, sampling, training
from ddm_core.errors import RequestError, WorkError, ran_out_of_memory

__all__ = ["app", "main", "run"]

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


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        code = app(list(arguments), prog_name="ddm", standalone_mode=False)
        sys.stdout.flush()
    except RequestError as error:
        return _say(str(error), 2)
    except TyperException as error:
        # Of a value it says what is wrong with it and not whose it is.
        name = str((getattr(getattr(error, "param", None), "opts", None) or [""])[-1])
        return _say(f"{name}: {error}" if name.startswith("-") else str(error), 2)
    except WorkError as error:
        return _say(str(error), 1)
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("DDM_TRACEBACK"):
            raise
        if ran_out_of_memory(error):
            return _say(f"out of memory: take fewer samples or a smaller batch ({error})", 1)
        hint = "set DDM_TRACEBACK=1 for the whole story"
        return _say(f"the program failed: {type(error).__name__}: {error} ({hint})", 1)
    if code == 130:
        return _say("stopped by Ctrl-C; what was finished is kept", 130)
    return code if isinstance(code, int) else 0


def _say(sentence: str, code: int) -> int:
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def main() -> None:
    """The entry point."""
    if not sys.warnoptions:
        # Warnings of libraries are for developers; they would stand between a user and the answer.
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))
