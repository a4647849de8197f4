"""Pages of the audit: with none, with one, with a damaged one and with a hostile one."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from browsing import new_window
from page_runs import EVIL, charts, image_run, known
from small_audit import PICTURE, hostile, number, small_audit, write_audit
from streamlit.testing.v1 import AppTest

from app.audits.files import Audit, find, read
from ddm_core import selections
from ddm_core.errors import WorkError
from ddm_core.jobs import Jobs
from ddm_core.store import Store

PAGES = ("audit", "stability", "paradox")


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store whose pages need not wait for the catalogue."""
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    # No worker is started for a page that is only looked at.
    monkeypatch.setattr(Jobs, "_start", lambda *arguments: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


def opened(page: str, **query: str) -> AppTest:
    """A page, run once."""
    # AppTest cannot open a page that is a function: this script stands for main.py.
    script = f"""
import streamlit as st
from app import parts
from app.views import {page}
page = st.Page({page}.page, url_path="start")
st.session_state["pages"] = {{name: page for name in ("start", "trace", "audit")}}
parts.progress_cards()
{page}.page()
"""
    app = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    """All that is written on a page."""
    return " ".join(str(one.value) for one in [*app.title, *app.markdown, *app.caption])


@pytest.mark.parametrize("page", PAGES)
def test_without_an_audit_a_page_says_so(store: Store, page: str) -> None:
    app = opened(page)
    assert not app.exception
    assert "There is no audit yet" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_draws_an_audit(store: Store, page: str) -> None:
    write_audit(store.root)
    app = opened(page)
    assert not app.exception
    assert charts(app)
    assert app.selectbox(key="choice_audit").options[0].startswith("own · ")


def test_a_bucket_of_disagreement_is_chosen_for_all_pages(store: Store) -> None:
    """The samples that a bucket holds, by their seeds; their route's run is a click away."""
    buckets = [
        {"low": 0.1 * i, "high": 0.1 * (i + 1), "n": 3, "quality": number(4.0)}
        | {"picture": PICTURE, "samples": some}
        for i, some in enumerate(([5, 0, 7], [1, 2, 9]))
    ]
    one = {"router": "top_k:k=2", "by_t": [number(0.3)], "buckets": buckets}
    found = {"times": [1.0], "routes": [one], "pixels": None, "across": None}
    plan = {**small_audit()["plan"], "seed": 100}
    write_audit(store.root, disagreement=found, plan=plan)
    app = opened("disagreement")
    app.button(key="choose_bucket_2").click().run()
    assert not app.exception
    chosen = selections.read(app.query_params["chosen"], store.root)
    assert chosen.seeds == (101, 102, 109)
    assert chosen.source == "bucket 2 of disagreement, top_k:k=2"
    assert "**3 of 64** samples chosen" in words(app)


def test_four_cards_say_verdict_effect_and_n(store: Store) -> None:
    write_audit(store.root)
    app = opened("audit")
    spoken = words(app).replace("\\", "")
    for word in ("Contradicted", "Supported", "Undecided"):
        assert word in spoken
    assert "FID(full) − FID(top_k:k=2) = −6 [−6.5, −5.5], n = 64" in spoken.replace("\xa0", " ")
    # The effects and the league: evidence waits until it is asked for.
    assert len(charts(app)) == 5
    assert not app.table
    assert "64 samples instead of 2000" in spoken
    assert "threshold: no memory" in spoken
    assert app.get("code")[0].value == "ddm audit mnist"


def test_a_card_opens_into_its_evidence(store: Store) -> None:
    write_audit(store.root)
    app = opened("audit", claim_0_evidence="true")
    assert not app.exception
    table = app.table[0].value
    assert table["p (Holm)"].tolist() == ["0.004", "0.004"]
    assert table["estimate [95%]"].tolist() == ["−6 [−6.5, −5.5]", "0.1 [−0.4, 0.6]"]
    assert "one system" in words(app)


def test_what_is_wrong_with_a_system_is_said_first(store: Store) -> None:
    write_audit(store.root, health=["the router is worse than chance"])
    app = opened("audit")
    assert [one.value for one in app.warning] == ["the router is worse than chance"]


def test_the_url_chooses_the_audit(store: Store) -> None:
    write_audit(store.root, "old", machine="an old machine", system="digits", title="digits")
    path = write_audit(store.root, "new", machine="a new machine")
    later = path.stat().st_mtime + 100
    os.utime(path, (later, later))
    assert "a new machine" in words(opened("audit"))
    assert "an old machine" in words(opened("audit", audit="old"))
    assert "an old machine" in words(opened("audit", audited="digits"))
    # What there is not is forgotten, not an error.
    app = opened("audit", audit="../../etc")
    assert not app.exception
    assert "a new machine" in words(app)


def test_a_damaged_file_costs_one_sentence(store: Store) -> None:
    write_audit(store.root)
    damaged = write_audit(store.root, "damaged")
    damaged.write_text('{"format": 1')
    app = opened("audit")
    assert not app.exception
    assert words(app).replace("\\", "").count("left out: damaged/audit.json") == 1
    assert charts(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_of_a_file_stays_text(store: Store, page: str) -> None:
    path = write_audit(store.root)
    path.write_text(json.dumps(hostile(EVIL)))
    app = opened(page, claim_0_evidence="true", claim_1_evidence="true")
    assert not app.exception
    # Every character of Markdown and HTML has been made harmless.
    assert not re.search(r"(?<!\\)[<\[](?=img|script|a\\?\])", words(app))
    for table in app.table:
        for cell in table.value.to_numpy().ravel():
            assert not re.search(r"(?<!\\)<(img|script)", str(cell))
    assert not app.get("imgs")


def test_a_route_is_picked_by_the_url_and_its_run_opens(store: Store) -> None:
    run = image_run(store, "full")
    audit = small_audit()
    audit["routes"][3]["run"] = run.id
    audit["routes"][2]["run"] = "gone"
    path = write_audit(store.root)
    path.write_text(json.dumps(audit))
    app = opened("stability", route="full")
    assert not app.exception
    assert [link.proto.label for link in app.get("page_link")] == ["Open its run"]
    app = opened("stability", route="top_k:k=2")
    assert "not in this store" in words(app)
    # By itself the page shows the most stable route, and says which is the best.
    app = opened("stability")
    assert app.selectbox(key="choice_route").value == "full"
    assert "the best is top\\_k\\:k=2" in words(app)
    # By another definition of stability, another route.
    app = opened("stability", sensitivity="lipschitz")
    assert app.selectbox(key="choice_route").value == "top_k:k=1"


def test_the_map_begins_where_the_paradox_is(store: Store) -> None:
    write_audit(store.root)
    app = opened("paradox")
    assert app.selectbox(key="choice_cell").value == "full (8), T = 4"
    assert "it is the worst and the best converged and the smoothest" in words(app)
    app = opened("paradox", cell="Top-2, T = 1")
    assert "it is the best" in words(app)


def test_an_audit_without_a_map_says_so(store: Store) -> None:
    write_audit(store.root, map=None, league=None)
    app = opened("paradox")
    assert not app.exception
    assert "has no map" in words(app)
    assert not opened("audit").exception


def test_one_click_runs_an_audit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def enqueue(self: Jobs, kind: str, payload: dict[str, Any], **options: Any) -> str:
        asked.append((kind, payload))
        return "job-1"

    monkeypatch.setattr(Jobs, "enqueue", enqueue)
    app = opened("audit")
    app.button(key="audit_begin").click().run()
    assert not app.exception
    assert asked == [("audit", {"system": "tiny", "budget": 600.0})]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    audit = read(write_audit(tmp_path))
    assert audit.routes[2].number("fid").high == 20.5
    assert audit.routes[2].picture == PICTURE
    assert audit.routes[2].number("no such").value is None
    assert audit.definition("no_such").title == "no such"
    assert audit.map is not None
    assert audit.map.orders[1].paradox


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format"),
        ({"claims": "none"}, "claims"),
        ({"claims": [{"claim": 1, "title": "", "verdict": "perhaps"}]}, "verdict"),
        ({"plan": {"num": 1}}, "plan"),
        (
            {"alignment": {"times": [1.0, 0.5], "routes": [{"router": "a", "hit": [{}]}]}},
            "entries",
        ),
        ({"map": {"ks": [1], "temperatures": [0.0]}}, "temperatures"),
        ({"routes": [{"router": "a", "numbers": {"fid": 3}}]}, "an estimate is an object"),
        ({"title": "x" * 20_000}, "title"),
    ],
)
def test_what_is_no_audit_is_told_in_a_sentence(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(WorkError, match=says) as caught:
        read(write_audit(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_or_too_large_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot be read"):
        read(tmp_path / "mnist" / "audit.json")
    path = write_audit(tmp_path)
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(WorkError, match="damaged"):
        read(path)
    with path.open("wb") as stream:
        stream.truncate(65 * 2**20)
    with pytest.raises(WorkError, match="larger than"):
        read(path)


def test_numbers_that_are_none_are_left_out() -> None:
    given = small_audit(seconds=math.inf)
    given["routes"][1]["numbers"]["fid"] = {
        "value": math.nan,
        "low": "1",
        "high": 10**400,
        "n": -3,
    }
    audit = Audit.model_validate(given)
    assert audit.seconds is None
    assert audit.routes[1].number("fid")[:4] == (None, None, None, 0)


def test_only_small_png_pictures_are_kept() -> None:
    large = base64.b64decode(PICTURE.partition(",")[2])
    wide = large[:16] + (100_000).to_bytes(4) + large[20:]
    foreign = [
        *(
            "javascript:alert(1)",
            "https://example.org/a.png",
            "data:image/svg+xml;base64,PHN2Zz4=",
        ),
        "data:image/png;base64,not base64",
        "data:image/png;base64," + base64.b64encode(b"GIF89a" * 9).decode(),
        "data:image/png;base64," + base64.b64encode(wide).decode(),
        PICTURE + "A" * 2**20,
        7,
    ]
    for picture in foreign:
        given = small_audit()
        given["routes"][1]["picture"] = picture
        assert Audit.model_validate(given).routes[1].picture is None, picture
    assert Audit.model_validate(small_audit()).routes[1].picture == PICTURE


def test_own_audits_come_first_and_the_newest_of_them_before_all(tmp_path: Path) -> None:
    runs, shipped = tmp_path / "runs", tmp_path / "checkpoints"
    for age, name in ((300, "c"), (100, "b"), (200, "a"), (1, ".unfinished")):
        path = write_audit(runs, name)
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    (shipped / "mnist").mkdir(parents=True)
    (shipped / "mnist" / "audit.json").write_text("{}")
    (shipped / "digits").mkdir()
    keys = [(one.key, one.shipped) for one in find(runs, shipped)]
    assert keys == [("b", False), ("a", False), ("c", False), ("shipped:mnist", True)]
    assert find(tmp_path / "nowhere") == []


@pytest.mark.browser
def test_a_click_on_a_cell_or_a_point_shows_its_samples(
    browser: Any, tmp_path: Path, dashboard: Callable[[Path], str]
) -> None:
    root = tmp_path / "runs"
    write_audit(root)
    (root / ".catalogue.json").write_text(json.dumps(known()))
    window = new_window(browser)
    window.set_default_timeout(60_000)
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    still = '[data-testid="stApp"][data-test-script-state="notRunning"]'
    for page in PAGES:
        window.goto(f"{dashboard(root)}/{page}")
        window.wait_for_selector(".js-plotly-plot .main-svg")
        window.wait_for_selector(still)
        assert window.locator('[data-testid="stException"]').count() == 0
        window.set_viewport_size({"width": 900, "height": 1000})
        window.wait_for_timeout(400)
        sideways = "() => { const m = document.querySelector('[data-testid=stMain]');"
        assert window.evaluate(sideways + " return m.scrollWidth - m.clientWidth }") <= 1, page
        window.set_viewport_size({"width": 1440, "height": 1000})
        window.wait_for_timeout(400)
    # The last page is the map: a click on Top-2 at temperature 1, left in the middle row.
    cells = window.locator(".heatmaplayer").first
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    window.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    window.wait_for_function("() => new URL(location).searchParams.get('cell') === 'Top-2, T = 1'")
    window.wait_for_selector("text=it is the best")
    window.goto(f"{dashboard(root)}/stability")
    window.wait_for_selector(".js-plotly-plot .points path.point")
    window.wait_for_selector(still)
    point = window.locator(".js-plotly-plot").first.locator(".points path.point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    window.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.wait_for_function("() => new URL(location).searchParams.get('route')")
    assert faults == []
    window.close()
