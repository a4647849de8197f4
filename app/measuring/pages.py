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

#: What is on a page once it is painted: its title, and the script that made it has ended.
_PAINTED = (
    "() => document.querySelector('h1') && document.querySelector("
    "'[data-testid=\"stApp\"][data-test-script-state=\"notRunning\"]')"
)
# From the click to the frame after the server has said that the page is complete.
_CLICK = """async (button) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const state = () => app.getAttribute('data-test-script-state');
    const begin = performance.now();
    const done = new Promise((resolve, reject) => {
        let ran = false;
        const watch = new MutationObserver(() => {
            ran = ran || state() !== 'notRunning';
            if (ran && state() === 'notRunning') { watch.disconnect(); resolve(); }
        });
        watch.observe(app, {attributes: true});
        setTimeout(() => { watch.disconnect(); reject(new Error('no rerun followed')); }, 20000);
    });
    button.click();
    await done;
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    return (performance.now() - begin) / 1000;
}"""
# From the key to the frame that shows all views at the new step.
_CURSOR = """async (key) => {
    const begin = performance.now();
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, composed: true}));
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    return (performance.now() - begin) / 1000;
}"""


class Figure(NamedTuple):
    """Measured durations or sizes of one kind.

    Arguments:
        name: what was measured.
        values: one per repetition, after those that do not count; seconds, or MiB.
        limit: what their median must not exceed.
        unit: of the values.
    """

    name: str
    values: list[float]
    limit: float
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
        "Start": "start",
        "Compare": f"compare?comparison={comparison}",
        "Trace": f"trace?run={run}",
        "Runs": "runs",
        "Verdicts": "audit?system=digits",
    }
    figures: list[Figure] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=at.chromium, args=launch_arguments()
        )
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
            times = [_click(page, turn) for turn in range(clicks + 2)]
            figures.append(Figure(f"a click on {name}", times[2:], 0.5))
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


def _click(page: Any, turn: int) -> float:
    """Change the time axis, there and back."""
    name = ("by t", "by step")[turn % 2]
    button = page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name))
    seconds = float(page.evaluate(_CLICK, button.first.element_handle()))
    page.wait_for_timeout(200)
    return seconds


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
