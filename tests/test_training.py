"""Training: resumption, isolation, joining, small clusters, and what it refuses."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ddm_core.analysis import parts as audit_parts
from ddm_core.analysis import plan
from ddm_core.analysis.audit import audit
from ddm_core.analysis.plan import Request
from ddm_core.datasets import load_dataset
from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics.extractors.weights import load_own
from ddm_core.store import Store
from ddm_core.systems.checkpoint import load_checkpoint
from ddm_core.systems.manifest import read_manifest
from ddm_core.training import TrainConfig, TrainProgress, train_system
from ddm_core.training.clusters import find_clusters
from ddm_core.training.parts import part_path, train_part
from ddm_core.training.plan import PartPlan, Plan, expert_settings

PARTS = ["features", "router", "expert:0", "expert:1", "expert:2", "monolith"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 grey 8x8 images in two classes: dark ones, bright ones, and three with a white corner."""
    folder = tmp_path_factory.mktemp("data") / "pictures"
    rng = np.random.default_rng(1)
    for index in range(48):
        array = rng.integers(0, 40, (8, 8)) + (180 if index % 2 else 0)
        if index < 3:
            array = np.zeros((8, 8))
            array[:4, :4] = 255
        path = folder / ("bright" if index % 2 else "dark") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def config(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("straight") / "tiny"
    settings = {"size": 8, "experts": 3, "steps": 4, "batch": 4, "precision": "fp32"}
    return TrainConfig(str(pictures), out=out, workers=1, **settings)


@pytest.fixture(scope="module")
def trained(config: TrainConfig) -> tuple[Path, list[TrainProgress]]:
    """A system that was trained in one go, and what it said meanwhile."""
    said: list[TrainProgress] = []
    return train_system(config, progress=said.append), said


def silent(progress: TrainProgress) -> None:
    del progress


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{part}/{key}": value
        for part in PARTS
        for key, value in load_file(part_path(folder, part)).items()
    }


def assert_same(folder: Path, other: Path) -> None:
    mine, theirs = weights(folder), weights(other)
    assert mine.keys() == theirs.keys()
    different = [key for key in mine if not torch.equal(mine[key], theirs[key])]
    assert not different


def test_a_folder_becomes_a_system(trained: tuple[Path, list[TrainProgress]]) -> None:
    folder, said = trained
    system = load_checkpoint(folder)
    assert system.shape == (1, 8, 8)
    assert system.labels == ("bright", "dark")
    assert sum(system.clusters.sizes) == 44  # a tenth is held out
    assert len(system.experts) == 3
    x, t = torch.zeros(2, 1, 8, 8), torch.full((2,), 0.5)
    assert system.experts[0](x, t).shape == x.shape
    assert system.router is not None
    assert system.router(x, t).shape == (2, 3)
    assert load_own(folder).net.features(x).shape == (2, 64)
    stages = list(dict.fromkeys(one.stage for one in said))
    order = ["data", "clusters", "networks", "reference", "experts", "figures", "assemble"]
    assert stages == order
    last = [one for one in said if one.stage == "experts"][-1]
    assert last.done == last.total == 3 * 4 + 12
    assert not folder.with_name("tiny.partial").exists()


def test_the_monolith_sees_what_all_experts_see(
    trained: tuple[Path, list[TrainProgress]],
) -> None:
    parts = read_manifest(trained[0])[1]["training"]["parts"]
    experts = sum(parts[f"expert_{k}"]["samples"] for k in range(3))
    assert parts["monolith"]["samples"] == experts == 3 * 4 * 4


def test_the_reference_is_that_of_the_training_images(
    trained: tuple[Path, list[TrainProgress]], config: TrainConfig
) -> None:
    folder, _ = trained
    images = load_dataset(config.dataset, size=8).images
    with torch.no_grad():
        features = load_own(folder).net.features(images / 127.5 - 1).double()
    reference = load_file(folder / "reference" / "tiny-convnet.safetensors")
    torch.testing.assert_close(reference["mu"].double(), features.mean(dim=0), rtol=1e-5, atol=0)
    torch.testing.assert_close(reference["sigma"], torch.cov(features.T), rtol=1e-4, atol=1e-9)
    assert len(reference["features"]) == len(reference["clusters"]) == len(images)


def test_stopped_and_resumed_is_straight(
    trained: tuple[Path, list[TrainProgress]], config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, out=tmp_path / "tiny")
    for questions in (1, 60, 50, 7, 3):
        left = iter(range(questions))
        with pytest.raises(WorkError, match="the same command goes on with it"):
            train_system(
                config, progress=silent, should_stop=lambda left=left: next(left, None) is None
            )
    train_system(config, progress=silent)
    assert_same(trained[0], tmp_path / "tiny")


def test_killed_with_its_workers_and_resumed_is_straight(
    trained: tuple[Path, list[TrainProgress]], config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, out=tmp_path / "tiny", workers=2)
    code = (
        "from pathlib import PosixPath, WindowsPath\n"
        "from ddm_core.training import TrainConfig, train_system\n"
        "if __name__ == '__main__':\n"
        f"    train_system({config!r}, progress=lambda p: print(p.stage, p.done, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("networks"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    # The workers notice that their parent is gone; until then they hold nothing that we need.
    time.sleep(1)
    train_system(dataclasses.replace(config, workers=1), progress=silent)
    assert_same(trained[0], tmp_path / "tiny")


def test_parts_from_other_machines_are_joined(
    trained: tuple[Path, list[TrainProgress]], config: TrainConfig, tmp_path: Path
) -> None:
    here = dataclasses.replace(config, out=tmp_path / "here" / "tiny")
    there = dataclasses.replace(config, out=tmp_path / "there" / "tiny")
    partial = train_system(dataclasses.replace(there, only="expert:2"), progress=silent)
    assert not part_path(partial, "expert:1").exists()
    mine = train_system(dataclasses.replace(here, only="clusters"), progress=silent)
    part_path(partial, "expert:2").rename(part_path(mine, "expert:2"))
    assert_same(trained[0], train_system(here, progress=silent))


def test_a_part_of_other_clusters_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    here = dataclasses.replace(config, out=tmp_path / "tiny")
    folder = train_system(dataclasses.replace(here, only="expert:2"), progress=silent)
    part_path(folder, "expert:2").rename(part_path(folder, "expert:0"))
    with pytest.raises(RequestError, match=r"expert_0.safetensors was trained on"):
        train_system(here, progress=silent)


def tiny_plan() -> Plan:
    parts = {
        f"expert:{k}": PartPlan("unet", expert_settings((1, 8, 8), 0), 3, 4, 1e-3) for k in (0, 1)
    }
    return Plan("t", "t", "", (1, 8, 8), (), 2, 5, "fp32", "cpu", parts)


def test_an_expert_depends_on_its_own_cluster_alone(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        save_file({"train_images": images}, folder / "data.safetensors")
        save_file({"train": torch.arange(20) % 2}, folder / "assignment.safetensors")
        train_part(tiny_plan(), folder, "expert:1", 3, lambda step, loss: None, lambda: False)
        found.append(load_file(part_path(folder, "expert:1")))
        images = images.clone()
        images[::2] = 255 - images[::2]
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    images[1] = 255 - images[1]
    save_file({"train_images": images}, tmp_path / "two" / "data.safetensors")
    part_path(tmp_path / "two", "expert:1").unlink()
    train_part(
        tiny_plan(), tmp_path / "two", "expert:1", 3, lambda step, loss: None, lambda: False
    )
    other = load_file(part_path(tmp_path / "two", "expert:1"))
    assert not torch.equal(found[0]["stem.weight"], other["stem.weight"])


def test_three_images_are_a_cluster(pictures: Path) -> None:
    images = load_dataset(pictures, size=8).images
    clusters = find_clusters(images, 3, seed=0)
    assert clusters["sizes"].tolist()[-1] <= 3
    members = clusters["assignment"] == 2
    mean = (images[members] / 127.5 - 1).mean(dim=0)
    torch.testing.assert_close(clusters["centroids"][2], mean)


def test_the_number_of_clusters_is_found() -> None:
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (5, 1, 8, 8))
    noisy = centres[np.arange(200) % 5] + rng.normal(0, 5, (200, 1, 8, 8))
    images = torch.from_numpy(noisy.clip(0, 255).astype(np.uint8))
    assert len(find_clusters(images, "auto", seed=0)["sizes"]) == 5


def test_equal_images_are_no_clusters() -> None:
    images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    images[:10] = 255
    with pytest.raises(RequestError, match="too alike for 3 clusters"):
        find_clusters(images, 3, seed=0)


def test_other_requests_do_not_mix(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, out=tmp_path / "tiny", only="clusters")
    train_system(config, progress=silent)
    with pytest.raises(RequestError, match="another request"):
        train_system(dataclasses.replace(config, seed=7), progress=silent)


def test_a_folder_of_something_else_is_not_replaced(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RequestError, match="no checkpoint"):
        train_system(dataclasses.replace(config, out=tmp_path / "mine"), progress=silent)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"experts": 1}, "at least 2"),
        ({"experts": "many"}, "'auto' or at least 2"),
        ({"steps": 0}, "steps must be greater than 0"),
        ({"lr": float("nan")}, "lr must be greater than 0"),
        ({"only": "expert:9"}, "no part 'expert:9'; there are: clusters, features"),
        ({"experts": 60}, "44 training images are too few for 60 clusters"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"size": 7}, "multiple of 4"),
        ({"dataset": "nowhere"}, "no dataset 'nowhere'; there are: digits, mnist"),
    ],
)
def test_impossible_requests(
    config: TrainConfig, tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    request = {**dataclasses.asdict(config), "out": tmp_path / "tiny", **settings}
    with pytest.raises(RequestError, match=sentence):
        train_system(TrainConfig(**request), progress=silent)


def test_an_infinite_loss_ends_the_training(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    save_file({"train_images": images}, tmp_path / "data.safetensors")
    save_file({"train": torch.arange(20) % 2}, tmp_path / "assignment.safetensors")
    plan = tiny_plan()
    wild = dataclasses.replace(plan.parts["expert:0"], lr=1e30)
    plan = dataclasses.replace(plan, parts={"expert:0": wild})
    with pytest.raises(WorkError, match="expert:0 fails: the loss is not finite"):
        train_part(plan, tmp_path, "expert:0", 3, lambda step, loss: None, lambda: False)


def test_digits_are_split_once() -> None:
    train, test = load_dataset("digits"), load_dataset("digits", split="test")
    assert (len(train.images), len(test.images)) == (1438, 359)
    assert train.images.dtype == torch.uint8
    assert int(train.images.max()) == 255
    assert torch.equal(train.images, load_dataset("digits").images)


def test_mnist_is_read_from_its_files(mnist_folder: Path) -> None:
    images = load_dataset("mnist", split="test", folder=mnist_folder)
    assert images.images.shape == (10_000, 1, 28, 28)
    assert images.labels is not None
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(images.labels).tolist() == counts


def test_a_zip_is_the_folder(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(pictures.rglob("*.png")):
            archive.write(file, file.relative_to(pictures))
        archive.writestr("dark/zz.png", b"no image")
        archive.writestr("../../outside.txt", b"never written")
    zipped, plain = load_dataset(path, size=8), load_dataset(pictures, size=8)
    assert torch.equal(zipped.images, plain.images)
    assert zipped.label_names == plain.label_names
    assert (zipped.skipped, plain.skipped) == (1, 0)
    assert not (tmp_path.parent / "outside.txt").exists()


def test_pictures_are_cropped_and_coloured(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40, 0] = 255
    for index in range(10):
        Image.fromarray(wide).save(tmp_path / f"{index}.png")
    colour = load_dataset(tmp_path, size=8)
    assert colour.images.shape == (9, 3, 8, 8)
    assert colour.labels is None
    assert colour.images[0, :, 4, 4].tolist() == [255, 0, 0]
    assert load_dataset(tmp_path, size=8, grey=True).images.shape == (9, 1, 8, 8)


@pytest.mark.parametrize(
    "raw", [b"", b"\x00\x00\x08\x01", b"\x00\x00\x08\x03" + bytes(20), b"no idx at all"]
)
def test_damaged_idx_files_are_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(raw)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(raw)
    with pytest.raises(RequestError, match="train-images-idx3-ubyte"):
        load_dataset("mnist", folder=tmp_path)


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(RequestError, match=r"no readable image .* 1 could not be read"):
        load_dataset(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(RequestError, match=r"neither a folder nor a \.zip"):
        load_dataset(tmp_path / "a.zip")


def test_a_system_that_nobody_tuned_is_audited(
    trained: tuple[Path, list[TrainProgress]],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained a moment ago on a folder: every claim has its verdict, its interval and its n."""
    monkeypatch.setattr(plan, "SENSITIVE_IMAGES", 3)
    monkeypatch.setattr(audit_parts, "LEVELS", (0.5,))
    request = Request(
        system=str(trained[0]), num=32, steps=4, budget=1, map=False, data=str(pictures)
    )
    _, found = audit(
        request, Store(tmp_path), on_state=lambda state: None, should_stop=lambda: False
    )
    assert [claim["claim"] for claim in found["claims"]] == [1, 2, 3, 4]
    for claim in found["claims"]:
        assert claim["low"] <= claim["effect"] <= claim["high"]
        assert claim["n"] > 1
    assert all(route["failed"] is None for route in found["routes"])
    assert found["plan"]["truth_source"]
    assert found["disagreement"]["pixels"] is not None
    assert any("training images" in one for one in found["health"])  # clusters of a handful
