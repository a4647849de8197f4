"""What a config from elsewhere may ask for here: names that are known, and never a file.

An archive or a picture says which system was sampled, and which plug-ins were loaded, by the paths
of another machine. Here they would be somebody else's choice of what is opened and run.
"""

from __future__ import annotations

import re
from typing import Any

from ddm_core.config import RunConfig
from ddm_core.shipped import ELSEWHERE, known_names

__all__ = ["taken_in"]


def taken_in(config: RunConfig) -> RunConfig:
    """The config without plug-ins, and with a folder's mere name in place of its path.

    What it branches off is treated alike.
    """
    fields: dict[str, Any] = {"plugins": (), "system": _known(config.system)}
    branch = config.branch
    if branch is not None:
        fields["branch"] = branch.model_copy(update={"of": taken_in(branch.of)})
    return config.model_copy(update=fields)


def _known(system: str) -> str:
    base = system.partition(":")[0]
    if base in {*known_names(), ELSEWHERE}:
        return system
    name = re.split(r"[/\\]", system.rstrip("/\\"))[-1]
    return f"{ELSEWHERE}:{name or 'unnamed'}"[:1000]
