"""What one evaluation of a network costs, in floating-point operations, counted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

__all__ = ["Flops", "counted"]


class Flops(NamedTuple):
    """Operations per sample and evaluation; a multiply-add counts twice.

    Only matrix products and convolutions are counted, as is usual; a closed form costs 0.
    """

    expert: int
    router: int
    monolith: int

    def of_run(self, evaluations: float, routings: float, *, monolith: bool) -> float:
        """Of so many evaluations of networks and so many of the router."""
        if monolith:
            return evaluations * self.monolith
        return evaluations * self.expert + routings * self.router


def counted(call: Callable[[], object]) -> int:
    """Operations of a call, whose answer is thrown away."""
    # Imported here: it takes a while, and only one place in a program's life needs it.
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
