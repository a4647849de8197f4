"""Two runs in one picture, in a real browser: what the canvas shows is what the store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from browsing import windows
from page_runs import EVIL, known_store, point_runs
from test_figures import SHOWN, STEPS, make_trace
from test_parting import other

from app.components.difference import difference_colours
from app.figures import parting
from app.figures.look import Look
from app.figures.subjects import Subject
from ddm_core.config import make_config
from ddm_core.run import Result
from ddm_core.store import Store

PATIENCE = 180_000  # milliseconds; the machine may be shared by many
HEIGHT, WIDTH = 4, 6
SEEDS = list(range(10, 10 + SHOWN))

pytestmark = pytest.mark.browser


def kept(store: Store, router: str, trace: xr.Dataset, comparison: str) -> None:
    """A run of this trace; its name is of a stranger."""
    usual = {"system": "tiny", "router": router, "seed": 10, "num": trace.sizes["sample"]}
    images = trace["x0_hat"].values[-1][[0, 1, 2, 3, 0]]
    result = Result(
        config=make_config({**usual, "steps": STEPS}),
        samples=None,  # pyright: ignore[reportArgumentType]
        images=images,
        seeds=trace["sample"].values,
        trace=trace,
        seconds=1.5,
        device="cpu",
        hashes={"x_T": "00aa" * 16, "samples": "", "system": ""},
        versions={},
    )
    store.save(result, comparison=comparison)


def coloured(trace: xr.Dataset, seed: int) -> xr.Dataset:
    """The same trace with pictures in three channels."""
    shape = trace["x0_hat"].shape[:-1]
    pictures = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    dims = trace["x0_hat"].dims
    return trace.drop_vars(["x0_hat", "x0_hat_expert"]).assign(x0_hat=(dims, pictures))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three grey runs, two in colour, three of points."""
    store = known_store(tmp_path_factory.mktemp("looked"))
    grey = make_trace()
    for router, trace in (("top_k:k=1", grey), (EVIL, other(grey)), ("full", other(grey, 5))):
        kept(store, router, trace, "grey")
    for seed, router in enumerate(("top_k:k=1", "full")):
        kept(store, router, coloured(grey, seed), "colour")
    point_runs(store, "points")
    return store


@pytest.fixture(scope="module")
def page(
    browser: Any, shown: Store, dashboard: Callable[[Path], str]
) -> Iterator[Callable[..., Any]]:
    """Open an address in a fresh window and wait for the player; faulty scripts fail the test."""
    with windows(browser) as opened:

        def go(path: str, **options: Any) -> Any:
            window = opened(f"{dashboard(shown.root)}/{path}", **options)
            window.wait_for_selector(".player[data-order]")
            return window

        yield go


@pytest.fixture(scope="module")
def grey(page: Callable[..., Any]) -> Any:
    """One window for all that needs no other address: nothing here asks the server."""
    return page("compare?comparison=grey&mode=ab&pair=A,C&step=4&sample=12&apart=0.5")


def choose(window: Any, mode: str, pair: str) -> None:
    """Lay two runs over each other as a reader does."""
    window.get_by_role("radio", name=mode, exact=True).check(force=True)
    for select, letter in zip((".first", ".second"), pair, strict=True):
        window.locator(f".player {select}").select_option(letter)


def traces(store: Store, comparison: str) -> list[xr.Dataset]:
    return [store.trace(run.id) for run in store.comparison(comparison)]


def enlarged(window: Any) -> np.ndarray:
    """The large picture as the browser shows it: the colour amid every pixel [row, column, 3]."""
    script = """(canvas, [rows, columns]) => {
        const pen = canvas.getContext('2d')
        const at = (r, c) => [...pen.getImageData(
            Math.floor((c + 0.5) * canvas.width / columns),
            Math.floor((r + 0.5) * canvas.height / rows), 1, 1).data].slice(0, 3)
        const range = count => [...Array(count).keys()]
        return range(rows).map(r => range(columns).map(c => at(r, c)))
    }"""
    return np.array(window.locator(".player .large").evaluate(script, [HEIGHT, WIDTH]))


def stored(trace: xr.Dataset, step: int, seed: int) -> np.ndarray:
    """The picture that the store holds, as [row, column, 3] whole numbers."""
    picture = trace["x0_hat"].isel(step=step).sel(shown=seed).values.astype(int)
    return np.broadcast_to(picture, (HEIGHT, WIDTH, 3))


def test_wipe_shows_one_run_left_of_the_line_and_the_other_right(grey: Any, shown: Store) -> None:
    a, _, c = (stored(trace, 4, 12) for trace in traces(shown, "grey"))
    # Letters stand in the lower corners.
    both = np.concatenate((a[:-1, :3], c[:-1, 3:]), axis=1)
    np.testing.assert_array_equal(enlarged(grey)[:-1], both)
    # By keyboard: the line moves, the time does not.
    grey.locator(".player .wipe").focus()
    grey.keyboard.press("Home")
    np.testing.assert_array_equal(enlarged(grey)[:-1], c[:-1])
    grey.keyboard.press("End")
    np.testing.assert_array_equal(enlarged(grey)[:-1], a[:-1])
    assert grey.locator(".player").get_attribute("data-step") == "4"
    # By dragging over the large picture.
    grey.locator(".player .large").click(position={"x": 2, "y": 30})
    np.testing.assert_array_equal(enlarged(grey)[:-1, 1:], c[:-1, 1:])
    # Another step: the picture follows the cursor.
    grey.locator(".player .time").focus()
    grey.keyboard.press("ArrowRight")
    later = stored(traces(shown, "grey")[2], 5, 12)
    np.testing.assert_array_equal(enlarged(grey)[:-1, 1:], later[:-1, 1:])


def test_difference_is_that_of_the_stored_pixels_on_the_stated_scale(
    grey: Any, shown: Store
) -> None:
    choose(grey, "difference", "CB")
    step = int(grey.locator(".player").get_attribute("data-step"))
    _, b, c = (stored(trace, step, 12) for trace in traces(shown, "grey"))
    colours = difference_colours(Look(), signed=True)
    np.testing.assert_array_equal(enlarged(grey), colours[(255 + b - c)[:, :, 0]])
    assert "B − C, pixel values 0 to 255" in grey.locator(".player .says").inner_text()
    assert "C brighter" in grey.locator(".player .ends").inner_text()


def test_difference_of_colours_is_that_of_the_channel_that_differs_most(
    page: Callable[..., Any], shown: Store
) -> None:
    address = "compare?comparison=colour&mode=difference&step=2&sample=13"
    window = page(address, color_scheme="dark")
    one, two = (stored(trace, 2, 13) for trace in traces(shown, "colour"))
    colours = difference_colours(Look(True), signed=False)
    np.testing.assert_array_equal(enlarged(window), colours[np.abs(two - one).max(axis=2)])
    assert "channel that differs most" in window.locator(".player .says").inner_text()


def test_blink_takes_turns_and_waits_for_those_who_want_no_motion(grey: Any, shown: Store) -> None:
    choose(grey, "blink", "AB")
    for letter in "BA":
        grey.wait_for_selector(f'.player[data-shows="{letter}"]')
    grey.emulate_media(reduced_motion="reduce")
    grey.wait_for_timeout(200)
    assert grey.locator(".player .rate").input_value() == "0"
    step = int(grey.locator(".player").get_attribute("data-step"))
    pictures = [stored(trace, step, 12) for trace in traces(shown, "grey")]
    before = grey.locator(".player").get_attribute("data-shows")
    grey.wait_for_timeout(1200)
    assert grey.locator(".player").get_attribute("data-shows") == before
    np.testing.assert_array_equal(enlarged(grey), pictures["AB".index(before)])
    grey.get_by_role("button", name="swap").press("Enter")
    np.testing.assert_array_equal(enlarged(grey), pictures["BA".index(before)])


def test_mode_pair_and_order_are_in_the_address(
    grey: Any, page: Callable[..., Any], shown: Store
) -> None:
    runs = [Subject(str(place), trace) for place, trace in enumerate(traces(shown, "grey"))]
    grey.get_by_role("radio", name="blink").focus()
    grey.keyboard.press("ArrowRight")
    grey.wait_for_selector('.player[data-mode="difference"]')
    choose(grey, "difference", "BC")
    grey.locator(".player .order").select_option("parting")
    info = parting.parting_info(runs[1], runs[2], threshold=0.5)
    assert info is not None
    order = ",".join(str(seed) for seed in parting.table(info)["sample"])
    assert order != ",".join(map(str, SEEDS))
    grey.wait_for_selector(f'.player[data-pair="B,C"][data-order="{order}"]')
    # The exhibit is about the same pair.
    grey.wait_for_selector(".st-key-exhibit_parting >> text=B and C")
    says = f"{info.parted} of {SHOWN} samples part"
    grey.wait_for_selector(f".st-key-exhibit_parting >> text={says}")
    told = "name => new URL(location).searchParams.get(name)"
    for name, value in {"mode": "difference", "pair": "B,C", "sorted": "parting"}.items():
        grey.wait_for_function(f"value => ({told})('{name}') === value", arg=value)
    again = page("compare" + grey.evaluate("() => location.search"))
    view = f'[data-mode="difference"][data-pair="B,C"][data-order="{order}"]'
    again.wait_for_selector(f".player{view}")


def test_points_are_laid_over_each_other_too(page: Callable[..., Any]) -> None:
    window = page("compare?comparison=points&mode=difference&step=3&axis=snr")
    assert window.locator(".player .large").is_hidden()
    assert "to the scale of the plane" in window.locator(".player .says").inner_text()
    assert "SNR = " in window.locator(".player .told").inner_text()
    window.wait_for_selector(".st-key-exhibit_parting .ddm-cursor >> nth=0", state="attached")
    at = "one => new DOMMatrix(getComputedStyle(one).transform).m41"
    line = window.locator(".st-key-exhibit_parting .ddm-cursor").first
    places = []
    for _ in range(3):
        places.append(line.evaluate(at))
        window.keyboard.press("ArrowLeft")
    # SNR of t = 1/4, 1/2, 3/4: 9, 1, 1/9 lie evenly on a logarithmic axis.
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.5)
    assert places[0] - places[1] > 20
