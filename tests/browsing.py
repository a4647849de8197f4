"""Windows of a real browser: opened, waited for, and held to have no script that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

PATIENCE = 60_000  # milliseconds
_DRAWN = """() => [...document.querySelectorAll(".chart, [data-testid=stPlotlyChart]")]
  .every(one => one.querySelector(".main-svg"))"""
#: Of each browser, by what windows are opened with.
_contexts: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def new_window(browser: Any, **options: Any) -> Any:
    """A window that knows nothing of those before it.

    Scripts are loaded and compiled once for all windows with the same options: a fifth of what a
    page costs.
    """
    options = {"viewport": {"width": 1440, "height": 1000}, **options}
    kept = _contexts.setdefault(browser, {})
    key = repr(sorted(options.items()))
    if key not in kept:
        kept[key] = browser.new_context(**options)
        # Before any script of the first page that a window shows.
        kept[key].add_init_script(
            "try { if (!sessionStorage.begun) { localStorage.clear(); sessionStorage.begun = 1 } }"
            " catch { /* an empty page has no storage */ }"
        )
    kept[key].clear_cookies()
    return kept[key].new_page()


@contextlib.contextmanager
def windows(browser: Any) -> Iterator[Callable[..., Any]]:
    """Call it with an address: a fresh window that shows it. Scripts that fail fail the test."""
    faults: list[str] = []
    opened: list[Any] = []

    def go(url: str, **options: Any) -> Any:
        window = new_window(browser, **options)
        opened.append(window)
        window.set_default_timeout(PATIENCE)
        window.on("pageerror", lambda error: faults.append(str(error)))
        window.goto(url)
        window.wait_for_selector("h1")
        return window

    yield go
    for window in opened:
        if window.is_closed():
            continue
        # No name, note or file of anybody's has run.
        assert window.evaluate("() => window.hacked") is None
        window.close()
    assert not faults


def settled(window: Any) -> None:
    """Wait until the page is drawn whole: half-way, parts of the last one are still there."""
    window.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def drawn(window: Any) -> None:
    """Wait until every figure is there: as long as some come, what is below them moves."""
    settled(window)
    window.wait_for_function(_DRAWN)


def lasso(window: Any, plot: Any, corners: Sequence[tuple[float, float]]) -> None:
    """Drag over a figure from corner to corner, each in shares of its width and height."""
    box = plot.bounding_box()
    spots = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    window.mouse.move(*spots[0])
    window.mouse.down()
    for spot in spots[1:]:
        window.mouse.move(*spot, steps=8)
    window.mouse.up()
