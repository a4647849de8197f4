"""Captured passes where there is no GPU: the plain ones, one after another. See test_gpu.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddm_core import cuda_graphs
from ddm_core.cuda_graphs import evaluate, replaying, side_by_side


class Double(nn.Module):
    capturable = True

    def __init__(self) -> None:
        super().__init__()
        self.ran = 0

    def forward(self, x: Tensor, t: Tensor | None) -> Tensor:
        self.ran += 1
        return 2 * x if t is None else 2 * x + t


def test_a_network_on_a_cpu_is_itself() -> None:
    net, x = Double(), torch.arange(3.0)
    with torch.no_grad(), replaying():
        assert evaluate(net, x, None).tolist() == [0, 2, 4]
        assert evaluate(net, x, x).tolist() == [0, 3, 6]
    assert net.ran == 2
    assert net not in cuda_graphs._passes


def test_nothing_runs_before_it_is_asked_for() -> None:
    """What one expert needs is free again before the next one begins."""
    nets = [Double(), Double()]
    with torch.no_grad(), replaying():
        answers = side_by_side(
            (net, (torch.full((2,), float(k)), None)) for k, net in enumerate(nets)
        )
        assert next(answers).tolist() == [0, 0]
        assert [net.ran for net in nets] == [1, 0]
        assert next(answers).tolist() == [2, 2]


def test_asking_ends_with_the_block() -> None:
    with replaying():
        with pytest.raises(ZeroDivisionError), replaying():
            _ = 1 / 0
        assert cuda_graphs._asked.on
    assert not cuda_graphs._asked.on
