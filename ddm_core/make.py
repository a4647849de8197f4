"""Make runs and keep them: all are checked first, then each is sampled, kept and measured.

A run is kept before it is measured, and a number before the next one is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.kept import Kept
from ddm_core.metrics import METRICS, gather, measure_evidence
from ddm_core.metrics.extractors.base import never
from ddm_core.quality import Yardstick, require_metrics, yardstick, yardstick_or_none
from ddm_core.records import RunRecord
from ddm_core.registry import load_plugin
from ddm_core.run import Cancelled, Progress, checked, execute
from ddm_core.store import Store
from ddm_core.systems.base import System

__all__ = [
    "Order",
    "Yardstick",
    "complete_run",
    "make_run",
    "measure_run",
    "prepare",
    "sample_run",
    "yardstick",
    "yardstick_or_none",
]

FEWEST = 2  # samples that have a covariance


class Order(NamedTuple):
    """A run that can be made: its names are checked and its system is loaded."""

    config: RunConfig
    system: System
    yardstick: Yardstick | None


def prepare(
    configs: Sequence[RunConfig],
    default: Callable[[System], tuple[str, ...]] | None = None,
    kept: Kept | None = None,
) -> list[Order]:
    """Check all runs before the first one begins.

    Arguments:
        configs: what was asked for.
        default: metrics of a config that names none, for its system.
        kept: what earlier work has loaded.

    Raises:
        RequestError: the first thing that cannot be done.
    """
    kept = kept or Kept()
    orders: list[Order] = []
    for config in configs:
        for plugin in config.plugins:
            load_plugin(plugin)
        system = kept.system(config.system)
        normal = checked(config, system)
        metrics = tuple(name for name in normal.metrics if name != "none")
        if default is not None and not normal.metrics and normal.num >= FEWEST:
            metrics = default(system)
        normal = normal.model_copy(update={"metrics": metrics})
        rule: Yardstick | None = None
        if metrics:
            require_metrics(metrics, normal.num)
            rule = kept.yardstick(config.system, config.device)
        orders.append(Order(normal, system, rule))
    return orders


def make_run(
    store: Store,
    order: Order,
    *,
    comparison: str | None = None,
    on_progress: Callable[[Progress], None],
    on_measure: Callable[[int, int], None],
    on_kept: Callable[[RunRecord], None] = lambda record: None,
    should_stop: Callable[[], bool] = never,
) -> RunRecord:
    """Sample, keep, measure.

    Arguments:
        on_kept: told of the run as soon as it is in the store, before it is measured.

    Raises:
        RequestError, WorkError: as sampling, keeping and measuring have them.
    """
    record = sample_run(store, order, comparison=comparison, on_progress=on_progress)
    on_kept(record)
    return complete_run(store, record, order, on_measure=on_measure, should_stop=should_stop)


def sample_run(
    store: Store,
    order: Order,
    *,
    comparison: str | None = None,
    on_progress: Callable[[Progress], None],
) -> RunRecord:
    """Sample and keep; nothing is measured yet.

    Raises:
        RequestError, WorkError: as sampling and keeping have them.
    """
    with store.begin(order.config, comparison=comparison) as draft:
        return draft.save(execute(order.config, on_progress, system=order.system))


def complete_run(
    store: Store,
    record: RunRecord,
    order: Order,
    *,
    on_measure: Callable[[int, int], None],
    should_stop: Callable[[], bool] = never,
) -> RunRecord:
    """Measure what the order asks for and the stored run lacks.

    Raises:
        RequestError, Cancelled: as `measure_run` has them.
    """
    rule = order.yardstick
    if rule is None:
        return record
    names = order.config.metrics
    lacking = [n for n in names if METRICS.parse(n).name + rule.suffix not in record.metrics]
    if not lacking:
        return record
    return measure_run(
        store, record, rule, lacking, on_measure=on_measure, should_stop=should_stop
    )


def measure_run(
    store: Store,
    record: RunRecord,
    yardstick: Yardstick,
    metrics: Sequence[str],
    *,
    on_measure: Callable[[int, int], None],
    should_stop: Callable[[], bool] = never,
) -> RunRecord:
    """Measure the samples of a stored run and note each number in its record once it is there.

    Raises:
        RequestError: an unknown metric, too few samples, samples of another system.
        Cancelled: should_stop said so.
    """
    images = store.samples(record.id).images
    require_metrics(metrics, len(images))
    if record.hashes.get("system", yardstick.system) != yardstick.system:
        raise RequestError(
            f"run {record.id} was sampled from another version of '{record.system}'"
        )
    evidence = gather(
        np.moveaxis(images, -1, 1) if images.ndim == 4 else images,
        yardstick.reference,
        yardstick.extractor,
        progress=on_measure,
        should_stop=should_stop,
    )
    for metric in metrics:
        found = measure_evidence([metric], evidence)
        if should_stop():
            raise Cancelled("cancelled")
        numbers = {name + yardstick.suffix: one.to_json() for name, one in found.items()}
        record = store.add_metrics(record.id, numbers)
    return record
