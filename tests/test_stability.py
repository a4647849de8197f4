"""Sensitivities of an audit: the few that the map shows are the very numbers of the many."""

from __future__ import annotations

import numpy as np

from ddm_core.analysis.stability import sensitivity
from ddm_core.config import make_config
from ddm_core.run import Progress
from ddm_core.systems import load_system


def quiet(progress: Progress) -> None:
    """Nobody watches."""


def test_what_the_map_shows_is_what_is_measured_with_all_the_rest() -> None:
    config = make_config({"system": "ring", "router": "full", "num": 12, "steps": 5})
    system = load_system("ring")
    every, few = (
        sensitivity(config, system, quiet),
        sensitivity(config, system, quiet, mapped=True),
    )
    assert {"growth", "lipschitz"} <= few.keys() < every.keys()
    for name, values in few.items():
        np.testing.assert_array_equal(values, every[name], err_msg=name)
