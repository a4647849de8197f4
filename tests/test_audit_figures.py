"""Figures of the audit: their numbers, what they claim, and that every text in them stays text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from page_runs import EVIL
from small_audit import check, claim, hostile, number, route, small_audit

from app.audits.file import Audit
from app.figures import claims, convergence, gallery, league, paradox, paradox_map
from app.figures import routes_scatter as scatter
from app.figures.look import Look
from app.figures.mixing import mix_colour
from app.figures.placing import places
from app.figures.stretch import Stretch, stretch

LOOKS = (Look(dark=False), Look(dark=True))


def audit_of(**changes: Any) -> Audit:
    return Audit.model_validate(small_audit(**changes))


def drawn(audit: Audit, look: Look) -> list[go.Figure]:
    """Every figure that the pages have."""
    infos = [claims.forest_info(one) for one in audit.claims]
    mapped = paradox.map_info(audit)
    assert mapped is not None
    return [
        *(claims.effect_figure(info, look) for info in infos),
        *(claims.forest_figure(info, look) for info in infos),
        league.figure(league.league_info(audit), look),
        *(
            scatter.figure(scatter.scatter_info(audit, name, grid=grid), look)
            for name in scatter.sensitivities(audit)
            for grid in (False, True)
        ),
        convergence.figure(convergence.curves_info(audit), look),
        paradox_map.figure(mapped, look),
        gallery.figure(mapped, look),
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_every_figure_draws_and_keeps_text_as_text(look: Look) -> None:
    assert len(drawn(audit_of(), look)) == 16
    for figure in drawn(Audit.model_validate(hostile(EVIL)), look):
        # What is looked up by name, and never shown, is the first entry of customdata.
        for trace in figure.data:
            if trace.customdata is not None:
                trace.customdata = [list(row)[1:] for row in trace.customdata]
        written = str(figure.to_json())
        for piece in ("<img", "<script", "\\u003cimg", "\\u003cscript", "data:text"):
            assert piece not in written, piece


@pytest.mark.parametrize("look", LOOKS)
def test_every_figure_draws_what_is_nearly_empty(look: Look) -> None:
    lone = {"k": 1, "temperature": 1.0, "router": "a", "quality": number(1.0, 0)}
    drawn(
        audit_of(
            claims=[claim(1, "undecided")],
            routes=[route("full", 8, -1.0, 0.02, convergence=None)],
            map={"ks": [1, 2], "temperatures": [1.0, 2.0], "cells": [lone]},
            league={"quality": "fid", "rows": []},
        ),
        look,
    )


def test_effect_knows_which_side_speaks_for_the_claim() -> None:
    against, beside = claims.forest_info(audit_of().claims[0]).tests
    assert (against.verdict, against.value, against.low) == ("contradicted", -6.0, -6.5)
    assert beside.decides is False
    signs = [claims.forest_info(one).supports for one in audit_of().claims]
    # Contradicted by a negative effect: positive would support. Undecided: nobody knows.
    assert signs == [1, -1, 0, 0]


def test_table_of_a_claim_holds_every_test() -> None:
    table = claims.table(claims.forest_info(audit_of().claims[0]))
    assert table["estimate"].tolist() == [-6.0, 0.1]
    assert table["p_holm"].tolist() == [0.004, 0.004]
    assert table["says"].tolist() == ["contradicted", "undecided"]
    lone = claims.table(claims.forest_info(audit_of().claims[3]))
    assert len(lone) == 1
    assert np.isnan(lone["estimate"][0])


def test_league_is_sorted_by_strength_and_says_what_is_clear() -> None:
    info = league.league_info(audit_of())
    assert [one.name for one in info.places] == ["routed_loss", "delta_refine", "entropy"]
    assert [one.clear for one in info.places] == [True, False, False]
    assert "FID is worse" in info.direction
    assert math.isnan(info.places[2].rho)


def test_scatter_says_which_route_is_stable_and_which_is_good() -> None:
    info = scatter.scatter_info(audit_of(), "delta_refine")
    assert [point.router for point in info.points] == [
        *("monolith", "top_k:k=1", "top_k:k=2", "full")
    ]
    assert (info.most_stable, info.best, info.worst) == ("full", "top_k:k=2", "top_k:k=1")
    assert info.apart  # 22 +- 0.5 against 20 +- 0.5
    assert scatter.finding(info).endswith("their intervals do not overlap")
    # By the other definition the order turns round: small lipschitz, large delta.
    other = scatter.scatter_info(audit_of(), "lipschitz")
    assert other.most_stable == "top_k:k=1"
    # With the routes of the map another one is the most stable.
    assert scatter.scatter_info(audit_of(), "delta_refine", grid=True).most_stable.endswith("full")


def test_scatter_does_not_tell_apart_what_overlaps() -> None:
    routes = [route("a", 1, 20.0, 0.03), route("b", 2, 20.4, 0.01)]
    info = scatter.scatter_info(audit_of(routes=routes), "delta_refine")
    assert (info.most_stable, info.best, info.apart) == ("b", "a", False)
    assert "not told apart" in scatter.finding(info)
    same = [route("a", 1, 20.0, 0.01), route("b", 2, 24.0, 0.03)]
    info = scatter.scatter_info(audit_of(routes=same), "delta_refine")
    assert "is also the best: a" in scatter.finding(info)


def test_scatter_ranks_by_the_way_that_is_better() -> None:
    better = {"fid": {"title": "score", "definition": "", "better": "higher"}}
    info = scatter.scatter_info(audit_of(definitions=better), "delta_refine")
    assert (info.best, info.worst) == ("top_k:k=1", "top_k:k=2")


def test_curves_begin_with_the_slowest() -> None:
    info = convergence.curves_info(audit_of())
    assert info.curves[0].router == "top_k:k=1"
    # Failed routes and those of the map have no curve here.
    assert "learned:temperature=4/full" not in [curve.router for curve in info.curves]
    table = convergence.table(info)
    assert table[table["router"] == "full"]["delta"].tolist() == [0.04, 0.02]


def test_map_knows_the_paradox_and_both_published_orders() -> None:
    info = paradox.map_info(audit_of())
    assert info is not None
    assert info.layers[0].values.shape == (1, 3, 2)
    assert info.layers[0].at((0, 2, 1)) == (60.0, 59.5, 60.5)
    first, second = info.columns[0]
    assert [first.paradox, second.paradox] == [False, True]
    # Top-2 best and full worst: only at temperature 4.
    assert [first.paris, second.paris] == [False, True]
    # The monolith has 21 +- 0.5: the full ensemble's 22 +- 0.5 does not beat it.
    assert [first.ddm, second.ddm] == [False, False]
    assert paradox.telling(info) == "full (8), T = 4"
    assert paradox.cells(info)["Top-2, T = 1"] == (0, 1, 0)
    table = paradox.table(info)
    marked = table[table["paradox"]]
    assert marked[["k", "temperature"]].to_numpy().tolist() == [[8, 4.0]]


def test_full_beats_the_monolith_only_where_intervals_are_apart() -> None:
    worse = route("monolith", None, 30.0, 0.03, kind="reference")
    alike = route("monolith", None, 22.4, 0.03, kind="reference")
    for reference, clear in ((worse, True), (alike, False)):
        info = paradox.map_info(audit_of(routes=[reference]))
        assert info is not None
        assert (info.columns[0][0].ddm, info.columns[0][0].ddm_clear) == (True, clear)
    info = paradox.map_info(audit_of(routes=[]))
    assert info is not None
    assert info.columns[0][0].ddm is None


def test_two_experts_have_no_paris_order() -> None:
    small = small_audit()
    small["plan"]["experts"] = 2
    small["map"]["ks"] = [1, 2]
    info = paradox.map_info(Audit.model_validate(small))
    assert info is not None
    assert {column.paris for column in info.columns[0]} == {None}


def test_temperatures_lie_evenly_by_their_logarithm() -> None:
    assert paradox.place_of(2.0, (1.0, 4.0)) == pytest.approx(0.5)
    assert paradox.place_of(4.0, (1.0, 2.0, 4.0)) == 2.0
    assert paradox.place_of(5.0, (1.0, 4.0)) is None
    assert paradox.place_of(math.nan, (1.0, 4.0)) is None


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=30))
@example([0.0, 83.0, 5e-307])
def test_a_stretched_axis_keeps_the_order_and_its_ticks_lie_within(values: list[float]) -> None:
    axis = stretch(values)
    places_of = [axis.at(value) for value in sorted(values)]
    assert all(np.isfinite(places_of))
    assert places_of == sorted(places_of)
    ticks = axis.axis(values).get("tickvals", [])
    margin = 1e-9 + 1e-9 * max(map(abs, places_of))
    assert all(places_of[0] - margin <= tick <= places_of[-1] + margin for tick in ticks)
    assert len(ticks) <= 35


def test_an_axis_is_stretched_only_where_it_must_be() -> None:
    assert stretch([1, 2, 3]).kind == "linear"
    assert stretch([1, 1, 1, 100]).kind == "log"
    assert stretch([-0.1, 1, 1, 100]).kind == "asinh"
    assert stretch([]).kind == "linear"
    assert Stretch("log").axis([1, 100])["ticktext"] == ["1", "2", "5", "10", "20", "50", "100"]
    assert "0" in stretch([-0.1, 1, 1, 100]).axis([-0.1, 100])["ticktext"]


def test_names_do_not_cover_each_other() -> None:
    spots = np.array([[0.0, 0.0], [0.03, 0.0], [1.0, 1.0]])
    sides = places(spots, ["left", "right", ""])
    assert set(sides) == {0, 1}
    # The second point is right of the first: the first one's name cannot go there.
    assert sides[0] != "middle right"
    alone = places(spots[:1], ["alone"])
    assert alone == {0: "middle right"}
    # A whisker through it sends the name above or below.
    ends = np.array([[[-1.0, 0.0], [1.0, 0.0]], [[math.nan] * 2] * 2])
    aside = places(np.array([[0.0, 0.0], [9.0, 9.0]]), ["a long name", ""], ends)
    assert "middle" not in aside[0]
    # Long whiskers of a third stretch the axis, and bring the two together.
    spots = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    ends = np.full((3, 2, 2), math.nan)
    assert places(spots, ["a long name", "", ""], ends)[0] == "middle right"
    ends[2] = [[-4.0, 1.0], [4.0, 1.0]]
    assert places(spots, ["a long name", "", ""], ends)[0] != "middle right"
    # Where there is no room, one is left out rather than both spoiled.
    heap = np.vstack([np.full((9, 2), 0.5), [[0.0, 0.0], [1.0, 1.0]]])
    crowded = places(heap, ["in the heap"] * 9 + ["free", ""])
    assert 0 < len(crowded) < 10
    assert 9 in crowded


def test_colours_of_mixtures_go_from_one_to_all() -> None:
    for look in LOOKS:
        ends = [mix_colour(count, 8, look) for count in (0.5, 1, 8, 100)]
        assert ends[0] == ends[1]
        assert ends[2] == ends[3]
        assert len({mix_colour(count, 8, look) for count in (1, 2, 4, 8)}) == 4


def test_numbers_are_written_as_a_reader_expects() -> None:
    assert claims.written(-6.3, -9.94, -2.4) == "−6.3 [−9.94, −2.4]"
    assert claims.written(1.0, math.nan, math.nan) == "1"
    assert claims.p_text(0.0000001) == "< 0.0001"
    assert claims.p_text(math.nan) == "–"
    said = [claims.said(one) for one in claims.forest_info(audit_of().claims[0]).tests]
    assert said == ["✕ against", "? undecided (beside)"]
    assert check("a", 1.0, "supports")["decides"] is True
