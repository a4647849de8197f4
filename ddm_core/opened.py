"""Stored runs and comparisons as a notebook takes them into its hands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddm_core.config import consecutive
from ddm_core.errors import RequestError
from ddm_core.plots import Shown, plots
from ddm_core.store import Store

if TYPE_CHECKING:
    import xarray as xr

    from ddm_core.formats import Samples
    from ddm_core.records import RunRecord
    from ddm_core.systems import System

__all__ = ["Comparison", "OpenedRun", "compare", "open_comparison", "open_run"]


class OpenedRun:
    """A stored run: its record at once, its arrays when they are asked for.

    Arguments:
        record: config, metrics with intervals, hashes.
        store: where it lies.
    """

    def __init__(self, record: RunRecord, store: Store) -> None:
        self.record = record
        self._store = store

    @cached_property
    def trace(self) -> xr.Dataset:
        """Everything that was measured, by name and dims."""
        return self._store.trace(self.record.id)

    @cached_property
    def samples(self) -> Samples:
        """Finished samples and their seeds."""
        return self._store.samples(self.record.id)

    @property
    def shown(self) -> Shown:
        """What figures need of it."""
        record = self.record
        return Shown(record.router, self.trace, {**record.summary, **record.metrics})

    @property
    def plot(self) -> Any:
        """Figures of the pages: plot.weights(), plot.<variable>()."""
        return plots("run", [self.shown])

    def __repr__(self) -> str:
        return f"<run {self.record.id}: {self.record.config.num:,} samples>"


class Comparison:
    """Runs that differ in the route and share their noise.

    Arguments:
        shown: the runs, in order.
        name: of the system.
    """

    def __init__(self, shown: Sequence[Shown], name: str) -> None:
        self.shown = tuple(shown)
        self.name = name

    @property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """Every number by route and name: value, low, high, n, and how it was made."""
        return {one.label: dict(one.numbers) for one in self.shown}

    @property
    def plot(self) -> Any:
        """Figures of the pages: plot.weights(), plot.<variable>(), plot.paradox()."""
        return plots("comparison", self.shown)

    def __repr__(self) -> str:
        return f"<comparison on {self.name}: {', '.join(one.label for one in self.shown)}>"


def open_run(id: str, runs: str | Path | None = None) -> OpenedRun:
    """A stored run.

    Arguments:
        id: its id, a prefix of it, or its hash alone.
        runs: the store; default $DDM_RUNS, else runs.

    Raises:
        RequestError: no such run, or several; with the alternatives.
    """
    store = Store(None if runs is None else Path(runs))
    return OpenedRun(store.run(id), store)


def open_comparison(id: str, runs: str | Path | None = None) -> Comparison:
    """A stored comparison.

    Arguments:
        id: its id, a prefix of it, or its hash alone.
        runs: the store; default $DDM_RUNS, else runs.

    Raises:
        RequestError: no such comparison, or several; with the alternatives.
    """
    store = Store(None if runs is None else Path(runs))
    known = store.comparisons()
    found = [
        one
        for one in known
        if one == id or (id and (one.startswith(id) or one.endswith(f"-{id}")))
    ]
    if len(found) != 1:
        there = ", ".join(list(known)[:5]) or "none"
        wrong = f"fits {len(found)} comparisons" if found else "is no comparison"
        raise RequestError(f"'{id[:60]}' {wrong}; there are: {there}")
    done = [run for run in known[found[0]] if run.status == "done"]
    if not done:
        raise RequestError(f"no run of comparison {found[0]} has a result")
    return Comparison([OpenedRun(run, store).shown for run in done], done[0].system)


def compare(
    system: System | str | Path,
    routers: Sequence[str] | str,
    *,
    seeds: Sequence[int] = range(64),
    steps: int = 50,
    probes: str | Sequence[str] | None = "standard",
    metrics: str | Sequence[str] | None = None,
) -> Comparison:
    """Sample a system with several routes from the same noise, and measure; nothing is stored.

    Arguments:
        system: a loaded system, a name, or a checkpoint folder.
        routers: route specs, such as top_k:k=2 or uniform/full; also in one text, with commas.
        seeds, steps, probes: as in `sample`.
        metrics: of quality; None is what suits the system, none where nothing is at hand.

    Raises:
        RequestError: a name or a setting that cannot be; before anything is sampled.
    """
    from ddm_core.make import FEWEST, yardstick_or_none
    from ddm_core.metrics import measure
    from ddm_core.quality import default_metrics, require_metrics
    from ddm_core.routes import parse_route, split_routes
    from ddm_core.run import parts, sample
    from ddm_core.systems import load_system, name_of
    from ddm_core.systems.base import System

    routes = split_routes(routers) if isinstance(routers, str) else list(routers or ())
    if not routes or len(set(routes)) < len(routes):
        raise RequestError("a comparison needs routes, each once")
    loaded = system if isinstance(system, System) else load_system(system)
    for route in routes:
        parse_route(route)
    count = len(consecutive(seeds))
    names: Sequence[str] = ()
    if metrics is not None:
        names = [name for name in parts(metrics) if name != "none"]
        require_metrics(names, count)
    elif count >= FEWEST:
        names = default_metrics(loaded)
    stick = yardstick_or_none(loaded) if names else None
    shown: list[Shown] = []
    for route in routes:
        run = sample(loaded, route, seeds=seeds, steps=steps, probes=probes)
        numbers = dict(run.numbers)
        if stick is not None:
            images = np.moveaxis(run.images, -1, 1) if run.images.ndim == 4 else run.images
            found = measure(names, images, stick.reference, stick.extractor)
            numbers |= {name: one.to_json() for name, one in found.items()}
        shown.append(Shown(route, run.trace, numbers))
    return Comparison(shown, name_of(loaded))
