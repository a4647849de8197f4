"""Exhibits: what their files say of themselves, and that pictures for paper hold the numbers."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from browsing import PATIENCE, drawn
from page_runs import image_run, known_store
from PIL import Image

from app.exhibits import paper
from app.exhibits.stamp import Stamp, in_pdf, in_png, in_svg
from app.figures import series
from app.figures.look import Look
from app.figures.subjects import Subject
from ddm_core.errors import WorkError
from ddm_core.store import Store

ROOT = Path(__file__).resolve().parents[1]
STAMP = Stamp("Σ <b>(weights)", "Runs: a & b)")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a comparison of pictures."""
    store = known_store(tmp_path_factory.mktemp("exhibits"))
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "pictures")
    return store


def test_an_svg_says_what_it_is() -> None:
    tree = ElementTree.fromstring(in_svg(b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', STAMP))
    assert [one.text for one in tree] == [*STAMP]


def test_a_png_says_what_it_is_and_how_large() -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 2)).save(out, "PNG")
    with Image.open(io.BytesIO(in_png(out.getvalue(), STAMP, 300))) as image:
        assert image.size == (4, 2)
        assert (image.text["Title"], image.text["Description"]) == tuple(STAMP)  # type: ignore[attr-defined]
        assert round(image.info["dpi"][0]) == 300


def test_a_pdf_says_what_it_is() -> None:
    old = b"%PDF-1.4\n1 0 obj\n<</Producer (x)>>\nendobj\nxref\n0 1\n0000000000 65535 f \n"
    place = old.index(b"xref")
    old += b"trailer\n<</Size 3\n/Root 2 0 R\n/Info 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % place
    new = in_pdf(old, STAMP)
    assert new.startswith(old)
    assert pdf_title(new) == STAMP.title
    assert in_pdf(b"%PDF of somebody else", STAMP) == b"%PDF of somebody else"


def pdf_title(data: bytes) -> str:
    """The title, found as a reader does: last table, then the object that it names."""
    table = int(re.findall(rb"startxref\s+(\d+)", data)[-1])
    place = re.match(rb"xref\n\d+ 1\n(\d{10}) 00000 n ", data[table:])
    assert place is not None
    found = re.match(rb"\d+ 0 obj\n<</Title <([0-9A-F]+)>", data[int(place[1]) :])
    assert found is not None
    return bytes.fromhex(found[1].decode()).decode("utf-16")


def test_paper_is_white_and_light_whatever_the_figure() -> None:
    figure = series.figure(lines(), Look())
    page, scale = paper.on_paper(figure, 85)
    assert page.layout.paper_bgcolor == page.layout.plot_bgcolor == "#FFFFFF"
    assert page.layout.width * scale * 25.4 / 96 == pytest.approx(85)
    assert page.layout.template == figure.layout.template
    assert figure.layout.paper_bgcolor is None


def lines() -> series.SeriesInfo:
    """Numbers of a made-up trace."""
    from test_figures import make_trace

    return series.series_info([Subject("full", make_trace())], "disagreement")


def test_without_a_browser_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDM_CHROMIUM", "/nowhere/chromium")
    paper.find_browser.cache_clear()
    try:
        with pytest.raises(WorkError, match="DDM_CHROMIUM"):
            paper.rendered(series.figure(lines(), Look()), "svg", 85, STAMP)
    finally:
        paper.find_browser.cache_clear()


def test_figures_of_exhibits_ask_for_the_look_when_they_are_drawn() -> None:
    """One that was asked for before would be dark on white paper."""
    held = [
        f"{path.name}:{one.lineno}"
        for path in (ROOT / "app" / "views").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"parts.exhibit", "clickable"}
        for one in ast.walk(call)
        if isinstance(one, ast.Lambda)
        if any(isinstance(name, ast.Name) and name.id == "look" for name in ast.walk(one.body))
    ]
    assert held == []


@pytest.mark.browser
def test_a_pdf_is_as_wide_as_a_column() -> None:
    data = paper.rendered(series.figure(lines(), Look(dark=True)), "pdf", 85, STAMP)
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ", data)
    assert box is not None
    assert float(box[1]) / 72 * 25.4 == pytest.approx(85, abs=0.2)
    assert b"/FontFile2" in data
    assert pdf_title(data) == STAMP.title


@pytest.mark.browser
def test_svg_and_csv_from_a_dark_page_hold_the_numbers_of_the_store(
    browser: Any, shown: Store, dashboard: Callable[[Path], str]
) -> None:
    window = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="dark")
    window.set_default_timeout(PATIENCE)
    window.goto(f"{dashboard(shown.root)}/compare?comparison=pictures")
    window.wait_for_selector(".st-key-export_disagreement")
    drawn(window)
    window.locator(".st-key-export_disagreement button").click()
    files: dict[str, bytes] = {}
    for ending in ("csv", "svg"):
        with window.expect_download() as download:
            window.get_by_role("button", name=ending.upper(), exact=True).click()
        files[ending] = download.value.path().read_bytes()
    window.close()
    runs = shown.comparison("pictures")
    made = np.stack(
        [
            np.nanmedian(shown.trace(run.id)["disagreement"].transpose("step", "sample"), axis=1)
            for run in runs
        ]
    )
    table = pd.read_csv(io.BytesIO(files["csv"]))["disagreement"].to_numpy().reshape(made.shape)
    np.testing.assert_allclose(table, made, rtol=1e-6)
    picture = ElementTree.fromstring(files["svg"])
    assert float(picture.get("width") or 0) * 25.4 / 96 == pytest.approx(85, abs=0.01)
    assert all(run.id in (picture.findtext(f"{SVG}desc") or "") for run in runs)
    np.testing.assert_allclose(heights(picture), made, atol=0.01 * float(np.nanmax(made)))
    # Dark text on white, although the page was dark.
    style = str(ElementTree.tostring(picture))
    assert "rgb(255, 255, 255)" in style
    assert "rgb(230, 233, 239)" not in style


def heights(picture: ElementTree.Element) -> np.ndarray:
    """What the lines of a drawing say, [line, step], read with a ruler laid at its ticks."""
    parents = {child: parent for parent in picture.iter() for child in parent}
    ticks = [one for one in picture.iter(f"{SVG}text") if parents[one].get("class") == "ytick"]
    places = [shift(one)[1] for one in ticks]
    values = [float("".join(one.itertext()).replace("−", "-")) for one in ticks]
    slope, offset = np.polyfit(places, values, 1)
    drawn: list[np.ndarray] = []
    for line in picture.iter(f"{SVG}path"):
        if line.get("class") != "js-line" or "stroke-width: 0px" in (line.get("style") or ""):
            continue
        top, above = 0.0, line
        while above in parents:
            above = parents[above]
            top += shift(above)[1]
        corners = re.findall(r"[-\d.]+,([-\d.]+)", line.get("d") or "")
        if len(corners) > 1:  # The keys of the legend are lines too.
            drawn.append(np.array([float(one) + top for one in corners]))
    return np.stack(drawn) * slope + offset


def shift(one: ElementTree.Element) -> tuple[float, float]:
    """By how much an element is moved."""
    found = re.search(r"translate\(([-\d.]+),\s*([-\d.]+)\)", one.get("transform") or "")
    return (0.0, 0.0) if found is None else (float(found[1]), float(found[2]))
