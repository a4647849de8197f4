"""Data that no expert was trained on: which they are, and what is said where they are missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ddm_core.analysis.held_out import held_out
from ddm_core.datasets import load_dataset
from ddm_core.errors import RequestError
from ddm_core.systems import load_system
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System


@pytest.fixture(scope="module")
def digits() -> System:
    return load_system("digits")


def trained_on(system: System, **training: Any) -> System:
    """The same system that says that it was trained on something else."""
    return dataclasses.replace(system, info={"training": training})


def photographs(folder: Path, count: int) -> Path:
    """A folder of grey pictures of noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        pixels = random.integers(256, size=(8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return folder


def test_points_come_from_the_mixture_with_their_part() -> None:
    settings = RingSettings(experts=4, spread=0.05)
    real = held_out(ring(settings), 4000)
    assert real.x_0.dtype == torch.float64
    assert real.source == "4,000 exact draws from the mixture"
    away = real.x_0 - ring(settings).clusters.centroids[real.clusters]
    assert float(away.std()) == pytest.approx(0.05, rel=0.03)
    assert float(away.mean().abs()) < 0.003
    counts = torch.bincount(real.clusters, minlength=4)
    assert float((counts - 1000).abs().max()) < 5 * 1000**0.5


def test_the_seed_decides_which(digits: System) -> None:
    for system in (digits, ring()):
        first, again, other = (held_out(system, 20, seed=seed) for seed in (0, 0, 1))
        assert torch.equal(first.x_0, again.x_0)
        assert not torch.equal(first.x_0, other.x_0)


def test_images_are_of_the_test_split_and_go_to_the_nearest_centroid(digits: System) -> None:
    test, train = (load_dataset("digits", split=split).images for split in ("test", "train"))
    real = held_out(digits, 100)
    assert real.source == f"100 of {len(test)} test images of digits"
    assert (float(real.x_0.min()), float(real.x_0.max())) == (-1.0, 1.0)
    held = {x.tobytes() for x in test.numpy()} - {x.tobytes() for x in train.numpy()}
    images = ((real.x_0 + 1) * 127.5).round().to(torch.uint8).numpy()
    # Two people may have drawn the same digit; all others are known to be unseen.
    assert sum(image.tobytes() in held for image in images) >= 99
    phi = digits.clusters.features(real.x_0)
    far = (phi[:, None] - digits.clusters.feature_centroids).norm(dim=2)
    assert torch.equal(real.clusters, far.argmin(dim=1))


def test_the_clusters_of_all_held_out_images_are_those_of_training(digits: System) -> None:
    real = held_out(digits, 10**6)
    assert real.source == "all test images of digits"
    counts = torch.bincount(real.clusters, minlength=8).tolist()
    assert counts == digits.info["held_out"]["images_by_cluster"]


def test_mnist_is_found_by_argument_and_by_variable(
    mnist_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = load_system("mnist")
    monkeypatch.delenv("DDM_DATA", raising=False)
    given = held_out(system, 8, data=mnist_folder)
    monkeypatch.setenv("DDM_DATA", str(mnist_folder))
    assert torch.equal(held_out(system, 8).x_0, given.x_0)
    assert given.x_0.shape == (8, 1, 28, 28)


def test_missing_files_are_told_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DDM_DATA", raising=False)
    with pytest.raises(RequestError) as caught:
        held_out(load_system("mnist"), 8)
    said = str(caught.value)
    assert "'mnist'" in said
    assert "--data" in said
    assert "DDM_DATA" in said
    assert "t10k-images-idx3-ubyte[.gz] in data" in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_pictures_is_named_or_lies_among_the_data(
    digits: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photographs(tmp_path / "data" / "photos", 30)
    system = trained_on(digits, dataset="photos", images=27)
    monkeypatch.delenv("DDM_DATA", raising=False)
    with pytest.raises(RequestError, match="of 'photos' are missing: name the folder"):
        held_out(system, 10)
    given = held_out(system, 10, data=folder)
    assert given.x_0.shape == (3, 1, 8, 8)
    monkeypatch.setenv("DDM_DATA", str(tmp_path / "data"))
    assert torch.equal(held_out(system, 10).x_0, given.x_0)


def test_a_folder_that_grew_is_refused(digits: System, tmp_path: Path) -> None:
    """Its split is another one: images that were trained on would pass for held out."""
    folder = photographs(tmp_path / "photos", 45)
    system = trained_on(digits, dataset="photos", images=27)
    with pytest.raises(RequestError, match="other images than those that were trained on"):
        held_out(system, 10, data=folder)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({}, "does not say which data it was trained on"),
        ({"training": "yes"}, "does not say which data it was trained on"),
        ({"training": {"dataset": "mnist"}}, r"are \[1, 28, 28\], those of system 'digits' are"),
    ],
)
def test_what_does_not_fit_is_told(
    digits: System, info: dict[str, Any], told: str, mnist_folder: Path
) -> None:
    with pytest.raises(RequestError, match=told):
        held_out(dataclasses.replace(digits, info=info), 8, data=mnist_folder)


def test_nothing_is_too_few(digits: System) -> None:
    for system in (digits, ring()):
        with pytest.raises(RequestError, match="0 held-out items are too few"):
            held_out(system, 0)
