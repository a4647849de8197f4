"""What an audit will do: which routes, how many samples, and what it gives up for its budget."""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ddm_core.config import make_config
from ddm_core.errors import RequestError, WorkError
from ddm_core.run import execute
from ddm_core.systems.analytic import GaussianPosterior
from ddm_core.systems.base import System

__all__ = ["Entry", "Plan", "Request", "make_plan", "parse_budget"]

#: Expert calls that the sensitivities of one sample and step cost per call of its route: twins
#: re-routed, frozen and renormalised, central differences along one direction re-routed and
#: frozen and along two for the largest, and a power iteration of a JVP and a VJP; and a share of
#: the power iterations on real data at the LEVELS.
_SENSITIVITY_CALLS = 26
#: Of a route that is only there for the map: the twin and the power iteration, which it shows.
_MAP_SENSITIVITY_CALLS = 11
#: Changes with what a part of an audit holds: parts of another kind are made anew.
PARTS = 4
#: Noise levels at which sensitivities are measured on real data.
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Steps of the three grids of a convergence curve, in units of the plan's steps.
GRIDS = (0.5, 1.0, 2.0)
#: Samples on which probes look at all experts, where not all samples are asked for.
OBSERVED = 64
TEMPERATURES = (0.25, 1.0, 4.0, 16.0)
ERRORS = (0.0, 0.5, 1.0)
#: Samples per route: at least, enough to give up nothing more for them, and at most.
FEWEST, ENOUGH, MOST = 128, 192, 2000
#: Samples that sensitivities are taken on, of points and of images: of these a sample costs as
#: much as two dozen that are only sampled.
SENSITIVE_POINTS, SENSITIVE_IMAGES = 256, 12
#: Held-out items that experts are compared on, at least, where there are as many.
LEAST_REAL = 256
#: Samples that an expert could do in the time that asking it at all takes, about.
ALONE = 8
#: Share of the budget that is planned with; the rest is for measuring and for surprises.
PLANNED = 0.75
#: How long the pace of this machine is measured at least.
PACE_SECONDS = 0.4
PACE_STEPS = 4


class Request(BaseModel):
    """What a person asked for.

    Arguments:
        system: a name or a checkpoint folder.
        num: samples per route; None leaves it to the budget.
        steps: intervals of the time grid.
        budget: seconds; None is 75 for points, ten minutes for images of up to 256 numbers,
            thirty otherwise.
        map: whether routes are measured at other router temperatures too (and on rings of other
            errors), for the paradox map.
        data: folder with the dataset's files, for what needs real data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Annotated[str, Field(min_length=1, max_length=1000)]
    num: Annotated[int, Field(ge=32, le=100_000)] | None = None
    steps: Annotated[int, Field(ge=4, le=1000)] = 25
    sampler: str = "euler"
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    budget: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None
    map: bool = True
    device: str = "auto"
    data: str | None = None
    plugins: tuple[str, ...] = ()

    @property
    def patient(self) -> bool:
        """Who names the number of samples and no time gets everything, however long it takes."""
        return self.num is not None and self.budget is None

    @property
    def command(self) -> str:
        """The line that asks for the same; where the data are is a matter of the machine."""
        words = ["ddm", "audit", self.system]
        if self.budget is not None:
            words += ["--budget", f"{self.budget:g}s"]
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in ("num", "steps", "sampler", "seed") and value != field.default:
                words += [f"--{name}", str(value)]
        if not self.map:
            words.append("--no-map")
        return shlex.join(words)

    def digest(self, system: System) -> str:
        """12 hex digits: equal ones mean the same audit of the same system."""
        text = f"{PARTS} {system.digest} {self.model_dump_json(exclude={'device'})}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Entry(BaseModel):
    """A route that is measured.

    Arguments:
        router: its spec.
        kind: strategy, map (only there for the paradox map) or reference (the monolith).
        k: experts mixed, where the route is a Top-k.
        temperature: of the router, where the route has it.
        calls: expert evaluations per sample and step, before any is made.
        system: another one than the audited, for the map over the experts' error.
        error: of the experts outside their own cluster, where it is known.
        dense: whether all experts are looked at on all samples.
        sensitive: whether all sensitivities are measured, or only those that the map shows.
    """

    model_config = ConfigDict(frozen=True)

    router: str
    kind: str = "strategy"
    k: int | None = None
    temperature: float | None = None
    calls: float = 1.0
    system: str | None = None
    error: float | None = None
    dense: bool = False
    sensitive: bool = True

    @property
    def sensitivity_calls(self) -> int:
        """What the sensitivities of a sample and step cost, in calls of the route."""
        return _SENSITIVITY_CALLS if self.sensitive else _MAP_SENSITIVITY_CALLS


class Plan(BaseModel):
    """All of it."""

    model_config = ConfigDict(frozen=True)

    request: Request
    num: int
    stability_samples: int
    truth_images: int
    times: tuple[float, ...]
    budget: float
    entries: tuple[Entry, ...]
    ks: tuple[int, ...]
    temperatures: tuple[float, ...]
    errors: tuple[float, ...]
    given_up: tuple[str, ...]

    @property
    def limit(self) -> float | None:
        """Seconds that it keeps to; None where it takes what it needs."""
        return None if self.request.patient else self.budget

    def cost(self, entry: Entry, experts: int) -> float:
        """Expert calls that an entry takes."""
        return _cost(entry, experts, self.num, self.stability_samples, self.request.steps)


def parse_budget(text: str) -> float:
    """Seconds: 90s, 10m, 1h, or a plain number of seconds.

    Raises:
        RequestError: it is none of these, or no time at all.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if seconds <= 0:
        above = "more than 0, as in " if found else ""
        raise RequestError(f"--budget {text} is no time; write {above}90s, 10m or 1h")
    return seconds


def make_plan(request: Request, system: System) -> Plan:
    """The plan of an audit; measures for a second how fast this machine is.

    Raises:
        RequestError: the system has no experts to choose between.
    """
    experts = len(system.experts)
    if experts < 2:
        raise RequestError(
            f"system '{system.name}' has one expert: an audit compares ways to choose"
        )
    budget = request.budget or _usual_budget(system)
    calls = budget * PLANNED * _pace(request, system)
    scopes = [((), True)]
    if request.map:
        fewer = (TEMPERATURES, TEMPERATURES[1:], TEMPERATURES[1:3], ())
        scopes = [(TEMPERATURES, True), *((some, False) for some in fewer)]
    if request.patient:
        scopes = scopes[:1]
    stability = SENSITIVE_IMAGES if system.is_image else SENSITIVE_POINTS
    plan = None
    # Real images are cheap, and a router's calibration hangs on the few that surprise it.
    most = MOST if system.is_image else (request.num or MOST)
    for temperatures, sensitive in scopes:
        entries, ks, errors = _entries(request, system, temperatures, sensitive=sensitive)
        # Above this many samples the cost of one more is always the same.
        first, last = (
            sum(_cost(e, experts, n, stability, request.steps) for e in entries)
            for n in (OBSERVED, OBSERVED + 1)
        )
        each = last - first
        fixed = first - OBSERVED * each
        affordable = int((calls * 0.95 - fixed) / each)
        num = request.num or max(FEWEST, min(MOST, affordable // 64 * 64))
        plan = Plan(
            request=request,
            num=num,
            stability_samples=min(stability, num),
            truth_images=most
            if request.patient
            else int(max(LEAST_REAL, min(most, calls * 0.05 / (10 * (experts + 1))))),
            times=tuple((i + 0.5) / 10 for i in range(10)),
            budget=budget,
            entries=tuple(entries),
            ks=tuple(ks),
            temperatures=tuple(temperatures) or (1.0,),
            errors=tuple(errors),
            given_up=tuple(_given_up(num, temperatures, sensitive, affordable, request, budget)),
        )
        if affordable >= (request.num or ENOUGH):
            break
    assert plan is not None  # there is at least one scope
    return plan


def _usual_budget(system: System) -> float:
    if not system.is_image:
        return 75.0
    channels, height, width = system.shape
    return 600.0 if channels * height * width <= 256 else 1800.0


def _pace(request: Request, system: System) -> float:
    """Expert calls per second of this machine, now: of the first experts that work."""
    experts = len(system.experts)
    routes = [(f"fixed:expert={k}/full", 1) for k in range(experts)]
    if not system.is_image:
        # Of points a call costs next to nothing, and what is around it most: share that out.
        routes.insert(0, ("full", experts))
    for route, calls in routes[:-1]:
        try:
            return calls * _pace_of(request, system, route)
        except WorkError:
            continue  # gives what is no number; the audit will name it
    return _pace_of(request, system, routes[-1][0])


def _pace_of(request: Request, system: System, route: str) -> float:
    # The first run of a process loads and warms up what the others find.
    num, seconds, warm = 32, 0.0, False
    while seconds < PACE_SECONDS and num < MOST:
        num *= 2
        config = make_config(
            {
                "system": request.system,
                "router": route,
                "num": num,
                "steps": PACE_STEPS,
                "probes": ("none",),
                "device": request.device,
                "plugins": request.plugins,
            }
        )
        if not warm:
            execute(config, system=system)
            warm = True
        begin = time.perf_counter()
        execute(config, system=system)
        seconds = time.perf_counter() - begin
    return num * PACE_STEPS / max(seconds, 1e-6)


def _cost(entry: Entry, experts: int, num: int, stability: int, steps: int) -> float:
    looked_at = num if entry.dense else min(OBSERVED, num)
    if entry.system is not None:
        looked_at = 0
    dense = looked_at * max(0.0, experts - entry.calls)
    # What few samples cost together depends on how many experts share them.
    asked = 1 if entry.kind == "reference" else experts
    asked *= 1 - (1 - min(1.0, entry.calls / asked)) ** stability
    few = (asked * ALONE + stability * entry.calls) / (ALONE + stability) * stability
    return steps * (num * entry.calls + dense + few * (entry.sensitivity_calls + sum(GRIDS)))


def _entries(
    request: Request, system: System, temperatures: Sequence[float], *, sensitive: bool
) -> tuple[list[Entry], list[int], list[float]]:
    experts = len(system.experts)
    router = system.default_router
    every = range(1, experts + 1) if experts <= 8 else _powers(experts)
    out: list[Entry] = []
    if system.monolith is not None:
        out.append(Entry(router="monolith", kind="reference"))
    for k in every:
        # The two routes that claims compare are looked at on all samples; for the full ensemble
        # that costs nothing.
        dense = k in (2, experts)
        out.append(Entry(router=_top(k, experts), k=k, temperature=1.0, calls=k, dense=dense))
    out.append(Entry(router="uniform/full", calls=experts))
    if router != "nearest":
        out.append(Entry(router="nearest/top_k:k=1", calls=1 + experts / request.steps))
    out += [Entry(router="sample", calls=1), Entry(router="sample_once", calls=1)]
    if system.posterior is None:
        # Where the posterior is known the system's own router is the oracle.
        out.append(Entry(router="oracle/sample_once", calls=1))
    ks = _powers(experts)
    for temperature in temperatures:
        if temperature == 1.0:
            continue
        for k in ks:
            if k > 1:  # the largest probability is the largest at every temperature
                spec = f"{router}:temperature={temperature:g}/{_top(k, experts)}"
                one = Entry(
                    router=spec,
                    kind="map",
                    k=k,
                    temperature=temperature,
                    calls=k,
                    sensitive=sensitive,
                )
                out.append(one)
    errors = [0.0]
    if isinstance(system.posterior, GaussianPosterior) and temperatures:
        errors, others = _errors(system, temperatures, ks, router)
        out += others
    return out, ks, errors


def _errors(
    system: System, temperatures: Sequence[float], ks: Sequence[int], router: str
) -> tuple[list[float], list[Entry]]:
    """The same map for rings whose experts are wrong outside their cluster by other amounts."""
    own = float(system.info.get("error", 0.0))
    base = ":".join(part for part in system.name.split(":") if not part.startswith("error="))
    out: list[Entry] = []
    for error in ERRORS:
        if error == own:
            continue
        for temperature in temperatures:
            for k in ks:
                if k == 1 and temperature != 1.0:
                    continue
                soft = "" if temperature == 1.0 else f"{router}:temperature={temperature:g}/"
                out.append(
                    Entry(
                        router=soft + _top(k, len(system.experts)),
                        kind="map",
                        k=k,
                        temperature=temperature,
                        calls=k,
                        system=f"{base}:error={error:g}",
                        error=error,
                        sensitive=False,
                    )
                )
    return sorted({own, *ERRORS}), out


def _powers(experts: int) -> list[int]:
    return sorted({*(2**i for i in range(experts.bit_length()) if 2**i <= experts), experts})


def _top(k: int, experts: int) -> str:
    return "full" if k == experts else f"top_k:k={k}"


def _given_up(
    num: int,
    temperatures: Sequence[float],
    sensitive: bool,
    affordable: int,
    request: Request,
    budget: float,
) -> list[str]:
    out: list[str] = []
    if num < MOST and request.num is None:
        out.append(
            f"{num} samples per route instead of {MOST}: intervals are wider by a factor of "
            f"{(MOST / num) ** 0.5:.2g}, and FID is higher by its bias, alike for all routes"
        )
    if temperatures and not sensitive:
        out.append(
            "routes at other router temperatures have only the sensitivities that the map shows"
        )
    missing = [f"{t:g}" for t in TEMPERATURES if t not in temperatures and t != 1.0]
    if missing:
        out.append(f"the map's router temperatures {', '.join(missing)} were left out")
    if affordable < num and not request.patient:
        out.append(f"{num} samples per route take longer than the {budget:.0f} s that were given")
    return out
