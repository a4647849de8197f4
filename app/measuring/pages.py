"""Pages of one reader: the first paint, the cursor, a click, and the server's memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil
from playwright.sync_api import sync_playwright

from app.measuring.served import Served, launch_arguments

__all__ = ["Figure", "one_reader"]

#: Two choices of a page, clicked in turn; the second one is shown first.
_AXES = ("by t", "by step")
#: What is on a page once it is painted: its title, all that its script makes, and every figure
#: that is in the window.
_PAINTED = """() => {
    const done = '[data-testid="stApp"][data-test-script-state="notRunning"]';
    const awaited = (one) => one.getBoundingClientRect().top < innerHeight && !one.dataset.drawn;
    return document.querySelector('h1') && document.querySelector(done)
        && ![...document.querySelectorAll('.chart')].some(awaited);
}"""
# From the click to the last change of what is in the window, and to the last one on the whole
# page: figures below the window's edge are drawn after those that one sees. What is looked at is
# the page itself: the server may say "running" and "done" in one breath, and then the page never
# shows that it ran. The button is looked up and clicked in one task, so that no redraw can put
# another one in its place between the two.
_CLICK = """async (name) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const quiet = 400, longest = 20000;
    const button = [...document.querySelectorAll('button, [role="radio"]')]
        .find((one) => one.textContent.trim() === name);
    const begin = performance.now();
    let seen = null, last = null;
    const inWindow = (one) => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
    };
    const watch = new MutationObserver((records) => {
        const now = performance.now();
        // Not the button's own colours: they change before anybody has answered. A figure counts
        // as a whole.
        const where = new Set(records
            .map((one) => one.target.nodeType === 1 ? one.target : one.target.parentElement)
            .filter((one) => one && !button.parentElement.contains(one))
            .map((one) => one.closest('.js-plotly-plot') || one));
        if (where.size) last = now;
        if ([...where].some(inWindow)) seen = now;
    });
    watch.observe(app, {attributes: true, childList: true, characterData: true, subtree: true});
    button.click();
    await new Promise((done) => {
        const timer = setInterval(() => {
            const now = performance.now();
            const idle = app.getAttribute('data-test-script-state') === 'notRunning';
            if ((idle && last !== null && now - last > quiet) || now - begin > longest) {
                clearInterval(timer);
                done();
            }
        }, 20);
    });
    watch.disconnect();
    return last === null ? null : [(seen ?? last) - begin, last - begin].map((one) => one / 1000);
}"""
_THERE = """(name) => [...document.querySelectorAll('button, [role="radio"]')]
    .some((one) => one.textContent.trim() === name)"""
# From the key to the frame that shows all views at the new step.
_CURSOR = """async (key) => {
    const begin = performance.now();
    const pressed = new KeyboardEvent('keydown', {key, bubbles: true, composed: true});
    document.body.dispatchEvent(pressed);
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    return (performance.now() - begin) / 1000;
}"""


class Figure(NamedTuple):
    """Measured durations or sizes of one kind.

    Arguments:
        name: what was measured.
        values: one per repetition, after those that do not count; seconds, or MiB.
        limit: what their median must not exceed; None where nothing is asked for.
        unit: of the values.
    """

    name: str
    values: list[float]
    limit: float | None
    unit: str = "s"

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)


def one_reader(
    at: Served,
    *,
    clicks: int = 12,
    interactions: int = 500,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Figure]:
    """Open pages, click and move the cursor as one reader does.

    Arguments:
        interactions: of which the server's memory after the first tenth and after the last is
            compared; 0 leaves memory out.
    """
    run, comparison = at.runs[1], at.comparison
    addresses = {
        "Start": "",
        "Compare": f"compare?comparison={comparison}",
        "Trace": f"trace?run={run}",
        "Runs": "runs",
        "Verdicts": "audit?system=digits",
    }
    figures: list[Figure] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=at.chromium, args=launch_arguments())
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        for name, address in addresses.items():
            tell(f"first paint of {name}")
            times = [_paint(page, f"{at.url}/{address}") for _ in range(4)]
            figures.append(Figure(f"first paint of {name}, warm", times[1:], 2.0))
        tell("clicks and the cursor")
        for name in ("Trace", "Compare"):
            _paint(page, f"{at.url}/{addresses[name]}")
            page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
            page.wait_for_timeout(2000)
            times = [_click(page, turn) for turn in range(clicks + 2)][2:]
            figures.append(Figure(f"a click on {name}, in view", [one[0] for one in times], 0.5))
            whole = [one[1] for one in times]
            figures.append(Figure(f"a click on {name}, below too", whole, None))
            keys = ("ArrowLeft", "ArrowLeft", "ArrowRight")
            moves = [float(page.evaluate(_CURSOR, keys[i % 3])) for i in range(32)]
            figures.append(Figure(f"the cursor on {name}", moves[2:], 0.1))
        if interactions:
            tell(f"memory over {interactions} interactions")
            figures.append(_memory(at, page, interactions))
        browser.close()
    return figures


def _paint(page: Any, address: str) -> float:
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_function(_PAINTED, timeout=60_000)
    return time.perf_counter() - begin


def _click(page: Any, turn: int) -> tuple[float, float]:
    """Change the time axis, there and back: until all in view is drawn, until all is.

    Raises:
        RuntimeError: the page did not answer.
    """
    # A page that has just been opened may be whole for a moment before its script begins.
    page.wait_for_function(_THERE, arg=_AXES[turn % 2], timeout=60_000)
    found = page.evaluate(_CLICK, _AXES[turn % 2])
    if found is None:
        raise RuntimeError("the page did not answer a click")
    page.wait_for_timeout(200)
    return float(found[0]), float(found[1])


def _memory(at: Served, page: Any, interactions: int) -> Figure:
    """How much more the server holds after all interactions than after a tenth of them."""
    server = psutil.Process(at.process.pid)
    early = 0.0
    for turn in range(interactions):
        if turn % 50 == 49:
            address = ("trace?run=" + at.runs[turn % 4], f"compare?comparison={at.comparison}")
            _paint(page, f"{at.url}/{address[turn // 50 % 2]}")
        else:
            _click(page, turn)
        if turn == interactions // 10:
            early = server.memory_info().rss / 2**20
    late = server.memory_info().rss / 2**20
    name = f"memory after {interactions} interactions / after {interactions // 10}"
    return Figure(f"{name} ({early:.0f} and {late:.0f} MiB)", [late / early], 1.1, "")
