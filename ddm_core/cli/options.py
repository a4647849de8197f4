"""Options that several commands share, each with its help in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddm_core.errors import RequestError

if TYPE_CHECKING:
    from ddm_core.store import Store

__all__ = [
    "Batch",
    "Device",
    "Dtype",
    "Guidance",
    "Json",
    "Label",
    "Metrics",
    "Num",
    "Observed",
    "Plugins",
    "Probes",
    "Runs",
    "Sampler",
    "Seed",
    "Shown",
    "Steps",
    "Workers",
    "open_store",
    "place",
    "require_room_in",
    "words",
]


def place(text: str) -> Path:
    """A path that somebody wrote: an empty one would be the folder in which they stand."""
    if not text:
        raise ValueError("it is empty; name a folder")
    return Path(text)


Runs = Annotated[
    Path | None,
    typer.Option(
        "--runs", metavar="DIR", parser=place, help="The store; default $DDM_RUNS, else runs."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Num = Annotated[int, typer.Option("--num", metavar="N", help="How many samples.")]
Steps = Annotated[int, typer.Option("--steps", metavar="N", help="Intervals of the time grid.")]
Sampler = Annotated[
    str, typer.Option("--sampler", metavar="NAME", help="euler, heun, ddim, ddpm.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the first sample.")]
Probes = Annotated[
    str, typer.Option("--probes", metavar="A,B", help="Names, or standard, all, none.")
]
Label = Annotated[int | None, typer.Option("--label", metavar="N", help="The class to ask for.")]
Guidance = Annotated[
    float, typer.Option("--guidance", metavar="X", help="Classifier-free guidance; 1 is none.")
]
Device = Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda or cuda:1.")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="T", help="float32, float64 or bfloat16.")]
Batch = Annotated[
    int, typer.Option("--batch", metavar="N", help="Most samples at a time; 0: by device.")
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", help="Batches side by side; 0: one per core.")
]
Observed = Annotated[
    int,
    typer.Option("--observed", metavar="N", help="Samples on which costly probes run."),
]
Shown = Annotated[
    int, typer.Option("--shown", metavar="N", help="Samples whose every step is pictured.")
]
Metrics = Annotated[
    str | None, typer.Option("--metrics", metavar="A,B", help="Quality, as in fid,kid; or none.")
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Python file with components; repeatable."),
]


def words(text: str | None) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def require_room_in(folder: Path, asked: Path) -> None:
    """Refuse a place in which nothing can be made, before any work for it.

    Raises:
        RequestError: the folder, or what is there of its path, is a file or not writable.
    """
    there = next(str(p) for p in (folder, *folder.parents) if os.path.lexists(p) or p == p.parent)
    if not os.path.isdir(there):
        raise RequestError(f"--out {asked} is not possible: {there} is no folder")
    if not os.access(there, os.W_OK):
        raise RequestError(f"--out {asked} is not possible: {there} is not writable")


def open_store(runs: Path | None) -> Store:
    """The store that --runs names."""
    from ddm_core.store import Store

    return Store(runs)
