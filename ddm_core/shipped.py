"""Which systems have a name, found without loading any of them."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

__all__ = ["ELSEWHERE", "checkpoints_folder", "known_names"]

#: In front of the name of a system that another machine had: it is never looked for here.
ELSEWHERE = "elsewhere"


def checkpoints_folder() -> Path:
    """Where shipped checkpoints are: $DDM_CHECKPOINTS, else beside the package, else inside it."""
    named = os.environ.get("DDM_CHECKPOINTS")
    if named:
        return Path(named)
    # A checkout has them beside the package; an installed wheel carries them inside.
    beside, inside = (Path(__file__).parents[up] / "checkpoints" for up in (1, 0))
    return inside if inside.is_dir() else beside


def known_names() -> list[str]:
    """Names of the shipped systems, of the ring, and of those that other packages bring."""
    folder = checkpoints_folder()
    shipped = [p.parent.name for p in folder.glob("*/system.toml")] if folder.is_dir() else []
    plugged = [point.name for point in entry_points(group="ddm_core.systems")]
    return sorted({"ring", *shipped, *plugged})
