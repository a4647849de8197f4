"""Live controls and the tour, with a live process that samples here and now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from page_runs import charts, known
from streamlit.testing.v1 import AppTest

from app import live
from app.figures.dots import Dot, dots_info
from app.views.tour import verdict
from ddm_core.config import RunConfig
from ddm_core.jobs import Jobs
from ddm_core.live import Answer, Live, Overtaken
from ddm_core.run import execute
from ddm_core.store import Store
from ddm_core.summary import summarize

QUALITY = {"value": 0.02, "low": 0.01, "high": 0.03, "n": 400}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What the pages ask of the live process, which answers without one."""
    out: list[RunConfig] = []

    def ask(self: Live, config: RunConfig, *, client: str, wanted: Callable[[], bool]) -> Answer:
        out.append(config)
        few = config.model_copy(update={"num": 20, "steps": 4, "observed": 20})
        result = execute(few)
        return Answer(config, result.trace, summarize(result.trace, 0.1), QUALITY, 0.1)

    monkeypatch.setattr(Live, "ask", ask)
    monkeypatch.setattr(Live, "ready", property(lambda self: True))
    monkeypatch.setattr(Live, "warm", lambda self: None)
    return out


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store whose pages need not wait for the catalogue."""
    shipped = Path(__file__).resolve().parents[1] / "checkpoints"
    (tmp_store / ".catalogue.json").write_text(json.dumps(known(folder=str(shipped))))
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", lambda *_, **__: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


def opened(page: str, **query: str) -> AppTest:
    """A page, run once."""
    script = f"""
import streamlit as st
from app.views import start, tour
page = st.Page(start.page, url_path="start")
st.session_state["pages"] = {{name: page for name in ("start", "compare", "audit")}}
{page}.page()
"""
    app = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def test_controls_ask_for_what_the_url_says(store: Store, asked: list[RunConfig]) -> None:
    app = opened("start", live="ring", temperature="4", k="1", noise="1000")
    assert not app.exception
    assert [one.router for one in asked] == ["exact:temperature=4/top_k:k=1", "top_k:k=1"]
    assert {one.seed for one in asked} == {1000}
    assert len(charts(app)) >= 3
    assert "Energy distance" in app.table[0].value.columns


@pytest.mark.parametrize("temperature", ["nan", "inf", "-1", "0", "x", "1e400"])
def test_an_address_that_makes_no_sense_does_no_harm(
    store: Store, asked: list[RunConfig], temperature: str
) -> None:
    app = opened("start", temperature=temperature, k="999")
    assert not app.exception
    assert asked
    assert all(one.router.endswith("full") for one in asked)


def test_what_is_kept_is_what_was_shown(store: Store, asked: list[RunConfig]) -> None:
    app = opened("start", temperature="2", k="1")
    app.button(key="keep").click().run()
    (job,) = Jobs(store.root).jobs()
    row = Jobs(store.root)._queue.row(job.id)
    assert row is not None
    kept = [RunConfig.model_validate(one) for one in json.loads(row["payload"])["configs"]]
    assert [one.digest for one in kept] == [one.digest for one in asked[:2]]
    assert "standard" in kept[0].probes


def test_whoever_moves_on_keeps_the_picture(
    store: Store, asked: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened("start", live="ring")
    before = len(charts(app))

    def overtaken(*_: Any, **__: Any) -> Answer:
        raise Overtaken

    monkeypatch.setattr(Live, "ask", overtaken)
    app.run()
    assert not app.exception
    assert len(charts(app)) == before


class _Context:
    """As much of Streamlit's context of a script as is looked at."""

    class script_requests:
        class _state:
            value = "CONTINUE"

        class _rerun_data:
            fragment_id_queue: tuple[str, ...] = ()

    fragment_ids_this_run = ("mine",)


def test_only_what_concerns_this_part_of_the_page_overtakes_it() -> None:
    context = _Context()
    requests = context.script_requests
    assert not live._newer(context)
    requests._state.value = "STOP"
    assert live._newer(context)
    requests._state.value = "RERUN"
    for queue, newer in (((), True), (("mine",), True), (("cards",), False)):
        requests._rerun_data.fragment_id_queue = queue
        assert live._newer(context) is newer
    # Another version of Streamlit.
    assert not live._newer(object())
    assert not live._newer(None)


def dots(*values: tuple[float, float]) -> Any:
    made = [Dot("", i, v, v - half, v + half, 400) for i, (v, half) in enumerate(values)]
    return dots_info("x", "x", made, better="lower")


def test_a_verdict_says_only_what_intervals_allow() -> None:
    smooth = dots((3.0, 0.1), (2.5, 0.1), (2.0, 0.1))
    paradox = verdict(dots((0.1, 0.01), (0.1, 0.01), (0.3, 0.01)), smooth)
    assert "the full ensemble is the smoothest **and** the worst" in paradox
    unclear = verdict(dots((0.1, 0.1), (0.1, 0.1), (0.3, 0.1)), smooth)
    assert "no paradox" in unclear
    assert "overlap" in unclear
    other = verdict(dots((0.3, 0.01), (0.1, 0.01), (0.05, 0.01)), smooth)
    assert "the full ensemble is the best" in other
    assert "Top-1 is the worst" in other
    unknown = verdict(dots((0.3, float("nan")), (0.1, 0.01), (0.05, 0.01)), smooth)
    assert "overlap" in unknown


def test_the_tour_goes_from_step_to_step(store: Store, asked: list[RunConfig]) -> None:
    app = opened("tour")
    titles: list[str] = []
    for at in range(1, 7):
        assert not app.exception
        assert app.query_params["tour"] == str(at)
        titles.append(app.title[0].value)
        if at < 6:
            app.button(key="tour_next").click().run()
    assert len(set(titles)) == 6
    assert app.button(key="tour_next").disabled
    app.button(key="tour_back").click().run()
    assert app.title[0].value == titles[4]
    assert {one.router for one in asked} >= {"full", "exact:temperature=4/full"}
    assert any("local_lipschitz" in one.probes for one in asked)


def test_the_tour_shows_the_shipped_audit(store: Store, asked: list[RunConfig]) -> None:
    app = opened("tour", tour="4")
    assert len(charts(app)) == 1
    assert "mnist" in " ".join(str(one.value) for one in app.markdown)
    app = opened("tour", tour="99")
    assert app.query_params["tour"] == "6"
