"""Operations are counted as torch counts them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ddm_core.flops import counted
from ddm_core.systems import load_system


@pytest.mark.parametrize("name", ["ring", "digits", "mnist"])
def test_as_many_as_torch_says(name: str) -> None:
    system = load_system(name)
    like = system.clusters.centroids
    x, t = like.new_zeros(1, *system.shape), like.new_full((1,), 0.5)
    for network, found in zip(
        (system.experts[0], system.router, system.monolith), system.flops, strict=True
    ):
        with torch.no_grad(), FlopCounterMode(display=False) as mode:
            if network is not None:
                network(x, t)
        assert found == mode.get_total_flops()


def test_a_product_and_a_convolution() -> None:
    assert counted(lambda: nn.Linear(3, 5)(torch.zeros(7, 3))) == 2 * 7 * 3 * 5
    convolution = nn.Conv2d(2, 4, 3, padding=1)
    assert counted(lambda: convolution(torch.zeros(1, 2, 6, 6))) == 2 * 4 * 6 * 6 * 2 * 9


def test_counting_imports_no_compiler() -> None:
    """It would take seconds of every first run."""
    code = (
        "import sys, torch; from ddm_core.flops import counted; "
        "counted(lambda: 1 - torch.ones(2)); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
