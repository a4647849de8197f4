"""From a system to the map of its data: real images, predictions beside them, UMAP of both.

Trajectories pass through places where no image is: the mean of everything, blurred halves of two
digits. A map of the data alone has no room for them, so that real images are noised, denoised
again by the system itself, and fitted together with the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from ddm_core.analysis.data_map import SHARES, About, DataMap, Space, plain_map
from ddm_core.analysis.embedding import fit_umap, left_out, trustworthiness
from ddm_core.analysis.map_file import MAP, save_map
from ddm_core.datasets import ImageSet, load_dataset
from ddm_core.devices import pick_device
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.probes.pictures import to_uint8
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.systems.base import System
from ddm_core.systems.manifest import write_manifest
from ddm_core.versions import installed

__all__ = ["Stage", "ship_map", "stages"]

#: Real images, and noised ones per noise level and route: few enough for a file of 1 MiB.
REAL, NOISED = 2000, 128
ROUTES = ("full", "top_k:k=1")
_SEED = 0


class Stage(NamedTuple):
    """How far a map is.

    Arguments:
        done: stages of `data_map.STAGES`.
        says: what comes next.
        data_map: that can be shown by now, where it is another than before.
    """

    done: int
    says: str
    data_map: DataMap | None = None


class _Real(NamedTuple):
    """Real data.

    Arguments:
        x: uint8 [real, height, width, channel], or points float32 [real, 2].
        clusters, labels: int [real].
    """

    x: np.ndarray
    clusters: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    source: str


def stages(
    system: System, *, real: int = REAL, device: str = "auto", data: Path | None = None
) -> Iterator[Stage]:
    """Make the map of a system, one stage after the other; whoever iterates may stop.

    Arguments:
        real: how many real images; fewer where there are fewer.
        device: for the predictions: auto, cpu, cuda or cuda:N.
        data: folder of MNIST's files, or the folder or .zip of images that was trained on;
            default: what lies in $DDM_DATA, else in `data`.

    Raises:
        RequestError: the system's images are not what its experts work on.
    """
    yield Stage(0, "reading the data")
    found = _real_images(system, real, data) if system.is_image else _real_points(system, real)
    about = About(
        system=system.name,
        digest=system.digest,
        source=found.source,
        shape=system.shape,  # pyright: ignore[reportArgumentType]  # checked there
        labels=found.names,
        reach=0,
        versions={name: installed(name) for name in ("ddm", "numpy", "torch", "umap-learn")},
    )
    plain = plain_map(about, _space(system), found.x, found.clusters, found.labels)
    yield Stage(1, f"predicting from noise, t = {SHARES[0]:g}", plain)
    if not system.is_image:
        return
    pictures: list[np.ndarray] = []
    for level, share in enumerate(SHARES):
        pictures.append(_predictions(system, found.x, level, share, device))
        last = level + 1 == len(SHARES)
        coming = f"predicting from noise, t = {SHARES[min(level + 1, len(SHARES) - 1)]:g}"
        yield Stage(2 + level, "UMAP; its first start takes a minute" if last else coming)
    yield Stage(2 + len(SHARES), "measuring the map", _with_umap(plain, np.concatenate(pictures)))


def ship_map(system: System, data_map: DataMap) -> None:
    """Lay a map into the checkpoint's folder and list it in system.toml.

    Raises:
        RequestError: the system has no folder.
        WorkError: the folder is not writable.
    """
    if system.folder is None:
        raise RequestError(f"system '{system.name}' has no folder to keep a map in")
    save_map(system.folder / MAP, data_map)
    write_manifest(system.folder, system.info)


def _with_umap(plain: DataMap, pictures: np.ndarray) -> DataMap:
    """The map with the predictions [prediction, height, width, channel] fitted beside the data."""
    predicted = plain.space.features(pictures).astype(np.float16).astype(np.float32)
    features = np.concatenate((plain.features, predicted))
    fitted = fit_umap(features)
    places = fitted.places[: len(plain.real)]
    width = float(np.ptp(places, axis=0).max())
    trusted = {**plain.about.trustworthiness, "umap": trustworthiness(plain.real, places)}
    error = left_out(features, fitted.places)[: len(places)]
    said = plain.about.model_copy(
        update={
            "trustworthiness": trusted,
            "placing_error": float(np.median(error)) / max(width, 1e-12),
            "fitted_with": f"{len(predicted):,} predictions of {' and '.join(ROUTES)} from noised "
            f"training images at {len(SHARES)} noise levels",
        }
    )
    embeddings = {**plain.embeddings, "umap": fitted}
    return plain._replace(about=said, features=features, embeddings=embeddings)


@torch.no_grad()
def _predictions(
    system: System, pictures: np.ndarray, level: int, share: float, device: str
) -> np.ndarray:
    """x0_hat of noised real images as a trace keeps it, uint8 [prediction, h, w, channel].

    Every level has images and noise of its own: what they share would look like a trajectory.
    """
    where = pick_device(device)
    there = system.to(where)
    seeds = range(level * NOISED, (level + 1) * NOISED)
    some = torch.from_numpy(np.moveaxis(pictures[np.array(seeds) % len(pictures)], 3, 1).copy())
    x_0 = (some.float() / 127.5 - 1).to(where)
    noise = Noise(tuple(seeds), system.shape, device=where)
    t = torch.full((NOISED,), share * system.schedule.t_max, device=where)
    x_t = system.schedule.noised(x_0, noise.initial(), t)
    means = [build_ensemble(there, parse_route(route)).mix(x_t, t).mean for route in ROUTES]
    return to_uint8(torch.cat(means)).cpu().numpy()


def _real_images(system: System, count: int, data: Path | None) -> _Real:
    """Training images; those that the checkpoint itself keeps where the dataset is not found."""
    try:
        whole = _training_images(system, data)
    except RequestError as error:
        return _examples(system, str(error))
    rows = np.random.default_rng(_SEED).permutation(len(whole.images))[:count]
    labels = None if whole.labels is None else whole.labels[rows].numpy()
    n = f"{len(rows):,} of {len(whole.images):,}" if len(rows) < len(whole.images) else "all"
    source = f"{n} training images of {whole.name}"
    return _of(system, whole.images[rows], labels, whole.label_names, source)


def _training_images(system: System, data: Path | None) -> ImageSet:
    """The dataset that system.toml names: built in, given, or by its name in $DDM_DATA or `data`.

    Nothing is fetched from anywhere: a picture is not worth a download that nobody asked for.
    """
    dataset = str(system.info.get("training", {}).get("dataset", ""))
    home = Path(os.environ.get("DDM_DATA") or "data")
    beside = (home / dataset, home / f"{dataset}.zip") if dataset else ()
    place = data or next((path for path in beside if path.exists()), None)
    built_in = dataset in ("digits", "mnist")
    if place is None and not built_in:
        raise RequestError(f"the images of '{dataset}' are missing: name their folder in DDM_DATA")
    whole = load_dataset(
        dataset if built_in else str(place),
        folder=data,
        size=system.shape[1],
        grey=system.shape[0] == 1,
        download=False,
    )
    if tuple(whole.images.shape[1:]) != system.shape:
        raise RequestError(
            f"the images of '{dataset}' are {list(whole.images.shape[1:])}, those of the system "
            f"{list(system.shape)}"
        )
    return whole


def _examples(system: System, reason: str) -> _Real:
    examples = system.clusters.examples
    if examples is None or examples.numel() == 0:
        raise RequestError(f"there is no real data to draw a map of: {reason}")
    source = f"{examples.shape[1]} training images of each cluster, kept by the system ({reason})"
    return _of(system, examples.flatten(0, 1), None, (), source)


def _of(
    system: System, images: Tensor, labels: np.ndarray | None, names: tuple[str, ...], source: str
) -> _Real:
    """Images uint8 [real, channel, height, width] with the nearest cluster of each."""
    pictures = np.moveaxis(images.numpy(), 1, 3).copy()
    centroids = system.clusters.feature_centroids.float().numpy()
    nearest = cdist(_space(system).features(pictures), centroids).argmin(axis=1)
    known = np.full(len(images), -1) if labels is None else labels
    return _Real(pictures, nearest, known, names, source)


def _space(system: System) -> Space:
    features = system.clusters.features
    components = None if features.components is None else features.components.float().numpy()
    return Space(system.shape, features.mean.float().numpy(), components)


def _real_points(system: System, count: int) -> _Real:
    """Points drawn from the clusters, whose density is known."""
    centres = system.clusters.centroids.double().numpy()
    random = np.random.default_rng(_SEED)
    proportions = system.clusters.proportions.double().numpy()
    which = np.sort(random.choice(len(centres), count, p=proportions / proportions.sum()))
    points = centres[which] + system.clusters.spread * random.standard_normal((count, 2))
    source = f"{count:,} points drawn from the {len(centres)} clusters"
    return _Real(points.astype(np.float32), which, np.full(count, -1), (), source)
