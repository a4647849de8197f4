"""The pages that show an audit's evidence: what they draw, and say where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from page_runs import EVIL, charts, known
from small_audit import hostile, number, small_audit, write_audit
from small_evidence import TIMES, curve, evidence
from streamlit.testing.v1 import AppTest
from test_audit_pages import opened, words

from app.audits.files import Audit
from app.figures import reliability
from ddm_core.jobs import Jobs
from ddm_core.store import Store

PAGES = ("alignment", "accuracy", "disagreement")


@pytest.fixture
def store(tmp_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    (tmp_store / ".catalogue.json").write_text(json.dumps(known()))
    st.cache_resource.clear()
    monkeypatch.setattr(Jobs, "_start", lambda *arguments: None)
    yield Store(tmp_store)
    st.cache_resource.clear()


def spoken(app: AppTest) -> str:
    """All that is written, as it is read."""
    return words(app).replace("\\", "")


def figures(app: AppTest) -> list[dict[str, Any]]:
    """The figures of a page, as the browser gets them."""
    return [chart.spec for chart in charts(app)]


@pytest.mark.parametrize(("page", "count"), [("alignment", 4), ("accuracy", 9)])
def test_a_page_draws_its_evidence(store: Store, page: str, count: int) -> None:
    write_audit(store.root, **evidence())
    app = opened(page)
    assert not app.exception
    assert len(charts(app)) == count
    assert all(chart.alt for chart in charts(app))


@pytest.mark.parametrize(("page", "verdict"), [*zip(PAGES, (2, 3, 4), strict=True)])
def test_a_page_begins_with_the_verdict_of_its_claim(
    store: Store, page: str, verdict: int
) -> None:
    document = small_audit(**evidence())
    write_audit(store.root, **evidence())
    claim = document["claims"][verdict - 1]
    claim["sentence"] = f"the sentence of claim {verdict}"
    path = store.root / "audits" / "mnist-abc" / "audit.json"
    path.write_text(json.dumps(document))
    app = opened(page)
    assert f"the sentence of claim {verdict}" in spoken(app)
    badges = [str(one.value) for one in app.markdown if "badge" in str(one.value)]
    assert [claim["verdict"].capitalize() in badge for badge in badges] == [True]


def test_disagreement_shows_buckets_and_their_samples(store: Store) -> None:
    write_audit(store.root, **evidence())
    app = opened("disagreement")
    assert not app.exception
    # Buckets, time, pixels, correlations; no route of this audit has a disagreement of its own.
    assert len(charts(app)) == 4
    assert len(app.get("image")) == 4
    said = spoken(app)
    assert "Spearman 0.3 [0.2, 0.4], n = 64, p = 0.001" in said
    assert "the first bucket to the last FID rises and the distance rises" in said
    assert "0.3 – 0.4 rad, n = 16" in said


def test_routes_are_compared_where_they_have_both_numbers(store: Store) -> None:
    document = small_audit(**evidence())
    for place, route in enumerate(document["routes"]):
        if route["numbers"]:
            route["numbers"]["disagreement"] = number(0.2 + 0.1 * place, 0.05)
    write_audit(store.root).write_text(json.dumps(document))
    app = opened("disagreement")
    assert not app.exception
    assert len(charts(app)) == 5


def test_a_distance_has_several_definitions_and_both_directions(store: Store) -> None:
    found = evidence()
    route = found["alignment"]["routes"][0]
    noisy = {"distance": "cluster_distance_noised", "definition": "|x_t - alpha_t mu_k|"}
    found["alignment"]["routes"].append(route | noisy | {"chosen": curve(7.0)})
    found["alignment"]["noising"]["routes"] = [route]
    found["disagreement"]["noising"] = {
        "times": TIMES,
        "router": "top_k:k=1",
        "by_t": curve(0.2),
        "by_t_max": curve(0.3),
        "spearman": number(0.4, 0.1),
        "p": 0.01,
    }
    write_audit(store.root, **found)
    app = opened("alignment", routes="top_k:k=1")
    assert not app.exception
    assert len(charts(app)) == 5
    assert "|phi(x0_hat) - mu_k|" in spoken(app)
    other = opened("alignment", routes="top_k:k=1", distance="cluster_distance_noised")
    assert not other.exception
    assert "|x_t - alpha_t mu_k|" in spoken(other)
    drawn = [trace.get("y") for trace in figures(other)[0]["data"]]
    assert [7.0, 7.1, 7.2] in drawn
    app = opened("disagreement")
    assert not app.exception
    assert "And on real data noised to every t?" in spoken(app)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_missing_is_said_and_what_to_do(store: Store, page: str) -> None:
    write_audit(store.root)
    app = opened(page)
    assert not app.exception
    assert not charts(app)
    said = {
        "alignment": "No route of this audit chose",
        "accuracy": "no real data",
        "disagreement": "In no route of this audit were all experts looked at",
    }
    assert said[page] in spoken(app)
    assert app.get("page_link")


@pytest.mark.parametrize("page", PAGES)
def test_sections_that_are_null_are_said_to_be_missing(store: Store, page: str) -> None:
    write_audit(store.root, alignment=None, accuracy=None, router=None, disagreement=None)
    app = opened(page)
    assert not app.exception
    assert re.search("no real data|were all experts looked at|No route", spoken(app))


def test_parts_of_a_section_may_be_missing(store: Store) -> None:
    some = evidence()
    some["alignment"]["noising"] = None
    some["disagreement"]["pixels"] = None
    some["disagreement"]["routes"][0]["buckets"] = []
    write_audit(store.root, **some, claims=[])
    app = opened("alignment")
    assert not app.exception
    assert len(charts(app)) == 3
    assert "no real data" in spoken(app)
    app = opened("disagreement")
    assert not app.exception
    assert len(charts(app)) == 2
    assert "Samples of this system are points" in spoken(app)
    assert "Too few samples to part them into buckets" in spoken(app)
    # Without real data nobody can say where in the image: the reason is another one.
    write_audit(store.root, "mnist-later", **some | {"accuracy": None, "router": None})
    app = opened("disagreement", audit="mnist-later")
    assert "no real data" in spoken(app)


@pytest.mark.parametrize("page", PAGES)
def test_lists_of_any_shape_are_no_fault_of_the_page(store: Store, page: str) -> None:
    """Empty lists, rows of unequal length, times and values that are no numbers."""
    odd = evidence()
    for route in odd["alignment"]["routes"]:
        route |= {"chosen": [], "rank": [], "hit_chance": []}
    odd["alignment"]["times"] = [0.9, None, "soon"]
    odd["accuracy"]["matrix"] = [[[1.0], [2.0, 3.0, 4.0]], [], [[None]]]
    odd["accuracy"]["routes"][0]["difference"] = []
    odd["accuracy"]["loss"] = [{"router": "full", "loss": []}, {"router": "top_k:k=1"}]
    odd["router"] |= {"accuracy": [], "ece": [], "entropy": [], "reliability": []}
    odd["router"]["temperature"] = None
    odd["disagreement"]["pixels"]["maps"] = [[[0.0], [0.2, 0.3]], [], [[]]]
    odd["disagreement"]["routes"][0] |= {"by_t": [], "spearman": None, "p": None}
    odd["disagreement"]["across"] = None
    write_audit(store.root, **odd)
    app = opened(page)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_without_an_audit_a_page_says_so(store: Store, page: str) -> None:
    app = opened(page)
    assert not app.exception
    assert "There is no audit yet" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_of_a_file_stays_text(store: Store, page: str) -> None:
    path = write_audit(store.root)
    path.write_text(json.dumps(hostile(EVIL) | evil(evidence())))
    app = opened(page)
    assert not app.exception
    live = r"(?<!\\)[<\[](?=img|script|a\\?\])"
    assert not re.search(live, words(app))
    for group in app.get("button_group"):
        assert not re.search(live, str(group.proto))
    for figure in figures(app):
        assert not re.search("<(?=img|script)", json.dumps(figure))


def evil(part: object) -> dict[str, Any]:
    """The evidence with hostile words in every name."""
    text = json.dumps(part)
    for name in ("top_k:k=1", "learned", "64 test images", "|phi(x0_hat) - mu_k|"):
        text = text.replace(name, json.dumps(name + EVIL)[1:-1])
    return json.loads(text)


def test_routes_are_part_of_the_address_and_go_along(store: Store) -> None:
    write_audit(store.root, **evidence())
    app = opened("alignment", routes="full")
    assert app.multiselect(key="evidence_routes").value == ["full"]
    titles = [one.get("text") for one in figures(app)[0]["layout"].get("annotations", [])]
    assert "top_k:k=1" not in titles
    # A route that a page does not have is no fault of the address.
    app = opened("accuracy", routes="full,nothing")
    assert not app.exception
    assert app.multiselect(key="evidence_routes").value == ["full"]
    assert "there are none that it left out" in spoken(app)
    app.multiselect(key="evidence_routes").set_value(["top_k:k=1", "full"]).run()
    assert app.query_params["routes"] in ("top_k:k=1,full", ["top_k:k=1,full"])
    assert "there are none that it left out" not in spoken(app)
    # Nothing chosen is what one begins with.
    app.multiselect(key="evidence_routes").set_value([]).run()
    assert app.multiselect(key="evidence_routes").value == ["top_k:k=1", "full"]


def test_a_monolith_is_compared_but_not_offered(store: Store) -> None:
    write_audit(store.root, **evidence())
    app = opened("accuracy")
    assert app.multiselect(key="evidence_routes").options == ["top_k:k=1", "full"]
    drawn = [trace.get("name") for one in figures(app) for trace in one["data"]]
    assert "monolith" in drawn


def test_frames_come_once_and_all_together(store: Store) -> None:
    write_audit(store.root, **evidence())
    for page in ("accuracy", "disagreement"):
        with_frames = [one for one in figures(opened(page)) if one.get("frames")]
        assert [len(one["frames"]) for one in with_frames] == [3]
        steps = with_frames[0]["layout"]["sliders"][0]["steps"]
        names = [frame["name"] for frame in with_frames[0]["frames"]]
        assert [step["args"][0][0] for step in steps] == names
        assert [step["label"] for step in steps] == ["0.90", "0.50", "0.10"]  # noise to data


@pytest.mark.parametrize(
    ("temperature", "says"),
    [
        (number(2.0, 0.5), "surer than it should be"),
        (number(0.5, 0.2), "less sure than it could be"),
        (number(1.1, 0.3), "1 lies within"),
        (number(1.1, 0), ""),
    ],
)
def test_the_fitted_temperature_is_put_into_words(
    store: Store, temperature: dict[str, Any], says: str
) -> None:
    document = small_audit(**evidence())
    document["router"]["temperature"] = temperature
    router = Audit.model_validate(document).router
    assert router is not None
    assert (says in reliability.verdict(router)) if says else not reliability.verdict(router)
    write_audit(store.root, router=document["router"], accuracy=document["accuracy"])
    assert says in spoken(opened("accuracy"))
