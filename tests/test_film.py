"""The filmstrip and the painted picture: numbers by slow counts, pixels in a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from browsing import new_window
from page_runs import EVIL, known_store
from PIL import Image
from test_figures import EXPERTS, SHOWN, make_trace
from test_looking import PATIENCE, kept

from app.components.filmstrip import filmstrip_data
from app.components.painting import painting_data
from app.figures import painting
from app.figures.look import Look, expert_colour
from app.figures.subjects import AXES
from ddm_core.store import Store

LONG, SHORT = 40, 7
HEIGHT, WIDTH = 4, 6
SEED = 12


def contributed(trace: xr.Dataset) -> xr.Dataset:
    """The trace with contributions; nobody has painted the first corner at the first step."""
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.full(EXPERTS, 0.4), (trace.sizes["step"], SHOWN, HEIGHT, WIDTH))
    bytes_ = np.moveaxis((255 * shares).round().astype(np.uint8), -1, 2)
    bytes_[0, :, :, 0, 0] = 0
    dims = ("step", "shown", "expert", "height", "width")
    return trace.assign(contribution=(dims, bytes_, {"definition": "who painted"}))


def test_leader_margin_and_shares_pixel_by_pixel() -> None:
    trace = contributed(make_trace())
    info = painting.painting_info(trace, SEED)
    assert info is not None
    for step in range(trace.sizes["step"]):
        sums, led = np.zeros(EXPERTS), np.zeros(EXPERTS)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                at = {"height": row, "width": column, "step": step}
                values = trace["contribution"].sel(shown=SEED).isel(at).values.astype(float)
                if values.sum() == 0:
                    assert info.leader[step, row, column] == -1
                    continue
                values /= values.sum()
                best = max(range(EXPERTS), key=lambda k: (values[k], -k))
                rest = max(values[k] for k in range(EXPERTS) if k != best)
                assert info.leader[step, row, column] == best
                assert info.margin[step, row, column] == pytest.approx(values[best] - rest)
                sums += values
                led[best] += 1
        np.testing.assert_allclose(info.share[step], sums / (HEIGHT * WIDTH))
        np.testing.assert_allclose(info.led[step], led / (HEIGHT * WIDTH))
    assert painting.painting_info(trace, 99) is None
    assert painting.painting_info(make_trace(), SEED) is None


def test_shares_are_drawn_over_every_axis_and_tabled() -> None:
    trace = contributed(make_trace())
    for axis in AXES:
        info = painting.painting_info(trace, SEED, axis=axis)
        assert info is not None
        for look in (Look(False), Look(True)):
            assert len(painting.figure(info, look).data) == EXPERTS
        table = painting.table(info)
        assert len(table) == SHORT * EXPERTS
        np.testing.assert_allclose(table.groupby("step")["share"].sum()[1:], 1)
    assert len(painting_data(trace, info)["frames"]) == SHORT


def test_a_strip_below_shows_its_own_step_at_the_same_share_of_the_path() -> None:
    above = filmstrip_data(make_trace(steps=LONG), SEED)
    below = filmstrip_data(make_trace(), SEED, steps=LONG)
    assert above is not None
    assert below is not None
    assert len(above["frames"]) == len(below["frames"]) == LONG
    assert below["frames"][0] == 0
    assert below["frames"][-1] == SHORT - 1
    for one, other in zip(above["frames"], below["frames"], strict=True):
        assert other / (SHORT - 1) == pytest.approx(one / (LONG - 1), abs=0.5 / (SHORT - 1) + 1e-9)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A long run that recorded contributions, and a short one of a hostile name."""
    store = known_store(tmp_path_factory.mktemp("filmed"))
    kept(store, "full", contributed(make_trace(route="full", steps=LONG)), "film")
    kept(store, EVIL, make_trace(), "film")
    return store


@pytest.fixture(scope="module")
def film(browser: Any, shown: Store, dashboard: Callable[[Path], str]) -> Iterator[Any]:
    """The Trace page of the long run with the short one below."""
    long, short = (run.id for run in shown.comparison("film"))
    window = new_window(browser)
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    window.set_default_timeout(PATIENCE)
    view = f"run={long}&sample={SEED}&second={short}&step=20&axis=snr"
    window.goto(f"{dashboard(shown.root)}/trace?{view}")
    window.wait_for_selector(".film[data-now]")
    window.wait_for_selector(".painting[data-step]")
    yield window
    assert window.evaluate("() => window.hacked") is None
    window.close()
    assert not faults


def pixel(window: Any, canvas: str, places: list[tuple[float, float]]) -> np.ndarray:
    """What a canvas shows at these places [place, 3]."""
    script = """(canvas, places) => {
        const pen = canvas.getContext('2d')
        const at = ([x, y]) => [...pen.getImageData(Math.floor(x), Math.floor(y), 1, 1).data]
        return places.map(place => at(place).slice(0, 3))
    }"""
    return np.array(window.locator(canvas).evaluate(script, places))


@pytest.mark.browser
def test_zoom_shows_every_step_and_its_pixels(film: Any, shown: Store) -> None:
    strip = film.locator(".film")
    assert int(strip.get_attribute("data-columns")) < LONG
    assert "this run: full" not in film.content()  # names are painted, never written as markup
    film.locator(".film .reel").focus()
    for _ in range(4):
        film.keyboard.press("+")
    film.wait_for_selector(f'.film[data-zoom="4"][data-columns="{LONG}"]')
    scroll = film.locator(".film .reel").evaluate("one => one.scrollLeft")
    tile, slot, head = 160, 163, 24
    assert 0 < 20 * slot - scroll < 1440  # the cursor's column is in sight
    trace = shown.trace(shown.comparison("film")[0].id)
    want = trace["x0_hat"].isel(step=20).sel(shown=SEED).values[..., 0]
    cells = [(r, c) for r in range(HEIGHT) for c in range(1, WIDTH - 1)]
    tall = tile * HEIGHT / WIDTH
    places = [
        (20 * slot - scroll + 1 + (c + 0.5) * tile / WIDTH, head + 1 + (r + 0.5) * tall / HEIGHT)
        for r, c in cells
    ]
    got = pixel(film, ".film .reel canvas", places)
    np.testing.assert_array_equal(got[:, 0], [want[r, c] for r, c in cells])
    # The cursor leaves the window: the strip follows.
    for _ in range(12):
        film.keyboard.press("ArrowRight")
    film.wait_for_selector('.film[data-now="32"]')
    assert film.locator(".film .reel").evaluate("one => one.scrollLeft") > scroll
    film.locator(".film canvas").first.hover(position={"x": 400, "y": 60})
    film.keyboard.down("Control")
    film.mouse.wheel(0, 100)
    film.keyboard.up("Control")
    film.wait_for_selector('.film[data-zoom="3"]')


@pytest.mark.browser
def test_what_is_shown_is_saved_beside_its_names(film: Any, shown: Store) -> None:
    step = film.locator(".film .number").text_content()
    with film.expect_download() as got:
        film.locator(".film .save").click()
    long = shown.comparison("film")[0].id
    assert got.value.suggested_filename == f"{long[-6:]}-sample-{SEED}-step-{step}.png"
    saved = np.asarray(Image.open(got.value.path()).convert("RGB"))
    text = film.locator(".film .reel canvas").evaluate("canvas => canvas.toDataURL()")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))))
    tall, wide, _ = drawn.shape
    names = film.locator(".film .names").bounding_box()["width"]
    left, edge = 16 + round(names) + 10, 16
    assert saved.shape == (tall + 2 * edge, wide + left + edge, 3)
    part = saved[edge : edge + tall, left : left + wide]
    full = drawn[..., 3] == 255
    assert full.mean() > 0.3
    np.testing.assert_array_equal(part[full], drawn[..., :3][full])
    # The names of the rows stand on paper beside the picture.
    assert len(np.unique(saved[:, edge : left - 10].reshape(-1, 3), axis=0)) > EXPERTS


@pytest.mark.browser
def test_the_lens_tells_numbers_of_both_strips(film: Any, shown: Store) -> None:
    film.mouse.move(5, 5)
    film.locator(".film .reel").focus()
    now = int(film.locator(".film").get_attribute("data-now"))
    for _ in range(2):
        film.keyboard.press("ArrowDown")
    film.wait_for_selector(f'.film[data-glass="0 expert 0 {now}"]')
    long = shown.trace(shown.comparison("film")[0].id)
    weight = float(long["weights"].sel(sample=SEED).isel(step=now, expert=0))
    assert (
        f"weight {np.ceil(weight * 255) / 255:.2f}" in film.locator(".film .numbers").inner_text()
    )
    for _ in range(EXPERTS):
        film.keyboard.press("ArrowDown")
    own = round(now / (LONG - 1) * (SHORT - 1))
    film.wait_for_selector(f'.film[data-glass="1 mix {own}"]')
    assert "onerror" in film.locator(".film .numbers").inner_text()
    film.keyboard.press("Escape")
    assert film.locator(".film .glass").is_hidden()


@pytest.mark.browser
def test_the_picture_wears_its_painters_colours(film: Any, shown: Store) -> None:
    trace = shown.trace(shown.comparison("film")[0].id)
    info = painting.painting_info(trace, SEED)
    assert info is not None
    finished = trace["x0_hat"].isel(step=-1).sel(shown=SEED).values[..., 0].astype(float)
    opacity = film.locator(".painting .opacity")
    for step in (32, 31):
        film.wait_for_selector(f'.painting[data-step="{step}"]')
        opacity.focus()
        film.keyboard.press("End")
        size = film.locator(".painting .picture").evaluate("one => [one.width, one.height]")
        cells = [(r, c) for r in range(HEIGHT) for c in range(WIDTH)]
        places = [((c + 0.5) * size[0] / WIDTH, (r + 0.5) * size[1] / HEIGHT) for r, c in cells]
        got = pixel(film, ".painting .picture", places)
        for (r, c), shown_colour in zip(cells, got, strict=True):
            colour = expert_colour(int(info.leader[step, r, c]))
            parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
            cover = 0.5 + info.margin[step, r, c] / 2
            want = cover * parts + (1 - cover) * finished[r, c]
            np.testing.assert_allclose(shown_colour, want, atol=4)
        film.keyboard.press("Home")
        bare = pixel(film, ".painting .picture", places)
        np.testing.assert_array_equal(bare[:, 0], finished.ravel())
        amounts = film.locator(".painting .amount").all_inner_texts()
        assert amounts == [f"{np.floor(100 * one + 0.5):.0f}%" for one in info.share[step]]
        film.locator(".player .time").focus()
        film.keyboard.press("ArrowLeft")


@pytest.mark.browser
def test_the_cursor_stands_on_the_heatmap_over_the_ratio(film: Any) -> None:
    at = "one => new DOMMatrix(getComputedStyle(one).transform).m41"
    line = film.locator(".st-key-exhibit_heatmap_weights .ddm-cursor").first
    before = line.evaluate(at)
    film.locator(".player .time").focus()
    film.keyboard.press("ArrowLeft")
    assert line.evaluate(at) < before - 1
    assert "rgb" in line.evaluate("one => getComputedStyle(one).boxShadow")
