"""Every page of the navigation, with runs and without: accessible, whole, and wide enough."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from browsing import drawn, new_window, settled
from page_runs import image_run, known, point_runs

from ddm_core.store import Store

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120_000  # milliseconds; a server that has just started reads systems beside the tests
PAGES = re.findall(r'url_path="([a-z_-]+)"', (ROOT / "app" / "main.py").read_text())
WIDTHS = (1440, 900)

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
ASK_AXE = """async rules => {
  // Inside of a figure there are thousands of shapes and one name, which the figure has.
  const page = {include: [document], exclude: [[".main-svg"]]}
  const found = await axe.run(page, {resultTypes: ["violations"], ...rules})
  return found.violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .flatMap(one => one.nodes.map(node => [
      one.id, node.target.flat().join(" "), node.html.slice(0, 200), node.failureSummary]))
}"""

#: Faults inside Streamlit that no page can mend: rule, what the element's own markup holds, why.
ALLOWED: tuple[tuple[str, str, str], ...] = ()

#: Exhibits that lie over each other, by the names of their containers.
OVERLAPS = """() => {
  const all = [...document.querySelectorAll('[class*="st-key-exhibit_"]')]
    .filter(one => one.checkVisibility({visibilityProperty: true}))
  const boxes = all.map(one => one.getBoundingClientRect())
  const name = one => [...one.classList].find(c => c.startsWith("st-key-"))
  const out = []
  for (let i = 0; i < all.length; i++)
    for (let j = i + 1; j < all.length; j++) {
      if (all[i].contains(all[j]) || all[j].contains(all[i])) continue
      const a = boxes[i], b = boxes[j]
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
      if (wide > 2 && high > 2) out.push([name(all[i]), name(all[j]), wide, high])
    }
  return out
}"""
SIDEWAYS = """() => {
  const main = document.querySelector("[data-testid=stMain]")
  return main.scrollWidth - main.clientWidth
}"""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a comparison of pictures and one of points; audits ship with the systems."""
    folder = tmp_path_factory.mktemp("full") / "runs"
    folder.mkdir()
    # Of nothing that is there: the server asks for the real systems, which live sliders need.
    said = known(folder=str(ROOT / "checkpoints"), made_of="")
    (folder / ".catalogue.json").write_text(json.dumps(said))
    store = Store(folder)
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "pictures")
    point_runs(store, "points")
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs, of a server that knows its systems but no audit."""
    folder = tmp_path_factory.mktemp("empty") / "runs"
    folder.mkdir()
    (folder / ".catalogue.json").write_text(json.dumps(known()))
    return folder


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    """A window in which scripts that fail fail the test."""
    faults: list[str] = []
    one = new_window(browser, color_scheme="light")
    one.set_default_timeout(PATIENCE)
    one.on("pageerror", lambda error: faults.append(str(error)))
    yield one
    one.close()
    assert not faults


def ready(window: Any) -> None:
    """Wait until everything is drawn."""
    drawn(window)
    window.wait_for_timeout(150)


#: What another width or scheme can change; names, roles and order are those of the first look.
LOOK_RULES = {"runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]}


def faults(window: Any, *, again: bool = False) -> list[str]:
    """What is wrong with the page as it is shown now; in another look, if `again`."""
    found = [
        f"exception: {e.inner_text()}" for e in window.locator("[data-testid=stException]").all()
    ]
    # A sentence of the app's own, which no page says of these runs.
    errors = window.locator("[data-testid=stAlertContentError]").all()
    found += [f"error: {one.inner_text()}" for one in errors]
    if (pixels := window.evaluate(SIDEWAYS)) > 1:
        found.append(f"scrolls sideways by {pixels} pixels")
    found += [f"overlap: {pair}" for pair in window.evaluate(OVERLAPS)]
    if not window.evaluate("() => typeof axe === 'object'"):
        window.evaluate(AXE)
    for rule, target, markup, why in window.evaluate(ASK_AXE, LOOK_RULES if again else {}):
        if not any(rule == known and part in markup for known, part, _ in ALLOWED):
            found.append(f"axe {rule}: {target}\n      {markup}\n      {why}")
    return found


LOOKS = tuple(zip(WIDTHS, ("light", "dark"), strict=True))


def visited(
    window: Any, url: str, page: str, looks: tuple[tuple[int, str], ...] = LOOKS
) -> list[str]:
    """What is wrong with a page, wide and narrow, light and dark."""
    window.set_viewport_size({"width": looks[0][0], "height": 1000})
    window.emulate_media(color_scheme=looks[0][1])
    window.goto(f"{url}/{page}")
    window.wait_for_selector("h1")
    found: list[str] = []
    for place, (width, scheme) in enumerate(looks):
        window.set_viewport_size({"width": width, "height": 1000})
        window.emulate_media(color_scheme=scheme)
        ready(window)
        found += [
            f"{page}, {width} px, {scheme}: {one}" for one in faults(window, again=place > 0)
        ]
    return found


@pytest.mark.browser
def test_pages_with_runs(window: Any, full: Path, dashboard: Callable[[Path], str]) -> None:
    assert len(PAGES) > 10
    url = dashboard(full)
    # Start comes first, so that what it waits for is there when it is looked at, at the end.
    window.goto(url)
    window.wait_for_selector("h1")
    settled(window)
    late = ("start", "compare")
    found = [one for page in PAGES if page not in late for one in visited(window, url, page)]
    for comparison in ("pictures", "points"):
        found += visited(window, url, f"compare?comparison={comparison}")
    window.goto(url)
    window.wait_for_selector(".knobs")
    found += visited(window, url, "start")
    assert not found, "\n".join(found)


@pytest.mark.browser
def test_pages_without_runs(window: Any, empty: Path, dashboard: Callable[[Path], str]) -> None:
    url = dashboard(empty)
    # Empty states differ in their words alone: by turns wide and light, narrow and dark.
    found = [
        one
        for place, page in enumerate(PAGES)
        for one in visited(window, url, page, LOOKS[place % 2 :][:1])
    ]
    assert not found, "\n".join(found)


@pytest.mark.browser
def test_a_slider_moves_the_picture(
    window: Any, full: Path, dashboard: Callable[[Path], str]
) -> None:
    url = dashboard(full)
    end = time.monotonic() + PATIENCE / 1000
    while '"digits"' not in (full / ".catalogue.json").read_text():
        assert time.monotonic() < end, "the server never learned what systems there are"
        time.sleep(0.2)
    window.goto(f"{url}/?live=ring&temperature=4&k=2")
    window.wait_for_selector(".player .label:has-text('Top-2, T = 4')")
    slider = window.get_by_role("slider", name="Router temperature")
    assert slider.get_attribute("aria-valuetext") == "4, 4 times softer"
    for _ in range(3):
        slider.press("ArrowRight")
    window.wait_for_selector(".player .label:has-text('Top-2, T = 11.3')")
    window.wait_for_function("() => new URL(location).searchParams.get('temperature') === '11.3'")
    # The one that it is compared with stays as it was.
    assert window.locator(".player .label").all_inner_texts()[1] == "Top-2, T = 1"
    window.get_by_role("slider", name="Experts mixed").press("End")
    window.wait_for_selector(".player .label:has-text('full (6), T = 11.3')")
    window.reload()
    window.wait_for_selector(".player .label:has-text('full (6), T = 11.3')")


@pytest.mark.browser
def test_the_tour_by_keyboard(window: Any, full: Path, dashboard: Callable[[Path], str]) -> None:
    window.goto(f"{dashboard(full)}/tour?tour=4")
    window.wait_for_selector("h1:has-text('on images')")
    settled(window)
    window.wait_for_timeout(1000)  # the buttons listen to keys a moment after they are drawn
    window.keyboard.press("n")
    window.wait_for_selector("h1:has-text('claims hold')")
    window.wait_for_function("() => new URL(location).searchParams.get('tour') === '5'")
    settled(window)
    window.wait_for_timeout(1000)
    window.keyboard.press("b")
    window.wait_for_selector("h1:has-text('on images')")
