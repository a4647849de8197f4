"""What every component promises, as tests: for those that are built in and for your own.

A test file of a plug-in names its specs and inherits the rest:

    from ddm_core.testing import StrategyContract

    class TestMine(StrategyContract):
        specs = ("mine", "mine:margin=0.5")

Needs pytest and hypothesis, which the instrument itself does not.
"""

from __future__ import annotations

from ddm_core.testing.component import Contract
from ddm_core.testing.probes import ProbeContract
from ddm_core.testing.routers import RouterContract
from ddm_core.testing.samplers import SamplerContract
from ddm_core.testing.strategies import StrategyContract, probabilities
from ddm_core.testing.systems import network_system

__all__ = [
    "Contract",
    "ProbeContract",
    "RouterContract",
    "SamplerContract",
    "StrategyContract",
    "network_system",
    "probabilities",
]
