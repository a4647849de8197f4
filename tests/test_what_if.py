"""The What if page: the tree of a run's branches, the change, and a branch made in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import streamlit as st
from browsing import new_window, settled
from page_runs import image_run, known
from streamlit.testing.v1 import AppTest
from test_branches import ignore

from app.branch_tree import MOST_LANES, difference_picture, family, number_of, table, tree_data
from app.views.change import with_temperature
from ddm_core.branching import branch_config, make_branch, order_branch
from ddm_core.config import RunConfig, make_config
from ddm_core.jobs import Jobs
from ddm_core.live import Live
from ddm_core.records import RunRecord
from ddm_core.run import execute
from ddm_core.store import Store

PATIENCE = 90_000  # milliseconds
STEPS = 6


def record_of(
    number: int, parent: RunRecord | None = None, step: int = 2, **how: Any
) -> RunRecord:
    """A record without files."""
    config = RunConfig(system="ring", router="full", num=4, steps=STEPS)
    if parent is not None:
        config = branch_config(parent.config, step=step, **how)
    return RunRecord(
        id=f"20260101-00000{number % 10}-ring-full-{number:06x}",
        status="done",
        created=f"2026-01-01T00:00:{number:02d}",
        system="ring",
        router=config.router,
        config=config,
        parent=None if parent is None else parent.id,
    )


def test_a_family_is_a_tree_depth_first() -> None:
    root = record_of(0)
    late = record_of(3, root, step=4, router="fixed:expert=1/full")
    early = record_of(1, root, step=1, router="fixed:expert=2/full")
    child = record_of(2, early, step=3, sampler="heun")
    other = record_of(4, root, seeds=[3], router="top_k:k=1")
    records = [root, late, early, child, other, record_of(5)]
    nodes = family(records, child.id, seed=0)
    assert [node.record for node in nodes] == [root, early, child, late]
    assert [node.parent for node in nodes] == [None, 0, 1, 0]
    assert [node.start for node in nodes] == [0, 1, 3, 4]
    assert [node.words for node in nodes][1:3] == ["expert 2 alone", "sampler heun"]
    assert other in [node.record for node in family(records, root.id, seed=3)]
    orphans = family([early, child], child.id, seed=0)
    assert [node.record for node in orphans] == [early, child]
    assert [node.missing for node in orphans] == [True, False]


def test_records_that_name_each_other_as_parents_do_not_hang() -> None:
    one, other = record_of(0), record_of(1)
    one = one.model_copy(update={"parent": other.id})
    other = other.model_copy(update={"parent": one.id})
    for id in (one.id, other.id):
        assert len(family([one, other], id, seed=0)) == 2


def test_of_too_many_branches_the_line_in_focus_stays() -> None:
    root = record_of(0)
    first = record_of(1, root, router="fixed:expert=1/full")
    child = record_of(2, first, step=3, router="full")
    many = [record_of(n, root, router="top_k:k=1") for n in range(3, 30)]
    nodes = family([root, first, child, *many], child.id, seed=0)
    assert len(nodes) == MOST_LANES
    assert [node.record for node in nodes[:3]] == [root, first, child]
    assert nodes[-1].record == many[-1]
    for node in nodes[1:]:
        assert node.parent is not None
        assert nodes[node.parent].record.id == node.record.parent


def test_the_difference_says_who_is_brighter() -> None:
    branch = np.array([[[0], [255], [0], [128]]], np.uint8)
    parent = np.array([[[0], [0], [255], [0]]], np.uint8)
    nothing, mine, theirs, half = difference_picture(branch, parent)[0].tolist()
    assert nothing == [255, 255, 255]
    assert mine == [213, 94, 0]
    assert theirs == [0, 114, 178]
    assert all(a < h < 255 for a, h in zip(mine, half, strict=True))


def test_numbers_of_a_sample() -> None:
    root = record_of(0)
    one = record_of(1, root, seeds=range(1, 4), router="fixed:expert=1/full")
    found = {"branch": [1.0, 2.0, None], "parent": [4.0, 1.0, 1.0], "value": 0.5, "n": 3}
    one = one.model_copy(update={"departure": {"real_distance": found}})
    assert number_of(one, "real_distance", seed=1) == -3
    assert number_of(one, "real_distance", seed=3) is None
    assert number_of(one, "real_distance", seed=0) is None  # it is not of this branch
    strange = one.model_copy(update={"departure": {"real_distance": {"branch": "<b>"}}})
    assert number_of(strange, "real_distance", seed=1) is None
    row = table(family([root, one], one.id, seed=2), seed=2).iloc[1]
    assert row["real_distance of the sample"] == 1
    assert (row["real_distance mean"], row["real_distance n"]) == (0.5, 3)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("top_k:k=2", "learned:temperature=4/top_k:k=2"),
        ("exact/full", "exact:temperature=4/full"),
        ("nearest:temperature=0.5/sticky", "nearest:temperature=4/sticky"),
    ],
)
def test_another_temperature_is_a_route(route: str, expected: str) -> None:
    assert with_temperature(route, "learned", 4.0) == expected


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run of the ring and one of its branches, and a run of pictures."""
    folder = tmp_path_factory.mktemp("what-if") / "runs"
    folder.mkdir()
    catalogue = known()
    catalogue["systems"][1]["experts"] = 6
    (folder / ".catalogue.json").write_text(json.dumps(catalogue))
    store = Store(folder)
    image_run(store, "full")
    config = make_config({"system": "ring", "router": "top_k:k=2", "num": 6, "steps": STEPS})
    parent = store.save(execute(config))
    order = order_branch(
        parent, branch_config(parent.config, step=2, router="fixed:expert=4/full")
    )
    make_branch(store, parent, order, on_progress=ignore, yardstick=lambda: None)
    return store


def pair(store: Store) -> tuple[RunRecord, RunRecord]:
    """The run of the ring and its branch."""
    child = next(one for one in store.runs() if one.parent)
    assert child.parent is not None
    return store.run(child.parent), child


def test_strips_and_paths_reach_the_browser(shown: Store) -> None:
    parent, child = pair(shown)
    nodes = family(shown.runs(), parent.id, seed=1)
    traces = {one.id: shown.trace(one.id) for one in (parent, child)}
    images = {one.id: shown.samples(one.id).images[1] for one in (parent, child)}
    data = tree_data(nodes, traces, images, 1, centres=np.zeros((6, 2)))
    assert data["points"]
    assert [lane["start"] for lane in data["lanes"]] == [0, 2]
    assert [says for says, _ in data["lanes"][1]["numbers"]] == ["place", "to its cluster"]
    picture = next(one for one in shown.runs() if one.system == "tiny")
    image = shown.samples(picture.id).images[0]
    seen = tree_data(
        family(shown.runs(), picture.id, seed=10),
        {picture.id: shown.trace(picture.id)},
        {picture.id: image},
        10,
    )
    assert not seen["points"]
    assert seen["lanes"][0]["sprite"].startswith("data:image/png")
    assert "difference" not in seen["lanes"][0]


@pytest.fixture
def pages(shown: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store as the server's own; no worker is started."""
    monkeypatch.setenv("DDM_RUNS", str(shown.root))
    st.cache_resource.clear()
    for family_of, name in ((Jobs, "_start"), (Jobs, "warm"), (Live, "warm")):
        monkeypatch.setattr(family_of, name, lambda *arguments, **options: None)
    yield shown
    st.cache_resource.clear()


def opened(**query: str) -> AppTest:
    """The page, run once."""
    script = """
import streamlit as st
from app.views import what_if
page = st.Page(what_if.page, url_path="what-if")
st.session_state["pages"] = {name: page for name in ("compare", "trace", "what-if")}
what_if.page()
"""
    app = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    """All that is written on the page."""
    return " ".join(str(one.value) for one in [*app.title, *app.markdown, *app.caption])


def test_the_page_shows_a_branch_and_queues_another(pages: Store) -> None:
    parent, child = pair(pages)
    app = opened(run=child.id, sample="1", step="3")
    assert not app.exception
    assert "1 branch of sample 1" in words(app)
    assert "Over all 6 samples of this branch" in words(app)
    button = next(one for one in app.button if one.key == "branch")
    assert button.disabled
    assert "nothing changed" in button.label
    app.session_state["what_expert"] = 2
    app.run()
    button = next(one for one in app.button if one.key == "branch")
    assert button.label == "Branch from step 3: expert 2 alone"
    button.click().run()
    assert not app.exception
    (job,) = Jobs(pages.root).jobs()
    assert (job.kind, job.title) == ("branch", "ring: what if expert 2 alone")
    assert job.total == STEPS  # one sample
    Jobs(pages.root).cancel(job.id)
    app = opened(run=parent.id, sample="1", step="99")
    assert not app.exception
    button = next(one for one in app.button if one.key == "branch")
    assert f"from step {STEPS - 1}" in button.label


def test_another_label_where_the_system_has_labels(pages: Store) -> None:
    parent, _ = pair(pages)
    assert "another label" not in offered(opened(run=parent.id))  # the ring has none
    run = image_run(pages, "learned/full", label=0)
    app = opened(run=run.id, step="1")
    assert "another label" in offered(app)
    app.session_state["what_kind"] = "another label"
    app.run()
    assert not app.exception
    assert next(one for one in app.selectbox if one.key == "what_label").options == ["one"]
    button = next(one for one in app.button if one.key == "branch")
    assert button.label == "Branch from step 1: label 1, guidance 2"
    assert not button.disabled


def offered(app: AppTest) -> list[str]:
    """What may be different from the step on."""
    assert not app.exception
    return next(one for one in app.get("button_group") if one.key == "what_kind").options


def test_an_empty_store_says_what_to_do(
    tmp_path: Path, pages: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDM_RUNS", str(tmp_path))
    st.cache_resource.clear()
    app = opened()
    assert not app.exception
    assert "There is no run to branch from" in words(app)


@pytest.mark.browser
def test_a_branch_in_a_browser(
    browser: Any, shown: Store, dashboard: Callable[[Path], str]
) -> None:
    """From Trace by its link, an expert clicked, a branch made, and back by the link."""
    parent, child = pair(shown)
    faults: list[str] = []
    window = new_window(browser)
    window.set_default_timeout(PATIENCE)
    window.on("pageerror", lambda error: faults.append(str(error)))
    window.goto(f"{dashboard(shown.root)}/trace?run={parent.id}&sample=1&step=3")
    window.get_by_role("link", name="What if another expert").click()
    window.wait_for_selector(".tree .lane >> nth=1")
    view = parse_qs(urlsplit(window.url).query)
    assert (view["run"], view["sample"], view["step"]) == ([parent.id], ["1"], ["3"])
    assert window.locator(".tree .lane").count() == 2
    window.locator(f".tree .lane[data-run='{child.id}']").focus()
    window.keyboard.press("Enter")
    window.wait_for_function("id => location.href.includes(id)", arg=child.id)
    settled(window)
    window.locator(".asker .card", has_text="expert 0").click()
    window.get_by_role("button", name="Branch from step 3: expert 0 alone").click()
    window.wait_for_selector(".tree .lane >> nth=2")
    made = next(one for one in shown.runs() if one.parent == child.id)
    assert made.config.branch is not None
    assert (made.config.branch.step, made.config.router) == (3, "fixed:expert=0/full")
    window.wait_for_selector(f".tree .lane[data-run='{made.id}'][aria-pressed=true]")
    # The branch that was chosen before can be chosen again.
    window.locator(f".tree .lane[data-run='{child.id}'] text").first.click()
    window.wait_for_selector(f".tree .lane[data-run='{child.id}'][aria-pressed=true]")
    window.locator(f".tree .lane[data-run='{made.id}'] text").first.click()
    window.wait_for_selector(f".tree .lane[data-run='{made.id}'][aria-pressed=true]")
    window.get_by_role("link", name="Its trace").click()
    window.wait_for_selector("h1:has-text('What happens inside one run?')")
    assert parse_qs(urlsplit(window.url).query)["run"] == [made.id]
    assert faults == []
    window.close()
