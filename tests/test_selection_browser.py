"""The selection in a real browser: from a lasso to frames, other pages and another window."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browsing import PATIENCE, lasso, new_window, settled
from test_map_page import catalogue

from app.figures import map as figure
from ddm_core.analysis.map_file import MAP, load_map
from ddm_core.config import make_config
from ddm_core.run import execute
from ddm_core.store import Store
from ddm_core.systems import checkpoints_folder

NUM = 9


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one run of digits, which have a map."""
    folder = tmp_path_factory.mktemp("selection") / "runs"
    folder.mkdir()
    catalogue(folder)
    store = Store(folder)
    asked = {"system": "digits", "router": "top_k:k=2", "num": NUM, "steps": 6, "shown": NUM}
    store.save(execute(make_config(asked | {"device": "cpu", "workers": 1})))
    return store


@pytest.fixture
def go(
    browser: Any, shown: Store, dashboard: Callable[[Path], str]
) -> Iterator[Callable[[str], Any]]:
    """Open an address in a fresh window, as another reader would."""
    windows: list[Any] = []

    def opened(path: str) -> Any:
        window = new_window(browser)
        windows.append(window)
        window.set_default_timeout(PATIENCE)
        window.goto(f"{dashboard(shown.root)}/{path}")
        window.wait_for_selector("h1")
        settled(window)
        return window

    yield opened
    for window in windows:
        window.close()


def chosen(window: Any) -> list[int]:
    """The samples that bear a mark in the player."""
    text = window.locator(".player").get_attribute("data-chosen") or ""
    return sorted(int(seed) for seed in text.split(",") if seed)


def lasso_left_half(window: Any, plot: str) -> None:
    """Draw around the left half of a figure's plane."""
    drag = window.locator(f"{plot} .nsewdrag").first
    drag.scroll_into_view_if_needed()
    lasso(window, drag, ((0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99), (0.01, 0.01)))


@pytest.mark.browser
def test_a_lasso_reaches_the_frames_another_page_another_window_and_the_csv(
    go: Callable[[str], Any], shown: Store
) -> None:
    run = shown.runs()[0]
    window = go("map")
    plot = ".st-key-map_chart .js-plotly-plot"
    window.wait_for_selector(f"{plot} .main-svg")
    window.wait_for_selector(".player[data-step]")
    # Around the left half of the plane.
    window.locator(plot).scroll_into_view_if_needed()
    window.locator(plot).hover()
    window.locator(f"{plot} .modebar-btn[data-val=lasso]").click(force=True)
    lasso_left_half(window, plot)
    window.wait_for_selector("text=samples chosen")
    settled(window)
    # By hand: which samples end left of the middle of the axes.
    axis = window.evaluate(f"() => document.querySelector('{plot}')._fullLayout.xaxis.range")
    digits = load_map(checkpoints_folder() / "digits" / MAP)
    samples = shown.samples(run.id)
    ends = figure.ends_of(digits, "umap", samples.images)
    wanted = sorted(samples.seeds[ends[:, 0] < np.mean(axis)].tolist())
    assert 0 < len(wanted) < NUM
    said = window.locator(".st-key-selection_bar").inner_text()
    assert re.search(rf"{len(wanted)} of {NUM}\s+samples chosen", said)
    with window.expect_download() as download:
        window.locator(".st-key-csv_seeds").get_by_role("button").click()
    table = pd.read_csv(io.BytesIO(download.value.path().read_bytes()))
    assert table["seed"].tolist() == wanted
    assert set(table["run"]) == {run.id}
    assert set(table["reason"]) == {"lasso on the map, top_k:k=2"}
    # The page changes; the selection does not.
    window.get_by_role("link", name="Runs").click()
    window.wait_for_selector("h1:has-text('kept here')")
    window.wait_for_function("() => new URL(location).searchParams.has('chosen')")
    query = window.url.partition("?")[2]
    other = go(f"trace?{query}")
    other.wait_for_selector(".player[data-step]")
    assert chosen(other) == wanted
    # Its film is of the first of them, and a click with shift takes one out.
    other.wait_for_selector(f"text=Predicted clean image of sample {wanted[0]}")
    other.locator("button.only").click()
    other.locator("canvas.pickable").click(position={"x": 12, "y": 12}, modifiers=["Shift"])
    left = set(wanted) - {wanted[0]}
    other.wait_for_selector(f".player[data-chosen='{','.join(map(str, sorted(left)))}']")
    settled(other)
    assert chosen(other) == wanted[1:]


@pytest.mark.browser
def test_a_lasso_over_two_numbers_chooses_and_a_click_follows(
    go: Callable[[str], Any], shown: Store
) -> None:
    run = shown.runs()[0]
    window = go(f"trace?run={run.id}&across=entropy&up=disagreement")
    plot = ".st-key-exhibit_samples .chart"
    window.wait_for_selector(f"{plot}[data-drawn] .main-svg")
    lasso_left_half(window, plot)
    window.wait_for_selector("text=samples chosen")
    settled(window)
    axis = window.evaluate(f"() => document.querySelector('{plot}')._fullLayout.xaxis.range")
    trace = shown.trace(run.id)
    entropy = trace["entropy"].mean("step").values
    wanted = sorted(trace["sample"].values[entropy < np.mean(axis)].tolist())
    assert 0 < len(wanted) < NUM
    assert chosen(window) == wanted
    window.wait_for_function("() => new URL(location).searchParams.has('chosen')")
    assert "lasso over disagreement against entropy, top_k:k=2" in window.inner_text("body")
    # The others step back, and the outline that Plotly drew is gone.
    dim = f"""() => document.querySelector('{plot}')._fullData.flatMap(
        one => one.customdata.map((seed, i) => [seed[0], one.marker.opacity[i]]))"""
    dimmed = sorted(seed for seed, opacity in window.evaluate(dim) if opacity < 0.5)
    assert dimmed == sorted(set(range(NUM)) - set(wanted))
    assert window.locator(f"{plot} .selectionlayer path").count() == 0
    point = window.locator(f"{plot} .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    seed = point.evaluate("one => one.__data__.data[0]")
    box = point.bounding_box()
    window.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.wait_for_function(f"() => new URL(location).searchParams.get('sample') === '{seed}'")
