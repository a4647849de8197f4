"""Systems by name: analytic ones, shipped checkpoints, any checkpoint folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from ddm_core.errors import RequestError, unknown
from ddm_core.shipped import ELSEWHERE, checkpoints_folder, known_names
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import Clusters, Features, System
from ddm_core.systems.checkpoint import load_checkpoint

__all__ = [
    "Clusters",
    "Features",
    "System",
    "checkpoints_folder",
    "load_system",
    "name_of",
    "system_names",
]


def system_names() -> list[str]:
    """All systems that load_system knows by name."""
    return sorted({*known_names(), *_plugged()})


def load_system(name: str | os.PathLike[str]) -> System:
    """A system by name, by name with settings (ring:experts=8:error=0.5), or by checkpoint folder.

    Raises:
        RequestError: no such system, a wrong setting, a damaged checkpoint; one sentence.
    """
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        there = ", ".join(system_names())
        given = type(name).__name__
        raise RequestError(f"a system is a name or the path of a folder, not {given}; try {there}")
    base, *pairs = name.split(":")
    if base == "ring":
        return ring(_ring_settings(pairs, name))
    if base == ELSEWHERE:
        there = ", ".join(system_names())
        name = ":".join(pairs)
        raise RequestError(
            f"system '{name}' is not here, a run brought its name; there are: {there}"
        )
    plugged = _plugged()
    if base in plugged:
        return plugged[base]()
    if base in system_names():
        return load_checkpoint(checkpoints_folder() / base)
    # os.path, since it takes a name that no file system would take for one that is not there.
    if os.path.isdir(name):
        # Whole: the system keeps it, and is loaded again from wherever one stands then.
        return load_checkpoint(Path(os.path.abspath(name)))
    if os.sep in name:
        raise RequestError(f"there is no checkpoint folder {name}")
    there = ", ".join(system_names())
    raise RequestError(f"no system '{name}'; there are: {there}, or the path of a folder with one")


def name_of(system: System) -> str:
    """What load_system takes to load this system again."""
    if system.folder is None:
        return system.name
    shipped = checkpoints_folder() / system.folder.name
    return system.folder.name if system.folder == shipped else str(system.folder)


def _ring_settings(pairs: list[str], whole: str) -> RingSettings:
    values: dict[str, int | float | str] = {}
    kinds = {"experts": int, "radius": float, "spread": float, "error": float, "schedule": str}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise RequestError(f"'{pair}' in '{whole}' is no setting: write name=value")
        if key not in kinds:
            raise unknown("setting of system 'ring'", key, kinds)
        if key in values:
            raise RequestError(f"{key} is set twice in '{whole}'")
        try:
            values[key] = kinds[key](text)
        except ValueError:
            raise RequestError(f"{key}={text} in '{whole}' is no {kinds[key].__name__}") from None
    return RingSettings()._replace(**values)


def _plugged() -> dict[str, Callable[[], System]]:
    return {point.name: point.load() for point in entry_points(group="ddm_core.systems")}
