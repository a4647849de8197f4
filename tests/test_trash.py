"""The trash: what was deleted is whole and out of sight, and comes back as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up import made_up

from ddm_core import trash as trash_module
from ddm_core.errors import RequestError
from ddm_core.store import Store

HERE = Path(__file__).parent


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_deleted_runs_come_back_as_they_were(store: Store) -> None:
    records = [store.save(made_up(i)) for i in range(3)]
    before = {record.id: files(store.folder(record.id)) for record in records}
    size = sum(store.size(record.id) for record in records[:2])
    batch = store.delete([record.id for record in records[:2]])
    assert [run.id for run in store.runs()] == [records[2].id]
    with pytest.raises(RequestError, match="no run"):
        store.trace(records[0].id)
    (there,) = Store(store.root).trash.batches()
    assert there.id == batch
    assert set(there.runs) == {record.id for record in records[:2]}
    assert there.bytes == size
    assert set(store.trash.restore(batch)) == set(there.runs)
    assert {run.id: files(store.folder(run.id)) for run in store.runs()} == before
    assert store.trash.batches() == []


def test_one_of_a_batch_comes_back_by_its_hash(store: Store) -> None:
    first, second = (store.save(made_up(i)) for i in range(2))
    store.delete([first.id, second.id])
    assert store.trash.restore(first.id[-6:]) == [first.id]
    assert [run.id for run in store.runs()] == [first.id]
    assert [batch.runs for batch in store.trash.batches()] == [(second.id,)]
    for wrong in (first.id, "../..", "", ".deleted"):
        with pytest.raises(RequestError, match=f"in the trash: no run .*{second.id}"):
            store.trash.restore(wrong)


def test_what_is_here_again_stays_and_a_stranger_gets_a_new_id(
    store: Store, tmp_path: Path
) -> None:
    record = store.save(made_up(0))
    file = store.export_archive([record.id], tmp_path / "one.zip")
    batch = store.delete([record.id])
    store.import_archive(file)
    store.label(record.id, note="mine")
    assert store.trash.restore(batch) == [record.id]
    assert [run.note for run in store.runs()] == ["mine"]

    batch = store.delete([record.id])
    other = store.save(made_up(1))
    (store.root / other.id).rename(store.root / record.id)
    path = store.root / record.id / "run.json"
    path.write_text(path.read_text().replace(other.id, record.id))
    (fresh,) = store.trash.restore(batch)
    assert fresh != record.id
    assert {run.id for run in store.runs()} == {fresh, record.id}
    assert store.run(fresh).note == "mine"


def test_the_trash_says_what_it_frees_and_forgets_with_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (store.save(made_up(i)) for i in range(2))
    size = store.size(new.id)
    store.delete([old.id])
    assert store.trash.empty(older_than=timedelta(days=trash_module.DAYS)) == 0

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2099, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(trash_module, "datetime", Later)
    store.delete([new.id])  # and the old one is over
    assert [batch.runs for batch in store.trash.batches()] == [(new.id,)]
    assert store.trash.empty() == size
    assert store.trash.batches() == []
    assert [p.name for p in store.root.iterdir() if p.is_dir()] == [".deleted"]
    assert list((store.root / ".deleted").iterdir()) == []


def test_nothing_is_deleted_where_one_is_unknown_or_none_is_named(store: Store) -> None:
    record = store.save(made_up())
    for ids in ([record.id, "nobody"], []):
        with pytest.raises(RequestError):
            store.delete(ids)
    assert store.runs() == [record]
    assert store.trash.batches() == []


def test_what_another_process_takes_away_meanwhile_is_passed_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = store.delete([store.save(made_up()).id])
    (there,) = store.trash.batches()
    names = store.trash._names()
    monkeypatch.setattr(store.trash, "_names", lambda: ["20200101-000000-abcdef", *names])
    assert [one.id for one in store.trash.batches()] == [batch]

    walk, gone = os.scandir, store.root / ".deleted" / batch / there.runs[0]

    def overtaken(path: object) -> object:
        found = walk(path)
        if gone.exists():
            gone.replace(store.root / "elsewhere")
        return found

    monkeypatch.setattr(os, "scandir", overtaken)
    assert trash_module.folder_bytes(store.root / ".deleted") == 0


DELETES_UNTIL_KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    from ddm_core.store import Store
    root, luck = Path(sys.argv[1]), random.Random(0)
    for _ in range(int(sys.argv[2])):
        child = os.fork()
        if child == 0:
            store = Store(root)
            while True:
                for batch in store.trash.batches():
                    store.trash.restore(batch.id)
                store.delete([run.id for run in store.runs()])
        time.sleep(luck.uniform(0.01, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


def test_kill_while_deleting_loses_no_run_and_doubles_none(store: Store) -> None:
    ids = {store.save(made_up(i)).id for i in range(4)}
    before = {id: files(store.folder(id)) for id in ids}
    script = [sys.executable, "-c", textwrap.dedent(DELETES_UNTIL_KILLED), str(store.root), "25"]
    done = subprocess.run(
        script, env={**os.environ, "PYTHONPATH": f"{HERE.parent}"}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""
    store = Store(store.root)
    deleted = [run for batch in store.trash.batches() for run in batch.runs]
    places = Counter([*deleted, *(run.id for run in store.runs())])
    assert places == dict.fromkeys(ids, 1)
    for batch in store.trash.batches():
        store.trash.restore(batch.id)
    assert {run.id: files(store.folder(run.id)) for run in store.runs()} == before
    assert store.unreadable == {}


def test_the_trash_of_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.write_text("")
    with pytest.raises(RequestError, match="it is no folder"):
        Store(file).trash.batches()
    assert Store(tmp_path / "none").trash.batches() == []
