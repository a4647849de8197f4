"""The numbers behind the pages of evidence: against what the file holds, and closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from small_audit import number, small_audit, write_audit
from small_evidence import TIMES, evidence

from app.audits.files import Audit, read
from app.figures import across, bands, buckets, losses, over_time, reliability
from app.figures.bands import CHANCE, CHOSEN, BandsInfo, Panel, as_band
from app.figures.look import Look
from ddm_core.intervals import Estimate

LOOKS = (Look(), Look(dark=True))


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return read(write_audit(tmp_path, **evidence()))


def test_bands_are_drawn_and_tabled_as_they_are(audit: Audit) -> None:
    assert audit.alignment is not None
    (route, _) = audit.alignment.routes
    band = as_band("chosen", CHOSEN, route.chosen)
    plain = as_band("chance", CHANCE, [0.5, None, 0.5])
    info = BandsInfo(tuple(TIMES), (Panel("a <b>", (band, plain)), Panel("other", ())), "distance")
    table = bands.table(info)
    assert table["t"].tolist() == TIMES * 2
    assert table["value"].tolist()[:3] == [one.value for one in route.chosen]
    chart = bands.figure(info, Look())
    line = next(trace for trace in chart.data if trace.name == "chosen")
    assert [*line.y] == [one.value for one in route.chosen]
    # A missing value is no point, and a line without intervals has no area.
    assert [*next(t for t in chart.data if t.name == "chance").x] == [0.9, 0.1]
    assert sum(trace.fill == "toself" for trace in chart.data) == 1
    assert chart.layout.xaxis.range[0] > chart.layout.xaxis.range[1]  # from noise to data
    assert chart.layout.annotations[0].text == "a &lt;b&gt;"


def test_what_has_no_noise_level_is_not_drawn() -> None:
    band = as_band("a", CHOSEN, [1.0, 2.0, 3.0])
    chart = bands.figure(BandsInfo((0.9, None, 0.1), (Panel("", (band,)),), ""), Look())
    assert [*chart.data[0].y] == [1.0, 3.0]
    empty = as_band("a", CHOSEN, [])
    assert not bands.figure(BandsInfo((0.9,), (Panel("", (empty,)),), ""), Look()).data


def test_a_name_is_once_in_the_legend_and_the_first_rank_on_top() -> None:
    band = as_band("a", CHOSEN, [Estimate(1.0, 1.0, 1.2, 9, ""), Estimate(5.0, 4.0, 6.4, 9, "")])
    info = BandsInfo((1.0, 0.0), (Panel("x", (band,)), Panel("y", (band,))), "rank", ranks=True)
    chart = bands.figure(info, Look(dark=True))
    assert sum(bool(trace.showlegend) for trace in chart.data) == 1
    low, high = chart.layout.yaxis.range
    assert low > 6.4 > 1 > high
    assert chart.layout.yaxis.tickvals[0] == 1


def test_the_loss_is_what_the_experts_cannot_do_and_what_routing_adds(audit: Audit) -> None:
    assert audit.accuracy is not None
    info = losses.losses_info(audit.accuracy, ["top_k:k=1", "unknown", "full"])
    assert [one.router for one in info.routes] == ["top_k:k=1", "full"]
    top, full = info.routes
    # loss 0.5, 0.6, 0.7 less 0.05, -0.05, -0.15 and less 0.2, 0.3, 0.4.
    np.testing.assert_allclose(top.own, [0.45, 0.65, 0.85])
    np.testing.assert_allclose(top.best, [0.3, 0.3, 0.3])
    assert np.isnan(full.best).all()
    np.testing.assert_allclose(info.monolith, [0.6, 0.7, 0.8])
    table = losses.table(info)
    np.testing.assert_allclose(table["experts_own"] + table["by_routing"], table["loss"])
    assert table["monolith"].tolist() == pytest.approx([0.6, 0.7, 0.8] * 2)
    for look in LOOKS:
        names = {trace.name for trace in losses.figure(info, look).data}
        assert {"experts' own", "added by routing", "saved by routing", "monolith"} <= names


def test_areas_of_the_split_lie_where_they_belong(audit: Audit) -> None:
    assert audit.accuracy is not None
    info = losses.losses_info(audit.accuracy, ["top_k:k=1"])
    by = {trace.name: trace for trace in losses.figure(info, Look()).data}
    added, saved = (np.array(by[f"{word} by routing"].y) for word in ("added", "saved"))
    # Upper border, then the lower one backwards: at the first t the loss is above the own part.
    np.testing.assert_allclose(added[:3] - added[3:][::-1], [0.05, 0, 0], atol=1e-12)
    np.testing.assert_allclose(saved[:3] - saved[3:][::-1], [0, 0.05, 0.15], atol=1e-12)


def test_the_matrix_is_relative_to_the_own_expert(audit: Audit) -> None:
    assert audit.accuracy is not None
    info = over_time.matrix_info(audit.accuracy)
    assert info.times == (0.9, 0.5, 0.1)  # the file has them rising
    assert info.cells[0, 0, 0] == 1.0
    assert info.cells[0, 1, 0] == 2.0
    assert np.isnan(info.cells[0, 0, 1])  # the own expert of cluster 1 was not measured
    chart = over_time.figure(info, Look(dark=True))
    assert len(chart.frames) == len(TIMES) == len(chart.layout.sliders[0].steps)
    # The diagonal is framed.
    assert [(shape.x0 + shape.x1) / 2 for shape in chart.layout.shapes] == [0, 1]
    assert [(shape.y0 + shape.y1) / 2 for shape in chart.layout.shapes] == [0, 1]
    table = over_time.table(info)
    assert len(table) == 12
    assert table["loss"].tolist()[:3] == [1.0, 3.0, 2.0]
    assert table["n"].tolist()[:2] == [30, 34]


def test_frames_follow_the_noise_level_not_the_place() -> None:
    document = small_audit(**evidence())
    pixels = document["disagreement"]["pixels"]
    pixels["times"] = [0.1, 0.9, None]
    pixels["maps"] = [[[1.0, 2.0]], [[3.0]], [[9.0]]]
    found = Audit.model_validate(document).disagreement
    assert found is not None
    assert found.pixels is not None
    info = over_time.pixels_info(found.pixels)
    assert info.times == (0.9, 0.1)
    np.testing.assert_array_equal(info.cells, [[[3.0, np.nan]], [[1.0, 2.0]]])
    chart = over_time.figure(info, Look())
    # Every map has its own scale, and the one that is shown first is the one of the slider.
    assert [frame.data[0].zmax for frame in chart.frames] == [3.0, 2.0]
    start = chart.layout.sliders[0].active
    np.testing.assert_array_equal(chart.data[0].z, chart.frames[start].data[0].z)
    assert not over_time.table(info).columns.intersection(["loss"]).size


def test_colours_of_the_matrix_are_one_scale_and_even_in_ratio() -> None:
    document = small_audit(**evidence())
    document["accuracy"]["matrix"] = [[[1.0, 4.0], [2.0, 1.0]]] * 3
    accuracy = Audit.model_validate(document).accuracy
    assert accuracy is not None
    chart = over_time.figure(over_time.matrix_info(accuracy), Look())
    ends = {(frame.data[0].zmin, frame.data[0].zmax) for frame in chart.frames}
    assert len(ends) == 1
    low, high = ends.pop()
    assert low == -high
    np.testing.assert_allclose(chart.data[0].z, [[0, 2], [1, 0]])  # log2 of 1, 4, 2, 1


def test_own_and_others_are_means_over_the_same_clusters() -> None:
    document = small_audit(**evidence())
    # Cluster 1 has no data at the last level, and no level has any in cluster 2.
    full = [[1.0, 5.0, None], [3.0, 2.0, None], [5.0, 8.0, None]]
    gone = [[1.0, None, None], [3.0, None, None], [5.0, None, None]]
    document["accuracy"] |= {"times": [0.9, 0.5, 0.1], "matrix": [full, gone, [[None]]]}
    accuracy = Audit.model_validate(document).accuracy
    assert accuracy is not None
    own, others = over_time.own_and_others(over_time.matrix_info(accuracy))
    np.testing.assert_allclose(own, [1.5, 1.0, np.nan])
    np.testing.assert_allclose(others, [(4.0 + 6.5) / 2, 4.0, np.nan])


def test_buckets_are_what_the_file_holds(audit: Audit) -> None:
    found = audit.disagreement
    assert found is not None
    rows = buckets.bucket_rows(found.routes[0])
    table = buckets.buckets_table(rows, "FID")
    assert table["FID"].tolist() == [20.0, 30.0, 40.0, 50.0]
    chart = buckets.buckets_figure(rows, "FID", Look())
    assert [*chart.data[0].y] == [20.0, 30.0, 40.0, 50.0]
    assert [*chart.data[1].y] == [4.0, 5.0, 6.0, 7.0]
    assert [*chart.data[0].error_y.array] == [0.5] * 4


def test_a_trend_is_told_only_beyond_the_intervals(audit: Audit) -> None:
    assert audit.disagreement is not None
    rows = buckets.bucket_rows(audit.disagreement.routes[0])
    assert buckets.finding(rows, "FID").endswith("FID rises and the distance rises")
    assert "FID falls" in buckets.finding(rows[::-1], "FID")
    touching = rows[0]._replace(distance=Estimate(5.0, 4.0, 7.0, 9, ""))
    said = buckets.finding((touching, *rows[1:]), "FID")
    assert said.endswith("the distance does not change beyond its intervals")
    without = rows[0]._replace(quality=Estimate(1.0, None, None, 9, ""))
    assert "FID does not change" in buckets.finding((without, *rows[1:]), "FID")


def test_the_reliability_diagram_has_every_bin_that_holds_answers() -> None:
    document = small_audit(**evidence())
    for n, known in ((0, 0.7), (0, None), (9, None)):
        empty = {"low": 0.7, "high": 0.8, "confidence": known, "accuracy": known, "n": n}
        document["router"]["reliability"].insert(1, empty)
    router = Audit.model_validate(document).router
    assert router is not None
    info = reliability.reliability_info(router)
    assert reliability.table(info)["n"].tolist() == [10, 182]
    for look in LOOKS:
        chart = reliability.figure(info, look)
        assert [*chart.data[1].x] == [0.55, 0.97]
        assert [*chart.data[1].y] == [0.5, 0.96]
        assert [*chart.data[2].y] == [10, 182]  # the bars
        assert [*chart.data[2].text] == ["10", "182"]


def test_correlations_say_over_what_and_those_without_a_value_are_left_out(audit: Audit) -> None:
    assert audit.disagreement is not None
    rows = across.correlations(audit, audit.disagreement)
    assert [(row.over, row.rho.value) for row in rows] == [
        ("samples of top_k:k=1", 0.3),
        ("routes", 0.4),
    ]
    assert across.correlations_table(rows)["disagreement_with"].tolist()[1] == "FID of the route"
    assert math.isnan(rows[1].p)
    chart = across.correlations_figure(rows, Look())
    # Both intervals leave 0 out: both markers are filled.
    filled = [t.marker.color for t in chart.data if t.mode == "markers"]
    assert len(set(filled)) == 1
    assert Look().paper not in filled
    document = small_audit(**evidence())
    document["disagreement"]["across"] = None
    bare = Audit.model_validate(document)
    assert bare.disagreement is not None
    assert len(across.correlations(bare, bare.disagreement)) == 1


def test_routes_with_both_numbers_are_points_and_a_monolith_is_none() -> None:
    document = small_audit(**evidence())
    for route in document["routes"]:
        if route["router"] != "full" and route["numbers"]:
            route["numbers"]["disagreement"] = number(0.2, 0.05)
    info = across.across_info(Audit.model_validate(document))
    assert [(one.router, one.beside) for one in info.points] == [
        ("top_k:k=1", False),
        ("top_k:k=2", False),
        ("learned:temperature=4/full", True),
    ]
    assert across.table(info)["FID"].tolist() == [40.0, 20.0, 60.0]
    for look in LOOKS:
        chart = across.figure(info, look)
        named = next(trace for trace in chart.data if trace.mode == "markers+text")
        assert [*named.text] == ["top_k:k=1", "top_k:k=2"]
        dots = {t.name: [*t.y] for t in chart.data if t.name}
        assert dots["strategies"] == [40.0, 20.0]
