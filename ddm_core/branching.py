"""What if: a run that leaves the path of another one, from any step and sample of it.

Nothing of the parent's states needs to be kept: a sample is its seed, and the path up to the step
is simulated again. A branch is a run like any other and may be branched from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ddm_core.config import RunConfig, consecutive, make_config
from ddm_core.errors import RequestError

if TYPE_CHECKING:
    from ddm_core.kept import Kept
    from ddm_core.make import Order, Yardstick
    from ddm_core.records import RunRecord
    from ddm_core.run import Progress, Result
    from ddm_core.store import Store
    from ddm_core.systems.base import System

__all__ = [
    "branch",
    "branch_config",
    "change_in_words",
    "compare_branch",
    "forced_expert",
    "make_branch",
    "order_branch",
    "sample_branch",
]

_FORCED = re.compile(r"fixed:expert=(\d{1,6})/full")
#: Pictures of every step that a branch keeps, at most.
MOST_SHOWN = 16


def branch_config(
    parent: RunConfig,
    *,
    step: int,
    seeds: Sequence[int] | None = None,
    router: str | None = None,
    sampler: str | None = None,
    label: int | None = None,
    guidance: float | None = None,
    plugins: Sequence[str] = (),
) -> RunConfig:
    """The config of a branch; what is None stays as the parent has it.

    Arguments:
        step: the first one that is the branch's own, from 0.
        seeds: consecutive samples of the parent's; None for all of them.
        plugins: Python files beside the parent's, in place of those of it that are gone.

    Raises:
        RequestError: one sentence: what cannot be, and what can.
    """
    if plugins:
        parent = _with_plugins(parent, plugins)
    chosen = parent.seeds if seeds is None else consecutive(seeds, "seeds of a branch")
    changed = {"router": router, "sampler": sampler, "label": label, "guidance": guidance}
    return make_config(
        {
            **parent.model_dump(exclude={"branch", "metrics", "batch"}),
            **{name: value for name, value in changed.items() if value is not None},
            "seed": chosen.start,
            "num": len(chosen),
            "shown": min(MOST_SHOWN, len(chosen)),
            "branch": {"step": step, "of": parent.model_dump()},
        }
    )


def _with_plugins(config: RunConfig, files: Sequence[str]) -> RunConfig:
    branch = config.branch
    if branch is not None:
        branch = branch.model_copy(update={"of": _with_plugins(branch.of, files)})
    there = [file for file in config.plugins if os.path.isfile(file)]
    plugins = tuple(dict.fromkeys([*there, *files]))
    return config.model_copy(update={"plugins": plugins, "branch": branch})


def change_in_words(config: RunConfig) -> str:
    """What a branch changes, as in "expert 3 alone, sampler heun"; of another run, its route."""
    if config.branch is None:
        return _route_in_words(config.router)
    of = config.branch.of
    words: list[str] = []
    if config.router != of.router:
        words.append(_route_in_words(config.router))
    if config.sampler != of.sampler:
        words.append(f"sampler {config.sampler}")
    if config.label != of.label:
        words.append("no label" if config.label is None else f"label {config.label}")
    if config.guidance != of.guidance:
        words.append(f"guidance {config.guidance:g}")
    return ", ".join(words) or "nothing changed"


def _route_in_words(route: str) -> str:
    expert = forced_expert(route)
    return route if expert is None else f"expert {expert} alone"


def forced_expert(route: str) -> int | None:
    """The one expert that a route asks, whatever the state; None of any other route."""
    found = _FORCED.fullmatch(route)
    return int(found[1]) if found else None


def branch(
    run: Result | RunConfig,
    *,
    step: int,
    router: str | None = None,
    seeds: Sequence[int] | None = None,
    sampler: str | None = None,
    label: int | None = None,
    guidance: float | None = None,
    system: System | None = None,
) -> Result:
    """Resample a run from the very state that it had at a step: the front door for notebooks.

    Arguments:
        run: a result of `ddm.sample`, or a config.
        step: the first one that goes another way.
        router: a route spec, such as fixed:expert=3/full.
        seeds: which samples; None for all.
        system: already loaded, if it is at hand.

    Raises:
        RequestError: the request was wrong; one sentence.
    """
    from ddm_core.run import execute

    parent = run if isinstance(run, RunConfig) else run.config
    config = branch_config(
        parent,
        step=step,
        seeds=seeds,
        router=router,
        sampler=sampler,
        label=label,
        guidance=guidance,
    )
    return execute(config, system=system)


def order_branch(parent: RunRecord, config: RunConfig, kept: Kept | None = None) -> Order:
    """A branch of a stored run that can be made: names are checked, the system is loaded.

    Arguments:
        kept: what earlier work has loaded.

    Raises:
        RequestError: the run has no path, or the system has changed since.
    """
    from ddm_core.make import prepare

    if parent.status != "done":
        raise RequestError(f"run {parent.id} was {parent.status}: it has no path to branch from")
    (order,) = prepare([config], kept=kept)
    before = parent.hashes.get("system", order.system.digest)
    if before != order.system.digest:
        raise RequestError(
            f"run {parent.id} was sampled from another version of '{parent.system}'"
        )
    return order


def make_branch(
    store: Store,
    parent: RunRecord,
    order: Order,
    *,
    on_progress: Callable[[Progress], None],
    yardstick: Callable[[], Yardstick | None],
) -> RunRecord:
    """Sample and keep a branch, then note how it differs from its parent.

    Arguments:
        yardstick: what samples are measured with, once there is something to measure; None where
            the system has nothing.
    """
    record = sample_branch(store, parent, order, on_progress=on_progress)
    return compare_branch(store, parent, record, yardstick())


def sample_branch(
    store: Store, parent: RunRecord, order: Order, *, on_progress: Callable[[Progress], None]
) -> RunRecord:
    """Sample and keep a branch; how it differs from its parent is not known yet."""
    from ddm_core.run import execute

    with store.begin(order.config, parent=parent.id) as draft:
        return draft.save(execute(order.config, on_progress, system=order.system))


def compare_branch(
    store: Store, parent: RunRecord, record: RunRecord, rule: Yardstick | None
) -> RunRecord:
    """Note how a stored branch differs from its parent.

    Arguments:
        rule: what samples are measured with; None where the system has nothing.
    """
    from ddm_core.analysis.branches import Side, departures, to_json

    config, own, kept = record.config, store.samples(record.id), store.samples(parent.id)
    assert config.branch is not None
    first = config.seed - int(kept.seeds[0])
    rows = slice(first, first + config.num)
    # A run of which nothing was recorded has no samples in its trace.
    before = store.trace(parent.id).isel(sample=rows, missing_dims="ignore")
    mine, theirs = (
        Side(images, trace, None if rule is None else _real_distance(images, rule))
        for images, trace in ((own.images, store.trace(record.id)), (kept.images[rows], before))
    )
    found = departures(mine, theirs, step=config.branch.step)
    return store.set_departure(record.id, to_json(found))


def _real_distance(images: Any, rule: Yardstick) -> Any:
    import numpy as np

    from ddm_core.analysis.quality import per_sample_distance
    from ddm_core.metrics.extractors.base import extract_features

    features = extract_features(
        rule.extractor, np.moveaxis(images, -1, 1) if images.ndim == 4 else images
    )
    return per_sample_distance(features, rule.reference.features)
