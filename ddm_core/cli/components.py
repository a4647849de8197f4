"""`ddm list`: everything that can be named, with its settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ddm_core.cli import options as o
from ddm_core.cli.screen import aside, say_json
from ddm_core.errors import RequestError, unknown

__all__ = ["register"]

FAMILIES = ("systems", "routers", "strategies", "probes", "samplers", "metrics")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_family)


def list_family(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help=", ".join(FAMILIES))],
    plugin: o.Plugins = None,
    json: o.Json = False,
) -> None:
    """List systems, routers, strategies, probes, samplers or metrics."""
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    from ddm_core.registry import load_plugin

    for file in plugin or []:
        load_plugin(file)
    with aside():
        members = _systems() if family == "systems" else _members(family)
    if json:
        say_json(members)
        return
    _say_members(family, members)


def _say_members(family: str, members: Sequence[dict[str, Any]]) -> None:
    """Print words, which start at the left also where the first of them is a number."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    # A name is typed as it stands here: it is never broken.
    table.add_column(family, no_wrap=True)
    table.add_column("what it is", overflow="fold")
    settings = [", ".join(_words(s) for s in one.get("settings", [])) for one in members]
    if any(settings):
        table.add_column("settings", overflow="fold")
    for one, text in zip(members, settings, strict=True):
        cells = [Text(one["name"]), Text(one["description"]), Text(text)]
        table.add_row(*cells[: len(table.columns)])
    # A pipe has no width: nothing is folded there.
    Console(width=None if sys.stdout.isatty() else 400).print(table)


def _words(setting: dict[str, Any]) -> str:
    """A setting with its default, and the words that may stand in place of a number."""
    return " or ".join([f"{setting['name']}={setting['default']}", *setting["words"]])


def _members(family: str) -> list[dict[str, Any]]:
    from ddm_core.metrics import METRICS
    from ddm_core.probes.base import PROBES
    from ddm_core.registry import settings
    from ddm_core.routers.base import ROUTERS
    from ddm_core.samplers.base import SAMPLERS
    from ddm_core.strategies.base import STRATEGIES

    registries = {
        "routers": ROUTERS,
        "strategies": STRATEGIES,
        "probes": PROBES,
        "samplers": SAMPLERS,
        "metrics": METRICS,
    }
    registry = registries[family]
    return [
        {
            "name": name,
            "description": _first_line(registry[name].__doc__),
            "settings": [
                {
                    **one._asdict(),
                    "kind": one.kind.__name__,
                    "choices": list(one.choices),
                    "words": list(one.words),
                }
                for one in settings(registry[name])
            ],
        }
        for name in registry
    ]


def _systems() -> list[dict[str, Any]]:
    from ddm_core.systems import load_system, system_names

    out: list[dict[str, Any]] = []
    for name in system_names():
        try:
            system = load_system(name)
        except RequestError as error:
            # A damaged checkpoint must not hide the others.
            out.append({"name": name, "description": f"cannot be used: {error}"})
            continue
        out.append(
            {
                "name": name,
                "description": system.description,
                "experts": len(system.experts),
                "shape": list(system.shape),
                "labels": list(system.labels),
                "monolith": system.monolith is not None,
                "default_router": system.default_router,
            }
        )
    return out


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
