"""Routing and Flow in a real browser: rows, sorting, the cursor by keyboard, twins."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from browsing import PATIENCE, settled
from page_runs import image_run, known, known_store, point_runs
from streamlit.testing.v1 import AppTest
from test_axe import OVERLAPS, SIDEWAYS
from test_figures import EXPERTS, SAMPLES, make_trace

from app.components.field import field_data
from app.figures import flow, leaders
from app.figures.look import Look
from app.figures.subjects import Subject
from ddm_core.analysis.field import PUSH, field_of
from ddm_core.analysis.field_file import field_path, save_field
from ddm_core.config import make_config
from ddm_core.intervals import Estimate
from ddm_core.jobs import Jobs
from ddm_core.records import RunRecord
from ddm_core.run import execute
from ddm_core.store import Store
from ddm_core.worker import work


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A comparison of pictures, and one of points whose flows were computed."""
    store = known_store(tmp_path_factory.mktemp("flows"))
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "pictures")
    for record in point_runs(store, "points"):
        save_field(field_path(store.root, record), field_of(record.config))
    return store


@pytest.fixture(scope="module")
def points(shown: Store) -> list[RunRecord]:
    return shown.comparison("points")


@pytest.fixture(scope="module")
def info(shown: Store, points: list[RunRecord]) -> flow.FlowInfo:
    fields = [field_of(record.config) for record in points]
    traces = [shown.trace(record.id) for record in points]
    return flow.flow_info(points, [one.router for one in points], fields, traces)


def test_what_the_browser_gets_is_the_field(info: flow.FlowInfo) -> None:
    data = field_data(info)
    count, n = len(data["frames"]), data["resolution"]
    for panel, sent in zip(info.panels, data["panels"], strict=True):
        raw = np.frombuffer(base64.b64decode(sent["flow"]), dtype="<i2")
        velocity = raw.reshape(count, n, n, 2) * sent["unit"]
        truth = panel.flow["velocity"].values
        np.testing.assert_allclose(velocity, truth, atol=2e-5 * np.abs(truth).max())
    experts = field_data(info._replace(panels=info.panels[1:]), experts=True)
    assert [one["label"] for one in experts["panels"]] == [f"expert {k}" for k in range(6)]


def test_runs_without_the_probe_get_the_number_from_the_flow(info: flow.FlowInfo) -> None:
    for panel in info.panels:
        values = panel.flow["path_lipschitz"].values.astype(float)
        assert panel.lipschitz.value == pytest.approx(values.mean())
        assert panel.lipschitz.n == values.shape[1]
        assert panel.distance.value is None
        assert flow.written(panel.distance) == "not measured"


@pytest.mark.parametrize("dark", [False, True])
def test_figure_and_table_of_one_step(info: flow.FlowInfo, dark: bool) -> None:
    for name in flow.GROUNDS:
        chart = flow.figure(info, Look(dark), name=name, frame=2)
        z = chart.data[0].z
        assert (np.nanmin(z), np.nanmax(z)) >= (0, 0)
        assert np.nanmax(z) <= 1
    table = flow.table(info, 2)
    assert len(table) == 3 * info.panels[0].flow.sizes["x"] ** 2
    one = info.panels[1].flow.isel(step=2)
    mine = table[table["run"] == info.panels[1].label]
    np.testing.assert_array_equal(mine["v_x"], one["velocity"].values[..., 0].ravel())
    # x runs fastest, as in the picture.
    assert mine["x"].iloc[1] > mine["x"].iloc[0]


def test_the_paradox_is_said_where_it_is_and_nowhere_else(info: flow.FlowInfo) -> None:
    def panel(label: str, steep: float, distance: float, width: float = 0.01) -> flow.FlowPanel:
        each = pd.Series(steep + np.linspace(0, 0.5, 20))
        known = Estimate(steep, steep - 1, steep + 1, 20, "")
        far = Estimate(distance, distance - width, distance + width, 20, "")
        return info.panels[0]._replace(label=label, lipschitz=known, steep=each, distance=far)

    def said(*panels: flow.FlowPanel) -> str:
        return flow.finding(info._replace(panels=panels))

    soft, sharp = panel("soft", 1.0, 0.5), panel("sharp", 2.0, 0.1)
    assert said(soft, sharp).startswith("The paradox: soft")
    # Not where the intervals of the quality overlap, nor where the smoothest is the best.
    assert "paradox" not in said(panel("soft", 1.0, 0.5, 0.5), sharp)
    assert said(panel("soft", 1.0, 0.1), panel("sharp", 2.0, 0.5)).startswith("soft is the smooth")
    assert said(soft) == ""


def whole(window: Any) -> None:
    """No fault on the page, nothing beyond its edge, no exhibit over another."""
    window.wait_for_timeout(150)
    assert window.locator('[data-testid="stException"]').count() == 0
    assert window.evaluate(SIDEWAYS) <= 1
    assert window.evaluate(OVERLAPS) == []


def pixels(window: Any, selector: str) -> str:
    """What a canvas shows."""
    return window.locator(selector).first.evaluate("canvas => canvas.toDataURL()")


def changed(window: Any, selector: str, before: str) -> None:
    """Wait until a canvas shows something else."""
    end = time.monotonic() + PATIENCE / 1000
    while pixels(window, selector) == before:
        assert time.monotonic() < end, f"{selector} does not change"
        window.wait_for_timeout(50)


@pytest.mark.browser
def test_rows_are_sorted_and_picked(page: Callable[..., Any], shown: Store) -> None:
    window = page("routing?routed=pictures&order=seed")
    window.wait_for_selector(".raster canvas")
    assert window.locator(".raster .pane").count() == 2
    by_seed = pixels(window, ".raster canvas")
    window.get_by_role("radio", name="final expert").or_(
        window.get_by_role("button", name="final expert")
    ).first.click()
    window.wait_for_function("() => new URL(location).searchParams.get('order') === 'final'")
    changed(window, ".raster canvas", by_seed)
    settled(window)
    # A click on the last row follows the sample that the order puts there.
    canvas = window.locator(".raster canvas").first
    box = canvas.bounding_box()
    tall = box["height"] - 20  # without the axis
    canvas.click(position={"x": 30, "y": tall * (SAMPLES - 0.5) / SAMPLES})
    window.wait_for_function("() => new URL(location).searchParams.get('sample')")
    first = shown.trace(shown.comparison("pictures")[0].id)
    final = first["weights"].values[-1].argmax(axis=1)
    picked = int(window.evaluate("() => new URL(location).searchParams.get('sample')"))
    assert final[list(first["sample"].values).index(picked)] == final.max()
    # A drag chooses rows; the line of the selection counts them.
    settled(window)
    window.mouse.move(box["x"] + 50, box["y"] + tall * 0.5 / SAMPLES)
    window.mouse.down()
    window.mouse.move(box["x"] + 60, box["y"] + tall * 1.5 / SAMPLES, steps=4)
    window.mouse.up()
    window.get_by_text(f"2 of {SAMPLES}").wait_for()
    window.wait_for_selector('.raster[data-chosen="2"]')
    whole(window)


@pytest.mark.browser
def test_the_raster_owns_the_cursor_and_experts_choose(page: Callable[..., Any]) -> None:
    window = page("routing?routed=pictures&step=2", color_scheme="dark")
    window.wait_for_selector('.raster[data-step="2"]')
    window.keyboard.press("ArrowRight")
    window.wait_for_selector('.raster[data-step="3"]')
    window.wait_for_function("() => new URL(location).searchParams.get('step') === '3'")
    window.get_by_text("Every change as a matrix").click()
    window.locator(".st-key-exhibit_matrix_0 .main-svg").first.wait_for()
    chips = window.locator(".raster .chip")
    assert chips.count() == EXPERTS
    chips.nth(1).click()
    window.get_by_text("expert 1 leads at step 3").first.wait_for()
    window.set_viewport_size({"width": 900, "height": 900})
    window.wait_for_timeout(300)
    whole(window)


@pytest.mark.browser
def test_the_flow_moves_with_the_cursor_and_shows_twins(
    page: Callable[..., Any], points: list[RunRecord]
) -> None:
    window = page("flow?flow=points&step=0&sample=2")
    window.wait_for_selector(".field canvas[data-twin]")
    assert window.locator(".field .pane").count() == 3
    canvas = window.locator(".field .pane canvas").first
    assert float(canvas.get_attribute("data-twin")) == pytest.approx(PUSH, abs=1e-3)
    before = pixels(window, ".field .pane canvas")
    window.keyboard.press("ArrowRight")
    window.wait_for_selector('.field[data-step="1"]')
    assert pixels(window, ".field .pane canvas") != before
    own = field_of(points[0].config).isel(step=1).sel(sample=2)
    apart = float(np.linalg.norm(own["twin"] - own["state"]))
    assert float(canvas.get_attribute("data-twin")) == pytest.approx(apart, abs=1e-3)
    # Another ground, the same flow; a panel per expert; narrow and dark.
    there = pixels(window, ".field .pane canvas")
    window.get_by_text("Speed").first.click()
    changed(window, ".field .pane canvas", there)
    window.get_by_text("each expert").first.click()
    window.wait_for_function("() => new URL(location).searchParams.get('panels') === 'experts'")
    settled(window)
    window.set_viewport_size({"width": 900, "height": 900})
    window.wait_for_timeout(300)
    whole(window)


def opened(page: str, **query: str) -> AppTest:
    """A page, run once without a browser."""
    script = f"""
import streamlit as st
from app import parts
from app.views import flow, routing, start
page = st.Page(start.page, url_path="start")
st.session_state["pages"] = {{"start": page, "compare": page}}
parts.progress_cards()
{page}.page()
"""
    app = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    assert not app.exception
    return " ".join(str(one.value) for one in [*app.markdown, *app.caption, *app.warning])


@pytest.fixture
def empty(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store in which no worker starts."""
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", lambda *arguments: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


def test_empty_pages_say_what_to_do(empty: Store) -> None:
    assert "Compare a few routes" in words(opened("routing"))
    app = opened("flow")
    assert "Sample the ring with three routes" in words(app)
    app.button(key="sample_ring").click().run()
    (job,) = Jobs(empty.root).jobs()
    assert (job.kind, job.state, job.comparison is not None) == ("sample", "queued", True)


def test_a_flow_is_computed_when_somebody_asks_and_damage_is_told(empty: Store) -> None:
    runs = point_runs(empty, "points")
    app = opened("flow", flow="points")
    assert "has not been computed yet" in words(app)
    app.button(key="draw_flow").click().run()
    (job,) = Jobs(empty.root).jobs()
    assert (job.kind, job.total) == ("field", 3)
    Jobs(empty.root).cancel(job.id)
    path = field_path(empty.root, runs[1])
    save_field(path, field_of(runs[1].config))
    path.with_name(field_path(empty.root, runs[2]).name).write_bytes(b"no flow")
    app = opened("flow", flow="points")
    assert "is no readable trace" in words(app)
    assert "Of monolith" in words(app)


def test_a_route_that_has_no_flow_is_told(empty: Store) -> None:
    config = make_config({"system": "ring", "router": "sticky:k=1", "num": 3, "steps": 2})
    run = empty.save(execute(config))
    app = opened("flow", flow=run.id)
    app.button(key="draw_flow").click().run()
    (job,) = Jobs(empty.root).jobs()
    work(empty.root, job.device, 0.0)
    app = opened("flow", flow=run.id, job=job.id)
    assert "the route sticky:k=1 looks back at its steps before" in words(app).replace("\\", "")
    assert Jobs(empty.root).job(job.id).state == "failed"


def test_routing_says_who_changes_how_often(empty: Store) -> None:
    for router in ("top_k:k=1", "full"):
        image_run(empty, router, "pictures")
    app = opened("routing", routed="pictures", order="no such order", stages="2,99,x,5")
    said = words(app)
    mean = leaders.leaders_info([Subject("a", make_trace())]).panels[0].switches
    assert f"changes its leader {mean.value:.2f}" in said.replace("\\", "")
    assert app.multiselect(key="stages_pick").value == [2, 5]
