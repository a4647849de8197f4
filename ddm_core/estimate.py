"""What a run will cost, told before it begins: expert evaluations, memory, and time by experience.

Nothing here needs torch: a page estimates as the engine does, from the same table of costs. How
long an evaluation takes depends on system and machine; the runs in the store know.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from ddm_core.config import RunConfig
from ddm_core.errors import RequestError

if TYPE_CHECKING:
    from ddm_core.records import RunRecord

__all__ = [
    "Costs",
    "Estimate",
    "ProbeCost",
    "Subject",
    "estimate",
    "free_memory",
    "registered_costs",
    "require_room",
    "together",
]

#: Samples in one batch at most, where the device decides.
_USUAL_BATCH = 1024
#: Arrays of a batch's size that sampling holds at a time; with all experts looked at, per expert.
_COPIES, _COPIES_PER_EXPERT = 8, 4
#: A trace is held twice: in parts, and joined.
_TRACES = 2
#: What a network keeps of a sample in order to be differentiated, in units of the sample.
_GRAPH, _GRAPH_ROWS = 1500, 256
#: What networks hold while they run, and what imports late.
_ASIDE = 96 * 1024**2
_NEIGHBOURS = 3


class Subject(NamedTuple):
    """What of a system decides the cost of sampling it."""

    experts: int
    shape: tuple[int, ...]


class ProbeCost(BaseModel):
    """What a probe costs; the fields are those of `ddm_core.probes.base.Probe`."""

    model_config = ConfigDict(frozen=True)

    dims: tuple[str, ...]
    of_experts: bool
    dense: bool
    observed_only: bool
    mixes: float
    differentiates: bool
    only: str  # images, points, or ""


class Costs(BaseModel):
    """The costs of all components.

    Arguments:
        asked: (setting, number) by strategy: how many experts it asks at most; 0 stands for all.
        stages: evaluations of the mixture per step, by sampler.
        probes: by name.
        standard: the probes that are recorded where nobody says.
    """

    model_config = ConfigDict(frozen=True)

    asked: dict[str, tuple[str, int]]
    stages: dict[str, int]
    probes: dict[str, ProbeCost]
    standard: tuple[str, ...]

    def experts_of(self, route: str, experts: int) -> int:
        """How many experts a route asks at most, per sample and evaluation of the mixture."""
        if route == "monolith":
            return 1
        name, *pairs = route.rpartition("/")[2].split(":")
        setting, number = self.asked.get(name, ("", 0))
        for pair in pairs:
            key, _, given = pair.partition("=")
            if key == setting and given.isdecimal():
                number = int(given)
        return min(number, experts) if number else experts

    def probes_of(self, config: RunConfig, shape: Sequence[int]) -> list[ProbeCost]:
        """The probes that run, as far as they are known."""
        names: dict[str, None] = {}
        for text in config.probes:
            sets = {"standard": self.standard, "all": tuple(self.probes), "none": ()}
            names |= dict.fromkeys(sets.get(text, (text.partition(":")[0],)))
        there = [self.probes[name] for name in names if name in self.probes]
        kind = "images" if len(shape) == 3 else "points"
        alone = config.router == "monolith"
        return [p for p in there if p.only in ("", kind) and not (alone and p.of_experts)]


class Estimate(NamedTuple):
    """What a run will cost.

    Arguments:
        evaluations: of experts, at most, those for probes and guidance among them.
        memory: bytes that it needs beside the program itself.
        seconds: that sampling will take, or None where no earlier run tells.
        earlier: runs that told.
    """

    evaluations: int
    memory: int
    seconds: float | None = None
    earlier: int = 0

    @property
    def fits(self) -> bool:
        """Whether so much memory is free."""
        return self.memory <= free_memory()

    def __str__(self) -> str:
        count = _rounded(self.evaluations)
        noun = "evaluation" if count == 1 else "evaluations"
        told = f"about {count:,} expert {noun}, {_size(self.memory)}"
        if self.seconds is None:
            return f"{told}, time unknown: no earlier run tells"
        runs = f"{self.earlier} earlier run{'' if self.earlier == 1 else 's'}"
        return f"{told}, about {_duration(self.seconds)} going by {runs}"


def estimate(
    config: RunConfig, subject: Subject, costs: Costs, earlier: Iterable[RunRecord] = ()
) -> Estimate:
    """What a run will cost.

    Arguments:
        earlier: stored runs; those of the same system on the same device tell the pace.
    """
    evaluations = _evaluations(config, subject, costs)
    paces = sorted(
        (_distance(config, record.config, evaluations, work), record.seconds / work)
        for record in earlier
        if record.status == "done" and record.seconds and _comparable(config, record)
        for work in [_evaluations(record.config, subject, costs)]
    )[:_NEIGHBOURS]
    seconds = None
    if paces:
        seconds = evaluations * statistics.median(pace for _, pace in paces)
    return Estimate(evaluations, _memory(config, subject, costs), seconds, len(paces))


def together(parts: Sequence[Estimate]) -> Estimate:
    """The cost of runs that are made one after the other; at least one."""
    seconds = [part.seconds for part in parts]
    return Estimate(
        sum(part.evaluations for part in parts),
        max(part.memory for part in parts),
        None if None in seconds else sum(one or 0.0 for one in seconds),
        max(part.earlier for part in parts),
    )


def require_room(cost: Estimate, config: RunConfig) -> None:
    """Refuse what cannot fit, before anything is allocated.

    Raises:
        RequestError: it needs more memory than is free.
    """
    free = free_memory()
    if cost.memory > free:
        raise RequestError(
            f"{config.num:,} samples x {config.steps:,} steps with these probes need "
            f"{_size(cost.memory)} of memory and {_size(free)} are free; take fewer samples, "
            "fewer steps, fewer probes or a smaller --batch"
        )


def free_memory() -> int:
    """Bytes that this machine, or the container that it is, can still give."""
    # Imported here: most who import this module never ask.
    import psutil

    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, max(0, int(limit) - used)) if limit.isdecimal() else free


def registered_costs() -> Costs:
    """The costs of every registered component; imports torch."""
    from ddm_core.probes.base import PROBES, STANDARD
    from ddm_core.samplers.base import SAMPLERS
    from ddm_core.strategies.base import STRATEGIES

    asked = {name: _asked(STRATEGIES[name]) for name in STRATEGIES}
    stages = {name: SAMPLERS[name].stages for name in SAMPLERS}
    probes = {}
    for name in PROBES:
        one = PROBES[name]
        probes[name] = ProbeCost(
            dims=one.variable.dims,
            of_experts=one.of_experts,
            dense=one.needs_all_experts,
            observed_only=one.costly or one.needs_all_experts,
            mixes=one.mixes,
            differentiates=one.differentiates,
            only="images" if one.images_only else "points" if one.points_only else "",
        )
    return Costs(asked=asked, stages=stages, probes=probes, standard=STANDARD)


def _asked(strategy: type) -> tuple[str, int]:
    from ddm_core.registry import settings

    asks: int | str | None = getattr(strategy, "asks", None)
    if isinstance(asks, str):
        return asks, int(next(one.default for one in settings(strategy) if one.name == asks))
    return "", asks or 0


def _evaluations(config: RunConfig, subject: Subject, costs: Costs) -> int:
    probes = costs.probes_of(config, subject.shape)
    observed = min(config.observed, config.num)
    mixes = sum(probe.mixes for probe in probes)
    dense = any(probe.dense for probe in probes)
    total = 0.0
    ends = [*(leg.start for leg in config.legs[1:]), config.steps]
    for (leg, start), end in zip(config.legs, ends, strict=True):
        asked = costs.experts_of(leg.router, subject.experts)
        each = asked * (config.num + observed * mixes)
        each += observed * (subject.experts - asked) if dense else 0
        stages = costs.stages.get(leg.sampler.partition(":")[0], 1)
        total += (end - start) * stages * each * (1 if leg.guidance == 1.0 else 2)
    return math.ceil(total)


def _memory(config: RunConfig, subject: Subject, costs: Costs) -> int:
    number = 8 if config.dtype == "float64" else 4
    size = math.prod(subject.shape)
    probes = costs.probes_of(config, subject.shape)
    per_step = 0
    for probe in probes:
        cells = subject.experts if "expert" in probe.dims else 1
        if "height" in probe.dims:
            cells *= size  # a byte each
        elif "coordinate" in probe.dims:
            cells *= size * number
        else:
            cells *= number
        # What was observed on some samples is missing, not absent, on the others.
        shown = min(config.shown, config.num)
        per_step += cells * (shown if "shown" in probe.dims else config.num)
    copies = _COPIES
    if any(probe.dense for probe in probes):
        copies += _COPIES_PER_EXPERT * subject.experts
    work = copies * min(config.num, config.batch or _USUAL_BATCH)
    if len(subject.shape) == 3 and any(probe.differentiates for probe in probes):
        rows = min(config.observed, config.num, config.batch or _GRAPH_ROWS)
        work += _GRAPH * rows * costs.experts_of(config.router, subject.experts)
    samples = config.num * size * (3 * number + 2)
    return _ASIDE + _TRACES * config.steps * per_step + samples + work * size * number


def _comparable(config: RunConfig, record: RunRecord) -> bool:
    kind = "cuda" if config.device.startswith("cuda") else "cpu"
    if config.device == "auto":
        kind = "cuda" if Path("/dev/nvidia0").exists() else "cpu"
    return record.system == config.system and record.device.startswith(kind)


def _distance(
    config: RunConfig, other: RunConfig, evaluations: int, work: int
) -> tuple[bool, bool, float]:
    """How unlike an earlier run is: small runs cost more per evaluation than large ones."""
    differs = (other.sampler, other.guidance == 1.0) != (config.sampler, config.guidance == 1.0)
    return other.router != config.router, differs, abs(math.log(work / evaluations))


def _rounded(count: int) -> int:
    """Two digits: an estimate pretends no more."""
    return round(count, 2 - len(str(count))) if count > 99 else count


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, count >> 20)} MiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
