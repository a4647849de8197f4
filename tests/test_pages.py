"""Pages: every one on an empty store, on one run and on a comparison."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from page_runs import EVIL, charts, image_run, known, point_runs
from streamlit.testing.v1 import AppTest
from test_figures import EXPERTS, STEPS, make_trace

import ddm_core.estimate
from app import forms, parts
from app.catalogue import Component, Field
from app.figures import variables
from app.figures.look import Look, on_scale
from app.views import groups
from app.views.again import repeated
from app.views.tables import summary_rows, written
from ddm_core.config import make_config
from ddm_core.errors import WorkError
from ddm_core.jobs import Jobs
from ddm_core.live import Live
from ddm_core.queue import Queue
from ddm_core.run import execute
from ddm_core.store import Store

EVERY = ",".join(variables.drawable(make_trace()))
PAGES = ("start", "compare", "trace", "ask", "library")


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store whose pages need not wait for the catalogue."""
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    # No worker is started for a page that is only looked at.
    monkeypatch.setattr(Jobs, "_start", nothing)
    monkeypatch.setattr(Live, "warm", nothing)
    yield Store(tmp_store)
    st.cache_resource.clear()


def nothing(*arguments: object, **options: object) -> None:
    """Stands for what shall not happen in a test."""


def opened(page: str, **query: str) -> AppTest:
    """A page, run once."""
    # AppTest cannot open a page that is a function: this script stands for main.py.
    script = f"""
import streamlit as st
from app import parts
from app.views import ask, compare, library, start, trace
page = st.Page(start.page, url_path="start")
st.session_state["pages"] = {{name: page for name in ("start", "compare", "trace", "what-if")}}
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


def drawn(app: AppTest) -> list[str]:
    """The variables that have a figure of their own on the Trace page."""
    prefix = "table_variable_"
    return [str(t.key)[len(prefix) :] for t in app.toggle if str(t.key).startswith(prefix)]


@pytest.mark.parametrize("page", PAGES)
def test_pages_on_an_empty_store(store: Store, page: str) -> None:
    app = opened(page)
    assert not app.exception
    assert app.title


@pytest.mark.parametrize("page", PAGES)
def test_pages_on_one_run(store: Store, page: str) -> None:
    image_run(store, "top_k:k=1")
    app = opened(page)
    assert not app.exception


def test_start_does_not_wait_for_systems_that_cannot_be_read(
    tmp_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_resource.clear()

    def fails() -> str:
        raise WorkError("the list of systems cannot be read: no memory")

    monkeypatch.setattr("app.catalogue._ask", fails)
    monkeypatch.setattr(Jobs, "_start", nothing)
    app = opened("start")
    # It does not wait for ever: the server shows the sentence, see `app.server.serve`.
    assert len(app.exception) == 1
    st.cache_resource.clear()


def test_compare_draws_a_comparison_of_pictures(store: Store) -> None:
    runs = [image_run(store, router, "c1") for router in ("top_k:k=1", "full")]
    app = opened("compare", comparison="c1", sample="11", axis="t")
    assert not app.exception
    shown = charts(app)
    assert len(shown) >= 6
    assert any(len(one.spec["layout"].get("meta", {}).get("cursor", [])) == STEPS for one in shown)
    assert "same noise 00aa00aa" in words(app) or "same noise (x_T 00aa00aa)" in words(app)
    assert runs[0].router in app.selectbox(key="choice_comparison").options[0]


def test_compare_draws_points_and_a_monolith(store: Store) -> None:
    point_runs(store, "c2")
    app = opened("compare", comparison="c2")
    assert not app.exception
    assert charts(app)


def test_of_many_routes_the_reader_chooses_four(store: Store) -> None:
    routes = ("monolith", "top_k:k=1", "top_k:k=2", "full", "uniform/full")
    runs = [image_run(store, route, "five") for route in routes]
    app = opened("compare", comparison="five")
    assert not app.exception
    list_ = app.multiselect(key="choices_shown")
    assert list_.options == list(routes)
    assert list_.value == [run.id[-6:] for run in runs[:4]]
    assert "4 of 5 runs are shown" in words(app)
    assert "uniform/full" not in app.table[0].value.to_string()
    assert "shown" not in app.query_params
    two = [runs[4].id[-6:], runs[1].id[-6:]]
    list_.set_value(two).run()
    assert app.query_params["shown"] == ",".join(reversed(two))
    table = app.table[0].value.to_string()
    assert "uniform/full" in table
    assert "monolith" not in table
    # What was chosen of another comparison says nothing of this one.
    app = opened("compare", comparison="five", shown="123456")
    assert len(app.multiselect(key="choices_shown").value) == 4


def test_lines_for_a_notebook_are_of_what_is_shown(store: Store) -> None:
    runs = [image_run(store, route, "three") for route in ("top_k:k=1", "top_k:k=2", "full")]
    assert groups.comparison_of(runs) == "three"
    assert groups.comparison_of(runs[:2]) == ""


def test_compare_takes_runs_from_the_url_and_forgives_lost_ones(store: Store) -> None:
    runs = [image_run(store, router) for router in ("top_k:k=1", "full")]
    app = opened("compare", runs=f"{runs[0].id},nothing,{runs[1].id}")
    assert not app.exception
    assert charts(app)


def test_a_choice_outlives_the_words_that_its_options_had(store: Store) -> None:
    for comparison in ("older", "newer"):
        for router in ("top_k:k=1", "full"):
            image_run(store, router, comparison)
    app = opened("compare", comparison="older")
    box = app.selectbox(key="choice_comparison")
    # As of a browser that still has the words from before, when the runs were "just now" made.
    box.options = ["", "tiny: made just now"]
    box.set_value("tiny: made just now").run()
    assert not app.exception
    assert app.query_params["comparison"] == "older"
    assert app.selectbox(key="choice_comparison").value == "older"


def test_options_that_are_called_the_same_can_be_told_apart(store: Store) -> None:
    for comparison in ("one-000001", "two-000002"):
        for router in ("top_k:k=1", "full"):
            image_run(store, router, comparison)
    app = opened("compare")
    options = app.selectbox(key="choice_comparison").options
    assert [one[-6:] for one in options] == ["000002", "000001"]
    app.selectbox(key="choice_comparison").select(options[1]).run()
    assert app.query_params["comparison"] == "one-000001"


def test_trace_draws_every_variable_and_a_focus(store: Store) -> None:
    run = image_run(store, "top_k:k=1")
    for sample in ("11", "mean of all", "999"):
        app = opened("trace", run=run.id, sample=sample)
        assert not app.exception
    spoken = words(opened("trace", run=run.id, figures=EVERY))
    for name in ("disagreement", "usage", "perturbation growth", "expert calls"):
        assert name in spoken.lower(), name


def test_ask_offers_the_poorest_and_the_richest_expert(store: Store) -> None:
    app = opened("ask")
    assert not app.exception
    assert "**0** has seen most of it: 29 images, 97% of its cluster" in words(app)
    assert "**2** has seen none at all" in words(app)


def test_ask_lets_the_reader_choose_where_nobody_counted(store: Store) -> None:
    said = known()
    said["systems"][0] |= {"label_counts": []}
    (store.root / ".catalogue.json").write_text(json.dumps(said))
    app = opened("ask")
    assert not app.exception
    assert app.selectbox(key="ask_second").value == EXPERTS - 1


def test_first_comparison_is_one_click(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def submit(self: Jobs, configs: Any, **options: Any) -> str:
        asked.append((configs, options))
        return "job-1"

    monkeypatch.setattr(Jobs, "submit", submit)
    monkeypatch.setattr(st, "switch_page", nothing)
    app = opened("start")
    app.button(key="first").click().run()
    configs, options = asked[0]
    assert len(configs) == 3
    assert len({config.seed for config in configs}) == 1
    assert options["comparison"] is True


def test_a_new_comparison_tells_its_cost_and_is_refused_where_it_cannot_fit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def submit(self: Jobs, configs: Any, **options: Any) -> str:
        asked.append(configs)
        return "job-1"

    monkeypatch.setattr(Jobs, "submit", submit)
    app = opened("compare")
    assert not app.exception
    # 16 samples x 25 steps: a monolith, Top-1, Top-2 and all three experts, all looked at, and a
    # twin of each.
    told = [one.value for one in app.caption if "expert evaluations" in one.value]
    assert told == [
        parts.literal("about 6,800 expert evaluations, 96 MiB, time unknown: no earlier run tells")
    ]
    monkeypatch.setattr(ddm_core.estimate, "free_memory", lambda: 2**30)
    app.number_input(key="new_num").set_value(100_000)
    app.number_input(key="new_steps").set_value(1000).run()
    assert any("more memory than is free" in one.value for one in app.caption)
    next(one for one in app.button if one.label.startswith("Compare 4")).click().run()
    assert [
        parts.literal("100,000 samples x 1,000 steps with these probes need ") in one.value
        for one in app.error
    ] == [True]
    assert asked == []


def test_run_again_asks_for_what_the_first_run_was_asked_for(store: Store) -> None:
    compared = [
        image_run(store, router, "c1", metrics=("fid", "kid:subsets=3"), label=1)
        for router in ("top_k:k=1", "full")
    ]
    alone = image_run(store, "uniform/full")
    # Its number is called like no metric that could be asked for.
    store.add_metrics(alone.id, {"fid@inception": {"value": 1.0, "n": 5}})
    jobs = repeated(store.runs())
    assert jobs == [[one.config for one in compared], [alone.config]]
    queue = Jobs(store.root)
    ids = [queue.submit(configs, comparison=len(configs) > 1) for configs in jobs]
    assert [queue.job(id).comparison is not None for id in ids] == [True, False]
    claim = Queue(store.root).claim(queue.job(ids[0]).device)
    assert claim is not None
    assert [make_config(fields) for fields in claim.payload["configs"]] == jobs[0]


def test_trace_draws_the_telling_figures_and_the_others_on_request(store: Store) -> None:
    said = known()
    said["probes"] = [
        {"name": name, "help": "", "fields": []}
        for name in ("disagreement", "perturbation_growth", "nearest_selected", "expert_calls")
    ]
    (store.root / ".catalogue.json").write_text(json.dumps(said))
    run = image_run(store, "top_k:k=1")
    app = opened("trace", run=run.id)
    few = drawn(app)
    # "usage" and "state" are of no probe that is known: somebody brought them to see them.
    assert few == ["disagreement", "perturbation_growth", "usage", "state"]
    app.button_group(key="choices_figures").set_value(["disagreement", "expert_calls"]).run()
    assert drawn(app) == ["disagreement", "expert_calls"]
    assert app.query_params["figures"] == "disagreement,expert_calls"
    app.button_group(key="choices_figures").set_value(few).run()
    assert "figures" not in app.query_params
    app.button_group(key="choices_figures").set_value([]).run()
    assert not drawn(app)
    assert {*few, "nearest_selected", "expert_calls"} == set(
        drawn(opened("trace", run=run.id, figures=EVERY))
    )


def test_a_job_that_failed_says_why_and_offers_another_try(store: Store) -> None:
    jobs = Jobs(store.root)
    config = make_config({"system": "ring", "router": "full"})
    id = jobs.submit([config], title=f"evil {EVIL}")
    jobs.cancel(id)
    app = opened("compare", job=id)
    assert not app.exception
    assert "was cancelled" in words(app)
    # The name arrives with every character of Markdown and HTML made harmless.
    assert not re.search(r"(?<!\\)[<\[]", words(app))
    app.button(key=f"retry_{id}").click().run()
    assert len(jobs.jobs()) == 2


def test_what_is_at_work_is_shown_before_what_waits_and_all_is_counted(store: Store) -> None:
    jobs = Jobs(store.root)
    config = make_config({"system": "ring", "router": "full"})
    ids = [jobs.submit([config], title=f"job {number}") for number in range(30)]
    claim = Queue(store.root).claim(jobs.job(ids[0]).device)
    assert claim is not None
    assert claim.id == ids[0]
    app = opened("library")
    cards = [str(one.key) for one in app.button if str(one.key).startswith("cancel_")]
    assert cards == [f"cancel_{id}" for id in ids[:3]]
    assert "and 27 more in the queue" in words(app)


def test_text_stays_text() -> None:
    assert parts.literal("a_b*c <i> $x$ :material/home: [l](u)") == (
        r"a\_b\*c \<i\> \$x\$ \:material/home\: \[l\]\(u\)"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_on_a_cell_can_be_read(dark: bool) -> None:
    look = Look(dark)
    # The two ends of the scale have the two inks, and no share has the ink of its own ground.
    ends = [on_scale(share, look) for share in (0.0, 1.0)]
    assert ends == (["#FFFFFF", "#0F1318"] if dark else ["#0F1318", "#FFFFFF"])
    inks = [on_scale(share / 100, look) for share in range(101)]
    assert sum(one != other for one, other in itertools.pairwise(inks)) == 1


def test_numbers_are_written_with_their_interval() -> None:
    assert written({"value": 53.123, "low": 50.0, "high": 56.0}) == "53.1 [50, 56]"
    assert written({"value": 2.0, "low": None, "high": None}) == "2"
    assert written({"value": "=1+1"}) == ""
    assert written(None) == ""


def test_summary_leaves_out_what_nobody_has(store: Store) -> None:
    rows = summary_rows([image_run(store, "top_k:k=1")], ["top_k:k=1"])
    assert "FID" in rows
    assert "entropy" not in rows


def test_forms_write_the_specs_of_the_command_line() -> None:
    k = Field("k", "int", 2, "", 1, None, ())
    margin = Field("margin", "float", 0.1, "", 0, 1, ())
    sticky = Component("sticky", "", (k, margin))
    assert forms.spec(sticky, {"k": 2, "margin": 0.1}) == "sticky"
    assert forms.spec(sticky, {"k": 1, "margin": 0.25}) == "sticky:k=1:margin=0.25"
    assert forms.spec(sticky, {"k": 2, "margin": 0.123456789}) == "sticky:margin=0.123456789"
    named = Component("top_k", "", (k._replace(told=True),))
    assert forms.spec(named, {"k": 2}) == "top_k:k=2"


def test_server_reads_the_projects_settings() -> None:
    from app.server.serve import options

    said = options(8700, "localhost")
    assert said["server.port"] == 8700
    assert said["browser.gatherUsageStats"] is False
    assert said["runner.postScriptGC"] is False
    assert "localhost" in said["server.allowedHosts"]
    assert "localhost" in options(8700, "0.0.0.0")["server.allowedHosts"]


def test_a_sample_can_be_followed_that_the_list_leaves_out(store: Store) -> None:
    """The list has 200 of them; a click on a point, or a URL, may name any."""
    asked = {"system": "ring", "router": "top_k:k=1", "num": 230, "steps": 4, "device": "cpu"}
    run = store.save(execute(make_config(asked)))
    for sample, shown in (("225", "225"), ("230", "0")):
        app = opened("trace", run=run.id, sample=sample)
        assert not app.exception
        (box,) = (one for one in app.selectbox if one.label == "Sample in focus")
        assert box.value == shown
