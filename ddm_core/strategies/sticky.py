"""Top-k that changes its mind only for a clear lead."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.ensemble import Decision, Moment
from ddm_core.registry import setting
from ddm_core.strategies.base import Strategy, kept, ranked, register

__all__ = ["Sticky"]


@register
@dataclasses.dataclass(frozen=True)
class Sticky(Strategy):
    """Top-k with hysteresis: an expert that was chosen one step ago counts for `margin` more.

    A newcomer replaces a chosen expert only where its probability is larger by more than the
    margin. The weights are the plain probabilities of the chosen, renormalised. Margin 0 is top_k.
    """

    name = "sticky"
    asks: ClassVar[int | str | None] = "k"

    k: int = setting(1, "experts per sample and step", low=1, told=True)
    margin: float = setting(0.1, "lead that a new expert needs", low=0.0, high=1.0)

    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        score = probabilities
        if moment.memory is not None:
            chosen = moment.memory > 0
            # One rounding above: a lead of exactly the margin is not more than the margin.
            held = torch.nextafter(score + self.margin, torch.full_like(score, torch.inf))
            score = torch.where(chosen, held, score)
        keep = torch.zeros_like(score, dtype=torch.bool).scatter(1, ranked(score, self.k), True)
        return Decision(kept(probabilities, keep), keep.to(probabilities.dtype))
