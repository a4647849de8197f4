"""Angles between velocities, as exact near zero as anywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["angles", "pairwise_angles"]


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the rows of a [..., i, dimension] and b [..., j, dimension]: [..., i, j].

    By arctan2 of half-angle chords: arccos of a rounded cosine loses half its digits near 0.
    """
    a = functional.normalize(a, dim=-1)
    b = functional.normalize(b, dim=-1)
    apart = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    together = torch.cdist(a, -b, compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * torch.atan2(apart, together)


def pairwise_angles(velocities: Tensor) -> Tensor:
    """Angles [sample, pair] of all pairs of experts' velocities [sample, expert, *], radians.

    A single expert makes one pair with itself, at zero.
    """
    v = velocities.flatten(2)
    count = v.shape[1]
    if count == 1:
        return v.new_zeros(len(v), 1)
    i, j = torch.triu_indices(count, count, offset=1, device=v.device)
    return angles(v, v)[:, i, j]
