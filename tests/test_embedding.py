"""The map of the data: its rules in closed form, its file, and how it is made of a system."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from ddm_core.analysis.data_map import STAGES, About, DataMap, Space, plain_map
from ddm_core.analysis.embedding import (
    Neighbours,
    Plane,
    fit_umap,
    left_out,
    principal_axes,
    spacing,
)
from ddm_core.analysis.map_file import MAP, kept_path, load_map, map_bytes, save_map
from ddm_core.analysis.map_source import Stage, ship_map, stages
from ddm_core.errors import RequestError
from ddm_core.queue import Claim
from ddm_core.run import Cancelled
from ddm_core.store import Store
from ddm_core.systems import checkpoints_folder, load_system
from ddm_core.worker import HANDLERS, Task

pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")

RANDOM = np.random.default_rng(5)
CLOUD = RANDOM.normal(size=(120, 6)).astype(np.float32) * np.array([5, 3, 1, 1, 1, 1], np.float32)
PLACES = RANDOM.normal(size=(120, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def made() -> list[Stage]:
    """Every stage of a small map of digits, UMAP and all."""
    return list(stages(load_system("digits"), real=150, device="cpu"))


@pytest.fixture(scope="module")
def digits(made: list[Stage]) -> DataMap:
    whole = made[-1].data_map
    assert whole is not None
    return whole


def test_principal_axes_are_those_of_scikit_learn() -> None:
    theirs = PCA(2).fit(CLOUD.astype(np.float64))
    ours = principal_axes(CLOUD)
    np.testing.assert_allclose(ours.axes, theirs.components_, atol=1e-6)
    later = CLOUD[:7] + 1.5
    np.testing.assert_allclose(ours.transform(later), theirs.transform(later), atol=1e-4)


def test_points_of_the_plane_stay_where_they_are() -> None:
    np.testing.assert_array_equal(Plane().transform(CLOUD[:, :2]), CLOUD[:, :2])


def test_a_fitted_point_is_where_it_was_fitted() -> None:
    np.testing.assert_array_equal(Neighbours(CLOUD, PLACES).transform(CLOUD), PLACES)


def test_of_equal_points_the_first_counts() -> None:
    same = np.repeat(CLOUD[:1], 40, axis=0)
    placed = Neighbours(np.concatenate((same, CLOUD[1:])), np.concatenate((PLACES[:40], PLACES)))
    np.testing.assert_array_equal(placed.transform(CLOUD[:1]), PLACES[:1])


def test_a_new_point_lies_between_its_neighbours_by_squared_distance() -> None:
    line = Neighbours(np.array([[0.0], [3.0]]), np.array([[0.0, 0.0], [10.0, 20.0]]))
    # Distances 1 and 2: weights 4/5 and 1/5.
    np.testing.assert_allclose(line.transform(np.array([[1.0]])), [[2.0, 4.0]])


def test_only_the_fifteen_nearest_count_and_nobody_else_is_asked() -> None:
    rule, later = Neighbours(CLOUD, PLACES), CLOUD[:9] + 0.3
    squared = cdist(later, CLOUD) ** 2
    for row, got in enumerate(rule.transform(later)):
        near = np.argsort(squared[row])[:15]
        weights = 1 / squared[row, near]
        np.testing.assert_allclose(got, weights @ PLACES[near] / weights.sum(), rtol=1e-6)
        np.testing.assert_array_equal(rule.transform(later[row : row + 1])[0], got)


def test_left_out_is_the_rule_without_the_point() -> None:
    errors = left_out(CLOUD, PLACES)
    others = np.delete(np.arange(len(CLOUD)), 17)
    alone = Neighbours(CLOUD[others], PLACES[others]).transform(CLOUD[17:18])
    assert errors[17] == pytest.approx(float(np.linalg.norm(alone - PLACES[17])))
    own = cdist(CLOUD, CLOUD) + np.diag(np.full(len(CLOUD), np.inf))
    np.testing.assert_allclose(spacing(CLOUD), own.min(axis=1), rtol=1e-6)
    assert spacing(np.repeat(CLOUD[:1], 40, axis=0)).tolist() == [0.0] * 40


def test_umap_gives_the_same_map_again_and_keeps_clusters_together(digits: DataMap) -> None:
    blobs = np.concatenate((CLOUD[:60], CLOUD[:60] + 40))
    threads = torch.get_num_threads()
    one, other = fit_umap(blobs), fit_umap(blobs)
    # Else what is sampled afterwards in this process would have other last bits.
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(one.places, other.places)
    near = np.argsort(cdist(one.places, one.places), axis=1)[:, 1]
    np.testing.assert_array_equal(near < 60, np.arange(120) < 60)
    assert digits.about.trustworthiness["umap"] > digits.about.trustworthiness["pca"] > 0.6


def test_stages_tell_how_far_they_are_and_show_pca_first(made: list[Stage]) -> None:
    assert [stage.done for stage in made] == list(range(STAGES))
    first = next(stage.data_map for stage in made if stage.data_map is not None)
    assert list(first.embeddings) == ["pca"]
    assert made[1].data_map is first


def test_a_map_holds_the_data_and_predictions_beside_them(digits: DataMap) -> None:
    system = load_system("digits")
    assert digits.about.digest == system.digest
    assert "150 of 1,438 training images of digits" in digits.about.source
    assert list(digits.embeddings) == ["pca", "umap"]
    assert len(digits.real) == len(digits.clusters) == len(digits.labels) == 150
    assert len(digits.features) == 150 + 2 * 128 * 7
    # Another way to the same numbers: the system's own features, in torch.
    assert digits.thumbnails is not None
    x_0 = torch.from_numpy(np.moveaxis(digits.thumbnails, 3, 1) / 127.5 - 1).float()
    phi = system.clusters.features(x_0)
    np.testing.assert_allclose(digits.real, phi, atol=5e-3)
    nearest = torch.cdist(phi, system.clusters.feature_centroids).argmin(dim=1)
    np.testing.assert_array_equal(digits.clusters, nearest)
    # The mean of everything is what the full ensemble predicts from pure noise: near the origin.
    from_noise = digits.features[-256:-128]
    assert (
        np.linalg.norm(from_noise, axis=1).mean()
        < 0.7 * np.linalg.norm(digits.real, axis=1).mean()
    )


def test_placing_error_is_that_of_the_rule(digits: DataMap) -> None:
    umap = digits.embeddings["umap"]
    assert isinstance(umap, Neighbours)
    errors = left_out(digits.features, umap.places)[:150]
    width = np.ptp(umap.places[:150], axis=0).max()
    assert digits.about.placing_error == pytest.approx(np.median(errors) / width)


def test_a_file_gives_the_same_map_back(digits: DataMap, tmp_path: Path) -> None:
    path = kept_path(tmp_path, digits.about.digest)
    save_map(path, digits)
    again = load_map(path)
    assert again.about == digits.about
    for name in ("features", "clusters", "labels", "thumbnails"):
        np.testing.assert_array_equal(getattr(again, name), getattr(digits, name))
    later = digits.real[:20] + 0.1
    for name, embedding in digits.embeddings.items():
        np.testing.assert_array_equal(
            again.embeddings[name].transform(later), embedding.transform(later)
        )
    assert map_bytes(again) == path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.pop(name)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("features"), "'features' is missing"),
        (without("pca_axes"), "'pca_axes' is missing"),
        (put("code", np.zeros(1, np.uint8)), "'code' is foreign"),
        (put("umap", np.zeros((3, 2), np.float32)), "'umap' is float32 [3, 2]"),
        (put("clusters", np.zeros(0, np.int16)), "'labels' is int16 [150]"),
        (put("clusters", np.full((), 3, np.int16)), "'clusters' is int16 []"),
        (put("clusters", np.full(150, -2, np.int16)), "out of range"),
        (put("labels", np.full(150, 10, np.int16)), "out of range"),
        (put("mean", np.full(64, np.nan, np.float32)), "not finite"),
        (put("thumbnails", np.zeros(50, np.uint8)), "no picture"),
        (without("components"), "do not fit"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(
    digits: DataMap, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    tensors = load(map_bytes(digits))
    change(tensors)
    path = tmp_path / MAP
    path.write_bytes(save(tensors, {"about": digits.about.model_dump_json()}))
    with pytest.raises(RequestError, match=r"map\.safetensors is damaged") as found:
        load_map(path)
    assert says in str(found.value)
    assert "\n" not in str(found.value)


def test_what_is_no_map_is_refused_in_a_sentence(digits: DataMap, tmp_path: Path) -> None:
    whole = map_bytes(digits)
    path = tmp_path / MAP
    with pytest.raises(RequestError, match="cannot be read: No such file"):
        load_map(path)
    for data, says in (
        (whole[:-100], "is damaged"),
        (b"", "is damaged"),
        (save(load(whole)), "no map that this program understands: system"),
        (save(load(whole), {"about": "{"}), "no map that this program understands"),
    ):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=says) as found:
            load_map(path)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("digest", ["", "../" * 21 + "a", "A" * 64, "0" * 63])
def test_names_never_become_paths_unchecked(tmp_path: Path, digest: str) -> None:
    with pytest.raises(RequestError, match="no system's digest"):
        kept_path(tmp_path, digest)


def test_pictures_of_another_shape_have_no_place() -> None:
    space = Space((1, 8, 8), np.zeros(64, np.float32), None)
    with pytest.raises(RequestError, match="3 x 8 x 8 and the map's are 1 x 8 x 8"):
        space.features(np.zeros((2, 8, 8, 3), np.uint8))


def test_large_pictures_become_small_thumbnails() -> None:
    pictures = RANDOM.integers(0, 256, (4, 40, 80, 3), dtype=np.uint8)
    about = About(system="x", digest="", source="", shape=(3, 40, 80), reach=0)
    space = Space((3, 40, 80), np.zeros(9600, np.float32), np.eye(3, 9600, dtype=np.float32))
    found = plain_map(about, space, pictures, np.arange(4), np.full(4, -1))
    assert found.thumbnails is not None
    assert found.thumbnails.shape == (4, 14, 27, 3)


def test_the_ring_is_its_own_map(tmp_path: Path) -> None:
    system = load_system("ring:experts=4:radius=2")
    found = [stage.data_map for stage in stages(system) if stage.data_map is not None]
    assert len(found) == 1
    ring = found[0]
    np.testing.assert_array_equal(ring.embeddings["plane"].transform(ring.real), ring.real)
    centres = system.clusters.centroids.numpy()
    np.testing.assert_array_equal(cdist(ring.real, centres).argmin(axis=1), ring.clusters)
    for k, centre in enumerate(centres):
        mine = ring.real[ring.clusters == k]
        # 500 points of standard deviation 0.1: the mean is off by 0.0045 on average.
        np.testing.assert_allclose(mine.mean(axis=0), centre, atol=0.03)
        assert (mine - centre).std() == pytest.approx(0.1, rel=0.15)
    save_map(tmp_path / MAP, ring)
    np.testing.assert_array_equal(load_map(tmp_path / MAP).features, ring.features)


def test_without_its_dataset_a_system_shows_the_images_that_it_keeps(tmp_path: Path) -> None:
    system = load_system("digits")
    lost = dataclasses.replace(system, info={"training": {"dataset": "cats"}})
    first = next(s.data_map for s in stages(lost) if s.data_map is not None)
    assert first.about.source.startswith("16 training images of each cluster, kept by the system")
    assert "the images of 'cats' are missing" in first.about.source
    # k-means put every example into the cluster whose centroid is nearest.
    np.testing.assert_array_equal(first.clusters, np.repeat(np.arange(8), 16))


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_shipped_maps_are_of_their_system_and_small(name: str) -> None:
    system = load_system(name)
    path = checkpoints_folder() / name / MAP
    found = load_map(path)
    assert path.stat().st_size <= 2**20
    assert found.about.digest == system.digest
    assert list(found.embeddings) == ["pca", "umap"]
    shares = np.bincount(found.clusters, minlength=8) / len(found.clusters)
    np.testing.assert_allclose(shares, system.clusters.proportions, atol=0.05)
    assert found.thumbnails is not None
    np.testing.assert_allclose(found.space.features(found.thumbnails), found.real, atol=0.02)


def test_a_map_is_listed_with_its_system_and_decides_no_sample(
    digits: DataMap, tmp_path: Path
) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(checkpoints_folder() / "digits", folder)
    (folder / MAP).unlink()
    system = load_system("digits")
    ship_map(dataclasses.replace(system, folder=folder), digits)
    assert load_system(str(folder)).digest == system.digest
    assert load_map(folder / MAP).about == digits.about
    (folder / MAP).write_bytes(b"something else")
    with pytest.raises(RequestError, match=r"map\.safetensors is damaged or foreign"):
        load_system(str(folder))


def test_the_job_keeps_the_map_in_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    task = Task(Claim("j1", "map", {"system": "ring:experts=3"}, None), store)
    HANDLERS["map"](task)
    found = load_map(kept_path(tmp_path, load_system("ring:experts=3").digest))
    assert set(found.clusters.tolist()) == {0, 1, 2}
    assert store.runs() == []
    stopped = Task(Claim("j2", "map", {"system": "ring:experts=5"}, None), store)
    stopped.stop()
    with pytest.raises(Cancelled):
        HANDLERS["map"](stopped)
    assert len(list((tmp_path / ".maps").iterdir())) == 1
