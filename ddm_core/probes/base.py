"""What a probe is: a variable, and a meter that measures it at every step."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor

from ddm_core.ensemble import Ensemble
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.registry import Registry
from ddm_core.rollout import Segment, Step, segment_at
from ddm_core.samplers.base import Sampler
from ddm_core.systems.base import System
from ddm_core.trace import Variable

__all__ = ["PROBES", "Meter", "Probe", "Scene", "parse_probes", "register"]


class Scene(NamedTuple):
    """Everything around a trajectory that a probe may need; nothing of it may be changed."""

    system: System
    ensemble: Ensemble
    sampler: Sampler | None  # None while real data are noised
    noise: Noise
    condition: Tensor | None  # [sample, *]
    shown: int  # the first samples, of which pictures are kept
    segments: tuple[Segment, ...] = ()  # of a branch, whose path begins as its parent's

    def at(self, index: int) -> Scene:
        """The scene of one step: on a branch, ensemble and sampler of the parent come first."""
        if not self.segments:
            return self
        part = segment_at(self.segments, index)
        return self._replace(
            ensemble=part.ensemble, sampler=part.sampler, condition=part.condition
        )


#: Measures one step: a tensor shaped like the variable's dims without "step", on the device.
Meter = Callable[[Step], Tensor]


@dataclasses.dataclass(frozen=True)
class Probe(ABC):
    """A measurement per step. Frozen; its fields are its settings.

    Attributes:
        variable: what is measured; its name is the probe's own.
        needs_all_experts: the step must hold every expert's velocity.
        costly: evaluates experts beyond those that sampling needs. Costly probes, and those that
            need all experts, run on the observed samples only.
        mixes: mixtures that it evaluates at each step, at its usual settings.
        differentiates: keeps the graph of a mixture, which takes memory.
        of_experts: has no meaning for a monolith, which has neither experts nor weights.
        images_only: makes sense for images, not for points.
        points_only: makes sense for points, not for images.
    """

    name: ClassVar[str]
    variable: ClassVar[Variable]
    needs_all_experts: ClassVar[bool] = False
    costly: ClassVar[bool] = False
    mixes: ClassVar[float] = 0.0
    differentiates: ClassVar[bool] = False
    of_experts: ClassVar[bool] = True
    images_only: ClassVar[bool] = False
    points_only: ClassVar[bool] = False

    @abstractmethod
    def begin(self, scene: Scene) -> Meter:
        """A meter for one trajectory; it may remember the steps that it has seen."""

    @property
    def observed_only(self) -> bool:
        """Whether it runs on the observed samples only."""
        return self.costly or self.needs_all_experts


PROBES: Registry[Probe] = Registry("probe", "ddm_core.probes")
register = PROBES.register

#: What is recorded when nobody says: nothing dearer than looking at all experts and one twin.
STANDARD = (
    "router_probability",
    "weights",
    "entropy",
    "expert_calls",
    "network_calls",
    "cluster_distance",
    "cluster_distance_noised",
    "selected_distance",
    "nearest_selected",
    "disagreement",
    "expert_angle",
    "perturbation_growth",
    "x0_hat",
    "x0_hat_expert",
    "contribution",
    "state",
)


def parse_probes(specs: Sequence[str], system: System) -> tuple[Probe, ...]:
    """The probes of these specs; "all", "standard" and "none" stand for sets."""
    names: list[str] = []
    for text in specs:
        if text == "all":
            names.extend(PROBES)
        elif text == "standard":
            names.extend(STANDARD)
        elif text != "none":
            names.append(text)
    chosen: dict[str, Probe] = {}
    for text in names:
        probe = PROBES.parse(text)
        wanted = "points" if probe.points_only else "images" if probe.images_only else ""
        if wanted and wanted != ("images" if system.is_image else "points"):
            if text in specs:
                raise RequestError(f"probe '{text}' needs {wanted}; '{system.name}' has none")
            continue
        chosen[probe.name] = probe
    return tuple(chosen.values())
