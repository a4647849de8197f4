"""Checkpoints: what is shipped loads, and whatever is damaged or foreign is refused by name."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from safetensors.torch import load_file, save_file

from ddm_core.errors import RequestError
from ddm_core.nets import build
from ddm_core.systems.checkpoint import load_checkpoint
from ddm_core.systems.manifest import read_manifest, write_manifest

NETWORKS = {
    "expert": {"backbone": "unet", "settings": {"channels": 1, "widths": [8, 16], "classes": 2}},
    "router": {"backbone": "router", "settings": {"channels": 1, "size": 8, "experts": 2}},
    "features": {"backbone": "convnet", "settings": {"channels": 1, "size": 8, "classes": 2}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small untrained checkpoint."""
    folder = tmp_path / "tiny"
    (folder / "reference").mkdir(parents=True)
    torch.manual_seed(0)
    for name, network in [
        ("expert_0", "expert"),
        ("expert_1", "expert"),
        ("monolith", "expert"),
        ("router", "router"),
        ("features", "features"),
    ]:
        net = build(NETWORKS[network]["backbone"], NETWORKS[network]["settings"])
        save_file(net.state_dict(), folder / f"{name}.safetensors")
    clusters = {
        "mean": torch.zeros(64),
        "components": torch.eye(3, 64),
        "feature_centroids": torch.zeros(2, 3),
        "centroids": torch.zeros(2, 1, 8, 8),
        "sizes": torch.tensor([5, 3]),
        "spread": torch.tensor(0.5),
        "feature_spread": torch.tensor(1.5),
        "examples": torch.zeros(2, 16, 1, 8, 8, dtype=torch.uint8),
    }
    save_file(clusters, folder / "clusters.safetensors")
    save_file({"mu": torch.zeros(64)}, folder / "reference" / "tiny-convnet.safetensors")
    info = {
        "name": "tiny",
        "description": "a system for tests",
        "shape": [1, 8, 8],
        "schedule": "linear",
        "prediction": "v",
        "mix": "v",
        "labels": ["a [1], b", "b"],
        "extractor": "tiny-convnet",
        "networks": {**NETWORKS, "monolith": NETWORKS["expert"]},
        "clusters": {"features": "pca", "sizes": [5, 3]},
        "held_out": {"loss": [[0.5, 1.0], [2.0, float("nan")]]},
    }
    write_manifest(folder, info)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "system.toml"
    info = tomllib.loads(path.read_text())
    change(info)
    path.write_text(tomli_w.dumps(info))


def change_tensors(
    folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]
) -> None:
    """Change a file and give it its right hash: only its content is wrong then."""
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    write_manifest(folder, read_manifest(folder)[1])


def test_a_system_is_what_its_folder_says(folder: Path) -> None:
    system = load_checkpoint(folder)
    assert (system.name, system.shape, len(system.experts)) == ("tiny", (1, 8, 8), 2)
    assert system.labels == ("a [1], b", "b")
    assert system.clusters.sizes == (5, 3)
    assert system.clusters.proportions.tolist() == [0.625, 0.375]
    assert system.monolith is not None
    assert system.router is not None
    assert system.info["held_out"]["loss"][0] == [0.5, 1.0]
    stem = load_file(folder / "expert_1.safetensors")["stem.weight"]
    assert torch.equal(system.experts[1].get_submodule("net.stem").weight, stem)
    assert not any(p.requires_grad for expert in system.experts for p in expert.parameters())


def test_the_digest_is_that_of_what_decides_a_sample(folder: Path) -> None:
    before = load_checkpoint(folder).digest
    rewrite(folder, lambda info: info.update(description="other words"))
    assert load_checkpoint(folder).digest == before
    change_tensors(folder, "router.safetensors", lambda t: t["head.bias"].add_(1))
    assert load_checkpoint(folder).digest != before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


FILES = ["expert_1", "monolith", "router", "clusters"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink, lambda p: p.write_bytes(b"")])
def test_damaged_files_are_named(
    folder: Path, name: str, damage: Callable[[Path], object]
) -> None:
    damage(folder / f"{name}.safetensors")
    with pytest.raises(RequestError, match=f"{name}.safetensors is (damaged|missing)") as error:
        load_checkpoint(folder)
    assert "\n" not in str(error.value)
    assert str(error.value).count(name) == 1  # one reason, not one wrapped in another


@pytest.mark.parametrize("name", ["features.safetensors", "reference/tiny-convnet.safetensors"])
def test_files_beside_the_system_are_checked_too(folder: Path, name: str) -> None:
    flip(folder / name)
    with pytest.raises(RequestError, match=f"{name} is damaged"):
        load_checkpoint(folder)


def test_clusters_of_an_earlier_version_are_told(folder: Path) -> None:
    change_tensors(folder, "clusters.safetensors", lambda tensors: tensors.pop("feature_spread"))
    with pytest.raises(RequestError, match=r"clusters.safetensors is of an earlier version"):
        load_checkpoint(folder)


def test_an_expert_of_another_place_is_foreign(folder: Path) -> None:
    shutil.copy(folder / "expert_0.safetensors", folder / "expert_1.safetensors")
    with pytest.raises(RequestError, match=r"expert_1.safetensors is damaged or foreign"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.popitem(), "lacks the tensor"),
        (lambda t: t.update(virus=torch.zeros(1)), "holds a foreign tensor 'virus'"),
        (lambda t: t.update({min(t): t[min(t)][:0].clone()}), "is torch.float32 .* not"),
        (lambda t: t.update({min(t): t[min(t)].double()}), "is torch.float64 .* not"),
        (lambda t: t[min(t)].fill_(float("nan")), "numbers that are not finite"),
        (lambda t: t[min(t)].fill_(float("inf")), "numbers that are not finite"),
    ],
)
def test_wrong_tensors_are_refused_although_their_hash_is_right(
    folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object], sentence: str
) -> None:
    change_tensors(folder, f"{name}.safetensors", change)
    with pytest.raises(RequestError, match=f"{name}.safetensors.*{sentence}"):
        load_checkpoint(folder)


def test_something_else_with_the_right_hash_is_no_safetensors_file(folder: Path) -> None:
    (folder / "expert_0.safetensors").write_bytes(b"\x80\x04K*.")  # a pickle
    write_manifest(folder, read_manifest(folder)[1])
    with pytest.raises(RequestError, match=r"expert_0.safetensors is no safetensors file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i.update(format=2), "format"),
        (lambda i: i.pop("shape"), "shape"),
        (lambda i: i.update(shape=[1, 8, 9]), "mean"),
        (lambda i: i.update(schedule="straight"), "no schedule 'straight'; there are: cosine"),
        (lambda i: i.update(prediction="eps"), "'linear' begins with nothing but noise"),
        (lambda i: i.update(prediction="w"), "prediction"),
        (lambda i: i.update(extractor="../../x"), "extractor"),
        (lambda i: i["networks"]["expert"].update(backbone="os"), "no backbone 'os'; there are"),
        (lambda i: i["networks"]["expert"]["settings"].update(depth=3), "depth"),
        (lambda i: i["networks"]["expert"]["settings"].update(widths=[]), "settings"),
        (lambda i: i["networks"]["expert"]["settings"].update(patch=0), "settings"),
        (
            lambda i: i["networks"]["expert"]["settings"].update(widths=[8, 10**6]),
            "larger than its file",
        ),
        (lambda i: i["networks"]["router"]["settings"].update(experts=3), "router"),
        (lambda i: i["clusters"].update(sizes=[5, 4]), "sizes"),
        (lambda i: i["clusters"].update(sizes=[5, 3, 1]), "expert_2.safetensors is missing"),
        (lambda i: i["clusters"].update(sizes=[]), "sizes"),
        (lambda i: i["clusters"].update(features="pixels"), "components"),
        (lambda i: i["files"].pop("monolith.safetensors"), "monolith.safetensors is not listed"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(RequestError, match=sentence) as error:
        load_checkpoint(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "format = ", "\x00", "format = 1"])
def test_broken_manifests_are_named(folder: Path, text: str) -> None:
    (folder / "system.toml").write_text(text)
    with pytest.raises(RequestError, match=r"system\.toml"):
        load_checkpoint(folder)


def test_a_folder_without_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"is no checkpoint: it has no system\.toml"):
        load_checkpoint(tmp_path)


SHIPPED = sorted((Path(__file__).parents[1] / "checkpoints").glob("*/system.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_systems_are_whole(path: Path) -> None:
    system = load_checkpoint(path.parent)
    manifest, info = read_manifest(path.parent)
    assert {p.name for p in path.parent.rglob("*.safetensors")} == {
        Path(name).name for name in manifest.files
    }
    assert sum(manifest.clusters.sizes) == info["training"]["images"]
    parts = info["training"]["parts"]
    experts = [parts[f"expert_{k}"]["samples"] for k in range(manifest.experts)]
    assert parts["monolith"]["samples"] == sum(experts)
    # Each expert is at its best on its own cluster, and better there than the others.
    losses = torch.tensor(info["held_out"]["expert_loss"])
    own = torch.arange(len(losses))
    assert torch.equal(losses.argmin(dim=0), own)
    assert info["held_out"]["classifier_accuracy"] > 0.98
    assert system.clusters.examples is not None


def test_all_shipped_files_are_small_enough() -> None:
    assert SHIPPED
    size = sum(
        file.stat().st_size
        for path in SHIPPED
        for file in path.parent.rglob("*")
        if file.is_file()
    )
    assert size <= 64 * 2**20
