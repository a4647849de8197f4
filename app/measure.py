"""How long a page takes to answer a click, measured in a real browser on a stored run."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from ddm_core.config import make_config
from ddm_core.run import execute
from ddm_core.store import Store

__all__ = ["Clicks", "measure"]

SAMPLES, STEPS = 256, 50
#: Two choices of the Trace page, clicked in turn; the second one is shown first.
_AXES = ("by t", "by step")
_BROWSER = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# From the click to the last thing that changed on the page, and the frame that shows it. What is
# looked at is the page itself: the server may say "running" and "done" in one breath, and then the
# page never shows that it ran. The button is looked up and clicked in one task, so that no redraw
# can put another one in its place between the two.
_CLICK = """async (name) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const quiet = 400, longest = 20000;
    const button = [...document.querySelectorAll('button, [role="radio"]')]
        .find((one) => one.textContent.trim() === name);
    const begin = performance.now();
    let last = null;
    const watch = new MutationObserver((records) => {
        // Not the button's own colours: they change before anybody has answered.
        if (records.some((one) => !button.parentElement.contains(one.target)))
            last = performance.now();
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
    return last === null ? null : (last - begin) / 1000;
}"""


class Clicks(NamedTuple):
    """Seconds that single clicks took.

    Arguments:
        what: the page and the run that it showed.
        seconds: one per click, after the first ones, which do not count.
    """

    what: str
    seconds: list[float]


def measure(system: str = "digits", clicks: int = 12) -> Clicks:
    """Click on the Trace page of a run of 256 samples x 50 steps x all experts.

    Raises:
        RuntimeError: no browser, or no server within a minute; says which.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeError("playwright is not installed") from None
    if chromium is None:
        raise RuntimeError("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        fields = {"num": SAMPLES, "steps": STEPS, "observed": SAMPLES, "router": "top_k:k=2"}
        record = Store(runs).save(execute(make_config({"system": system, **fields})))
        port = _free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "app.serve", "--port", f"{port}", "--runs", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(f"http://localhost:{port}/_stcore/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=[*_BROWSER])
                page = browser.new_page(viewport={"width": 1440, "height": 1000})
                page.goto(f"http://localhost:{port}/trace?run={record.id}")
                page.get_by_text(_AXES[0], exact=True).first.wait_for(timeout=60_000)
                page.wait_for_timeout(3000)
                seconds: list[float] = []
                for turn in range(clicks + 2):
                    found = page.evaluate(_CLICK, _AXES[turn % 2])
                    if found is None:
                        raise RuntimeError("the page did not answer a click")
                    seconds.append(float(found))
                    page.wait_for_timeout(300)
                browser.close()
        finally:
            server.terminate()
            server.wait(timeout=20)
    return Clicks(f"Trace, {SAMPLES} samples x {STEPS} steps of {system}", seconds[2:])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def _wait(url: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not start within {seconds:.0f} s")


if __name__ == "__main__":
    try:
        print(json.dumps(measure()._asdict()))
    except RuntimeError as error:
        sys.exit(f"{error}")
