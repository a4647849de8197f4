"""Denoisers: what predicts the velocity at a noisy state. A wrapped denoiser is a denoiser.

References:
    Classifier-Free Diffusion Guidance (Ho and Salimans, 2022)
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from ddm_core.cuda_graphs import evaluate
from ddm_core.errors import unknown
from ddm_core.schedules import Schedule

__all__ = ["Bfloat16Denoiser", "Denoiser", "GuidedDenoiser", "NetworkDenoiser"]


class Denoiser(nn.Module):
    """Predicts the velocity on its schedule.

    Arguments:
        schedule: the path that x_t lies on.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def evaluations(self, *, conditional: bool) -> int:
        """How often its network runs when it is asked once, with a condition or without."""
        return 1

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """v [sample, *] at x_t [sample, *], t [sample], condition [sample, *] or None for none."""


class NetworkDenoiser(Denoiser):
    """A network with its prediction turned into the velocity.

    Arguments:
        net: (x_t [sample, *], t [sample], condition or None) -> prediction [sample, *].
        prediction: what the net predicts: "v", "x_0" or "eps".
    """

    def __init__(self, net: nn.Module, schedule: Schedule, prediction: str = "v") -> None:
        super().__init__(schedule)
        if prediction not in ("v", "x_0", "eps"):
            raise unknown("prediction", prediction, ("v", "x_0", "eps"))
        self.net = net
        self.prediction = prediction

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        y = evaluate(self.net, x_t, t, condition)
        if self.prediction == "x_0":
            return self.schedule.v_from_x_0(x_t, y, t)
        if self.prediction == "eps":
            return self.schedule.v_from_eps(x_t, y, t)
        return y


class GuidedDenoiser(Denoiser):
    """Classifier-free guidance: v = v_null + scale (v_condition - v_null).

    Scale 1 is the conditional denoiser, 0 the unconditional one. Without a condition it is the
    inner denoiser. Guiding runs the network twice.
    """

    def __init__(self, denoiser: Denoiser, scale: float) -> None:
        super().__init__(denoiser.schedule)
        self.denoiser = denoiser
        self.scale = scale

    def evaluations(self, *, conditional: bool) -> int:
        """Twice where it guides: with the condition and without."""
        inner = self.denoiser.evaluations(conditional=conditional)
        return inner * 2 if conditional and self.scale != 1.0 else inner

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None or self.scale == 1.0:
            return self.denoiser(x_t, t, condition)
        with_condition = self.denoiser(x_t, t, condition)
        without = self.denoiser(x_t, t, None)
        return torch.lerp(without, with_condition, self.scale)


class Bfloat16Denoiser(Denoiser):
    """A denoiser whose matrix products run in bfloat16; state, norms and sums stay as they are."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__(denoiser.schedule)
        self.denoiser = denoiser

    def evaluations(self, *, conditional: bool) -> int:
        """As the inner denoiser's."""
        return self.denoiser.evaluations(conditional=conditional)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        with torch.autocast(x_t.device.type, torch.bfloat16):
            v = self.denoiser(x_t, t, condition)
        return v.to(x_t.dtype)
