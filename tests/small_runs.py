"""Runs of a few samples and four steps, for tests of sampling."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from typing import Any

from torch import Tensor

from ddm_core.config import RunConfig, make_config
from ddm_core.denoise import Denoiser
from ddm_core.run import Result, execute
from ddm_core.systems import name_of
from ddm_core.systems.base import System

STEPS = 4
TIMES = (1.0, 0.75, 0.5, 0.25)


def config_of(system: System, router: str = "top_k:k=2", **fields: Any) -> RunConfig:
    """Seven samples in one batch, unobserved, unless asked otherwise."""
    usual = {"num": 7, "steps": STEPS, "workers": 1, "probes": ("none",), "device": "cpu"}
    return make_config({"system": name_of(system), "router": router, **usual, **fields})


def run(system: System, router: str = "top_k:k=2", **fields: Any) -> Result:
    """The system as it is given, also where no folder holds such a one."""
    return execute(config_of(system, router, **fields), system=system)


class Counting(Denoiser):
    """An expert that notes how many rows it was given at which time."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__(inner.schedule)
        self.inner = inner
        self.rows: Counter[float] = Counter()
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        raise AssertionError("a copy would count for itself")

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        with self.lock:
            self.rows.update(t.tolist())
        return self.inner(x_t, t, condition)


def counted(system: System) -> tuple[System, list[Counting]]:
    """The same system, and its experts that count; it must be on its device already."""
    experts = [Counting(expert) for expert in system.experts]
    made = dataclasses.replace(system, experts=tuple(experts))
    assert made.flops  # asks an expert once in the life of a system: before anybody counts
    for expert in experts:
        expert.rows.clear()
    return made, experts
