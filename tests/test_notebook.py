"""Notebooks: the figures of the pages, opened runs, and the notebook in app/docs, cell by cell."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import plotly.graph_objects as go
import pytest
import torch
from page_runs import image_run

import ddm_core as ddm
import ddm_core.run
from app.figures import samples_scatter, series, variables, weights
from app.figures.look import Look
from app.figures.subjects import Subject
from app.notebook import paradox_info
from ddm_core.errors import RequestError
from ddm_core.plots import GROUP
from ddm_core.shipped import checkpoints_folder
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


def test_what_is_typed_is_completed() -> None:
    assert set(ddm.__all__) <= set(dir(ddm))


def test_a_run_in_one_line_and_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"batch": 4, "workers": 1, "observed": 2, "shown": 1, "dtype": "float64"}
    run = ddm.sample(
        "ring", metrics="fid, energy_distance", seeds=range(7), steps=3, device="cpu", **how
    )
    assert {name: getattr(run.config, name) for name in how} == how
    assert run.config.metrics == ("fid", "energy_distance")
    assert run.samples.dtype == torch.float64
    assert int(run.trace["disagreement"].notnull().all("step").sum()) == 2
    line = (
        rf"<run of ring, top_k:k=2: 7 samples, 3 steps, {run.seconds:.1f} s; variables: .* more>"
    )
    assert re.fullmatch(line, repr(run))
    assert len(repr(run)) < 200
    assert run.numbers["fid"]["n"] == run.numbers["selected_distance"]["n"] == 7
    both = ddm.compare(
        "ring", "top_k, top_k:k=1", metrics="fid", probes="weights", seeds=range(4), steps=2
    )
    assert list(both.numbers) == ["top_k:k=2", "top_k:k=1"]
    assert set(both.numbers["top_k:k=1"]) >= {"fid", "seconds"}
    for routes, wanted, few in (
        (["full", "nonsense"], None, 4),
        (["full"], "nonsense", 4),
        (["full"], "fd_infinity", 4),
        (["full"], "fid", 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(ddm_core.run, "sample", Mock(side_effect=AssertionError("sampled")))
            with pytest.raises(RequestError):
                ddm.compare("ring", routes, metrics=wanted, seeds=range(few), steps=2)
    plain = ddm.compare("ring", ["full"], metrics="none", seeds=range(2), steps=2)
    assert "energy_distance" not in plain.numbers["full"]
    alone = ddm.sample("digits", label=3, metrics=["fid"], probes=None, seeds=range(4), steps=2)
    assert alone.numbers["fid"]["protocol"].startswith("samples of label 3 alone against ")
    assert not alone.trace.data_vars
    assert "variables: none>" in repr(alone)


def test_a_system_may_be_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.symlink_to(checkpoints_folder() / "digits")
    assert ddm.load_system(folder).folder == folder
    run = ddm.sample(folder, probes=None, seeds=range(4), steps=2)
    assert run.config.system == str(folder)
    for wrong in (None, 5):
        asked: Any = wrong
        with pytest.raises(RequestError, match=r"a system is a name or the path of a folder, not"):
            ddm.sample(asked)


@pytest.mark.parametrize("seeds", [5, "abc", "5", None, [], [1.5], [[0, 1]], {}, [0, 2]])
def test_seeds_that_are_none_are_told(seeds: Any) -> None:
    ring = ddm.load_system("ring")
    parent = ddm.sample(ring, probes=None, seeds=range(4), steps=2)
    asked: list[Callable[[], object]] = [
        lambda: ddm.sample(ring, seeds=seeds),
        lambda: ddm.compare(ring, ["full"], seeds=seeds),
    ]
    if seeds is not None:  # all of the parent's
        asked.append(lambda: ddm.branch(parent, step=1, seeds=seeds, system=ring))
    for ask in asked:
        with pytest.raises(RequestError, match=r"must be consecutive and at least one, as in ran"):
            ask()


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
