"""What every expert makes of noised real data: one dense pass that answers for all routes.

Since v_route = sum_k w_k v_k, all that accuracy asks is in the errors e_k = v_k - (eps - x_0) of
the experts: with the Gram matrix G_ij = <e_i, e_j> / dimension, the loss of a route is w^T G w, an
expert's own is G_kk, and what weighing several gains is sum_k w_k G_kk - w^T G w.

References:
    Neural Network Ensembles, Cross Validation, and Active Learning (Krogh and Vedelsby, 1995)
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ddm_core import disk
from ddm_core.analysis.held_out import HeldOut
from ddm_core.angles import pairwise_angles
from ddm_core.devices import batch_on, pick_device, start_worker, workers_on
from ddm_core.ensemble import CPU_ROWS, State
from ddm_core.errors import RequestError, WorkError, ran_out_of_memory
from ddm_core.noise import Noise
from ddm_core.probes.distance import distances, feature_distance
from ddm_core.routers.base import ROUTERS, Router
from ddm_core.run import Cancelled
from ddm_core.systems.base import System

__all__ = ["Truth", "load_truth", "measure_truth", "save_truth"]

Array = np.ndarray
_MOST_NUMBERS = 2**26  # in the velocities of one pass
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
_ARRAYS = (
    *("times", "clusters", "gram", "oracle", "distance_noised", "distance", "disagreement"),
    *("disagreement_max", "spread"),
)


class Truth(NamedTuple):
    """Real data at every noise level, as the experts and the routers see them.

    Arguments:
        times: noise levels [time], rising.
        clusters: true cluster of each item [sample].
        gram: <e_i, e_j> / dimension [time, sample, expert, expert].
        monolith: its loss [time, sample], or None.
        logits: of every router with its usual settings, at temperature 1, the largest of them 0
            [time, sample, expert], by name.
        oracle: weights of who knows the cluster [time, sample, expert]: the exact posterior where
            the system has one, else 1 for the item's own cluster.
        distance_noised: |x_t - alpha_t mu_k| [time, sample, expert].
        distance: |phi(x0_hat) - mu_k| of the oracle's prediction [time, sample, expert].
        disagreement, disagreement_max: mean and largest angle between the velocities of any two
            experts, radians [time, sample].
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
    disagreement: Array
    disagreement_max: Array
    spread: Array
    source: str


class _Bound(NamedTuple):
    """A router on a system."""

    logits: Callable[[State], Tensor]
    needs_x_0: bool


class _Part(NamedTuple):
    """Some items at one noise level, on the host; dims as in Truth, without time."""

    gram: Tensor
    monolith: Tensor | None
    logits: dict[str, Tensor]
    oracle: Tensor
    distance_noised: Tensor
    distance: Tensor
    disagreement: Tensor
    disagreement_max: Tensor
    spread: Tensor  # [*], summed over samples


def measure_truth(
    system: System,
    real: HeldOut,
    times: Sequence[float],
    *,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Truth:
    """Noise the data to every time and ask everybody, without labels.

    Item i is noised by the noise that sample seed + i starts from, the same at all times.

    Arguments:
        times: noise levels, rising, in (0, 1).
        on_progress: told (items x times that are done, of how many), about ten times a second,
            in the calling thread; what it raises stops the pass.
        should_stop: asked as often.

    Raises:
        RequestError: no such device, or no such noise level.
        WorkError: memory ran out.
        Cancelled: should_stop said so.
    """
    if not times or not all(0 < t < 1 for t in times):
        raise RequestError("noise levels lie above 0 and below 1, and there is at least one")
    where = pick_device(device)
    dtype = torch.float64 if real.x_0.dtype == torch.float64 else torch.float32
    placed = system.to(where, dtype)
    routers = _routers(placed)
    count, rows = len(real.x_0), _rows(placed, where)
    batches = [range(i, min(i + rows, count)) for i in range(0, count, rows)]
    jobs = [(t, batch) for t in times for batch in batches]
    workers = workers_on(where, 0, points=not system.is_image)
    pool = ThreadPoolExecutor(workers, "truth", start_worker, (where,))
    try:
        futures = [pool.submit(_ask, placed, routers, real, t, some, seed) for t, some in jobs]
        done = {future: len(some) for future, (_, some) in zip(futures, jobs, strict=True)}
        _await(futures, done, on_progress, should_stop)
        parts = [future.result() for future in futures]
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise WorkError(f"out of memory on {where}: noise fewer items ({error})") from None
    finally:
        # Also after an error or Ctrl-C: no worker goes on behind the caller's back.
        pool.shutdown(wait=True, cancel_futures=True)
    return _joined(parts, real, times, len(batches))


def _rows(system: System, device: torch.device) -> int:
    """Items in one forward pass: all experts' velocities are held at once."""
    numbers = int(np.prod(system.shape)) * len(system.experts)
    usual = (
        CPU_ROWS
        if device.type == "cpu" and system.is_image
        else batch_on(device, 0, points=not system.is_image)
    )
    return max(1, min(usual, _MOST_NUMBERS // numbers))


def _routers(system: System) -> dict[str, _Bound]:
    """Every router with its usual settings that has on this system what it needs."""
    found: dict[str, _Bound] = {}
    for name in ROUTERS:
        router: Router = ROUTERS.parse(name)
        try:
            found[name] = _Bound(router.bind(system), router.needs_x_0)
        except RequestError:
            continue
    return found


def _await(
    futures: Sequence[Future[_Part]],
    items: dict[Future[_Part], int],
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> None:
    done, total = 0, sum(items.values())
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
            done += items[future]
        if should_stop():
            raise Cancelled("cancelled")
        on_progress(done, total)


@torch.no_grad()
def _ask(
    system: System,
    routers: dict[str, _Bound],
    real: HeldOut,
    t: float,
    batch: range,
    seed: int,
) -> _Part:
    clusters, schedule = system.clusters, system.schedule
    device, dtype = clusters.centroids.device, clusters.centroids.dtype
    x_0 = real.x_0[batch.start : batch.stop].to(device, dtype)
    own = real.clusters[batch.start : batch.stop].to(device)
    seeds = tuple(range(seed + batch.start, seed + batch.stop))
    eps = Noise(seeds, system.shape, dtype, device).initial()
    ts = torch.full((len(x_0),), t, dtype=dtype, device=device)
    x_t, target = schedule.noised(x_0, eps, ts), schedule.velocity(x_0, eps, ts)
    v = torch.stack([expert(x_t, ts) for expert in system.experts], dim=1)
    error = (v - target[:, None]).flatten(2)
    monolith = None
    if system.monolith is not None:
        monolith = (system.monolith(x_t, ts) - target).square().flatten(1).mean(dim=1).cpu()
    count = len(system.experts)
    hats = torch.stack([schedule.x_0(x_t, v[:, k], ts) for k in range(count)], dim=1)
    if system.posterior is not None:
        oracle = torch.softmax(system.posterior(x_t, ts), dim=1)
    else:
        oracle = functional.one_hot(own, count).to(dtype)
    known = torch.einsum("sk,sk...->s...", oracle, hats)
    alpha, _ = schedule.alpha_sigma(ts[0])
    mean = hats.mean(dim=1)
    apart = pairwise_angles(v)
    logits = {
        name: bound.logits(State(x_t, ts, mean if bound.needs_x_0 else None))
        for name, bound in routers.items()
    }
    return _Part(
        (error @ error.transpose(1, 2) / error.shape[2]).cpu(),
        monolith,
        # Far from all clusters logits are large and alike: float32 keeps what tells them apart.
        {name: (x - x.amax(dim=1, keepdim=True)).cpu() for name, x in logits.items()},
        oracle.cpu(),
        distances(x_t.flatten(1), alpha * clusters.centroids.flatten(1)).cpu(),
        feature_distance(known, clusters).cpu(),
        apart.mean(dim=1).cpu(),
        apart.amax(dim=1).cpu(),
        hats.std(dim=1, correction=0).sum(dim=0).cpu(),
    )


def _joined(parts: Sequence[_Part], real: HeldOut, times: Sequence[float], per_time: int) -> Truth:
    """Parts in the order time, batch as one."""
    count = len(real.x_0)

    def over_time(tensors: Sequence[Tensor]) -> Array:
        whole = torch.cat(list(tensors))
        return whole.reshape(len(times), count, *whole.shape[1:]).to(torch.float32).numpy()

    losses = [part.monolith for part in parts if part.monolith is not None]
    spread = torch.stack([part.spread for part in parts])
    spread = spread.reshape(len(times), per_time, *spread.shape[1:]).sum(dim=1) / count
    return Truth(
        np.array(times, dtype=np.float64),
        real.clusters.numpy().astype(np.int64),
        over_time([part.gram for part in parts]),
        over_time(losses) if losses else None,
        {name: over_time([part.logits[name] for part in parts]) for name in parts[0].logits},
        over_time([part.oracle for part in parts]),
        over_time([part.distance_noised for part in parts]),
        over_time([part.distance for part in parts]),
        over_time([part.disagreement for part in parts]),
        over_time([part.disagreement_max for part in parts]),
        spread.to(torch.float32).numpy(),
        real.source,
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
        RequestError: the file is missing or damaged, or its arrays do not belong together.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        logits = {
            name.partition(".")[2]: values
            for name, values in arrays.items()
            if name.startswith("logits.")
        }
        truth = Truth(
            **{name: arrays[name] for name in _ARRAYS},
            monolith=arrays.get("monolith"),
            logits=logits,
            source=str(arrays["source"]),
        )
        _require_whole(truth)
    except _DAMAGED as error:
        raise RequestError(f"{path} is no pass over real data: {error}") from None
    return truth


def _require_whole(truth: Truth) -> None:
    (steps,), (items,) = truth.times.shape, truth.clusters.shape
    experts = truth.gram.shape[-1]
    per_expert = (truth.oracle, truth.distance_noised, truth.distance, *truth.logits.values())
    fits = (
        truth.gram.shape == (steps, items, experts, experts)
        and all(one.shape == (steps, items, experts) for one in per_expert)
        and truth.disagreement.shape == truth.disagreement_max.shape == (steps, items)
        and (truth.monolith is None or truth.monolith.shape == (steps, items))
        and len(truth.spread) == steps
        and items > 0
        and 0 <= int(truth.clusters.min()) <= int(truth.clusters.max()) < experts
    )
    if not fits:
        raise ValueError("its arrays are not of one pass")
