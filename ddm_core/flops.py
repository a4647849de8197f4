"""What one evaluation of a network costs, in floating-point operations, counted once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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
    with torch.no_grad(), _Counter() as counter:
        call()
    return counter.total


class _Counter(TorchDispatchMode):
    """What torch's FlopCounterMode counts in all, without the compiler's import (6 seconds)."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch imports its compiler only to say that it need not look at this class.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        out = func(*args, **given)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **given, out_val=out)
        return out
