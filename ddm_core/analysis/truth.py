"""What every expert makes of noised real data: one dense pass that answers for all routes.

Since v_route = sum_k w_k v_k, all that accuracy asks is in the errors e_k = v_k - (eps - x_0) of
the experts: with the Gram matrix G_ij = <e_i, e_j> / dimension, the loss of a route is w^T G w, an
expert's own is G_kk, and what weighing several gains is sum_k w_k G_kk - w^T G w.

References:
    Neural Network Ensembles, Cross Validation, and Active Learning (Krogh and Vedelsby, 1995)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddm_core import disk
from ddm_core.analysis.held_out import HeldOut
from ddm_core.devices import batch_on, pick_device, workers_on
from ddm_core.ensemble import CPU_ROWS, State
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.routers.base import ROUTERS
from ddm_core.systems.base import System

__all__ = ["Truth", "load_truth", "measure_truth", "save_truth"]

Array = np.ndarray
_ARRAYS = ("times", "clusters", "gram", "oracle", "distance_noised", "distance", "spread")


class Truth(NamedTuple):
    """Real data at every noise level, as the experts and the routers see them.

    Arguments:
        times: noise levels [time], rising.
        clusters: true cluster of each item [sample].
        gram: <e_i, e_j> / dimension [time, sample, expert, expert].
        monolith: its loss [time, sample], or None.
        logits: of every router that needs no setting, at temperature 1 [time, sample, expert].
        oracle: weights of who knows the cluster [time, sample, expert]: the exact posterior where
            the system has one, else 1 for the item's own cluster.
        distance_noised: |x_t - alpha_t mu_k| [time, sample, expert].
        distance: |phi(x0_hat) - mu_k| of the oracle's prediction [time, sample, expert].
        spread: standard deviation over experts of x0_hat, mean over samples [time, *].
        source: which data.
    """

    times: Array
    clusters: Array
    gram: Array
    monolith: Array | None
    logits: dict[str, Array]
    oracle: Array
    distance_noised: Array
    distance: Array
    spread: Array
    source: str


class _Part(NamedTuple):
    gram: Tensor
    monolith: Tensor | None
    logits: dict[str, Tensor]
    oracle: Tensor
    distance_noised: Tensor
    distance: Tensor
    spread: Tensor  # summed over samples


def measure_truth(
    system: System,
    real: HeldOut,
    times: tuple[float, ...],
    *,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Truth:
    """Noise the data to every time and ask everybody; item i is noised by the noise of seed + i.

    Arguments:
        times: noise levels, rising, in (0, 1).
        on_progress: told (items x times done, of how many).

    Raises:
        RequestError: no such device.
    """
    where = pick_device(device)
    dtype = torch.float64 if real.x_0.dtype == torch.float64 else torch.float32
    placed = system.to(where, dtype)
    routers = {name: _bound(placed, name) for name in ROUTERS}
    rows = CPU_ROWS if system.is_image and where.type == "cpu" else batch_on(where, 0, points=True)
    batches = [range(i, min(i + rows, len(real.x_0))) for i in range(0, len(real.x_0), rows)]
    total = len(times) * len(real.x_0)
    parts: dict[int, list[_Part]] = {i: [] for i in range(len(times))}
    done = 0

    def ask(index: int, batch: range) -> _Part:
        if where.type == "cpu":
            torch.set_num_threads(1)
        with torch.no_grad():
            return _ask(placed, routers, real, times[index], batch, seed)

    with ThreadPoolExecutor(workers_on(where, 0), "truth") as pool:
        for index in range(len(times)):
            futures = [pool.submit(ask, index, batch) for batch in batches]
            for future, batch in zip(futures, batches, strict=True):
                if should_stop():
                    pool.shutdown(wait=False, cancel_futures=True)
                parts[index].append(future.result())
                done += len(batch)
                on_progress(done, total)

    def joined(name: str) -> Array:
        return np.stack(
            [torch.cat([getattr(p, name) for p in parts[i]]).numpy() for i in parts]
        ).astype(np.float32)

    first = parts[0][0]
    logits = {
        name: np.stack(
            [torch.cat([p.logits[name] for p in parts[i]]).numpy() for i in parts]
        ).astype(np.float32)
        for name in first.logits
    }
    spread = [sum(p.spread for p in parts[i]) / len(real.x_0) for i in parts]
    return Truth(
        np.array(times),
        real.clusters.numpy().astype(np.int64),
        joined("gram"),
        joined("monolith") if first.monolith is not None else None,
        logits,
        joined("oracle"),
        joined("distance_noised"),
        joined("distance"),
        np.stack([torch.as_tensor(one).numpy() for one in spread]).astype(np.float32),
        real.source,
    )


_Bound = tuple[Callable[[State], Tensor], bool]


def _bound(system: System, name: str) -> _Bound | None:
    """A router with its usual settings; None where this system lacks what it needs."""
    try:
        router = ROUTERS.parse(name)
        return router.bind(system), router.needs_x_0
    except RequestError:
        return None


def _ask(
    system: System,
    routers: dict[str, _Bound | None],
    real: HeldOut,
    t: float,
    batch: range,
    seed: int,
) -> _Part:
    device, dtype = system.clusters.centroids.device, system.clusters.centroids.dtype
    x_0 = real.x_0[batch.start : batch.stop].to(device, dtype)
    cluster = real.clusters[batch.start : batch.stop].to(device)
    seeds = tuple(range(seed + batch.start, seed + batch.stop))
    eps = Noise(seeds, system.shape, dtype, device).initial()
    ts = torch.full((len(x_0),), t, dtype=dtype, device=device)
    schedule = system.schedule
    x_t, target = schedule.noised(x_0, eps, ts), schedule.velocity(x_0, eps, ts)
    v = torch.stack([expert(x_t, ts) for expert in system.experts], dim=1)
    error = (v - target[:, None]).flatten(2)
    gram = error @ error.transpose(1, 2) / error.shape[2]
    monolith = None
    if system.monolith is not None:
        monolith = (system.monolith(x_t, ts) - target).square().flatten(1).mean(dim=1)
    count = len(system.experts)
    hats = torch.stack([schedule.x_0(x_t, v[:, k], ts) for k in range(count)], dim=1)
    mean = hats.mean(dim=1)
    if system.posterior is not None:
        oracle = torch.softmax(system.posterior(x_t, ts), dim=1)
    else:
        oracle = torch.nn.functional.one_hot(cluster, count).to(dtype)
    known = (oracle.reshape(*oracle.shape, *[1] * (hats.ndim - 2)) * hats).sum(dim=1)
    alpha, _ = schedule.alpha_sigma(ts[0])
    flat = system.clusters.centroids.flatten(1)
    clusters = system.clusters
    logits = {
        name: bound[0](State(x_t, ts, mean if bound[1] else None))
        for name, bound in routers.items()
        if bound is not None
    }
    return _Part(
        gram.cpu(),
        None if monolith is None else monolith.cpu(),
        {name: one.expand(len(x_0), count).cpu() for name, one in logits.items()},
        oracle.cpu(),
        torch.cdist(x_t.flatten(1), alpha * flat).cpu(),
        torch.cdist(clusters.features(known), clusters.feature_centroids).cpu(),
        hats.std(dim=1, correction=0).sum(dim=0).cpu(),
    )


def save_truth(path: Path, truth: Truth) -> None:
    """Write it whole or not at all."""
    arrays = {name: getattr(truth, name) for name in _ARRAYS}
    arrays |= {f"logits.{name}": values for name, values in truth.logits.items()}
    if truth.monolith is not None:
        arrays["monolith"] = truth.monolith
    buffer = io.BytesIO()
    np.savez_compressed(buffer, source=np.array(truth.source), **arrays)
    disk.replace_file(path, buffer.getvalue())


def load_truth(path: Path) -> Truth:
    """Read it back.

    Raises:
        RequestError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        logits = {
            name.partition(".")[2]: values
            for name, values in arrays.items()
            if name.startswith("logits.")
        }
        plain = {name: arrays[name] for name in _ARRAYS}
        return Truth(
            **plain,
            monolith=arrays.get("monolith"),
            logits=logits,
            source=str(arrays["source"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} is no pass over real data: {error}") from None
