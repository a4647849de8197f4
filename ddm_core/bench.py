"""What speed costs and gives, as ratios measured in one run.

Absolute times differ from machine to machine and from minute to minute; ratios of interleaved
rounds hold. Each row says what is divided by what, the median over rounds with its range, and the
limit.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor

from ddm_core.config import make_config
from ddm_core.cuda_graphs import replaying
from ddm_core.devices import device_name, pick_device, start_worker
from ddm_core.ensemble import Ensemble
from ddm_core.noise import Noise
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.run import execute
from ddm_core.systems import load_system
from ddm_core.systems.base import System

__all__ = ["Report", "Row", "run_bench"]

BATCH = 64
LIGHT_PROBES = ("weights", "cluster_distance", "entropy")


class Row(NamedTuple):
    """One ratio.

    Arguments:
        name: what is compared.
        ratio: median over rounds.
        low, high: smallest and largest round.
        limit: what the ratio must not cross, or None where it is only told.
        at_least: whether the limit is a floor rather than a ceiling.
        detail: the two times that were divided.
    """

    name: str
    ratio: float
    low: float
    high: float
    limit: float | None
    at_least: bool
    detail: str

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        if self.limit is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


class Report(NamedTuple):
    """All rows, and where they were measured."""

    system: str
    device: str
    foreign_cpu: float  # share of the machine's processors that others used meanwhile
    rows: tuple[Row, ...]
    left_out: str  # why the page was not measured, or ""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        rows = [{**row._asdict(), "holds": row.holds} for row in self.rows]
        return {**self._asdict(), "rows": rows}


def run_bench(
    name: str = "mnist",
    *,
    device: str = "auto",
    rounds: int = 7,
    readers: int = 0,
    minutes: float = 5.0,
    interactions: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Measure everything on a system with a router network.

    Arguments:
        name: of the system.
        device: auto, cpu, cuda or cuda:N.
        rounds: of each pair, interleaved; thrice as many on a GPU, where they are short.
        readers, minutes: how many browsers wander over the pages at once, for how long.
        interactions: of one reader, over which the server's memory is watched.
        tell: is told what is being measured.
    """
    where = pick_device(device)
    rounds *= 1 if where.type == "cpu" else 3
    system = load_system(name).to(where)
    foreign = _Foreign()
    rows: list[Row] = []
    threads = torch.get_num_threads()
    start_worker(where)
    try:
        with torch.no_grad():
            tell("routing against plain forward passes")
            rows += _routing(system, where, rounds)
        tell("recording")
        rows.append(_recording(system, name, device, rounds))
        if where.type == "cpu":
            tell("two cores against one")
            rows.append(_cores(system, name, max(3, rounds // 2)))
            foreign_share = foreign.share()
            tell("beside a busy process")
            rows.append(_contention(system, name, max(3, rounds // 2)))
        else:
            foreign_share = foreign.share()
    finally:
        torch.set_num_threads(threads)
    tell("pages in the browser")
    page, left_out = _page(readers, minutes, interactions)
    rows += page
    return Report(name, device_name(where), foreign_share, tuple(rows), left_out)


def _routing(system: System, device: torch.device, rounds: int) -> list[Row]:
    """A routed step of Top-2 beside two plain passes of one expert and a naive ensemble."""
    x_t = Noise(tuple(range(BATCH)), system.shape, torch.float32, device).initial()
    t = torch.full((BATCH,), 0.5, device=device)
    ensemble = build_ensemble(system, parse_route("top_k:k=2"))
    expert = system.experts[0]

    def two_passes() -> None:
        expert(x_t, t)
        expert(x_t, t)

    def routed() -> None:
        ensemble.mix(x_t, t)

    def naive() -> None:
        _naive_top_2(ensemble, x_t, t)

    def captured_passes() -> None:
        with replaying():
            two_passes()

    works = (two_passes, routed, naive, captured_passes)
    plain, top_2, all_of_them, captured = _interleaved(works, rounds, device)
    count = len(system.experts)
    name = f"Top-2 of {count}, batch {BATCH} / two passes of one expert"
    rows = [
        _row(name, top_2, plain, 1.25),
        _row(f"naive (all {count} experts, two kept) / Top-2", all_of_them, top_2, None),
    ]
    if device.type == "cuda":
        rows.insert(1, _row(f"{name}, captured too", top_2, captured, None))
    return rows


def _naive_top_2(ensemble: Ensemble, x_t: Tensor, t: Tensor) -> Tensor:
    """What one writes first: evaluate everybody, then weigh; most weights are zero."""
    v = torch.stack([expert(x_t, t) for expert in ensemble.experts], dim=1)
    weights = ensemble.mix(x_t, t, weights=torch.zeros(len(x_t), v.shape[1], device=x_t.device))
    p = weights.probabilities
    top = p.topk(min(2, p.shape[1]), dim=1)
    w = torch.zeros_like(p).scatter(1, top.indices, top.values)
    w = w / w.sum(dim=1, keepdim=True)
    return (w.reshape(*w.shape, *[1] * (v.ndim - 2)) * v).sum(dim=1)


def _recording(system: System, name: str, device: str, rounds: int) -> Row:
    where = pick_device(device)
    # As many as a run has by default, but for a CPU that takes its time over each.
    steps = 10 if where.type == "cpu" else 50

    def run(probes: Sequence[str]) -> Callable[[], None]:
        fields = {"num": BATCH, "steps": steps, "device": device, "workers": 1}
        config = _config(name, probes=tuple(probes), **fields)
        return lambda: _execute(config, system)

    off, on = _interleaved((run(("none",)), run(LIGHT_PROBES)), rounds, where)
    return _row("weights + distances + entropy recorded / nothing recorded", on, off, 1.05)


def _cores(system: System, name: str, rounds: int) -> Row:
    def run(workers: int) -> Callable[[], None]:
        config = _config(name, num=4 * BATCH, steps=5, workers=workers)
        return lambda: _execute(config, system)

    one, two = _interleaved((run(1), run(2)), rounds, torch.device("cpu"))
    return _row("throughput of two workers / one", one, two, 1.6, at_least=True)


def _contention(system: System, name: str, rounds: int) -> Row:
    config = _config(name, num=4 * BATCH, steps=5)
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(rounds):
        alone.append(_timed(lambda: _execute(config, system), torch.device("cpu")))
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            # Let the scheduler see it before the clock starts.
            time.sleep(0.2)
            beside.append(_timed(lambda: _execute(config, system), torch.device("cpu")))
        finally:
            busy.kill()
            busy.wait()
    return _row("beside one busy process / alone", beside, alone, 2.0)


def _page(readers: int, minutes: float, interactions: int) -> tuple[list[Row], str]:
    """Pages of a stored comparison beside what each may take; needs a browser.

    Arguments:
        readers, minutes: that wander over the pages at once; 0 leaves them out.
        interactions: over which the server's memory is watched; 0 leaves it out.
    """
    command = [sys.executable, "-m", "app.measuring", "--interactions", f"{interactions}"]
    command += ["--readers", f"{readers}", "--minutes", f"{minutes:g}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [], (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    answer = json.loads(done.stdout)
    rows: list[Row] = []
    for one in answer["figures"]:
        values, limit = one["values"], one["limit"]
        against = 1.0 if limit is None else limit
        name = f"{one['name']} / {against:g}{' s' if one['unit'] else ''}"
        rows.append(_row(name, values, [against] * len(values), None if limit is None else 1.0))
    many = answer.get("readers")
    if many:
        name = f"{many['readers']} readers, {many['minutes']:g} min, {len(many['seconds'])} pages"
        rows.append(_row(f"{name}: errors + 1", [len(many["errors"]) + 1.0], [1.0], 1.0))
    return rows, ""


def _config(name: str, **fields: object) -> Any:
    return make_config({"system": name, "router": "top_k:k=2", "probes": ("none",), **fields})


def _execute(config: Any, system: System) -> None:
    execute(config, system=system)


def _interleaved(
    works: Sequence[Callable[[], None]], rounds: int, device: torch.device
) -> list[list[float]]:
    """Seconds of each work in each round; A B C A B C ..., after two rounds that do not count.

    Two, because a GPU's graphs are captured when something is asked for again.
    """
    for work in (*works, *works):
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for seconds, work in zip(times, works, strict=True):
            seconds.append(_timed(work, device))
    return times


def _timed(work: Callable[[], None], device: torch.device) -> float:
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _row(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    limit: float | None,
    *,
    at_least: bool = False,
) -> Row:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    detail = f"{1e3 * statistics.median(above):.1f} ms / {1e3 * statistics.median(below):.1f} ms"
    middle = statistics.median(ratios)
    return Row(name, middle, min(ratios), max(ratios), limit, at_least, detail)


class _Foreign:
    """How much of the machine others use while we measure."""

    def __init__(self) -> None:
        self.own = psutil.Process()
        self.machine = psutil.cpu_times()
        self.mine = self.own.cpu_times()
        self.begin = time.perf_counter()

    def share(self) -> float:
        now, mine = psutil.cpu_times(), self.own.cpu_times()
        busy = sum(now) - now.idle - (sum(self.machine) - self.machine.idle)
        # Waiting for a disk is nobody's processor time.
        busy -= getattr(now, "iowait", 0.0) - getattr(self.machine, "iowait", 0.0)
        own = mine.user + mine.system - self.mine.user - self.mine.system
        wall = time.perf_counter() - self.begin
        return max(0.0, busy - own) / (wall * (os.cpu_count() or 1))
