"""The pages that show an audit's evidence: what they draw, and say where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from page_runs import EVIL, known
from small_audit import hostile, small_audit, write_audit
from small_evidence import TIMES, evidence
from test_audit_pages import opened, words

from app.audits import Audit, read
from app.figures import bands, buckets, over_time
from app.figures.bands import CHANCE, CHOSEN, BandsInfo, Panel, as_band
from app.figures.look import Look
from ddm_core.jobs import Jobs
from ddm_core.store import Store

PAGES = ("alignment", "accuracy", "disagreement")


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", lambda *arguments: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return read(write_audit(tmp_path, **evidence()))


@pytest.mark.parametrize(("page", "charts"), [("alignment", 4), ("accuracy", 5)])
def test_a_page_draws_its_evidence(store: Store, page: str, charts: int) -> None:
    write_audit(store.root, **evidence())
    app = opened(page)
    assert not app.exception
    assert len(app.get("plotly_chart")) == charts


def test_disagreement_shows_buckets_and_their_samples(store: Store) -> None:
    write_audit(store.root, **evidence())
    app = opened("disagreement")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 3
    assert len(app.get("image")) == 4
    spoken = words(app).replace("\\", "")
    assert "Spearman 0.3 [0.2, 0.4] over 64 samples" in spoken


@pytest.mark.parametrize("page", PAGES)
def test_what_is_missing_is_said(store: Store, page: str) -> None:
    write_audit(store.root)
    app = opened(page)
    assert not app.exception
    assert not app.get("plotly_chart")
    assert re.search("no real data|looked at all experts in no route|No route", words(app))


@pytest.mark.parametrize("page", PAGES)
def test_without_an_audit_a_page_says_so(store: Store, page: str) -> None:
    app = opened(page)
    assert not app.exception
    assert "There is no audit yet" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_of_a_file_stays_text(store: Store, page: str) -> None:
    path = write_audit(store.root)
    path.write_text(json.dumps(hostile(EVIL) | evil(evidence())))
    app = opened(page)
    assert not app.exception
    assert not re.search(r"(?<!\\)[<\[](?=img|script|a\\?\])", words(app))


def evil(part: object) -> dict:
    """The evidence with hostile words in every name."""
    text = json.dumps(part)
    for name in ("top_k:k=1", "learned", "64 test images", "|phi(x0_hat) - mu_k|"):
        text = text.replace(name, json.dumps(name + EVIL)[1:-1])
    return json.loads(text)


def test_bands_are_drawn_and_tabled_as_they_are(audit: Audit) -> None:
    assert audit.alignment is not None
    (route, _) = audit.alignment.routes
    band = as_band("chosen", CHOSEN, route.chosen)
    plain = as_band("chance", CHANCE, [0.5, None, 0.5])
    info = BandsInfo(tuple(TIMES), (Panel("a <b>", (band, plain)),), "distance")
    table = bands.table(info)
    assert table["t"].tolist() == TIMES * 2
    assert table["value"].tolist()[:3] == [one.value for one in route.chosen]
    chart = bands.figure(info, Look())
    line = next(trace for trace in chart.data if trace.name == "chosen")
    assert [*line.y] == [one.value for one in route.chosen]
    # A missing value is no point, and a line without intervals has no area.
    assert [*next(t for t in chart.data if t.name == "chance").x] == [0.9, 0.1]
    assert sum(trace.fill == "toself" for trace in chart.data) == 1
    assert chart.layout.xaxis.range[0] > chart.layout.xaxis.range[1]  # from noise to data
    assert chart.layout.annotations[0].text == "a &lt;b&gt;"


def test_the_matrix_is_relative_to_the_own_expert(audit: Audit) -> None:
    assert audit.accuracy is not None
    info = over_time.matrix_info(audit.accuracy)
    assert info.cells[0, 0, 0] == 1.0
    assert info.cells[0, 1, 0] == 2.0
    assert np.isnan(info.cells[0, 0, 1])  # the own expert of cluster 1 was not measured
    chart = over_time.figure(info, Look(dark=True))
    assert len(chart.frames) == len(TIMES) == len(chart.layout.sliders[0].steps)
    assert over_time.table(info).shape == (12, 4)


def test_pixels_and_buckets_are_what_the_file_holds(audit: Audit) -> None:
    found = audit.disagreement
    assert found is not None
    assert found.pixels is not None
    assert over_time.pixels_info(found.pixels).cells.shape == (3, 2, 2)
    rows = buckets.bucket_rows(found.routes[0])
    table = buckets.buckets_table(rows, "FID")
    assert table["FID"].tolist() == [20.0, 30.0, 40.0, 50.0]
    chart = buckets.buckets_figure(rows, "FID", Look())
    assert [*chart.data[0].y] == [20.0, 30.0, 40.0, 50.0]
    assert [*chart.data[1].y] == [4.0, 5.0, 6.0, 7.0]


def test_the_reliability_diagram_has_every_bin_that_holds_answers() -> None:
    document = small_audit(**evidence())
    document["router"]["reliability"].append(
        {"low": 0.1, "high": 0.2, "confidence": None, "accuracy": None, "n": 0}
    )
    router = Audit.model_validate(document).router
    assert router is not None
    assert buckets.reliability_table(router)["n"].tolist() == [10, 182]
    assert len(buckets.reliability_figure(router, Look()).data[1].x) == 2
