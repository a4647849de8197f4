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
_BROWSER = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# From the click to the frame after the server has said that the page is complete.
_CLICK = """async (button) => {
    const app = document.querySelector('[data-testid="stApp"]');
    const state = () => app.getAttribute('data-test-script-state');
    const begin = performance.now();
    const done = new Promise((resolve) => {
        let ran = false;
        const look = () => {
            ran = ran || state() !== 'notRunning';
            if (ran && state() === 'notRunning') { watch.disconnect(); resolve(); }
        };
        const watch = new MutationObserver(look);
        watch.observe(app, {attributes: true});
        setTimeout(() => { watch.disconnect(); resolve(); }, 20000);
    });
    button.click();
    await done;
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    return (performance.now() - begin) / 1000;
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
                page.get_by_role("radio", name="by t").or_(
                    page.get_by_role("button", name="by t")
                ).first.wait_for(timeout=60_000)
                page.wait_for_timeout(3000)
                seconds: list[float] = []
                for turn in range(clicks + 2):
                    name = ("by t", "by step")[turn % 2]
                    button = (
                        page.get_by_role("radio", name=name)
                        .or_(page.get_by_role("button", name=name))
                        .first.element_handle()
                    )
                    seconds.append(float(page.evaluate(_CLICK, button)))
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
