"""What the mixture and each expert take for the clean sample, and where a point is."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.trace import Variable

__all__ = ["StatePoint", "X0Hat", "X0HatExpert", "to_uint8"]


def to_uint8(x: Tensor) -> Tensor:
    """Images [..., channel, height, width] in [-1, 1] -> uint8 [..., height, width, channel]."""
    y = ((x.float() + 1) * 127.5).round().clamp(0, 255)
    # nan would turn into an arbitrary grey; black is at least the same everywhere.
    return torch.nan_to_num(y, nan=0.0).to(torch.uint8).movedim(-3, -1)


@register
@dataclasses.dataclass(frozen=True)
class X0Hat(Probe):
    """The clean image that the mixture predicts, of the first samples."""

    name = "x0_hat"
    variable = Variable(
        name, ("step", "shown", "height", "width", "channel"), "x0_hat of the mixture, decoded"
    )
    of_experts: ClassVar[bool] = False
    images_only: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        decode = scene.system.decoder
        return lambda step: to_uint8(decode(step.mixture.mean[: scene.shown]))


@register
@dataclasses.dataclass(frozen=True)
class X0HatExpert(Probe):
    """The clean image that each expert predicts, of the first samples."""

    name = "x0_hat_expert"
    variable = Variable(
        name,
        ("step", "shown", "expert", "height", "width", "channel"),
        "x0_hat of each expert at the mixture's state, decoded",
    )
    needs_all_experts: ClassVar[bool] = True
    images_only: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        decode = scene.system.decoder
        schedule = scene.system.schedule

        def meter(step: Step) -> Tensor:
            assert step.mixture.experts is not None  # needs_all_experts
            v = step.mixture.experts[: scene.shown]
            x_t = step.x_t[: scene.shown, None].expand_as(v).flatten(0, 1)
            t = torch.full((), step.t, dtype=v.dtype, device=v.device)
            x_0 = schedule.x_0(x_t, v.flatten(0, 1), t)
            return to_uint8(decode(x_0)).unflatten(0, v.shape[:2])

        return meter


@register
@dataclasses.dataclass(frozen=True)
class StatePoint(Probe):
    """The state itself, for systems whose samples are points."""

    name = "state"
    variable = Variable(name, ("step", "sample", "coordinate"), "x_t")
    of_experts: ClassVar[bool] = False
    points_only: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        return lambda step: step.x_t
