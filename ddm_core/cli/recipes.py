"""Options of `ddm sample` when a picture brings most of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ddm_core.cli.screen import warn
from ddm_core.errors import RequestError

__all__ = ["with_recipe"]


def with_recipe(
    context: typer.Context, recipe: Path | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a config: the recipe's, changed by what was typed beside it.

    Raises:
        RequestError: neither a system nor a recipe is given, or the picture carries none.
    """
    if recipe is None:
        if not fields.get("system"):
            raise RequestError("name a SYSTEM (see ddm list systems), or give --recipe FILE.png")
        return dict(fields)
    from ddm_core.recipe import read_recipe_file

    typed = {name: value for name, value in fields.items() if _typed(context, name)}
    found = read_recipe_file(recipe)
    if "plugins" in typed:
        found = found._replace(plugins=0)
    if found.left_out:
        cure = "; add --plugin FILE" if found.plugins else ""
        warn(f"the recipe is repeated without {found.left_out}{cure}")
    return {**dict(found.config), **typed}


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source({"plugins": "plugin"}.get(name, name))
    return source is not None and source.name == "COMMANDLINE"
