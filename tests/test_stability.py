"""Sensitivities of an audit: the few that the map shows are the very numbers of the many."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddm_core.analysis.held_out import held_out
from ddm_core.analysis.plan import LEVELS
from ddm_core.analysis.stability import noised_sensitivity, sensitivity
from ddm_core.config import make_config
from ddm_core.noise import Noise
from ddm_core.routes import build_ensemble, parse_route
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


@pytest.mark.parametrize("router", ["monolith", "full", "top_k:k=2", "exact:temperature=4/full"])
def test_on_real_data_it_is_the_largest_singular_value(router: str) -> None:
    """Against whole Jacobians, one state at a time; a power iteration comes from below."""
    system = load_system("ring").to(torch.device("cpu"), torch.float64)
    real = held_out(system, 12, seed=3).x_0
    config = make_config({"system": "ring", "router": router, "seed": 5, "dtype": "float64"})
    found = noised_sensitivity(config, system, real, LEVELS)["lipschitz_noised"]
    ensemble = build_ensemble(system, parse_route(router))
    expected: list[float] = []
    for item, x_0 in enumerate(real):
        eps = Noise((5 + item,), system.shape, torch.float64, torch.device("cpu")).initial()[0]
        largest: list[float] = []
        for t in LEVELS:
            time = torch.tensor([t], dtype=torch.float64)
            jacobian = torch.autograd.functional.jacobian(
                lambda x, time=time: ensemble(x[None], time)[0],
                system.schedule.noised(x_0[None], eps[None], time)[0],
            )
            largest.append(float(torch.linalg.matrix_norm(jacobian, 2)))
        expected.append(float(np.mean(largest)))
    assert (found <= np.array(expected) * (1 + 1e-9)).all()
    assert found.mean() == pytest.approx(np.mean(expected), rel=0.02)


def test_an_item_is_its_seed_on_real_data() -> None:
    system = load_system("ring")
    real = held_out(system, 8).x_0
    config = make_config({"system": "ring", "router": "top_k:k=2", "seed": 2})
    later = config.model_copy(update={"seed": 7})
    every = noised_sensitivity(config, system, real, LEVELS)["lipschitz_noised"]
    alone = noised_sensitivity(later, system, real[5:6], LEVELS)["lipschitz_noised"]
    assert alone[0] == pytest.approx(every[5], rel=1e-5)
