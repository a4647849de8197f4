"""What is measured of one route: features, series over steps, sensitivities. One file each.

Everything that the analysis says is computed from these files, so that an audit that was stopped
goes on where it was, and one that is finished can be read again without sampling.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from torch import Tensor

from ddm_core import disk, pictures
from ddm_core.analysis.plan import LEVELS, OBSERVED, Entry, Plan
from ddm_core.analysis.stability import Array, convergence, noised_sensitivity, sensitivity
from ddm_core.config import RunConfig, located, make_config
from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics.extractors.base import Extractor, extract_features
from ddm_core.run import Cancelled, Progress, execute
from ddm_core.store import Store
from ddm_core.systems.base import System

__all__ = ["DISTANCES", "Part", "aligned", "load_part", "measure_part", "save_part"]

PICTURED = 16
#: Definitions of the distance to a cluster, and what ends the names of their series.
DISTANCES = {
    "cluster_distance": "",
    "cluster_distance_pixels": "_pixels",
    "cluster_distance_noised": "_noised",
}
_PROBES = (
    *("router_probability", "weights", "entropy", "expert_calls", "cluster_distance"),
    *("cluster_distance_noised", "cluster_distance_pixels", "selected_distance"),
    *("nearest_selected", "disagreement", "disagreement_max", "disagreement_variance"),
    "expert_angle",
)


class Part(NamedTuple):
    """One route, measured.

    Arguments:
        router: its spec.
        error: of the ring that it was measured on, where that is not the audited system.
        run: id of its run in the store, or None.
        calls: expert evaluations per sample and step, as they were.
        seconds: that sampling took.
        failed: why there are no numbers, or "".
        features: of the samples [sample, feature], in the extractor that quality is measured in.
        t: noise level at the beginning of each step.
        series: [step, sample] by name; nan where a sample was not observed.
        usage: mean weight of each expert [step, expert].
        stability: [sample] by name, of the first samples.
        convergence: relative L2 [sample] between N and 2N steps, by N.
        picture: 16 samples as PNG.
    """

    router: str
    error: float | None
    run: str | None
    calls: float
    seconds: float
    failed: str
    features: Array
    t: Array
    series: dict[str, Array]
    usage: Array
    stability: dict[str, Array]
    convergence: dict[int, Array]
    picture: bytes


def measure_part(
    plan: Plan,
    entry: Entry,
    system: System,
    extractor: Extractor,
    store: Store | None,
    tags: tuple[str, ...],
    on_progress: Callable[[Progress], None],
    *,
    real: Tensor | None = None,
    workers: int = 0,
) -> Part:
    """Sample and measure one route; a route that cannot be sampled says why instead.

    Arguments:
        system: that the entry is about.
        extractor: of the features that quality is measured in.
        store: keeps the run with these tags; None keeps nothing.
        on_progress: called now and then; raises Cancelled to stop.
        real: held-out data [sample, *] that sensitivities are measured on too, if there are any.
        workers: batches at a time, as in a run's config.
    """
    config = _config(plan, entry, workers, image=system.is_image)
    few = config.model_copy(update={"num": plan.stability_samples})
    try:
        sampled = _sample(config, system, store, tags, on_progress)
        stability = sensitivity(few, system, on_progress, mapped=not entry.sensitive)
        if real is not None and entry.sensitive:
            some = real[: plan.stability_samples]
            stability |= noised_sensitivity(few, system, some, LEVELS)
        curve = convergence(few, system, on_progress)
    except Cancelled:
        raise
    except WorkError as error:
        return _failed(entry, str(error))
    images = sampled.images
    tiles = np.moveaxis(images, -1, 1) if images.ndim == 4 else images
    return Part(
        entry.router,
        entry.error,
        sampled.run,
        float(sampled.trace["expert_calls"].sum()) / (config.num * config.steps)
        if "expert_calls" in sampled.trace
        else entry.calls,
        sampled.seconds,
        "",
        extract_features(extractor, tiles),
        sampled.trace["t"].values,
        series_of(sampled.trace),
        _usage(sampled.trace),
        stability,
        curve,
        pictures.png(pictures.grid(images[:PICTURED] if images.ndim == 4 else images)),
    )


class _Sampled(NamedTuple):
    run: str | None
    images: Array
    trace: xr.Dataset
    seconds: float


def _config(plan: Plan, entry: Entry, workers: int, *, image: bool) -> RunConfig:
    request = plan.request
    # As a stored run has it, which an audit that goes on compares with this.
    return located(
        make_config(
            {
                "system": entry.system or request.system,
                "router": entry.router,
                "seed": request.seed,
                "num": plan.num,
                "steps": request.steps,
                "sampler": request.sampler,
                "probes": (*_PROBES, *(("x0_hat", "x0_hat_expert") if image else ("state",))),
                "observed": plan.num if entry.dense else min(OBSERVED, plan.num),
                "shown": PICTURED,
                "device": request.device,
                "workers": workers,
                "plugins": request.plugins,
            }
        )
    )


def _sample(
    config: RunConfig,
    system: System,
    store: Store | None,
    tags: tuple[str, ...],
    on_progress: Callable[[Progress], None],
) -> _Sampled:
    if store is None:
        light = config.model_copy(update={"probes": ("expert_calls",), "shown": 0})
        result = execute(light, on_progress, system=system)
        return _Sampled(None, result.images, result.trace, result.seconds)
    for record in store.runs():
        # Left by an audit that was stopped between this run and its file.
        same = record.status == "done" and record.config.digest == config.digest
        if same and set(tags) <= set(record.tags) and record.hashes["system"] == system.digest:
            images, trace = store.samples(record.id).images, store.trace(record.id)
            return _Sampled(record.id, images, trace, record.seconds or 0.0)
    with store.begin(config) as draft:
        result = execute(config, on_progress, system=system)
        record = draft.save(result)
    store.label(record.id, tags=tags)
    return _Sampled(record.id, result.images, result.trace, result.seconds)


def series_of(trace: xr.Dataset) -> dict[str, Array]:
    """What the claims need of a trace, [step, sample] each.

    Returns:
        chosen, not_chosen, chance: distance of x0_hat to the clusters of the experts that were
        chosen (weighted as they are), of those that were not (nan where all are), of all alike;
        the same with _noised by the distance of the state, with _pixels by that of x0_hat in the
        space of x_0; hit: the nearest cluster's expert is chosen; share: of experts that are
        chosen; rank: of the cluster of the largest weight, 1 is the nearest; entropy;
        max_probability; disagreement, disagreement_max, disagreement_variance; angle: of the
        chosen experts to their mix, weighted as they are; leader: the expert of the largest
        weight.
    """
    out: dict[str, Array] = {}
    for name in ("entropy", "disagreement", "disagreement_max", "disagreement_variance"):
        if name in trace:
            out[name] = trace[name].transpose("step", "sample").values.astype(np.float32)
    order = ("step", "sample", "expert")
    if "router_probability" in trace:
        p = trace["router_probability"].transpose(*order).values
        out["max_probability"] = p.max(axis=2).astype(np.float32)
    if "weights" not in trace:
        return out
    w = trace["weights"].transpose(*order).values.astype(np.float64)
    out["share"] = (w > 0).mean(axis=2)
    out["leader"] = w.argmax(axis=2)
    if "expert_angle" in trace:
        out["angle"] = (w * trace["expert_angle"].transpose(*order).values).sum(axis=2)
    for name, suffix in DISTANCES.items():
        if name not in trace:
            continue
        found, _ = aligned(w, trace[name].transpose(*order).values)
        out |= {f"{key}{suffix}": values for key, values in found.items()}
    return {name: values.astype(np.float32) for name, values in out.items()}


def aligned(weights: Array, distances: Array) -> tuple[dict[str, Array], Array]:
    """Chosen against not chosen, by weights and distances [step, sample, expert].

    Returns:
        chosen, not_chosen, chance, rank and hit [step, sample], as in `series_of`; and the share
        of experts that are chosen.
    """
    w, distance = weights.astype(np.float64), distances.astype(np.float64)
    chosen = w > 0
    left = (~chosen).sum(axis=2)
    at = np.take_along_axis(distance, w.argmax(axis=2)[:, :, None], axis=2)
    nearest = distance.argmin(axis=2)[:, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (distance * ~chosen).sum(axis=2) / left
    found = {
        "chosen": (w * distance).sum(axis=2),
        "chance": distance.mean(axis=2),
        "not_chosen": others,
        "rank": 1.0 + (distance < at).sum(axis=2),
        "hit": np.take_along_axis(chosen, nearest, axis=2)[:, :, 0].astype(float),
    }
    return found, chosen.mean(axis=2)


def _usage(trace: xr.Dataset) -> Array:
    if "weights" not in trace:
        return np.zeros((0, 0))
    return trace["weights"].mean("sample").transpose("step", "expert").values.astype(np.float32)


def _failed(entry: Entry, why: str) -> Part:
    nothing = np.zeros((0, 0))
    return Part(
        *(entry.router, entry.error, None, entry.calls, 0.0, why, nothing, np.zeros(0)),
        *({}, nothing, {}, {}, b""),
    )


def save_part(path: Path, part: Part) -> None:
    """Write a part whole or not at all."""
    plain = {
        name: getattr(part, name)
        for name in ("router", "error", "run", "calls", "seconds", "failed")
    }
    arrays: dict[str, Any] = {
        "plain": np.frombuffer(json.dumps(plain).encode(), np.uint8),
        "features": part.features,
        "t": part.t,
        "usage": part.usage,
        "picture": np.frombuffer(part.picture, np.uint8),
        **{f"series.{name}": values for name, values in part.series.items()},
        **{f"stability.{name}": values for name, values in part.stability.items()},
        **{f"convergence.{steps}": values for steps, values in part.convergence.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with disk.told("keep a part of the audit", path.parent):
        disk.replace_file(path, buffer.getvalue())


def load_part(path: Path) -> Part:
    """Read a part back.

    Raises:
        RequestError: the file is damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = json.loads(arrays["plain"].tobytes())
        named: dict[str, dict[str, Array]] = {"series": {}, "stability": {}, "convergence": {}}
        for name, values in arrays.items():
            group, dot, rest = name.partition(".")
            if dot:
                named[group][rest] = values
        return Part(
            **plain,
            features=arrays["features"],
            t=arrays["t"],
            series=named["series"],
            usage=arrays["usage"],
            stability=named["stability"],
            convergence={int(steps): values for steps, values in named["convergence"].items()},
            picture=arrays["picture"].tobytes(),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path} is no part of an audit: {error}") from None
