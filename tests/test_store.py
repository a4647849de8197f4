"""The store: whole or not at all, whatever dies; nothing outside it, whatever is typed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_up import made_up
from PIL import Image

from ddm_core import disk
from ddm_core.errors import RequestError, WorkError
from ddm_core.formats import read_samples
from ddm_core.records import RUN_ID, new_id
from ddm_core.store import Store
from ddm_core.summary import summarize

HERE = Path(__file__).parent


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        timeout=240,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def hidden(store: Store) -> list[str]:
    return [p.name for p in store.root.iterdir() if p.name.startswith(".") and p.is_dir()]


def test_saved_is_read_back(store: Store) -> None:
    result = made_up()
    record = store.save(result, comparison="c1", metrics={"fid": {"value": 2.0, "n": 6}})
    again = Store(store.root)
    assert again.run(record.id) == record
    assert again.trace(record.id).identical(result.trace)
    images, seeds = again.samples(record.id)
    assert (images == result.images).all()
    assert (seeds == result.seeds).all()
    assert again.comparison("c1") == [record]
    assert record.metrics["fid"]["value"] == 2.0
    assert hidden(store) == []


def test_files_are_the_promised_ones(store: Store) -> None:
    result = made_up()
    record = store.save(result)
    folder = store.folder(record.id)
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    expected = {"run.json", "trace.nc", "samples.npz", "samples.png", "steps/x0_hat.png"}
    assert names == expected
    with Image.open(folder / "samples.png") as picture:
        assert json.loads(picture.text["config"])["system"] == "digits"
    with Image.open(folder / "steps" / "x0_hat.png") as sheet:
        assert sheet.size == (5 * 8, 2 * 8)
        first_column = np.asarray(sheet)[:8, :8]
    assert (first_column == result.trace["x0_hat"].values[0, 0, :, :, 0]).all()
    assert store.size(record.id) == sum((folder / n).stat().st_size for n in names)


def test_newest_first_and_changes_of_others_are_seen(store: Store) -> None:
    first, second = store.save(made_up(0)), store.save(made_up(1))
    assert [run.id for run in store.runs()] == [second.id, first.id]
    Store(store.root).label(first.id, tags=["good", " good ", ""], note="<b>")
    assert store.run(first.id).tags == ("good",)
    assert [run.note for run in store.runs()] == ["", "<b>"]
    Store(store.root).delete([second.id])
    assert [run.id for run in store.runs()] == [first.id]


def test_metrics_are_added_and_json_is_finite(store: Store) -> None:
    record = store.save(made_up(), metrics={"fid": {"value": 1.0}})
    store.add_metrics(record.id, {"kid": {"value": float("nan"), "low": float("inf")}})
    text = (store.folder(record.id) / "run.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)["metrics"]
    assert found == {"fid": {"value": 1.0}, "kid": {"value": None, "low": None}}


def test_a_metric_of_samples_of_one_label_says_so(store: Store) -> None:
    fid = {"fid": {"value": 1.0, "protocol": "FID of 8 samples"}}
    plain, three = store.save(made_up()), store.save(made_up(label=3))
    assert store.add_metrics(plain.id, fid).metrics == fid
    told = store.add_metrics(three.id, fid).metrics["fid"]["protocol"]
    assert told == "samples of label 3 alone against real data of all labels; FID of 8 samples"


def test_a_run_is_found_by_prefix_and_by_hash(store: Store) -> None:
    one, other = store.save(made_up(0)), store.save(made_up(1))
    assert store.resolve(one.id[-6:]) == one.id
    with pytest.raises(RequestError, match=f"fits 2 runs: .*{other.id}"):
        store.resolve(one.id[:4])
    with pytest.raises(RequestError, match=f"no run 'x'; there are: .*{one.id}"):
        store.run("x")


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../runs",
        "/etc/passwd",
        "",
        ".",
        "a/../b",
        "\0",
        "~",
        "*",
        "😀",
        "%2e%2e",
        "x" * 10**6,
    ],
)
def test_hostile_names_never_become_paths(store: Store, name: str) -> None:
    record = store.save(made_up())
    (store.root.parent / "precious").write_text("here")
    for action in (store.run, store.folder, store.trace, store.size):
        with pytest.raises(RequestError, match="no run"):
            action(name)
    with pytest.raises(RequestError):
        store.delete([record.id, name])
    assert store.run(record.id) == record
    assert (store.root.parent / "precious").exists()


@pytest.mark.parametrize(
    "system", ["../../etc", "/", "=1+1", "<script>", "", "ring:experts=6", "Ω😀", "a" * 900, "-rf"]
)
def test_ids_are_safe_whatever_the_system_is_called(system: str) -> None:
    id = new_id(system, "top_k:k=2/../x")
    assert RUN_ID.fullmatch(id)
    assert len(id) < 120
    assert not set(id) & set("/\\.:<>= ")


def test_a_run_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.begin(made_up().config):
        raise KeyboardInterrupt
    assert store.runs() == []
    assert hidden(store) == []


def test_work_in_progress_is_neither_listed_nor_swept(store: Store) -> None:
    with store.begin(made_up().config) as draft:
        assert Store(store.root).runs() == []
        draft.save(made_up())
    assert [run.status for run in store.runs()] == ["done"]


KILLED = """
    import os, sys
    from pathlib import Path
    from made_up import made_up
    from ddm_core.store import Store
    with Store(Path(sys.argv[1])).begin(made_up().config) as draft:
        os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_interrupted(store: Store) -> None:
    assert python(KILLED, store.root).returncode == -9
    (record,) = store.runs()
    assert record.status == "interrupted"
    assert record.config == made_up().config
    assert hidden(store) == []
    with pytest.raises(RequestError, match="was interrupted and has no trace"):
        store.trace(record.id)
    store.delete([record.id])
    assert store.runs() == []


def test_what_a_killed_delete_left_is_swept(store: Store) -> None:
    record = store.save(made_up())
    dead = disk.owner().partition("-")[0] + "-1-1"
    store.folder(record.id).rename(store.root / f".trash-{record.id}-abcdef.{dead}")
    (store.root / f".import-runs-abcdef.{dead}").mkdir()
    assert store.runs() == []
    assert hidden(store) == []


def test_what_a_killed_change_left_is_swept_and_no_change_in_progress(store: Store) -> None:
    folder = store.folder(store.save(made_up()).id)
    dead, alive = disk.owner().partition("-")[0] + "-1-1", disk.owner()
    left = folder / f".new-run.json-abcdef.{dead}"
    others = {f".new-run.json-abcdef.{alive}", ".new-run.json-abcdef.00000000-1-1", ".new-mine"}
    for path in (left, *(folder / name for name in others)):
        path.touch()
    assert len(Store(store.root).runs()) == 1
    assert not left.exists()
    assert {path.name for path in folder.glob(".*")} == others


SAVES_UNTIL_KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    from made_up import made_up
    from ddm_core.store import Store
    root, acknowledged, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    result, luck = made_up(num=40), random.Random(0)
    Store(root / "warm").save(result)  # what is imported late is imported now
    begun = time.monotonic()
    Store(root / "warm").save(result)
    once = min(1.0, time.monotonic() - begun)
    acknowledged.touch()
    for _ in range(kills):
        before = acknowledged.stat().st_size
        child = os.fork()
        if child == 0:
            with acknowledged.open("a") as log:
                while True:
                    log.write(Store(root).save(result).id + "\\n")
                    log.flush()
        while acknowledged.stat().st_size == before:
            time.sleep(0.001)
        time.sleep(luck.uniform(0, 1.2) * once)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


def test_kill_at_any_moment_loses_nothing_and_leaves_no_ghost(tmp_path: Path) -> None:
    log = tmp_path / "acknowledged"
    done = python(SAVES_UNTIL_KILLED, tmp_path / "runs", log, 12)
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "runs")
    runs = {run.id: run for run in store.runs()}
    promised = log.read_text().split("\n")[:-1]
    assert len(promised) >= 12
    assert set(promised) <= set(runs)
    assert store.unreadable == {}
    assert hidden(store) == []
    for run in runs.values():
        if run.status == "done":
            assert store.trace(run.id).sizes["sample"] == len(store.samples(run.id).seeds) == 40
    assert any(run.status == "interrupted" for run in runs.values())


DISK_FULL = """
    import resource, sys
    from pathlib import Path
    from made_up import made_up
    from ddm_core.errors import WorkError
    from ddm_core.store import Store
    store = Store(Path(sys.argv[1]))
    store.save(made_up(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        store.save(made_up(1, num=500))
    except WorkError as error:
        print(error)
    print(len(store.runs()))
"""


def test_disk_full_is_one_sentence_and_old_runs_stay(store: Store) -> None:
    done = python(DISK_FULL, store.root)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    sentence, count = done.stdout.splitlines()
    assert sentence.startswith("cannot save the run in ")
    assert "larger than this account may write" in sentence
    assert count == "1"
    assert len(Store(store.root).runs()) == 1
    assert hidden(store) == []


def test_a_file_where_the_store_should_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(WorkError, match="cannot make a folder"):
        Store(tmp_path / "runs").save(made_up())
    with pytest.raises(RequestError, match="cannot be read"):
        Store(tmp_path / "runs").runs()


def test_a_damaged_record_is_named_and_hides_nobody(store: Store) -> None:
    good, bad, gone = (store.save(made_up(i)) for i in range(3))
    (store.folder(bad.id) / "run.json").write_text('{"id": ')
    (store.folder(gone.id) / "run.json").unlink()
    assert [run.id for run in store.runs()] == [good.id]
    assert set(store.unreadable) == {bad.id, gone.id}
    store.delete([bad.id])
    assert set(store.unreadable) | {good.id} == {good.id, bad.id, gone.id}


@pytest.mark.parametrize("cut", [0, 10, 500, -1])
def test_cut_off_files_are_refused(store: Store, cut: int) -> None:
    record = store.save(made_up())
    for name, read in (("samples.npz", store.samples), ("trace.nc", store.trace)):
        path = store.folder(record.id) / name
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(RequestError, match=re.escape(name)):
            read(record.id)


def npy(shape: tuple[int, ...], dtype: str, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue() + data


@pytest.mark.parametrize(
    "samples",
    [
        npy((2**40, 8), "|u1"),  # 8 TiB
        npy((-1, 8, 8, 1), "|u1"),
        npy((2, 2), "|O", b"\x80\x04."),  # pickle
        npy((2, 8, 8, 1), "<f8", bytes(1024)),
        b"\x93NUMPY\x01\x00\xff\xff" + b" " * 100,
    ],
    ids=["huge", "negative", "pickle", "float64", "header"],
)
def test_hostile_arrays_are_refused_before_they_are_allocated(
    tmp_path: Path, samples: bytes
) -> None:
    path = tmp_path / "samples.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples.npy", samples)
        archive.writestr("seeds.npy", npy((2,), "<i8", bytes(16)))
    with pytest.raises(RequestError, match=r"samples\.npz holds"):
        read_samples(path)


def test_summary_is_what_it_says() -> None:
    trace = made_up(num=40).trace
    found = summarize(trace, 2.0)
    by_sample = trace["selected_distance"].mean("step")
    assert found["selected_distance"].value == pytest.approx(float(by_sample.mean()))
    paired = by_sample - trace["cluster_distance"].mean(("step", "expert"))
    half = 1.96 * float(paired.std(ddof=1)) / 40**0.5
    assert found["selected_minus_chance"].low == pytest.approx(
        float(paired.mean()) - half, rel=1e-3
    )
    assert found["perturbation_growth"].n == 20
    last = trace["perturbation_growth"].isel(step=-1)
    assert found["perturbation_growth_median"].value == pytest.approx(float(last.median()))
    assert found["expert_calls"].value == 2.0
    assert found["seconds"].value == 2.0
    assert "disagreement" not in found


def test_summary_of_one_sample_has_no_interval_and_of_infinity_no_value() -> None:
    trace = made_up(num=1).trace
    trace["perturbation_growth"][:] = np.inf
    found = summarize(trace, 0.1)
    assert found["selected_distance"].value is not None
    assert found["selected_distance"].low is None
    assert found["perturbation_growth"].value is None


def test_owner_of_a_dead_process_is_dead() -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    host = disk.owner().partition("-")[0]
    assert disk.alive(disk.owner())
    assert not disk.alive(f"{host}-{int(child.stdout)}-1")
    assert not disk.alive(f"{host}-{os.getpid()}-1")  # the number given again
    assert disk.alive("00000000-1-1")  # another machine cannot be asked


def test_changes_at_the_same_time_all_count(store: Store) -> None:
    record = store.save(made_up())
    script = """
        import sys
        from pathlib import Path
        from ddm_core.store import Store
        for i in range(10):
            Store(Path(sys.argv[1])).add_metrics(sys.argv[2], {f"{sys.argv[3]}{i}": {"value": i}})
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(store.root), record.id]
    both = [subprocess.Popen([*command, name]) for name in "ab"]
    assert [one.wait(60) for one in both] == [0, 0]
    assert len(store.run(record.id).metrics) == 20
