"""The cheapest route that is as good as the best: chosen on some seeds, confirmed on others.

Choosing the best of many by one set of samples flatters it; the second set has no part in the
choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ddm_core.analysis import statistics
from ddm_core.analysis.numbers import Judged, judge
from ddm_core.config import make_config
from ddm_core.devices import device_name, pick_device
from ddm_core.errors import RequestError, WorkError
from ddm_core.intervals import Estimate
from ddm_core.metrics import Extractor, Reference
from ddm_core.metrics.extractors.base import extract_features
from ddm_core.quality import extractor_of, reference_of
from ddm_core.run import Cancelled, Progress, execute
from ddm_core.systems import load_system
from ddm_core.systems.base import System
from ddm_core.versions import installed

__all__ = ["Candidate", "Tuned", "candidates", "tune"]

TEMPERATURES = (0.5, 1.0, 2.0)


class Candidate(NamedTuple):
    """A route and what it cost and gave on the first seeds.

    Arguments:
        router: spec.
        calls: expert evaluations per sample and step, measured.
        quality: on the first seeds, None where it could not be sampled.
        failed: why, or "".
    """

    router: str
    calls: float
    quality: Estimate | None
    failed: str


class Tuned(NamedTuple):
    """The answer.

    Arguments:
        metric: that quality is.
        chosen, best: specs; they may be one.
        calls: of the chosen.
        candidates: all, best first.
        rival: what the chosen is put against on the other seeds: the best, or, where it is the
            best itself, the runner-up, since nothing can be confirmed against itself.
        confirmed: whether on the other seeds the chosen lies within the interval of the rival, or
            below it.
        chosen_again, rival_again: quality on the other seeds.
        difference: chosen - rival there, paired by seed; negative: the chosen is better.
        says: the outcome, in a sentence.
        protocol: of the metric.
        made: by which system's digest, on which device, with which versions.
    """

    metric: str
    chosen: str
    best: str
    rival: str
    calls: float
    candidates: tuple[Candidate, ...]
    confirmed: bool
    chosen_again: Estimate
    rival_again: Estimate
    difference: Estimate
    says: str
    protocol: str
    made: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As a document."""
        out = {**self._asdict()}
        for name in ("chosen_again", "rival_again", "difference"):
            out[name] = getattr(self, name).to_json()
        out["candidates"] = [
            {**c._asdict(), "quality": None if c.quality is None else c.quality.to_json()}
            for c in self.candidates
        ]
        return out


class _Bench(NamedTuple):
    """What every candidate is measured with; routes: how many are measured in all."""

    name: str
    system: System
    extractor: Extractor
    reference: Reference
    metric: str
    num: int
    steps: int
    device: str
    routes: int
    on_progress: Callable[[int, int, str, Progress], None]


def candidates(system: System, max_calls: float) -> list[str]:
    """Routes that ask at most so many experts per sample and step."""
    router = system.default_router
    experts = len(system.experts)
    out = ["monolith"] if system.monolith is not None else []
    out += ["top_k:k=1"] if router == "nearest" else ["top_k:k=1", "nearest/top_k:k=1"]
    for temperature in TEMPERATURES:
        soft = "" if temperature == 1.0 else f"{router}:temperature={temperature:g}/"
        out += [f"{soft}sample", f"{soft}sample_once"]
        for k in range(2, min(experts, int(max_calls)) + 1):
            out.append(soft + ("full" if k == experts else f"top_k:k={k}"))
    return out


def tune(
    name: str,
    *,
    max_calls: float = 2.0,
    num: int = 1000,
    steps: int = 25,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int, str, Progress], None],
) -> Tuned:
    """Find the cheapest route within the interval of the best.

    Arguments:
        name: of the system, or its folder.
        max_calls: expert evaluations per sample and step that a route may take.
        num: samples of each set of seeds.
        on_progress: told (routes done, of how many, route, progress of its run).

    Raises:
        RequestError: no such system, or no route is that cheap.
        WorkError: no route could be sampled.
    """
    if max_calls < 1:
        raise RequestError(f"--max-calls {max_calls:g} is not possible: a step takes at least 1")
    system = load_system(name)
    extractor = extractor_of(system, "own", pick_device(device))
    metric = "fid" if system.is_image else "energy_distance"
    routes = candidates(system, max_calls)
    bench = _Bench(
        *(name, system, extractor, reference_of(system, extractor), metric, num, steps, device),
        len(routes) + 2,
        on_progress,
    )
    found: dict[str, tuple[float, Judged]] = {}
    failed: list[Candidate] = []
    for done, route in enumerate(routes):
        try:
            calls, judged = _measure(bench, route, seed, done)
            if calls <= max_calls + 0.5:  # nearest asks everybody once, at the first step
                found[route] = (calls, judged)
        except Cancelled:
            raise
        except WorkError as error:
            failed.append(Candidate(route, float("nan"), None, str(error)))
    if not found:
        raise WorkError(f"no route could be sampled: {failed[0].failed if failed else 'too dear'}")
    best = min(found, key=lambda route: found[route][1].value)
    chosen = _cheapest(found, best, metric)
    ranked = sorted(found.items(), key=lambda pair: pair[1][1].value)
    rival = next((route for route, _ in ranked if route != chosen), chosen)
    # Seeds that no choice has seen.
    (_, one), (_, other) = (
        _measure(bench, route, seed + num, done)
        for done, route in enumerate((chosen, rival), len(routes))
    )
    difference, _ = statistics.difference_from_replicates(
        one.value - other.value,
        one.replicates - other.replicates,
        num,
        f"{chosen} - {rival}, other seeds, paired",
    )
    again, limit = one.numbers[metric], other.numbers[metric]
    confirmed = limit.high is not None and again.value is not None and again.value <= limit.high
    return Tuned(
        metric,
        chosen,
        best,
        rival,
        found[chosen][0],
        (*(Candidate(r, c, j.numbers[metric], "") for r, (c, j) in ranked), *failed),
        confirmed,
        again,
        limit,
        difference,
        _sentence(chosen, best, rival, difference, confirmed=confirmed),
        one.protocols[metric],
        {
            "system": system.digest,
            "device": device_name(pick_device(device)),
            **{name: installed(name) for name in ("ddm", "torch", "numpy", "torch-fidelity")},
        },
    )


def _sentence(chosen: str, best: str, rival: str, difference: Estimate, *, confirmed: bool) -> str:
    """What the other seeds say, and what they cannot say."""
    if rival == chosen:
        return f"{chosen} is the only route that could be sampled: there is nothing to compare"
    low, high = difference.low, difference.high
    apart = "not told apart from it"
    if low is not None and high is not None and (low > 0 or high < 0):
        apart = "worse" if low > 0 else "better"
    if chosen != best:
        word = "confirmed" if confirmed else "not confirmed"
        return f"{word} on other seeds: against the best, {best}, it is {apart}"
    # The best of many by one set of seeds is flattered by it; a second look at the same route
    # could only show that it is itself.
    against = f"the runner-up, {rival}, on other seeds it is {apart}"
    return f"{chosen} is itself the best: against {against}"


def _cheapest(found: dict[str, tuple[float, Judged]], best: str, metric: str) -> str:
    high = found[best][1].numbers[metric].high
    within = [r for r, (_, j) in found.items() if high is not None and j.value <= high] or [best]
    return min(within, key=lambda route: (round(found[route][0], 3), found[route][1].value))


def _measure(bench: _Bench, route: str, seed: int, done: int) -> tuple[float, Judged]:
    """Calls and quality of a route on the seeds from this one on; so many routes are done."""
    config = make_config(
        {
            "system": bench.name,
            "router": route,
            "seed": seed,
            "num": bench.num,
            "steps": bench.steps,
            "probes": ("expert_calls",),
            "shown": 0,
            "device": bench.device,
        }
    )

    def tell(progress: Progress) -> None:
        bench.on_progress(done, bench.routes, route, progress)

    result = execute(config, tell, system=bench.system)
    calls = 1.0
    if "expert_calls" in result.trace:
        calls = float(result.trace["expert_calls"].sum()) / (bench.num * bench.steps)
    images = result.images
    if images.ndim == 4:
        images = np.moveaxis(images, -1, 1)
    features = extract_features(bench.extractor, images)
    return calls, judge(features, bench.reference, bench.metric, full=False)
