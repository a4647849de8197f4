"""Pages in a real browser: the cursor, a focus, downloads, hostile names, a job in mid-run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browsing import settled
from page_runs import EVIL, image_run, known_store, point_runs
from test_figures import STEPS

from app.figures import series
from app.figures.subjects import Subject
from ddm_core.config import make_config
from ddm_core.export import csv_bytes
from ddm_core.jobs import Jobs
from ddm_core.store import Store


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a comparison of pictures, one of points, and a hostile note."""
    store = known_store(tmp_path_factory.mktemp("shown"))
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "pictures")
    point_runs(store, "points")
    store.label(store.comparison("pictures")[0].id, tags=[EVIL[:60]], note=EVIL)
    return store


def step(window: Any) -> str | None:
    """Where the time cursor is."""
    return window.locator(".player").get_attribute("data-step")


@pytest.mark.browser
def test_keyboard_moves_the_cursor_of_everything(page: Callable[..., Any]) -> None:
    window = page("compare?comparison=pictures&step=3")
    window.wait_for_selector(".js-plotly-plot .main-svg")
    window.wait_for_selector('.player[data-step="3"]')
    window.wait_for_selector(".ddm-cursor >> nth=0", state="attached")
    before = window.locator(".ddm-cursor").first.evaluate("one => one.style.transform")
    window.keyboard.press("ArrowRight")
    window.keyboard.press("ArrowRight")
    assert step(window) == "5"
    after = window.locator(".ddm-cursor").first.evaluate("one => one.style.transform")
    assert before != after
    window.wait_for_function("() => new URL(location).searchParams.get('step') === '5'")
    # The same address in another window shows the same view.
    other = page(window.url.partition("/")[2].partition("/")[2].partition("/")[2])
    other.wait_for_selector('.player[data-step="5"]')


@pytest.mark.browser
def test_a_click_on_a_sample_follows_it(page: Callable[..., Any]) -> None:
    window = page("compare?comparison=points")
    window.wait_for_selector("canvas.pickable")
    pictures = page("compare?comparison=pictures")
    canvas = pictures.wait_for_selector("canvas.pickable")
    canvas.click(position={"x": 12, "y": 12})
    pictures.wait_for_selector("text=Sample 10 is in focus")
    pictures.wait_for_function("() => new URL(location).searchParams.get('sample') === '10'")
    pictures.get_by_role("link", name="Trace A").click()
    pictures.wait_for_selector("h1:has-text('inside one run')")
    pictures.wait_for_selector(".film canvas")
    pictures.wait_for_function("() => new URL(location).searchParams.get('sample') === '10'")


@pytest.mark.browser
def test_csv_is_what_the_store_holds(page: Callable[..., Any], shown: Store) -> None:
    window = page("compare?comparison=pictures")
    with window.expect_download() as download:
        window.locator(".st-key-export_disagreement button").click()
        window.locator(".st-key-csv_disagreement").get_by_role("button").click()
    got = pd.read_csv(download.value.path())
    runs = shown.comparison("pictures")
    subjects = [Subject(run.router, shown.trace(run.id)) for run in runs]
    made = series.table(series.series_info(subjects, "disagreement"))
    pd.testing.assert_frame_equal(got, pd.read_csv(io.BytesIO(csv_bytes(made))))
    values = shown.trace(runs[0].id)["disagreement"].values[:, :3]
    np.testing.assert_allclose(got["disagreement"][:STEPS], np.median(values, axis=1))

    with window.expect_download() as download:
        window.locator(".st-key-everything").get_by_role("button").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        name = f"{runs[1].id}/step_sample_expert.csv"
        table = pd.read_csv(io.BytesIO(archive.read(name)))
    want = shown.trace(runs[1].id)["weights"].values.ravel()
    np.testing.assert_array_equal(table["weights"], want)


@pytest.mark.browser
def test_hostile_names_are_not_run(page: Callable[..., Any], shown: Store) -> None:
    window = page("runs")
    window.wait_for_selector('[data-testid="stDataFrame"]')
    window.get_by_role("textbox", name="Search", exact=True).fill("onerror")
    window.keyboard.press("Enter")
    window.wait_for_selector("text=1 of 5 runs")
    settled(window)  # until then the table before is there, too
    # The first row's checkbox is painted on a canvas: click where it is.
    window.locator('[data-testid="stDataFrame"]').click(position={"x": 18, "y": 52})
    window.wait_for_selector("textarea")
    assert EVIL in window.locator("textarea").first.input_value()
    assert window.evaluate("() => window.hacked") is None
    assert window.locator("img[src=x]").count() == 0


@pytest.mark.browser
def test_progress_survives_a_reload_and_can_be_cancelled(
    page: Callable[..., Any], shown: Store
) -> None:
    config = make_config({"system": "ring", "router": "full", "num": 20_000, "steps": 900})
    id = Jobs(shown.root).submit([config], title="a long one")
    try:
        window = page(f"compare?job={id}")
        window.wait_for_selector("text=a long one")
        window.reload()
        window.wait_for_selector("text=a long one")
        # The page stays usable meanwhile.
        window.get_by_role("link", name="Runs").click()
        window.wait_for_selector("h1:has-text('kept here')")
        window.get_by_role("button", name="Cancel").click()
        window.wait_for_selector("text=was cancelled")
        assert Jobs(shown.root).job(id).state == "cancelled"
    finally:
        Jobs(shown.root).cancel(id)
    assert len(shown.runs()) == 5


@pytest.mark.browser
def test_the_first_page_is_found_by_its_name(page: Callable[..., Any]) -> None:
    window = page("start?live=ring")
    assert window.url.endswith("/?live=ring") or "/?live=ring&" in window.url
    assert window.get_by_text("Page not found").count() == 0
