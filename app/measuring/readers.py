"""Several readers at once for some minutes: does anybody see an error, how long do they wait?"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from playwright.async_api import Error, async_playwright

from app.measuring.served import Served, launch_arguments

__all__ = ["Readers", "many_readers"]

_SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
#: What a page must not show: Streamlit's own exception, a lost connection, a page that is not.
_BAD = '[data-testid="stException"], [data-testid="stConnectionStatus"]'
_THINK_SECONDS = (0.5, 2.0)


class Readers(NamedTuple):
    """What happened to them.

    Arguments:
        readers, minutes: how many of them, for how long.
        seconds: that each visit of a page took, until its script had ended.
        errors: what anybody saw, a line each.
    """

    readers: int
    minutes: float
    seconds: list[float]
    errors: list[str]


def many_readers(
    at: Served,
    *,
    count: int = 8,
    minutes: float = 5.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Readers:
    """Let readers with browsers of their own wander over the pages until the time is up."""
    tell(f"{count} readers for {minutes:g} minutes")
    return asyncio.run(_all(at, count, minutes))


async def _all(at: Served, count: int, minutes: float) -> Readers:
    found = Readers(count, minutes, [], [])
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=at.chromium, args=launch_arguments()
        )
        end = time.monotonic() + 60 * minutes
        await asyncio.gather(*(_reader(at, browser, n, end, found) for n in range(count)))
        await browser.close()
    return found


async def _reader(at: Served, browser: Any, number: int, end: float, found: Readers) -> None:
    """One person: a page, a look at it, the next page."""
    chance = random.Random(number)
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    page = await context.new_page()

    def failed(error: object) -> None:
        found.errors.append(f"reader {number}: {error}")

    page.on("pageerror", failed)
    addresses = [
        "",
        "runs",
        f"compare?comparison={at.comparison}",
        "audit?system=digits",
        "alignment?system=digits",
        *(f"trace?run={run}" for run in at.runs),
    ]
    while time.monotonic() < end:
        address = chance.choice(addresses)
        begin = time.monotonic()
        try:
            await page.goto(f"{at.url}/{address}", timeout=60_000)
            await page.wait_for_selector("h1", timeout=60_000)
            await page.wait_for_selector(_SETTLED, timeout=60_000)
            found.seconds.append(time.monotonic() - begin)
            if await page.locator(_BAD).count():
                found.errors.append(f"reader {number}: an error on {address}")
        except Error as error:
            found.errors.append(f"reader {number} on {address}: {str(error).splitlines()[0]}")
        await asyncio.sleep(chance.uniform(*_THINK_SECONDS))
    await context.close()
