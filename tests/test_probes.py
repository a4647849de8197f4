"""Probes: what all promise, and each against a closed form or another way to compute it."""

from __future__ import annotations

from ddm_core.probes.base import PROBES
from ddm_core.systems.analytic import ring
from ddm_core.testing import ProbeContract, network_system


class TestEveryProbe(ProbeContract):
    specs = tuple(PROBES)
    systems = (ring, network_system)
