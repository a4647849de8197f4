"""Features and references: torch-fidelity's own numbers, files that come back, clear refusals."""

from __future__ import annotations

import dataclasses
import math
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_sets import Points, Rows, normal, pictures, real, write_labelled, write_unlabelled
from safetensors.torch import load_file, save_file

from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics import (
    Evidence,
    extract_features,
    gather,
    load_extractor,
    load_reference,
    measure,
    measure_evidence,
    reference_from_images,
    save_reference,
)
from ddm_core.metrics.extractors.coordinates import Coordinates
from ddm_core.metrics.extractors.inception import VARIABLE
from ddm_core.quality import yardstick
from ddm_core.systems import load_system


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    return write_unlabelled(tmp_path / "unlabelled")


# Against torch-fidelity


def test_our_loop_gives_torch_fidelitys_numbers(labelled: Path) -> None:
    # Late: it takes seconds to import, and every worker reads every file.
    import torch_fidelity

    generated, data = pictures(300, 1), pictures(420, 2)
    extractor = load_extractor("own", labelled)
    reference = reference_from_images(extractor, data, split="pictures", batch=37)
    names = ["fid", "kid:subset_size=200", "precision", "recall"]
    found = measure(names, generated, reference, extractor, batch=64, replicates=5)
    theirs = torch_fidelity.calculate_metrics(
        input1=Rows(generated),
        input2=Rows(data),
        feature_extractor="small-convnet",
        feature_extractor_weights_path=str(labelled / "features.safetensors"),
        fid=True,
        kid=True,
        kid_subset_size=200,
        prc=True,
        cache=False,
        cuda=False,
        save_cpu_ram=True,
        verbose=False,
    )
    keys = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "precision": "precision",
        "recall": "recall",
    }
    assert 0 < found["recall"].value < 1  # otherwise equality would say nothing
    for name, key in keys.items():
        assert found[name].value == pytest.approx(theirs[key], rel=1e-6), name


def test_registering_twice_is_once(labelled: Path) -> None:
    # Not at the top: it takes two seconds of every process that only looks for tests.
    from ddm_core.metrics.fidelity.network import register_network

    load_extractor("own", labelled)
    load_extractor("small-convnet", labelled)
    with pytest.raises(RequestError, match="has an extractor 'vgg16' already"):
        register_network("vgg16")


# Features


def test_grey_and_colour_and_size_are_settled(labelled: Path) -> None:
    extractor = load_extractor("own", labelled)
    grey = pictures(6, 1)
    features = extract_features(extractor, grey, batch=4)
    assert features.shape == (6, 16)
    assert features.dtype == np.float32
    colour = extract_features(extractor, grey.expand(-1, 3, -1, -1))
    assert colour == pytest.approx(features, abs=1e-6)
    large = grey.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert extract_features(extractor, large).shape == (6, 16)
    for wrong in (grey.float(), grey[0], grey.expand(-1, 2, -1, -1)):
        with pytest.raises(RequestError, match="needs images uint8"):
            extract_features(extractor, wrong)


def test_components_are_the_features_of_an_unlabelled_system(unlabelled: Path) -> None:
    extractor = load_extractor("small-pca", unlabelled)
    images = pictures(5, 3)
    map_ = load_file(unlabelled / "clusters.safetensors")
    x = images.flatten(1).float() / 127.5 - 1
    expected = ((x - map_["mean"]) @ map_["components"].T).numpy()
    assert extractor.dims == 5
    assert extract_features(extractor, images) == pytest.approx(expected, abs=1e-5)


def test_shipped_extractor_and_reference_fit() -> None:
    folder = Path(__file__).resolve().parents[1] / "checkpoints" / "digits"
    extractor = load_extractor("own", folder)
    reference = load_reference(folder / "reference" / f"{extractor.name}.safetensors")
    assert reference.weights == extractor.weights
    assert reference.features.shape[1] == extractor.dims


def test_progress_counts_every_sample() -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    extract_features(Points(2), torch.zeros(25, 2), batch=10, progress=progress)
    assert seen == [(10, 25), (20, 25), (25, 25)]


def test_extraction_can_be_cancelled() -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(WorkError, match="cancelled after 20 of 100"):
        extract_features(Points(2), torch.zeros(100, 2), batch=10, should_stop=stop)


# References


def test_reference_comes_back_from_its_file(tmp_path: Path) -> None:
    images = torch.from_numpy(normal(40, 2, 0))
    made = reference_from_images(Coordinates(), images, split="exact draws", keep=15, seed=3)
    assert made.n == 40
    assert made.mu == pytest.approx(images.numpy().mean(axis=0))
    # A subset in the order of the images.
    rows = [np.flatnonzero((images.numpy() == row).all(axis=1))[0] for row in made.features]
    assert len(rows) == 15
    assert rows == sorted(rows)
    path = save_reference(tmp_path / "reference", made)
    assert path == tmp_path / "reference" / "coordinates.safetensors"
    back = load_reference(path)
    assert back.content == made.content
    fields = ("extractor", "weights", "split", "n")
    assert [getattr(back, f) for f in fields] == [getattr(made, f) for f in fields]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_reference_of_a_folder_is_found_by_name(tmp_path: Path) -> None:
    points = torch.from_numpy(normal(40, 2, 0))
    made = reference_from_images(Coordinates(), points, split="exact draws")
    save_reference(tmp_path, made)
    found = measure(["fid"], points[:20], tmp_path, Coordinates(), replicates=5)
    direct = measure(["fid"], points[:20], made, Coordinates(), replicates=5)
    assert found == direct


def test_what_the_ring_is_compared_with_is_told_by_metric() -> None:
    stick = yardstick(load_system("ring"), device="cpu")
    few = dataclasses.replace(stick.reference, features=stick.reference.features[:50])
    evidence = Evidence(normal(30, 2, 0), few, replicates=5)
    found = measure_evidence(["fid", "energy_distance"], evidence)
    mixture = "the ring's mixture of Gaussians (reference "
    told = f"against mean and covariance in closed form of {mixture}"
    assert told in found["fid"].protocol
    assert f"against 50 draws from {mixture}" in found["energy_distance"].protocol


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path: Path) -> None:
    save_file({"mu": torch.zeros(2)}, path)


def misfit(path: Path) -> None:
    about = {"extractor": "coordinates", "weights": "0", "split": "x", "n": "3"}
    tensors = {"mu": torch.zeros(2), "sigma": torch.eye(3), "features": torch.zeros(3, 2)}
    save_file(tensors, path, about)


@pytest.mark.parametrize("spoil", [cut, foreign, misfit, Path.unlink])
def test_spoilt_reference_is_named(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    made = real(normal(10, 2, 0))
    path = save_reference(tmp_path, made)
    spoil(path)
    with pytest.raises(RequestError, match=r"made-up\.safetensors"):
        load_reference(path)


# Wrong requests


def test_wrong_requests_are_sentences() -> None:
    points = torch.zeros(1, 2)
    reference = real(normal(10, 2, 0))
    with pytest.raises(RequestError, match=r"no metric 'fidd'; there are: .*fid, kid"):
        measure(["fidd"], points, reference, Points(2))
    with pytest.raises(RequestError, match="at least 2 samples, not 1"):
        measure(["fid"], points, reference, Points(2))
    with pytest.raises(RequestError, match="needs more than 3 samples, not 3"):
        measure(["recall"], torch.rand(3, 2), reference, Points(2))
    with pytest.raises(RequestError, match=r"made with 'made-up'.*measured with 'coordinates'"):
        gather(torch.zeros(5, 2), reference, Coordinates())
    with pytest.raises(RequestError, match="2 each"):
        Evidence(normal(5, 3, 0), reference)
    with pytest.raises(RequestError, match="at least 2 images"):
        reference_from_images(Points(2), points, split="x")


def test_samples_that_are_no_numbers_are_counted() -> None:
    points = torch.zeros(5, 2)
    points[3] = math.nan
    with pytest.raises(WorkError, match="1 of 5 samples"):
        measure(["fid"], points, real(normal(10, 2, 0)), Points(2))
    with pytest.raises(WorkError, match="1 of 5 samples"):
        Evidence(points.numpy(), real(normal(10, 2, 0)))


def test_unknown_extractor_names_those_that_are_there(labelled: Path) -> None:
    with pytest.raises(RequestError, match=r"no extractor 'vgg'; .*inception.*small-convnet"):
        load_extractor("vgg", labelled)
    with pytest.raises(RequestError, match="no feature extractor of its own"):
        load_extractor("own")


def test_damaged_extractor_is_refused(labelled: Path, tmp_path: Path) -> None:
    for name in ("system.toml", "features.safetensors"):
        (tmp_path / name).write_bytes((labelled / name).read_bytes())
    raw = bytearray((tmp_path / "features.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "features.safetensors").write_bytes(raw)
    with pytest.raises(RequestError, match=r"features\.safetensors is damaged or foreign"):
        load_extractor("own", tmp_path)


def test_inception_only_loads_the_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere.pth"))
    with pytest.raises(RequestError, match=r"no file .*nowhere\.pth"):
        load_extractor("inception")
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    with pytest.raises(RequestError, match="is not torch-fidelity's Inception"):
        load_extractor(f"inception:weights={other}")


def test_inception_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WorkError, match=rf"cannot be downloaded .*{VARIABLE}=PATH"):
        load_extractor("inception")
