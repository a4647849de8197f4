"""The report: one file that loads nothing, says everything, and runs nobody else's script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from page_runs import EVIL
from small_audit import PICTURE, hostile, small_audit, write_audit
from small_evidence import evidence

from app.audits.file import Audit
from app.audits.report import main, report
from app.audits.report_html import table
from ddm_core.errors import WorkError


class Page(HTMLParser):
    """What a page is made of: elements with their attributes, text, scripts and styles."""

    def __init__(self, whole: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {"script": [], "style": [], "": []}
        self.feed(whole)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        self.text[inside if inside in self.text else ""].append(data)

    def words(self) -> str:
        return " ".join("".join(self.text[""]).split())

    def data(self) -> dict[str, Any]:
        return json.loads(next(one for one in self.text["script"] if one.startswith('{"figures"')))


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report(Audit.model_validate(small_audit())))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            value = attributes.get(name) or ""
            assert value.startswith("#") or not value, (tag, name, value)
    for style in page.text["style"]:
        assert not re.search(r"url\(|@import", style)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?:|\*|'self'|unsafe-eval", policy)


def test_it_says_what_the_pages_say(page: Page) -> None:
    words = page.words()
    assert "Do the paper’s four claims hold for mnist?" in words
    for verdict in ("✕ Contradicted", "✓ Supported", "? Undecided"):
        assert verdict in words
    for piece in ("−6 [−6.5, −5.5]", "64 samples instead of 2000", "ddm audit mnist", "no memory"):
        assert piece in words, piece
    assert "20 [19.5, 20.5] (n = 64)" in words.replace("\u00a0", " ")


def test_every_figure_is_there_in_light_and_dark_with_a_table(page: Page) -> None:
    drawn = page.data()["figures"]
    named = [a["data-figure"] for _, a in page.elements if a.get("data-figure")]
    assert sorted(named) == sorted(drawn)
    assert {"effect_1", "tests_1", "league", "scatter_delta_refine", "map", "gallery"} <= set(
        drawn
    )
    assert all(set(one) == {"light", "dark"} for one in drawn.values())
    assert len(drawn) == len([tag for tag, _ in page.elements if tag == "figure"])
    tables = [tag for tag, _ in page.elements if tag == "details"]
    assert len(tables) == len(drawn)


def test_the_evidence_is_there_with_its_figures_and_tables() -> None:
    """Alignment, accuracy, the router and disagreement, as the pages draw them."""
    whole = Page(report(Audit.model_validate(small_audit(**evidence()))))
    drawn = whole.data()["figures"]
    lines = {f"alignment_{name}" for name in ("cluster_distance", "hit", "rank", "noising")}
    losses = {f"accuracy_{name}" for name in ("difference", "matrix", "own", "split")}
    apart = {f"disagreement_{name}" for name in ("buckets_0", "time", "pixels", "correlations")}
    assert lines | losses | apart | {"router_accuracy", "router_reliability"} <= set(drawn)
    assert len([tag for tag, _ in whole.elements if tag == "details"]) == len(drawn)
    # The matrix has a frame per noise level for its slider.
    assert len(drawn["accuracy_matrix"]["light"]["frames"]) == 3
    words = whole.words()
    for piece in ("Spearman 0.3 [0.2, 0.4], n = 64", "64 test images", "by chance"):
        assert piece in words or piece in json.dumps(drawn), piece
    # Beside its figure the hit rate stands in a table: t, value, interval, n.
    assert "top_k:k=1nearest cluster's expert chosen0.90.60.550.6564" in words
    pictures = [a for tag, a in whole.elements if tag == "img" and a.get("data-picture")]
    assert len(pictures) == 4
    assert all(a["alt"] for a in pictures)


def test_a_long_table_says_what_is_cut() -> None:
    words = Page(table(pd.DataFrame({"x": range(1000)}))).words()
    assert "and 300 rows more" in words


def test_a_picture_is_kept_once_and_shown_for_its_point(page: Page) -> None:
    data = page.data()
    assert data["pictures"] == [PICTURE]
    assert data["samples"]["map"]["Top-2, T = 1"] == 0
    # What is seen before anybody points at anything: the paradox itself.
    assert next(iter(data["samples"]["map"])) == "full (8), T = 4"
    assert next(iter(data["samples"]["scatter_delta_refine"])) == ("learned:temperature=4/full")
    images = data["figures"]["gallery"]["dark"]["layout"]["images"]
    assert {one["source"] for one in images} == {"picture:0"}


def test_text_of_a_file_stays_text(page: Page) -> None:
    poisoned = Page(report(Audit.model_validate(hostile(EVIL + "</script><svg/onload=1>"))))
    kinds = [tag for tag, _ in page.elements]
    assert {tag for tag, _ in poisoned.elements} <= set(kinds)
    assert len([t for t, _ in poisoned.elements if t == "script"]) == kinds.count("script")
    assert not [a for _, a in poisoned.elements if any(name.startswith("on") for name in a)]
    assert EVIL in poisoned.words()


def test_it_is_written_for_an_audit_that_lacks_nearly_everything() -> None:
    bare = small_audit(league=None, map=None, routes=[], definitions={}, claims=[], versions={})
    words = Page(report(Audit.model_validate(bare))).words()
    assert "How it was made" in words
    assert "Which diagnostic" not in words


def test_the_command_writes_it_or_says_why_not(tmp_path: Path) -> None:
    path = write_audit(tmp_path)
    command = [sys.executable, "-m", "app.audits.report", str(path)]
    out = tmp_path / "report.html"
    subprocess.run([*command, str(out)], check=True, cwd=ROOT)
    assert out.read_text().startswith("<!doctype html>")
    with pytest.raises(WorkError, match="cannot write"):
        main([str(path), str(tmp_path / "no" / "where.html")])
    path.write_text("{}")
    done = subprocess.run(
        [*command, str(out)], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: mnist-abc/audit.json is no audit")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.browser
def test_it_is_drawn_without_a_network(browser: Any, tmp_path: Path) -> None:
    words = hostile(EVIL)
    # A name by which a point is looked up, hostile too, with a picture to show.
    words["map"] = small_audit()["map"]
    words |= evidence()
    path = tmp_path / "report.html"
    path.write_text(report(Audit.model_validate(words)), encoding="utf-8")
    for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 19, 24)")):
        window = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
        window.context.set_offline(True)
        asked: list[str] = []
        faults: list[str] = []
        window.on("request", lambda one, asked=asked: asked.append(one.url))
        window.on("pageerror", lambda one, faults=faults: faults.append(str(one)))
        window.on(
            "console",
            lambda one, faults=faults: faults.append(one.text) if one.type == "error" else None,
        )
        window.goto(path.as_uri())
        window.wait_for_selector('[data-figure="gallery"] .main-svg', state="attached")
        assert window.evaluate("() => getComputedStyle(document.body).backgroundColor") == paper
        assert window.evaluate("() => window.hacked") is None
        assert window.locator("img[src=x]").count() == 0
        shown = window.locator('.beside:has([data-figure="map"]) .samples')
        assert shown.locator("p").inner_text() == "full (8), T = 4"
        assert shown.locator("img").get_attribute("src") == PICTURE
        cells = window.locator('[data-figure="map"] .heatmaplayer').first
        cells.scroll_into_view_if_needed()
        box = cells.bounding_box()
        window.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
        window.wait_for_function(
            "() => [...document.querySelectorAll('.samples p')]"
            ".some((one) => one.textContent === 'Top-2, T = 1')"
        )
        # Another definition of stability is drawn when it is chosen.
        window.locator("select").select_option("lipschitz")
        window.wait_for_selector('[data-figure="scatter_lipschitz"] .main-svg', state="attached")
        assert window.locator('[data-figure="scatter_delta_refine"]').is_hidden()
        # The slider walks through the noise levels.
        frames = '[data-figure="accuracy_matrix"]'
        window.wait_for_selector(f"{frames} .slider-group", state="attached")
        window.locator(f"{frames} .slider-rail-touch-rect").scroll_into_view_if_needed()
        rail = window.locator(f"{frames} .slider-rail-touch-rect").bounding_box()
        window.mouse.click(rail["x"] + rail["width"] - 2, rail["y"] + rail["height"] / 2)
        window.wait_for_function(
            f"() => document.querySelector('{frames} .slider-label').textContent === 't = 0.10'"
        )
        assert window.locator(".gallery img").first.get_attribute("src") == PICTURE
        window.set_viewport_size({"width": 900, "height": 900})
        window.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth + 1")
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert faults == []
        window.close()
