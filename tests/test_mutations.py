"""Damaged files: whatever is done to them, a sentence that names the file, or the same content.

Mutations are drawn from a fixed seed: flipped bits, zeroed and doubled blocks, cut ends, swapped
values. Nothing may come out silently different, raise anything undeclared, or take long.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.formats import check_trace, read_samples, read_trace
from ddm_core.records import read_record
from ddm_core.run import execute
from ddm_core.store import Store
from ddm_core.systems import load_system
from ddm_core.systems.checkpoint import load_checkpoint
from ddm_core.systems.manifest import MANIFEST, read_manifest


def flip(data: bytearray, random: np.random.Generator) -> None:
    data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))


def zero(data: bytearray, random: np.random.Generator) -> None:
    at = int(random.integers(len(data)))
    data[at : at + 64] = bytes(len(data[at : at + 64]))


def double(data: bytearray, random: np.random.Generator) -> None:
    at = int(random.integers(len(data)))
    data[at:at] = data[at : at + 200]


def cut(data: bytearray, random: np.random.Generator) -> None:
    del data[int(random.integers(len(data))) :]


def noise(data: bytearray, random: np.random.Generator) -> None:
    at = int(random.integers(len(data)))
    data[at : at + 16] = random.bytes(16)


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    *(flip, zero, double, cut, noise),
)


def mutants(data: bytes, seed: int, rounds: int) -> list[bytes]:
    """Damaged copies, none of them the original."""
    random = np.random.default_rng(seed)
    out: list[bytes] = []
    while len(out) < rounds:
        copy = bytearray(data)
        MUTATIONS[len(out) % len(MUTATIONS)](copy, random)
        if bytes(copy) != data:
            out.append(bytes(copy))
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A store with one small run."""
    store = Store(tmp_path_factory.mktemp("mutations") / "runs")
    config = RunConfig(system="ring:experts=3", num=4, steps=3, device="cpu", workers=1)
    return store, store.save(execute(config)).id


def refusal(action: Callable[[], object]) -> str:
    """The sentence with which something is refused; "" where it is taken."""
    try:
        action()
    except RequestError as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    assert 10 < len(said) < 1000
    return said


@pytest.mark.parametrize("name", ["expert_0.safetensors", "router.safetensors", MANIFEST])
def test_no_damaged_checkpoint_is_loaded(name: str, tmp_path: Path) -> None:
    source = load_system("digits").folder
    assert source is not None
    folder = tmp_path / "digits"
    shutil.copytree(source, folder)
    original, digest = (folder / name).read_bytes(), load_checkpoint(folder).digest
    for mutant in mutants(original, 1, 10):
        (folder / name).write_bytes(mutant)
        said = refusal(lambda: load_checkpoint(folder))
        if said:
            assert str(folder) in said
        else:
            # The manifest holds words for people too: what they say decides no sample.
            assert name == MANIFEST
            assert load_checkpoint(folder).digest == digest


def test_no_damaged_manifest_raises_anything_else(tmp_path: Path) -> None:
    source = load_system("digits").folder
    assert source is not None
    for mutant in mutants((source / MANIFEST).read_bytes(), 2, 100):
        (tmp_path / MANIFEST).write_bytes(mutant)
        refusal(lambda: read_manifest(tmp_path))


def test_no_damaged_samples_are_read(made: tuple[Store, str], tmp_path: Path) -> None:
    store, id = made
    original, path = (store.folder(id) / "samples.npz").read_bytes(), tmp_path / "samples.npz"
    sound = store.samples(id)
    for mutant in mutants(original, 3, 200):
        path.write_bytes(mutant)
        if not refusal(lambda: read_samples(path)):
            # The archive's own checksums leave only what is not content, such as a date.
            read = read_samples(path)
            np.testing.assert_array_equal(read.images, sound.images)
            np.testing.assert_array_equal(read.seeds, sound.seeds)


@pytest.mark.parametrize("read", [check_trace, read_trace])
def test_no_damaged_trace_raises_anything_else(
    read: Callable[[Path], object], made: tuple[Store, str], tmp_path: Path
) -> None:
    store, id = made
    original, path = (store.folder(id) / "trace.nc").read_bytes(), tmp_path / "trace.nc"
    for mutant in mutants(original, 4, 40):
        path.write_bytes(mutant)
        refusal(lambda: read(path))


def test_no_damaged_record_raises_anything_else(made: tuple[Store, str], tmp_path: Path) -> None:
    store, id = made
    for mutant in mutants((store.folder(id) / "run.json").read_bytes(), 5, 200):
        (tmp_path / "run.json").write_bytes(mutant)
        refusal(lambda: read_record(tmp_path))


def test_no_damaged_archive_brings_anything_in(made: tuple[Store, str], tmp_path: Path) -> None:
    store, id = made
    packed = store.export_archive([id], tmp_path / "run.zip").read_bytes()
    sound, file = store.samples(id), tmp_path / "mutant.zip"
    for number, mutant in enumerate(mutants(packed, 6, 25)):
        other = Store(tmp_path / f"runs-{number}")
        file.write_bytes(mutant)
        if refusal(lambda other=other: other.import_archive(file)):
            assert other.runs() == []
            assert {path.name for path in other.root.iterdir()} <= {".lock"}
        else:
            (record,) = other.runs()
            np.testing.assert_array_equal(other.samples(record.id).images, sound.images)
