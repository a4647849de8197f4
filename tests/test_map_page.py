"""The map's page: its numbers, its figure, and the page with and without maps, runs and faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from browsing import lasso, new_window
from page_runs import image_run, known
from streamlit.testing.v1 import AppTest

from app.components.traveller import traveller_data
from app.figures import map as figure
from app.figures.look import Look, expert_colour
from app.map_words import conclusion, definition
from ddm_core.analysis.data_map import DataMap
from ddm_core.analysis.embedding import Linear
from ddm_core.analysis.map_file import MAP, kept_path, load_map, save_map
from ddm_core.analysis.map_source import stages
from ddm_core.config import make_config
from ddm_core.errors import RequestError
from ddm_core.jobs import Jobs
from ddm_core.records import RunRecord
from ddm_core.run import Result, execute
from ddm_core.store import Store
from ddm_core.systems import checkpoints_folder, load_system

STEPS, SHOWN = 6, 4


@pytest.fixture(scope="module")
def digits() -> DataMap:
    return load_map(checkpoints_folder() / "digits" / MAP)


@pytest.fixture(scope="module")
def full() -> Result:
    config = {"system": "digits", "router": "full", "num": 5, "steps": STEPS, "shown": SHOWN}
    return execute(make_config(config | {"device": "cpu", "workers": 1, "seed": 20}))


def catalogue(runs: Path) -> None:
    """Digits with its map, the ring, and a system without files."""
    card = {
        "name": "digits",
        "shape": [1, 8, 8],
        "experts": 8,
        "folder": str(checkpoints_folder() / "digits"),
        "digest": load_system("digits").digest,
    }
    systems = [card, *known()["systems"]]
    (runs / ".catalogue.json").write_text(json.dumps(known(systems=systems)))


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store with that catalogue, in which no worker starts."""
    catalogue(tmp_store)
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", lambda *arguments: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


def opened(**query: str) -> AppTest:
    script = """
import streamlit as st
from app import parts
from app.views import map, start
st.session_state["pages"] = {"start": st.Page(start.page, url_path="start")}
parts.progress_cards()
map.page()
"""
    app = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    return " ".join(str(one.value) for one in [*app.markdown, *app.caption, *app.warning])


def chart(app: AppTest) -> dict[str, Any]:
    assert not app.exception
    charts = app.get("plotly_chart")
    assert len(charts) == 1
    return json.loads(charts[0].proto.spec)


def test_a_way_is_where_the_predictions_lie(digits: DataMap, full: Result) -> None:
    trace = full.trace
    way = figure.way_of(digits, "pca", trace, 22)
    pca = digits.embeddings["pca"]
    assert isinstance(pca, Linear)
    # By hand, in torch's order of pixels, through the system's own features.
    pixels = trace["x0_hat"].sel(shown=22).values[..., 0].reshape(STEPS, 64) / 127.5 - 1
    clusters = load_system("digits").clusters
    assert clusters.features.components is not None
    phi = (pixels - clusters.features.mean.numpy()) @ clusters.features.components.numpy().T
    np.testing.assert_allclose(way.places, (phi - pca.mean) @ pca.axes.T, atol=1e-4)
    weights = trace["weights"].sel(sample=22).values
    np.testing.assert_array_equal(way.expert, weights.argmax(axis=1))
    each = trace["x0_hat_expert"].sel(shown=22).isel(expert=3).values
    assert way.by_expert is not None
    own = pca.transform(digits.space.features(each))
    np.testing.assert_allclose(way.by_expert[:, 3], own, atol=1e-4)


def test_nobody_leads_where_all_weigh_the_same(digits: DataMap, full: Result) -> None:
    trace = full.trace.copy()
    trace["weights"] = trace["weights"] * 0 + 1 / 8
    assert set(figure.way_of(digits, "umap", trace, 20).expert.tolist()) == {-1}


def test_what_was_not_pictured_has_no_way(digits: DataMap, full: Result) -> None:
    assert figure.seeds_of(full.trace) == [20, 21, 22, 23]
    with pytest.raises(RequestError, match="no pictures of sample 24"):
        figure.way_of(digits, "umap", full.trace, 24)
    assert figure.seeds_of(full.trace.drop_vars(["x0_hat", "x0_hat_expert"])) == []


def test_far_is_beyond_what_real_points_are_from_each_other(digits: DataMap, full: Result) -> None:
    trace = full.trace.copy()
    inverted = 255 - trace["x0_hat"].values
    trace["x0_hat"] = (trace["x0_hat"].dims, inverted)
    assert figure.way_of(digits, "umap", trace, 20).far[-1]
    assert not figure.way_of(digits, "umap", full.trace, 20).far[-1]


def drawn(digits: DataMap, full: Result, embedding: str = "umap") -> figure.MapInfo:
    ways = [figure.way_of(digits, embedding, full.trace, seed) for seed in (20, 23)]
    return figure.map_info(digits, embedding, ways, full.trace["t"].values)


def test_the_figure_has_a_trace_per_cluster_and_lines_per_expert(
    digits: DataMap, full: Result
) -> None:
    info = drawn(digits, full)
    for look in (Look(False), Look(True)):
        chart = figure.figure(info, look)
        for k, points in enumerate(chart.data[:8]):
            assert points.marker.color == expert_colour(k)
            np.testing.assert_array_equal(points.x, info.places[info.clusters == k, 0])
        ends = [trace for trace in chart.data[8:] if trace.mode == "markers"]
        assert len(ends) == 2
        np.testing.assert_array_equal(ends[1].y, info.ways[1].places[:, 1])
        used = {expert_colour(int(k)) for way in info.ways for k in way.expert[:-1]}
        assert {line.line.color for line in chart.data[8:] if line.mode == "lines"} == {
            *used,
            look.paper,
        }
    # Byte for byte: Streamlit forgets the selection of a figure that changes.
    again = drawn(digits, full)
    assert figure.figure(again, Look()).to_json() == figure.figure(info, Look()).to_json()


def test_a_line_belongs_to_the_expert_asked_where_it_begins(digits: DataMap) -> None:
    places = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0]])
    nobody = np.zeros(4, dtype=bool)
    way = figure.Way(7, places, np.array([2, 2, 5, 6]), np.ones(4), nobody, None)
    chart = figure.figure(figure.map_info(digits, "pca", [way], np.linspace(1, 0.25, 4)), Look())
    lines = {line.line.color: line for line in chart.data[8:] if line.mode == "lines"}
    np.testing.assert_array_equal(lines[expert_colour(2)].x, [0, 1, np.nan, 1, 2, np.nan])
    np.testing.assert_array_equal(lines[expert_colour(5)].x, [2, 3, np.nan])
    assert expert_colour(6) not in lines


def test_a_selection_means_real_points_only(digits: DataMap, full: Result) -> None:
    info = drawn(digits, full)
    chart = figure.figure(info, Look())
    points: list[dict[str, object]] = [
        {"curve_number": 3, "point_index": 1},
        {"curve_number": 0, "point_index": 4},
        {"curve_number": len(chart.data) - 1, "point_index": 0},
        {"curve_number": 3, "point_index": 10**6},
        {"curve_number": -1, "point_index": 0},
    ]
    rows = figure.real_rows(info, points)
    wanted = [np.flatnonzero(info.clusters == 0)[4], np.flatnonzero(info.clusters == 3)[1]]
    assert rows == [int(row) for row in wanted]
    table = figure.points_table(info, rows)
    assert table["cluster"].tolist() == [0, 3]
    assert table["label"].tolist() == [str(digits.labels[row]) for row in rows]


@pytest.mark.parametrize("count", [1, 9, 10, 13, 200])
def test_contact_sheet_shows_at_most_sixty_over_their_colours(digits: DataMap, count: int) -> None:
    sheet = figure.contact_sheet(digits, list(range(count)))
    shown = min(count, 60)
    assert sheet.shape == ((56 + 10) * -(-shown // 10), (56 + 6) * min(shown, 10), 4)
    empty = -shown % 10 if shown > 10 else 0
    assert (sheet[-66:, sheet.shape[1] - empty * 62 :] == 0).all()
    assert sheet[..., 3].astype(bool).sum() == shown * 60 * 56
    # 8 x 8 pixels at seven times their size, then the cluster's bar.
    assert digits.thumbnails is not None
    np.testing.assert_array_equal(sheet[:56:7, :56:7, 0], digits.thumbnails[0, ..., 0])
    colour = expert_colour(int(digits.clusters[0]))
    assert sheet[57, 5, :3].tolist() == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_tables_hold_what_is_drawn(digits: DataMap, full: Result) -> None:
    info = drawn(digits, full)
    table = figure.table(info)
    assert len(table) == 2 * STEPS
    np.testing.assert_array_equal(table["x"][STEPS:], info.ways[1].places[:, 0])
    assert table["sample"].tolist() == [20] * STEPS + [23] * STEPS


def test_dots_travel_and_show_the_pulls_of_one_sample(digits: DataMap, full: Result) -> None:
    data = traveller_data(drawn(digits, full).ways, 23)
    assert [len(dot["places"]) for dot in data["dots"]] == [STEPS, STEPS]
    assert [np.shape(dot["pulls"]) for dot in data["dots"]] == [(0,), (STEPS, 8, 2)]
    assert len(data["colours"]) == 8
    assert traveller_data([], None) == {"dots": [], "colours": []}


def test_words_name_the_rule_and_what_not_to_conclude(digits: DataMap, full: Result) -> None:
    info = drawn(digits, full)
    said = definition(digits, "umap", info)
    assert "all training images of digits" in said.replace("\\", "")
    assert "15 nearest fitted points, weighted by 1 / distance²" in said
    assert "Distances, sizes and gaps mean nothing" in conclusion(digits, "umap", info)
    assert f"{digits.about.trustworthiness['pca']:.2f}" in conclusion(digits, "pca", info)


def test_no_system_no_map(store: Store) -> None:
    (store.root / ".catalogue.json").write_text(json.dumps(known(systems=[])))
    app = opened()
    assert not app.exception
    assert "Train one" in words(app)


def test_the_data_alone_at_once(store: Store) -> None:
    app = opened(system="digits")
    spec = chart(app)
    assert len(spec["data"]) == 8
    assert "No run of this system yet" in words(app)
    assert not [one for one in app.button if one.key == "compute_map"]


def test_a_run_is_drawn_and_nothing_moves_the_figure_but_what_is_in_it(
    store: Store, full: Result
) -> None:
    run = store.save(full)
    app = opened(run=run.id, step="2")
    spec = app.get("plotly_chart")[0].proto.spec
    assert len(chart(app)["data"]) > 8
    assert app.multiselect[0].value == [20, 21, 22, 23]
    other = opened(run=run.id, step="4", sample="22")
    assert other.get("plotly_chart")[0].proto.spec == spec
    fewer = app.multiselect[0].set_value([21]).run()
    assert len(chart(fewer)["data"]) < len(json.loads(spec)["data"])
    pca = opened(run=run.id, embedding="pca")
    assert "two main directions" in words(pca)


def test_runs_of_another_version_are_left_out(store: Store) -> None:
    image_run(store, "full")
    other: list[RunRecord] = store.runs()
    assert other[0].hashes["system"] == ""
    app = opened(system="digits", run=other[0].id)
    assert len(chart(app)["data"]) == 8


def test_a_system_without_images_offers_to_compute(store: Store) -> None:
    run = image_run(store, "full")
    app = opened(run=run.id)
    assert not app.exception
    assert "have not been drawn yet" in words(app)
    app.button(key="compute_map").click().run()
    jobs = Jobs(store.root).jobs()
    assert [(job.kind, job.title) for job in jobs] == [("map", "map of tiny")]
    assert not [one for one in app.button if one.key == "compute_map"]


def test_pictures_of_another_shape_are_told_in_a_sentence(store: Store, digits: DataMap) -> None:
    run = image_run(store, "full")
    digest = "0" * 64
    said = json.loads((store.root / ".catalogue.json").read_text())
    said["systems"][1]["digest"] = digest
    (store.root / ".catalogue.json").write_text(json.dumps(said))
    about = digits.about.model_copy(update={"digest": digest})
    save_map(kept_path(store.root, digest), digits._replace(about=about))
    app = opened(run=run.id)
    assert len(chart(app)["data"]) == 8
    assert "1 x 4 x 6 and the map's are 1 x 8 x 8" in words(app)


def test_without_a_map_the_kept_images_are_shown_and_a_damaged_one_is_told(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("clusters.safetensors", "system.toml"):
        (folder / name).write_bytes((checkpoints_folder() / "digits" / name).read_bytes())
    said = json.loads((store.root / ".catalogue.json").read_text())
    said["systems"][0]["folder"] = str(folder)
    (store.root / ".catalogue.json").write_text(json.dumps(said))
    app = opened(system="digits")
    assert sum(len(trace["text"]) for trace in chart(app)["data"]) == 128
    assert "16 training images of each cluster" in words(app)
    assert app.button(key="compute_map")
    # A map of what was trained in this folder before.
    shipped = load_map(checkpoints_folder() / "digits" / MAP)
    old = shipped.about.model_copy(update={"digest": "0" * 64})
    save_map(folder / MAP, shipped._replace(about=old))
    assert sum(len(one["text"]) for one in chart(opened(system="digits"))["data"]) == 128
    path = kept_path(store.root, said["systems"][0]["digest"])
    path.parent.mkdir()
    path.write_bytes(b"no map")
    app = opened(system="digits")
    assert len(chart(app)["data"]) == 8
    assert "is damaged" in words(app).replace("\\", "")


def test_the_ring_needs_nothing_and_its_settings_a_job(store: Store) -> None:
    for system in ("ring", "ring:experts=3"):
        config = make_config({"system": system, "router": "full", "num": 6, "steps": 4})
        store.save(execute(config))
    said = json.loads((store.root / ".catalogue.json").read_text())
    ring = next(one for one in said["systems"] if one["name"] == "ring")
    ring["digest"] = load_system("ring").digest
    (store.root / ".catalogue.json").write_text(json.dumps(said))
    app = opened(system="ring")
    assert len(chart(app)["data"]) > 2
    assert "nothing is embedded" in words(app)
    app = opened(system="ring:experts=3")
    assert "have not been drawn yet" in words(app).replace("\\", "")
    found = next(s.data_map for s in stages(load_system("ring:experts=3")) if s.data_map)
    save_map(kept_path(store.root, found.about.digest), found)
    assert len(chart(opened(system="ring:experts=3"))["data"]) > 3


@pytest.mark.browser
def test_a_lasso_shows_images_that_stay(
    browser: Any, tmp_path: Path, full: Result, dashboard: Callable[[Path], str]
) -> None:
    store = Store(tmp_path / "runs")
    run = store.save(full)
    catalogue(store.root)
    window = new_window(browser)
    window.set_default_timeout(60_000)
    try:
        window.goto(f"{dashboard(store.root)}/map?run={run.id}&step=2")
        window.wait_for_selector(".ddm-traveller", state="attached")
        window.wait_for_selector("canvas.pickable")
        quiet = '[data-testid="stApp"][data-test-script-state="notRunning"]'
        window.wait_for_selector(quiet)
        plot = window.locator(".st-key-map_chart .js-plotly-plot")
        lasso(window, plot, ((0.02, 0.1), (0.98, 0.1), (0.98, 0.98), (0.02, 0.98), (0.02, 0.12)))
        window.wait_for_selector("text=1,438 selected:")
        # Another sample, another step: the figure is the same, and so is what is selected.
        window.locator("canvas.pickable").click(position={"x": 20, "y": 20})
        window.wait_for_selector("text=Dashed from sample 20")
        window.keyboard.press("ArrowRight")
        window.wait_for_selector('.player[data-step="3"]')
        assert window.locator(".st-key-map_chart .selectionlayer path").count() > 0
        assert window.locator("text=1,438 selected:").count() == 1
    finally:
        window.close()
