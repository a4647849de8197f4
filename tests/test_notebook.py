"""Notebooks: the figures of the pages, opened runs, and the notebook in app/docs, cell by cell."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from page_runs import image_run

import ddm_core as ddm
from app.figures import samples_scatter, series, variables, weights
from app.figures.look import Look
from app.figures.subjects import Subject
from app.notebook import paradox_info
from ddm_core.errors import RequestError
from ddm_core.plots import GROUP
from ddm_core.store import Store

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "app" / "docs" / "paradox.ipynb"
MOST_BYTES = 600_000


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points as pyproject.toml has them now, whenever the package was installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site" / "plots-0.dist-info"
    folder.mkdir(parents=True)
    lines = [f"{name} = {value}" for name, value in project["entry-points"][GROUP].items()]
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plots\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder.parent))


@pytest.fixture
def stored(tmp_store: Path) -> Store:
    store = Store(tmp_store)
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "20260101-000000-abc123")
    return store


def same(one: go.Figure, other: go.Figure) -> bool:
    return one.to_json() == other.to_json()


def test_a_run_gives_the_very_figures_of_the_pages(stored: Store) -> None:
    record = stored.runs()[0]
    run = ddm.open_run(record.id[-6:], stored.root)
    subject = Subject(record.router, stored.trace(record.id))
    assert same(run.plot.weights(), weights.figure(weights.weights_info([subject]), Look()))
    two = ("disagreement", "perturbation_growth")
    info = samples_scatter.samples_info(subject, *two)
    assert same(run.plot.samples(*two), samples_scatter.figure(info, Look()))
    with pytest.raises(RequestError, match="no variable of step and sample 'weights'"):
        run.plot.samples("weights", "disagreement")
    for name in ("disagreement", "cluster_distance"):
        drawn = variables.draw(subject, name, Look(), focus=11, axis="t").figure
        assert same(getattr(run.plot, name)(sample=11, axis="t"), drawn)
    assert {"weights", "disagreement"} <= set(dir(run.plot))
    with pytest.raises(AttributeError, match="no figure 'fid'"):
        run.plot.fid()
    assert run.samples.seeds.tolist() == list(record.config.seeds)


def test_a_comparison_gives_the_very_figures_of_the_pages(stored: Store) -> None:
    both = ddm.open_comparison("abc123", runs=stored.root)
    runs = stored.comparison("20260101-000000-abc123")
    subjects = [Subject(run.router, stored.trace(run.id)) for run in runs]
    info = series.series_info(subjects, "disagreement")
    assert same(both.plot.disagreement(), series.figure(info, Look()))
    with pytest.raises(RequestError, match="one run only"):
        both.plot.cluster_distance()
    assert both.numbers["full"]["fid"]["value"] == 50
    found = paradox_info(both.shown)
    assert {point.router for point in found.points} == {"top_k:k=1", "full"}
    assert [point.quality[:3] for point in found.points] == [(50, 45, 55)] * 2
    assert found.apart is False
    assert isinstance(both.plot.paradox(), go.Figure)
    with pytest.raises(RequestError, match="is no comparison; there are: 20260101-000000-abc123"):
        ddm.open_comparison("nobody", runs=stored.root)


def test_without_the_app_there_is_a_sentence(
    stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddm_core.plots.entry_points", lambda group: metadata.EntryPoints(()))
    with pytest.raises(RequestError, match="not installed"):
        _ = ddm.open_run(stored.runs()[0].id, stored.root).plot


def notebook() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text())


def test_the_notebook_is_small_and_of_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < MOST_BYTES
    assert not [word for word in ("/tmp", "/work", "/root", "/home", "file:") if word in text]
    cells = [cell for cell in notebook()["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    pictures = [out for cell in cells for out in cell["outputs"] if "image/png" in out["data"]]
    assert len(pictures) >= 3


def test_the_cells_of_the_notebook_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few samples; what they say is for the reader, that they run is for us."""
    scope: dict[str, Any] = {}
    few = {"range(512)": "range(8)", "steps=50": "steps=4", "25, 49]": "1, 3]"}
    for cell in notebook()["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            for much, little in few.items():
                source = source.replace(much, little)
            exec(compile(source, "cell", "exec"), scope)
    assert isinstance(scope["soft"], ddm.Comparison)
