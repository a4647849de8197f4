"""Archives: what comes from elsewhere is checked before any of it counts."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from pathlib import Path

import h5py
import pytest
from made_up import made_up

from ddm_core.errors import RequestError
from ddm_core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def left(store: Store) -> list[str]:
    return [p.name for p in store.root.iterdir() if p.name.startswith(".") and p.is_dir()]


def test_an_archive_goes_round(store: Store, tmp_path: Path) -> None:
    records = [store.save(made_up(i, plugins=("mine.py",)), comparison="c") for i in range(2)]
    file = store.export_archive([run.id for run in records], tmp_path / "some" / "two.zip")
    other = Store(tmp_path / "other")
    taken = other.import_archive(file)
    assert {run.id for run in taken} == {run.id for run in records}
    assert other.trace(records[0].id).identical(store.trace(records[0].id))
    assert all(
        run.config.plugins == () for run in other.runs()
    )  # the sender's files do not run here
    assert len(other.comparison("c")) == 2
    assert len(other.import_archive(file)) == len(other.runs()) == 2
    assert left(other) == []


def test_another_run_under_the_same_id_gets_a_new_one(store: Store, tmp_path: Path) -> None:
    record = store.save(made_up(0))
    file = store.export_archive([record.id], tmp_path / "a.zip")
    other = Store(tmp_path / "other")
    strange = other.save(made_up(1))
    (other.root / strange.id).rename(other.root / record.id)
    path = other.root / record.id / "run.json"
    path.write_text(path.read_text().replace(strange.id, record.id))
    (taken,) = other.import_archive(file)
    assert taken.id != record.id
    assert len(other.runs()) == 2


def attack(file: Path, out: Path, change) -> Path:
    """A copy of an archive with its list of (entry, bytes) changed; the manifest is not mended."""
    with zipfile.ZipFile(file) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in change(entries):
            archive.writestr(info, data)
    return out


def mended(entries, name: str, data: bytes):
    """Replace a file and mend the manifest, as an attacker would."""
    out = []
    for info, old in entries:
        if info.filename.endswith(name):
            old = data
        out.append([info.filename, old])
    manifest = json.loads(out[-1][1])
    for path, content in out[:-1]:
        manifest["files"][path] = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    out[-1][1] = json.dumps(manifest).encode()
    return out


def link(entries):
    info = zipfile.ZipInfo(entries[0][0].filename)
    info.external_attr = 0o120777 << 16
    return [(info, b"/etc/passwd"), *entries[1:]]


def external_hdf5(tmp_path: Path) -> bytes:
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file.create_dataset("a", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    return (tmp_path / "x.nc").read_bytes()


def huge_hdf5(tmp_path: Path) -> bytes:
    with h5py.File(tmp_path / "y.nc", "w") as file:
        file.create_dataset("a", (2**40,), "u1", chunks=(1024,))
    return (tmp_path / "y.nc").read_bytes()


ATTACKS = {
    "traversal": lambda e, _: [*e, ("../../evil", b"x")],
    "absolute": lambda e, _: [*e, ("/tmp/evil", b"x")],
    "backslash": lambda e, _: [*e, ("..\\evil", b"x")],
    "stranger": lambda e, _: [*e, (f"{e[0][0].filename.split('/')[0]}/x.pkl", b"\x80\x04.")],
    "case clash": lambda e, _: [*e, (e[0][0].filename.upper(), b"x")],
    "link": lambda e, _: link(e),
    "bomb": lambda e, _: [*e[1:], (e[0][0].filename, bytes(50_000_000))],
    "changed": lambda e, _: [(i, d[:-1] + b"?") for i, d in e],
    "missing": lambda e, _: e[1:],
    "no manifest": lambda e, _: e[:-1],
    "other record": lambda e, _: mended(e, "run.json", b"{}"),
    "pickled samples": lambda e, _: mended(e, "samples.npz", b"\x80\x04."),
    "huge picture": lambda e, _: mended(
        e, "samples.png", b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\xff" * 8
    ),
    "file of ours as data": lambda e, tmp: mended(e, "trace.nc", external_hdf5(tmp)),
    "huge trace": lambda e, tmp: mended(e, "trace.nc", huge_hdf5(tmp)),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_archives_are_refused_whole(store: Store, tmp_path: Path, name: str) -> None:
    record = store.save(made_up())
    good = store.export_archive([record.id], tmp_path / "good.zip")
    bad = attack(good, tmp_path / "bad.zip", lambda entries: ATTACKS[name](entries, tmp_path))
    other = Store(tmp_path / "other")
    with pytest.raises(RequestError) as caught:
        other.import_archive(bad)
    assert "\n" not in str(caught.value)
    assert other.runs() == []
    assert left(other) == []
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/evil").exists()


def test_any_damage_of_an_archive_is_refused(store: Store, tmp_path: Path) -> None:
    record = store.save(made_up())
    good = store.export_archive([record.id], tmp_path / "good.zip").read_bytes()
    other = Store(tmp_path / "other")
    luck = random.Random(0)
    for _ in range(60):
        data = bytearray(good)
        if luck.random() < 0.5:
            data = data[: luck.randrange(len(data))]
        else:
            data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
        (tmp_path / "bad.zip").write_bytes(data)
        try:
            taken = other.import_archive(tmp_path / "bad.zip")
        except RequestError:
            continue
        # A flipped bit may lie where nobody looks (a date); then everything is as it was.
        assert other.trace(taken[0].id).identical(store.trace(record.id))
        other.delete([taken[0].id])
    assert other.runs() == []
