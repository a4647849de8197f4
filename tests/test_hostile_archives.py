"""Archives that want memory, disk, or a file of ours: refused at once, and cheaply."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from made_up import made_up
from test_archive import attack, left, mended

from ddm_core import shipped
from ddm_core.config import RunConfig
from ddm_core.elsewhere import taken_in
from ddm_core.errors import RequestError
from ddm_core.plain_zip import require_plain_zip
from ddm_core.store import Store
from ddm_core.systems import load_system

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one sound run."""
    folder = tmp_path_factory.mktemp("good")
    store = Store(folder / "runs")
    return store.export_archive([store.save(made_up()).id], folder / "good.zip")


def npz(samples: np.ndarray, seeds: np.ndarray, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, array in (("samples", samples), ("seeds", seeds)):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, version=(1, 0))
    return buffer.getvalue()


def hdf5(tmp_path: Path, make) -> bytes:
    with h5py.File(tmp_path / "made.nc", "w") as file:
        make(file)
    return (tmp_path / "made.nc").read_bytes()


def bomb_of_samples() -> bytes:
    return npz(np.zeros((6, 3000, 3000, 1), np.uint8), np.arange(6, dtype=np.int64))


def text_in_trace(file: h5py.File) -> None:
    file.create_dataset("weights", data=["<script>"], dtype=h5py.string_dtype())


def hollow_trace(file: h5py.File) -> None:
    file.create_dataset("weights", (5, 6, 2**23), "f4", chunks=(1, 1, 2**16))


def many_arrays(file: h5py.File) -> None:
    for index in range(501):
        file.create_dataset(f"v{index}", data=index)


def record_of(entries, change) -> bytes:
    record = json.loads(next(data for info, data in entries if info.filename.endswith("run.json")))
    change(record)
    return json.dumps(record).encode()


def other_count(record) -> None:
    record["config"]["num"] = 10**6


ATTACKS = {
    "bomb in the samples": lambda e, _: mended(e, "samples.npz", bomb_of_samples()),
    "samples packed by lzma": lambda e, _: mended(
        e,
        "samples.npz",
        npz(np.zeros((6, 8, 8, 1), "u1"), np.arange(6, dtype="i8"), zipfile.ZIP_LZMA),
    ),
    "trace without numbers": lambda e, tmp: mended(e, "trace.nc", hdf5(tmp, text_in_trace)),
    "trace that is hollow": lambda e, tmp: mended(e, "trace.nc", hdf5(tmp, hollow_trace)),
    "trace of many arrays": lambda e, tmp: mended(e, "trace.nc", hdf5(tmp, many_arrays)),
    "another count": lambda e, _: mended(e, "run.json", record_of(e, other_count)),
    "a record too deep": lambda e, _: mended(e, "run.json", b'{"config":' * 10**5),
    "a record too large": lambda e, _: mended(e, "run.json", b'{"a":"' + b"a" * 5 * MEGABYTE),
    "a manifest too deep": lambda e, _: [*e[:-1], ("manifest.json", b"[" * 10**5)],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_cheaply_and_nothing_is_left(good: Path, tmp_path: Path, name: str) -> None:
    bad = attack(good, tmp_path / "bad.zip", lambda entries: ATTACKS[name](entries, tmp_path))
    store = Store(tmp_path / "runs")
    tracemalloc.start()
    begin = time.process_time()
    with pytest.raises(RequestError) as caught:
        store.import_archive(bad)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 64 * MEGABYTE
    assert time.process_time() - begin < 3  # traced: about a third of that otherwise
    assert store.runs() == []
    assert left(store) == []


def test_a_list_of_a_million_files_is_not_read(tmp_path: Path) -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, 1, *[0] * 6) + b"a"
    listed = entry * 10**6
    for count, size in ((0xFFFF, len(listed)), (1, len(listed))):
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, 0, 0)
        (tmp_path / "many.zip").write_bytes(listed + end)
        tracemalloc.start()
        with pytest.raises(RequestError, match="too many files"):
            Store(tmp_path / "runs").import_archive(tmp_path / "many.zip")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * MEGABYTE


def test_the_larger_record_of_a_zip_is_read_too(tmp_path: Path) -> None:
    size = 10**9
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0, 0, 0, 0, 1, 1, size, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 60, 0, 0)
    (tmp_path / "lies.zip").write_bytes(large + locator + end)
    with pytest.raises(RequestError, match="too many files"):
        require_plain_zip(tmp_path / "lies.zip", most_files=20_000)


def test_files_that_share_their_bytes_are_refused(good: Path, tmp_path: Path) -> None:
    data = bytearray(good.read_bytes())
    # Every entry of the list claims as many packed bytes as the whole file has.
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 20 : at + 24] = struct.pack("<L", len(data))
        at = data.find(b"PK\x01\x02", at + 4)
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(RequestError, match="share their bytes"):
        Store(tmp_path / "runs").import_archive(tmp_path / "bad.zip")


def test_no_more_is_unpacked_than_the_disk_can_take(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    store = Store(tmp_path / "runs")
    with pytest.raises(RequestError, match=r"would unpack to .* are free"):
        store.import_archive(good)
    assert left(store) == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=some.data())
def test_any_change_of_an_archive_is_refused_or_harmless(
    good: Path, tmp_path: Path, data: some.DataObject
) -> None:
    sound = good.read_bytes()
    bad = bytearray(sound)
    places = some.integers(0, len(sound) - 1)
    for place in data.draw(some.lists(places, min_size=1, max_size=4)):
        bad[place] = data.draw(some.integers(0, 255))
    end = data.draw(some.one_of(some.none(), places))
    (tmp_path / "bad.zip").write_bytes(bad[:end])
    store = Store(tmp_path / "runs")
    try:
        (taken,) = store.import_archive(tmp_path / "bad.zip")
    except RequestError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - most changes are refused
    else:
        assert (store.samples(taken.id).images == made_up().images).all()
        store.remove([taken.id])
    assert store.runs() == []
    assert left(store) == []


def test_a_file_that_begins_before_the_archive_is_refused(good: Path, tmp_path: Path) -> None:
    bad = bytearray(good.read_bytes())
    # Where the list of files begins, a long way further: by it the files lie before the archive.
    bad[bad.rindex(b"PK\x05\x06") + 18] += 1
    (tmp_path / "bad.zip").write_bytes(bad)
    with pytest.raises(RequestError, match=r"bad\.zip is no readable archive"):
        Store(tmp_path / "runs").import_archive(tmp_path / "bad.zip")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(some.binary(max_size=200), some.sampled_from([b"", b"PK\x05\x06", b"PK\x06\x07"]))
def test_any_bytes_are_refused_in_a_sentence(tmp_path: Path, data: bytes, magic: bytes) -> None:
    (tmp_path / "any.zip").write_bytes(data[:90] + magic + data[90:])
    with pytest.raises(RequestError):
        Store(tmp_path / "runs").import_archive(tmp_path / "any.zip")


def test_no_path_of_theirs_is_kept(tmp_path: Path) -> None:
    secret = tmp_path / "photos"
    secret.mkdir()
    store = Store(tmp_path / "sender")
    record = store.save(made_up(system=str(secret), plugins=("evil.py",)))
    file = store.export_archive([record.id], tmp_path / "one.zip")
    (taken,) = Store(tmp_path / "receiver").import_archive(file)
    assert taken.system == taken.config.system == "elsewhere:photos"
    assert taken.config.plugins == ()
    with pytest.raises(RequestError, match="system 'photos' is not here"):
        load_system(taken.system)


@pytest.mark.parametrize(
    ("system", "kept"),
    [
        ("digits", "digits"),
        ("ring:experts=6", "ring:experts=6"),
        ("checkpoints/digits", "elsewhere:digits"),
        ("../../etc", "elsewhere:etc"),
        ("/", "elsewhere:unnamed"),
        ("..", "elsewhere:.."),
        ("C:\\photos\\", "elsewhere:photos"),
        ("photos", "elsewhere:photos"),
        ("elsewhere:photos", "elsewhere:photos"),
    ],
)
def test_only_names_that_are_known_here_are_kept(system: str, kept: str) -> None:
    assert {"ring", "digits", "mnist"} <= set(shipped.known_names())
    config = RunConfig(system=system, plugins=("a.py",))
    assert taken_in(config).system == kept
    assert taken_in(config).plugins == ()
    assert taken_in(taken_in(config)) == taken_in(config)
