"""What is wrong with a system, in sentences: it is audited all the same."""

from __future__ import annotations

import numpy as np

from ddm_core.analysis.findings import Measurements
from ddm_core.systems.base import System

__all__ = ["health"]

MONOPOLY = 0.99
FEW_IMAGES = 30
SAME = 1e-6


def health(system: System, m: Measurements) -> list[str]:
    """Every fault that was seen; empty where there is none."""
    return [*_failed(m), *_router(m), *_experts(m), *_clusters(system)]


def _failed(m: Measurements) -> list[str]:
    failed = {route: part.failed for route, part in m.parts.items() if part.failed}
    return [f"{route} could not be sampled: {why}" for route, why in failed.items()]


def _router(m: Measurements) -> list[str]:
    """A router that has one answer for everything."""
    part = m.parts.get("top_k:k=1")
    if part is None or part.failed or "leader" not in part.series:
        return []
    leaders = part.series["leader"]
    share = np.bincount(leaders.astype(int).ravel(), minlength=part.usage.shape[1]) / leaders.size
    k = int(share.argmax())
    if share[k] < MONOPOLY:
        return []
    return [f"the router picks expert {k} in {share[k]:.1%} of all steps of Top-1"]


def _experts(m: Measurements) -> list[str]:
    """Experts that are one, and experts that are no better than a guess on their own data."""
    if m.truth is None:
        return []
    out: list[str] = []
    gram = m.truth.gram.astype(np.float64)
    errors = np.einsum("tskk->k", gram)
    count = len(errors)
    for i in range(count):
        if not np.isfinite(errors[i]):
            out.append(f"expert {i} gives values that are not numbers on real data")
        for j in range(i + 1, count):
            # |e_i - e_j|^2 = |v_i - v_j|^2, summed over all states.
            apart = errors[i] + errors[j] - 2 * np.einsum("ts->", gram[:, :, i, j])
            if np.isfinite(apart) and apart <= SAME * (errors[i] + errors[j]):
                out.append(f"experts {i} and {j} are the same: they never differ on real data")
    return out


def _clusters(system: System) -> list[str]:
    return [
        f"cluster {k} holds {size} training images: its expert and its figures rest on little"
        for k, size in enumerate(system.clusters.sizes)
        if size < FEW_IMAGES
    ]
