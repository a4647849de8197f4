"""What is to be sampled, as data: validated, frozen, hashed; kept beside every result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ddm_core.errors import RequestError
from ddm_core.shipped import ELSEWHERE, known_names

__all__ = ["Branch", "Leg", "RunConfig", "consecutive", "located", "make_config"]

#: Fields that change how a run is computed and kept, not what its samples are.
_HOW = frozenset(
    {"probes", "observed", "shown", "batch", "device", "workers", "metrics", "plugins"}
)
#: What a branch shares with its parent: it goes on from that very state, on the same grid.
_SHARED = ("system", "steps", "dtype")
#: Characters of a path that is kept.
MOST_PATH = 1000
#: Branches of branches, at most.
MOST_BRANCHES = 8


class Branch(BaseModel):
    """Where a run leaves the path of another one.

    Up to the step the path is that of the parent, simulated again: a sample is its seed. From
    there on the run goes its own way.

    Arguments:
        step: the first step that is the branch's own.
        of: the parent's config, which may be a branch itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Annotated[int, Field(ge=0)]
    of: RunConfig


class Leg(NamedTuple):
    """A part of a path.

    Arguments:
        config: whose route, sampler, label and guidance it goes with.
        start: its first step.
    """

    config: RunConfig
    start: int


class RunConfig(BaseModel):
    """One run: a system, a route, seeds, a sampler, and what to record.

    Arguments:
        system: a name that `ddm list systems` knows, with settings (ring:experts=6), or a folder.
        router: a route spec: STRATEGY, ROUTER/STRATEGY or monolith.
        seed, num: the samples are seed, seed + 1, ..., seed + num - 1.
        steps: intervals of the time grid.
        label: class that the experts are asked for; None is unconditional.
        guidance: classifier-free guidance scale; 1 is the plain conditional model.
        probes: specs, or the sets standard, all, none.
        observed: the first samples, on which probes run that evaluate more than sampling needs.
        shown: the first samples, of which pictures of every step are kept.
        batch: most samples in one batch; 0 leaves it to the device.
        workers: batches at a time on a CPU, one thread each; 0 is one per core.
        metrics: names of quality metrics, computed after sampling.
        plugins: Python files that register components of the user's own.
        branch: the run whose path this one leaves, and where; None for a run from x_T.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Annotated[str, Field(min_length=1, max_length=MOST_PATH)]
    router: Annotated[str, Field(min_length=1, max_length=300)] = "top_k"
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    num: Annotated[int, Field(ge=1, le=1_000_000)] = 16
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    sampler: Annotated[str, Field(min_length=1, max_length=300)] = "euler"
    label: Annotated[int, Field(ge=0)] | None = None
    guidance: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)] = 1.0
    probes: tuple[Annotated[str, Field(max_length=300)], ...] = ("standard",)
    observed: Annotated[int, Field(ge=1, le=100_000)] = 64
    shown: Annotated[int, Field(ge=0, le=256)] = 16
    batch: Annotated[int, Field(ge=0, le=65_536)] = 0
    device: Annotated[str, Field(max_length=20)] = "auto"
    dtype: Annotated[str, Field(pattern="^(float32|float64|bfloat16)$")] = "float32"
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    metrics: tuple[Annotated[str, Field(max_length=100)], ...] = ()
    plugins: tuple[Annotated[str, Field(max_length=MOST_PATH)], ...] = ()
    branch: Branch | None = None

    @model_validator(mode="after")
    def _fits_its_parent(self) -> RunConfig:
        if self.branch is not None:
            _require_branch(self, self.branch)
        return self

    @property
    def lineage(self) -> tuple[RunConfig, ...]:
        """The config, its parent's, and so on up to the run that is no branch."""
        return (self,) if self.branch is None else (self, *self.branch.of.lineage)

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Who goes which part of the path, in order; what a branch cuts off is not there."""
        if self.branch is None:
            return (Leg(self, 0),)
        before = [leg for leg in self.branch.of.legs if leg.start < self.branch.step]
        return (*before, Leg(self, self.branch.step))

    @property
    def seeds(self) -> range:
        """The seeds of the samples, in order."""
        return range(self.seed, self.seed + self.num)

    @property
    def digest(self) -> str:
        """12 hex digits of what the samples depend on: equal configs give equal samples."""
        fields = self.model_dump(mode="json", exclude={*_HOW, "branch"})
        if self.branch is not None:
            fields["branch"] = [self.branch.step, self.branch.of.digest]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


Branch.model_rebuild()
RunConfig.model_rebuild()


def _require_branch(config: RunConfig, branch: Branch) -> None:
    """ValueError where it cannot be a branch of that run; one sentence."""
    parent = branch.of
    for name in _SHARED:
        one, other = getattr(config, name), getattr(parent, name)
        if one != other:
            raise ValueError(
                f"a branch keeps its parent's {name}: {other!r}, not {one!r}; it may change "
                "router, sampler, label and guidance"
            )
    if branch.step >= parent.steps:
        raise ValueError(
            f"step {branch.step} is not on the path: its {parent.steps} steps are 0 to "
            f"{parent.steps - 1}"
        )
    if config.seeds.start < parent.seeds.start or config.seeds.stop > parent.seeds.stop:
        raise ValueError(
            f"the parent has samples {parent.seeds.start} to {parent.seeds.stop - 1}, not "
            f"{config.seeds.start} to {config.seeds.stop - 1}"
        )
    if len(config.lineage) > 1 + MOST_BRANCHES:
        raise ValueError(f"a branch of a branch goes {MOST_BRANCHES} deep at most")


def make_config(fields: dict[str, Any]) -> RunConfig:
    """A config from what a person typed.

    Raises:
        RequestError: one sentence that names the field, what was given and what is allowed.
    """
    try:
        return RunConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise RequestError(first["msg"].removeprefix("Value error, ")) from None
        where = ".".join(str(part) for part in first["loc"]) or "config"
        if first["type"] == "extra_forbidden":
            there = ", ".join(RunConfig.model_fields)
            raise RequestError(f"no setting '{where}'; there are: {there}") from None
        given = repr(first["input"])[:80]
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise RequestError(f"{where} = {given} is not possible: {reason}") from None


def consecutive(seeds: Sequence[int], whose: str = "seeds") -> range:
    """Seeds as the range that they are.

    Raises:
        RequestError: they are none at all, or do not follow each other.
    """
    wrong = RequestError(f"{whose} must be consecutive and at least one, as in range(16)")
    try:
        first, count = int(seeds[0]), len(seeds)
    except (TypeError, ValueError, LookupError):
        raise wrong from None
    found = range(first, first + count)
    # A range of any length is compared at once.
    same = seeds == found if isinstance(seeds, range) else list(seeds) == list(found)
    if not same:
        raise wrong
    return found


def located(config: RunConfig) -> RunConfig:
    """The same config for whoever reads it in another folder: with the whole paths of its files.

    What it branches off is treated alike. A name that is known stays one, also where a folder has
    it.

    Raises:
        RequestError: a path is too long to be kept.
    """
    base, system = config.system.partition(":")[0], config.system
    # os.path, since it takes a name that no file system would take for one that is not there.
    # Names are looked up last: that reads what every installed package brings.
    if os.path.isdir(system) and base not in {ELSEWHERE, *known_names()}:
        system = _whole(system)
    branch = config.branch
    if branch is not None:
        branch = branch.model_copy(update={"of": located(branch.of)})
    plugins = tuple(_whole(file) for file in config.plugins)
    return config.model_copy(update={"system": system, "plugins": plugins, "branch": branch})


def _whole(path: str) -> str:
    whole = os.path.abspath(path)
    if len(whole) > MOST_PATH:
        raise RequestError(f"the path {path[:60]}... has more than {MOST_PATH} characters")
    return whole
