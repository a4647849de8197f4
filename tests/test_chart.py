"""Figures in a real browser: drawn in place, in the window first, and as wide as their room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import settled
from page_runs import image_run, known_store

from ddm_core.store import Store

pytestmark = pytest.mark.browser

#: Which figures of a page are drawn, in the order in which they are.
WATCH = """() => {
    window.drawn = []
    new MutationObserver(records => {
        for (const { target } of records) {
            if (!target.matches('.chart') || !target.dataset.drawn) continue
            const exhibit = target.closest('[class*="st-key-exhibit_"]')
            const name = exhibit.className.match(/exhibit_(\\w+)/)[1]
            if (!window.drawn.includes(name)) window.drawn.push(name)
        }
    }).observe(document, { subtree: true, attributes: true, attributeFilter: ['data-drawn'] })
}"""
#: Of every figure: what it is called, its first x, its width and that of its room, where it is.
FIGURES = """() => [...document.querySelectorAll('.chart')].map(one => {
    const box = one.getBoundingClientRect()
    return {
        name: one.closest('[class*="st-key-exhibit_"]').className.match(/exhibit_(\\w+)/)[1],
        kept: one.kept === true,
        last: one._fullData?.[0]?.x?.at(-1),
        width: one.querySelector('.main-svg')?.getBoundingClientRect().width,
        room: box.width,
        inside: box.bottom > 0 && box.top < innerHeight,
    }
})"""
#: How often a figure is put away instead of being drawn over.
COUNT_PURGES = """() => {
    window.purged = 0
    const purge = Plotly.purge
    Plotly.purge = graph => { window.purged++; return purge(graph) }
}"""
ALL_DRAWN = """() => {
    const all = [...document.querySelectorAll('.chart')]
    return all.length > 5 && all.every(one => one.dataset.drawn)
}"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a comparison."""
    store = known_store(tmp_path_factory.mktemp("charts"))
    for router in ("top_k:k=1", "full"):
        image_run(store, router, "c1")
    return store


def test_a_figure_changes_in_place_and_fills_its_room(page: Callable[..., Any]) -> None:
    window = page("compare?comparison=c1&axis=step")
    window.wait_for_function(ALL_DRAWN)
    settled(window)
    window.evaluate("() => document.querySelectorAll('.chart').forEach(one => one.kept = true)")
    window.evaluate(COUNT_PURGES)
    before = {one["name"]: one for one in window.evaluate(FIGURES)}
    assert len(before) > 5
    assert all(one["width"] == pytest.approx(one["room"], abs=1) for one in before.values())
    window.get_by_role("radio", name="by t", exact=True).check(force=True)
    changed = """last => document.querySelector('.st-key-exhibit_weights .chart')
        ._fullData[0].x.at(-1) !== last"""
    window.wait_for_function(changed, arg=before["weights"]["last"])
    settled(window)
    after = {one["name"]: one for one in window.evaluate(FIGURES)}
    assert after.keys() == before.keys()
    assert all(one["kept"] for one in after.values())
    assert window.evaluate("() => window.purged") == 0
    window.set_viewport_size({"width": 900, "height": 1000})
    window.wait_for_function(
        """() => [...document.querySelectorAll('.chart')].every(one => {
            const drawn = one.querySelector('.main-svg').getBoundingClientRect().width
            return Math.abs(drawn - one.clientWidth) <= 1
        })"""
    )
    assert window.evaluate(FIGURES)[0]["room"] < before["weights"]["room"]


def test_what_is_in_the_window_is_drawn_first(page: Callable[..., Any]) -> None:
    window = page("compare?comparison=c1&axis=step")
    window.wait_for_function(ALL_DRAWN)
    settled(window)
    # At the end of the page, the figures of its beginning are the far ones.
    last = window.locator(".chart").last
    last.scroll_into_view_if_needed()
    inside = {one["name"] for one in window.evaluate(FIGURES) if one["inside"]}
    window.evaluate(WATCH)
    # Drawn anew all at once: by another width.
    window.evaluate(
        "() => document.querySelectorAll('.chart').forEach(one => delete one.dataset.drawn)"
    )
    window.set_viewport_size({"width": 1300, "height": 1000})
    window.wait_for_function(ALL_DRAWN)
    order = window.evaluate("() => window.drawn")
    assert set(order[: len(inside)]) == inside
    assert len(order) > len(inside)


def test_without_plotly_a_page_says_so(
    browser: Any, shown: Store, dashboard: Callable[[Path], str]
) -> None:
    window = browser.new_page()
    window.route("**/plotly.min.js", lambda route: route.abort())
    window.goto(f"{dashboard(shown.root)}/compare?comparison=c1")
    window.wait_for_selector(".chart:has-text('the server does not give Plotly')")
    window.close()
