"""The library's page: search, groups, differences, undo, again with changes, what is dropped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from page_runs import EVIL, image_run, known
from streamlit.testing.v1 import AppTest
from test_pages import nothing, opened, words

from app.views.again import changed
from app.views.selected import difference_rows
from ddm_core import pictures
from ddm_core.config import make_config
from ddm_core.groups import groups_of
from ddm_core.jobs import Jobs
from ddm_core.queue import Queue
from ddm_core.records import RunRecord
from ddm_core.settings import differences
from ddm_core.store import Store


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store whose pages need not wait for the catalogue, nor start a worker."""
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", nothing)
    yield Store(tmp_store)
    st.cache_resource.clear()


def shown(app: AppTest) -> list[str]:
    """The hashes of the runs in the table."""
    return app.dataframe[0].value["id"].tolist()


def test_words_and_conditions_find_runs(store: Store) -> None:
    one, other = image_run(store, "top_k:k=1"), image_run(store, "full")
    store.label(one.id, tags=["paper"])
    app = opened("library", q="tag:paper")
    assert not app.exception
    assert shown(app) == [one.id[-6:]]
    assert "1 of 2 runs by these words" in words(app)
    app.text_input(key="search").set_value('strategy == "full" and fid < 60').run()
    assert shown(app) == [other.id[-6:]]
    assert "1 of 2 runs by the condition" in words(app)
    assert app.query_params["q"] == 'strategy == "full" and fid < 60'
    app.text_input(key="search").set_value("fid = 3").run()
    assert len(shown(app)) == 2
    assert "write == to compare" in app.error[0].value
    app.text_input(key="search").set_value("nobody").run()
    assert "Nothing matches" in words(app)


def test_a_group_is_chosen_whole_by_one_click(store: Store) -> None:
    group = [image_run(store, router, "c1") for router in ("top_k:k=1", "full")]
    image_run(store, "full")
    app = opened("library")
    assert len(shown(app)) == 3
    app.button_group(key="library_group").set_value("comparison:c1").run()
    assert not app.exception
    assert set(shown(app)) == {run.id[-6:] for run in group}
    assert "What differs in their settings" in words(app)
    assert set(app.query_params["picked"].split(",")) == {run.id[-6:] for run in group}
    # The address alone shows the same view.
    other = opened("library", group="comparison:c1", picked=app.query_params["picked"])
    assert "What differs in their settings" in words(other)


def test_deleting_can_be_undone(store: Store) -> None:
    runs = [image_run(store, router, "c1") for router in ("top_k:k=1", "full")]
    image_run(store, "uniform/full")
    app = opened("library", picked=",".join(run.id[-6:] for run in runs))
    next(b for b in app.button if b.label == "Delete 2").click().run()
    assert not app.exception
    assert len(shown(app)) == 1
    assert "2 runs deleted" in words(app)
    app.button(key=next(b.key for b in app.button if b.label == "Undo")).click().run()
    assert not app.exception
    assert len(shown(app)) == 3
    assert "deleted" not in words(app)
    assert store.trash.batches() == []
    assert set(app.query_params["picked"].split(",")) == {run.id[-6:] for run in runs}


def test_the_trash_says_what_it_frees(store: Store) -> None:
    run, _ = image_run(store, "full"), image_run(store, "top_k:k=1")
    store.delete([run.id])
    app = opened("library")
    app.button(key="empty_trash").click().run()
    assert not app.exception
    assert store.trash.batches() == []
    assert "MiB freed" in app.toast[0].value


def test_differences_are_grey_where_they_are_none(store: Store) -> None:
    configs = [
        make_config({"system": "tiny", "router": router, "seed": seed})
        for router, seed in (("top_k:k=1", 0), ("top_k:k=2", 0), ("learned/full", 1))
    ]
    found = [row for row in differences(configs) if row.differs]
    table = difference_rows(found, ["a_1", "b", "c"])
    said = {row["setting"]: [row[r"a\_1"], row["b"], row["c"]] for row in table.to_dict("records")}
    assert said[r":gray[strategy.]k"] == ["**1**", "**2**", r"**–**"]
    assert said["seed"] == ["**0**", ":gray[0]", "**1**"]
    assert said["router"] == ["**–**", ":gray[–]", "**learned**"]


def test_run_again_with_changes_is_a_new_run(store: Store) -> None:
    run = image_run(store, "top_k:k=1", "c1", label=1)
    app = opened("library", picked=run.id[-6:])
    assert app.button(key=f"changes_{run.id}").disabled
    app.number_input(key=f"again_steps_{run.id}").set_value(9).run()
    app.selectbox(key=f"again_router_{run.id}").set_value("full").run()
    assert "steps: " in words(app).replace("\\", "")
    app.button(key=f"changes_{run.id}").click().run()
    assert not app.exception
    queue = Queue(store.root)
    (row,) = queue.rows(5)
    claim = queue.claim(row["lane"])
    assert claim is not None
    (fields,) = claim.payload["configs"]
    assert make_config(fields) == run.config.model_copy(update={"steps": 9, "router": "full"})
    assert claim.comparison is None
    assert changed(run.config, {"steps": run.config.steps, "seed": 99}) == {"seed": 99}


def test_a_dropped_archive_is_imported_and_chosen(store: Store, tmp_path: Path) -> None:
    run = image_run(store, "full")
    file = store.export_archive([run.id], tmp_path / "one.zip")
    store.remove([run.id])
    app = opened("library")
    app.file_uploader(key="import").upload("../../x.zip", file.read_bytes(), "application/zip")
    app.run()
    assert not app.exception
    assert [one.id for one in store.runs()] == [run.id]
    assert app.query_params["picked"] == run.id[-6:]
    bad = opened("library")
    bad.file_uploader(key="import").upload("x.zip", b"PK", "application/zip").run()
    assert "no readable archive" in bad.error[0].value.replace("\\", "")


def test_a_dropped_picture_opens_its_run_or_offers_to_repeat_it(store: Store) -> None:
    run = image_run(store, "full")
    picture = (store.folder(run.id) / "samples.png").read_bytes()
    app = opened("library", q="nothing of that name")
    app.file_uploader(key="import").upload("x.png", picture, "image/png").run()
    assert not app.exception
    assert app.query_params["picked"] == run.id[-6:]
    assert shown(app) == [run.id[-6:]]

    store.remove([run.id])
    image_run(store, "top_k:k=1")
    app = opened("library")
    app.file_uploader(key="import").upload("x.png", picture, "image/png").run()
    assert "No run here is of this picture" in words(app)
    # The system of the test is a name that is not known here: nothing of it is opened.
    assert next(b for b in app.button if b.label == "Make it again").disabled

    import numpy as np

    config = make_config({"system": "ring", "router": "full", "plugins": ("evil.py",)})
    recipe = {"config": config.model_dump_json()}
    known_here = pictures.png(np.zeros((4, 4, 1), np.uint8), recipe)
    app = opened("library")
    app.file_uploader(key="import").upload("x.png", known_here, "image/png").run()
    assert "Left out: its plug-in file" in words(app).replace("\\", "")
    next(b for b in app.button if b.label == "Make it again").click().run()
    (row,) = Queue(store.root).rows(5)
    (fields,) = json.loads(row["payload"])["configs"]
    assert make_config(fields) == config.model_copy(update={"plugins": ()})


def test_hostile_words_stay_words(store: Store) -> None:
    run = image_run(store, "full")
    store.label(run.id, tags=[EVIL[:60]], note=EVIL)
    app = opened("library", picked=run.id[-6:], q=EVIL[:10])
    assert not app.exception
    said = [*app.title, *app.markdown, *app.caption, *app.error]
    assert not [one.value for one in said if re.search(r"(?<!\\)<(img|script)", str(one.value))]
    assert not [one for one in said if getattr(one.proto, "allow_html", False)]


def record(id: str, **fields: object) -> RunRecord:
    config = make_config({"system": "ring"})
    return RunRecord.model_validate(
        {
            "id": f"20260101-00000{id}-ring-full-aaaaa{id}",
            "status": "done",
            "created": f"2026-01-01T00:00:0{id}",
            "system": "ring",
            "router": "full",
            "config": config,
            **fields,
        }
    )


def test_groups_are_comparisons_audits_and_branches() -> None:
    parent = record("1")
    child = record("2", parent=parent.id)
    grandchild = record("3", parent=child.id, comparison="c")
    compared = record("4", comparison="c")
    audited = [record(id, tags=("audit", "ring-0123456789ab", "mine")) for id in "56"]
    orphans = [record(id, parent="20250101-000000-ring-full-bbbbbb") for id in "78"]
    alone = record("9", comparison="d")
    found = groups_of([alone, *orphans, *audited, compared, grandchild, child, parent])
    assert [(group.kind, [run.id[-1] for run in group.runs]) for group in found] == [
        ("branches", ["7", "8"]),
        ("audit", ["5", "6"]),
        ("comparison", ["3", "4"]),
        ("branches", ["1", "2", "3"]),
    ]
    circle = [record("1", parent=record("2").id), record("2", parent=record("1").id)]
    assert len(groups_of(circle)) <= 1
