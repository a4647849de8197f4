"""Trainings of one checkpoint at the same time, and what a refused one leaves behind."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ddm_core import disk
from ddm_core.errors import RequestError, WorkError
from ddm_core.training import TrainConfig, TrainProgress, train_system
from ddm_core.training.loop import write_tensors
from ddm_core.training.plan import Plan

TINY = TrainConfig("digits", experts=2, steps=2, batch=4, workers=1, monolith=False, device="cpu")


def silent(progress: TrainProgress) -> None:
    del progress


def at(folder: Path, **changes: object) -> TrainConfig:
    """The tiny training with another folder to go to."""
    return dataclasses.replace(TINY, out=folder / "tiny", precision="fp32", **changes)


def planned(partial: Path) -> Plan:
    return Plan.from_json((partial / "plan.json").read_text())


def test_a_second_training_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    alone = train_system(at(tmp_path / "alone"), progress=silent)
    refusals: list[str] = []

    def meanwhile(progress: TrainProgress) -> None:
        if progress.total:
            return
        with pytest.raises(WorkError, match="another training is at work in ") as refused:
            train_system(at(tmp_path), progress=silent)
        refusals.append(str(refused.value))

    disturbed = train_system(at(tmp_path), progress=meanwhile)
    assert len(refusals) >= 4
    assert set(refusals) == {
        f"another training is at work in {tmp_path / 'tiny.partial'}: wait for it, or choose "
        "another --out"
    }
    files = sorted(path.relative_to(alone) for path in alone.rglob("*.safetensors"))
    assert files
    for file in files:
        one, other = load_file(alone / file), load_file(disturbed / file)
        assert all(torch.equal(one[key], other[key]) for key in one | other), file
    # And the place is free again.
    assert not (tmp_path / "tiny.partial").exists()
    train_system(at(tmp_path, only="clusters"), progress=silent)


def test_another_process_is_refused_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ddm_core", "train", "digits", "--out", tmp_path / "tiny"]
    said: list[subprocess.CompletedProcess[str]] = []

    def meanwhile(progress: TrainProgress) -> None:
        if progress.stage == "clusters":
            said.append(subprocess.run(command, capture_output=True, text=True, timeout=120))

    train_system(at(tmp_path, only="clusters"), progress=meanwhile)
    (refused,) = said
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("error: another training is at work in ")
    assert refused.stderr.count("\n") == 1
    assert planned(tmp_path / "tiny.partial").experts == 2


def test_what_a_killed_training_left_is_no_obstacle(tmp_path: Path) -> None:
    partial = train_system(at(tmp_path, only="clusters"), progress=silent)
    here = disk.owner().partition("-")[0]
    mark = partial / f".at-work-abcdef.{here}-1-1"
    mark.touch()
    train_system(at(tmp_path, only="clusters"), progress=silent)
    assert not mark.exists()


def test_a_training_of_another_machine_is_named(tmp_path: Path) -> None:
    partial = train_system(at(tmp_path, only="clusters"), progress=silent)
    mark = partial / ".at-work-abcdef.00000000-1-1"
    mark.touch()
    with pytest.raises(WorkError) as refused:
        train_system(at(tmp_path), progress=silent)
    assert f"delete {mark}" in str(refused.value)
    mark.unlink()
    train_system(at(tmp_path, only="clusters"), progress=silent)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "nowhere"},
        {"experts": 100_000},
        {"device": "abacus"},
        {"only": "expert:99"},
        {"only": "reference"},
    ],
)
def test_a_refused_request_leaves_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        train_system(at(tmp_path / "new" / "folder", **change), progress=silent)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_request_leaves_the_work_of_another(tmp_path: Path) -> None:
    partial = train_system(at(tmp_path, only="clusters"), progress=silent)
    before = {path.name: path.read_bytes() for path in partial.iterdir()}
    for change in ({"seed": 1}, {"only": "expert:99"}, {"device": "abacus"}):
        with pytest.raises(RequestError):
            train_system(at(tmp_path, **change), progress=silent)
    assert {path.name: path.read_bytes() for path in partial.iterdir()} == before


@pytest.mark.parametrize("change", [{"experts": 3}, {"seed": 1}, {"dataset": "pictures"}])
def test_a_failed_request_does_not_decide_the_next(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """Data and clusters of a request that failed are not those of another one."""
    if "dataset" in change:
        folder = tmp_path / "pictures"
        folder.mkdir()
        random = np.random.default_rng(0)
        for index in range(20):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
        change = {"dataset": str(folder), "size": 8}
    wanted = at(tmp_path, only="clusters", **change)
    fresh = dataclasses.replace(wanted, out=tmp_path / "fresh" / "tiny")
    expected = train_system(fresh, progress=silent)
    with pytest.raises(RequestError, match="no device 'abacus' on this machine"):
        train_system(at(tmp_path, device="abacus"), progress=silent)
    found = train_system(wanted, progress=silent)
    assert planned(found) == planned(expected)
    for name in ("data", "clusters", "assignment"):
        one, other = (load_file(there / f"{name}.safetensors") for there in (found, expected))
        assert all(torch.equal(one[key], other[key]) for key in one | other), name


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was waited for until it was on the disk, as inodes."""
    inodes: list[int] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        inodes.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    return inodes


def test_tensors_are_on_the_disk_before_they_take_their_place(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.safetensors"
    write_tensors(path, {"a": torch.zeros(3)}, {"part": "x"})
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(disk, "sync_file", Mock(side_effect=full))
    with pytest.raises(WorkError, match=r"part\.safetensors cannot be written"):
        write_tensors(path, {"a": torch.ones(3)}, {})
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert torch.equal(load_file(path)["a"], torch.zeros(3))


def test_a_checkpoint_is_on_the_disk_before_its_parts_are_removed(
    tmp_path: Path, synced: list[int]
) -> None:
    out = train_system(at(tmp_path), progress=silent)
    for path in (out, *out.rglob("*"), tmp_path):
        assert path.stat().st_ino in synced, path
    assert synced[-1] == tmp_path.stat().st_ino
