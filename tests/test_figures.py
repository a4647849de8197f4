"""Figures: their numbers against what was put into the trace, and every figure over every dims."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import xarray as xr
from scipy.stats import spearmanr

from app.components.filmstrip import filmstrip_data
from app.components.player import player_data
from app.figures import (
    alignment,
    dots,
    heatmap,
    labels,
    points,
    samples_scatter,
    series,
    variables,
    weights,
)
from app.figures.look import Look, expert_colour, expert_colours, plain, run_style
from app.figures.subjects import AXES, Subject, band, measured, rows
from app.pictures import grid, png, sprite, strip, thinned
from ddm_core.intervals import wilson_interval

STEPS, SAMPLES, EXPERTS, SHOWN = 7, 5, 3, 4
LOOKS = (Look(False), Look(True))


def make_trace(*, route: str = "top", steps: int = STEPS, experts: int = EXPERTS) -> xr.Dataset:
    """A trace with every kind of variable; samples from the fourth on were not observed."""
    rng = np.random.default_rng(3)
    seeds = np.arange(10, 10 + SAMPLES)
    p = rng.dirichlet(np.ones(experts), (steps, SAMPLES))
    w = p if route == "full" else (p == p.max(axis=2, keepdims=True)).astype(float)
    seen = rng.uniform(0.1, 1, (steps, SAMPLES))
    seen[:, 3:] = np.nan
    pictures = rng.integers(0, 256, (steps, SHOWN, 4, 6, 1), dtype=np.uint8)
    by_expert = rng.integers(0, 256, (steps, SHOWN, experts, 4, 6, 1), dtype=np.uint8)
    sample, expert = ("step", "sample"), ("step", "sample", "expert")
    data = {
        "weights": (expert, w, {"definition": "w"}),
        "router_probability": (expert, p),
        "cluster_distance": (expert, rng.uniform(1, 2, p.shape), {"definition": "|x - mu|"}),
        "disagreement": (sample, seen, {"units": "rad", "long_name": "disagreement"}),
        "perturbation_growth": (sample, np.exp(np.linspace(0, 7, steps))[:, None] * (1 + seen)),
        "nearest_selected": (sample, rng.uniform(size=(steps, SAMPLES)) < 0.5),
        "expert_calls": ("step", np.full(steps, SAMPLES)),
        "usage": (("step", "expert"), p.mean(axis=1)),
        "state": (("step", "sample", "coordinate"), rng.normal(size=(steps, SAMPLES, 2))),
        "x0_hat": (("step", "shown", "height", "width", "channel"), pictures),
        "x0_hat_expert": (
            ("step", "shown", "expert", "height", "width", "channel"),
            by_expert,
        ),
    }
    coords = {
        "step": np.arange(steps),
        "t": ("step", np.linspace(1, 1 / steps, steps)),
        "snr": ("step", (1 / np.linspace(1, 1 / steps, steps) - 1) ** 2),
        "sample": seeds,
        "shown": seeds[:SHOWN],
        "expert": np.arange(experts),
    }
    return xr.Dataset(data, coords)


@pytest.fixture
def trace() -> xr.Dataset:
    return make_trace()


@pytest.fixture
def pair() -> list[Subject]:
    return [Subject("top_k:k=1", make_trace()), Subject("full", make_trace(route="full"))]


def test_only_measured_samples_count(trace: xr.Dataset) -> None:
    assert rows(trace["disagreement"]).tolist() == [True, True, True, False, False]
    info = series.series_info([Subject("a", trace)], "disagreement")
    values = trace["disagreement"].values[:, :3]
    assert info.lines[0].n == 3
    np.testing.assert_allclose(info.lines[0].middle, np.median(values, axis=1))
    np.testing.assert_allclose(info.lines[0].low, np.quantile(values, 0.1, axis=1))
    assert info.title == "disagreement (rad)"


def test_band_of_nobody_is_nan_and_silent() -> None:
    assert np.isnan(band(np.empty((3, 0))).median).all()
    assert np.isnan(band(np.full((3, 2), np.nan)).median).all()


def test_focus_is_the_sample_of_that_seed(trace: xr.Dataset) -> None:
    info = series.series_info([Subject("a", trace)], "disagreement", focus=11)
    np.testing.assert_array_equal(info.lines[0].focus, trace["disagreement"].values[:, 1])
    unseen = series.series_info([Subject("a", trace)], "disagreement", focus=13)
    assert unseen.lines[0].focus is None


def test_flags_become_shares_with_wilson_intervals(trace: xr.Dataset) -> None:
    line = series.series_info([Subject("a", trace)], "nearest_selected").lines[0]
    np.testing.assert_allclose(line.middle, trace["nearest_selected"].values.mean(axis=1))
    assert (line.low <= line.middle).all()
    assert (line.high >= line.middle).all()
    # Wilson's interval of 1 of 1: (0.2065, 1).
    low, high = wilson_interval(np.array([1.0]), 1)
    np.testing.assert_allclose([low[0], high[0]], [0.20654, 1.0], atol=1e-4)


def test_growth_over_decades_is_logarithmic(trace: xr.Dataset) -> None:
    subjects = [Subject("a", trace)]
    assert series.series_info(subjects, "perturbation_growth").logarithmic
    assert not series.series_info(subjects, "disagreement").logarithmic


def test_weights_are_means_and_switches_are_counted(pair: list[Subject]) -> None:
    info = weights.weights_info(pair)
    np.testing.assert_allclose(info.panels[1].mean, pair[1].trace["weights"].mean("sample"))
    np.testing.assert_allclose(info.panels[0].mean.sum(axis=1), 1)
    leader = pair[0].trace["weights"].values.argmax(axis=2)
    assert info.panels[0].switches == (leader[1:] != leader[:-1]).sum() / SAMPLES
    one = weights.weights_info(pair, sample=12)
    np.testing.assert_allclose(one.panels[0].mean, pair[0].trace["weights"].values[:, 2])


def test_chosen_others_and_chance() -> None:
    w = np.array([[[1.0, 0, 0], [0.5, 0.5, 0]]])
    d = np.array([[[1.0, 2, 6], [1, 3, 5]]])
    chosen, others, chance = alignment.chosen_and_not(w, d)
    np.testing.assert_allclose(chosen, [[1, 2]])
    np.testing.assert_allclose(others, [[4, 5]])
    np.testing.assert_allclose(chance, [[3, 3]])


def test_full_has_no_others_and_gain_has_an_interval(pair: list[Subject]) -> None:
    info = alignment.alignment_info(pair)
    assert info.panels[0].others.n == SAMPLES
    assert info.panels[1].others.n == 0
    mean, low, high = info.panels[0].gain
    assert low < mean < high


def test_a_monolith_is_left_out_of_what_needs_experts(pair: list[Subject]) -> None:
    lone = pair[0].trace[["cluster_distance", "perturbation_growth"]]
    both = [Subject("monolith", lone), pair[1]]
    assert [panel.place for panel in alignment.alignment_info(both).panels] == [1]
    assert [panel.place for panel in weights.weights_info(both).panels] == [1]
    with pytest.raises(KeyError):
        alignment.alignment_info(both[:1])
    # A letter belongs to the run, not to its place in a figure.
    assert "B" in weights.figure(weights.weights_info(both), Look()).to_json()


def test_heatmap_of_a_sample_marks_the_leader(trace: xr.Dataset) -> None:
    info = heatmap.heatmap_info(trace, "weights", sample=11)
    np.testing.assert_array_equal(info.values, trace["weights"].values[:, 1].T)
    assert info.chosen is not None
    np.testing.assert_array_equal(info.chosen, trace["weights"].values[:, 1].argmax(axis=1))
    trace["weights"][:] = 1 / EXPERTS
    even = heatmap.heatmap_info(trace, "weights", sample=11)
    assert even.chosen is not None
    assert (even.chosen == -1).all()


def test_heatmap_mean_skips_what_was_not_measured(trace: xr.Dataset) -> None:
    distance = trace["cluster_distance"].copy()
    distance[:, 3:] = np.nan
    trace["cluster_distance"] = distance
    info = heatmap.heatmap_info(trace, "cluster_distance")
    np.testing.assert_allclose(info.values, distance.values[:, :3].mean(axis=1).T)


def test_long_runs_are_thinned() -> None:
    info = heatmap.heatmap_info(make_trace(steps=1000), "weights")
    assert info.values.shape == (EXPERTS, 200)
    assert info.steps[0] == 0
    assert info.steps[-1] == 999


def dot(value: float, low: float, high: float, n: int = 100, label: str = "") -> dots.Dot:
    return dots.Dot(label or f"r{value}", 0, value, low, high, n)


def test_runs_are_ranked_only_where_intervals_are_apart_and_n_is_one() -> None:
    apart = [dot(3, 2, 4), dot(9, 8, 10), dot(6, 5, 7)]
    assert dots.dots_info("fid", "FID", apart, better="lower").ranked == ("r3", "r6", "r9")
    assert dots.dots_info("p", "P", apart, better="higher").ranked == ("r9", "r6", "r3")
    touching = [dot(3, 2, 5.5), dot(6, 5, 7)]
    assert dots.dots_info("fid", "FID", touching, better="lower").ranked == ()
    other_n = [dot(3, 2, 4), dot(9, 8, 10, n=50)]
    assert dots.dots_info("fid", "FID", other_n, better="lower").ranked == ()
    unknown = [dot(3, math.nan, math.nan), dot(9, 8, 10)]
    assert dots.dots_info("fid", "FID", unknown, better="lower").ranked == ()


def test_labels_know_richest_and_poorest() -> None:
    info = labels.labels_info([[90, 10], [500, 500], [0, 7]], ["a", "b"])
    assert info.richest(0) == 1
    assert info.poorest(0) == 2
    np.testing.assert_allclose(info.share.sum(axis=1), 1)


def test_every_variable_is_drawn_by_its_dims(trace: xr.Dataset) -> None:
    names = variables.drawable(trace)
    assert set(names) == set(trace.data_vars) - {"x0_hat", "x0_hat_expert"}
    for name in names:
        for focus in (None, 11):
            for axis in AXES:
                drawn = variables.draw(Subject("a", trace), name, Look(), focus=focus, axis=axis)
                assert drawn.figure.data, name
                assert len(drawn.table), name


Drawing = Callable[[Look], tuple[go.Figure, pd.DataFrame]]


def drawings(pair: list[Subject]) -> dict[str, Drawing]:
    """Every figure of the app with its table."""
    one = pair[0].trace
    lines = series.series_info(pair, "disagreement", focus=11, axis="t")
    mean = weights.weights_info(pair)
    near = alignment.alignment_info(pair)
    cells = heatmap.heatmap_info(one, "cluster_distance", sample=11)
    numbers = dots.dots_info("fid", "FID", [dot(3, 2, 4), dot(9, math.nan, math.nan)])
    ways = points.paths_info(one, focus=11)
    held = labels.labels_info([[1, 2], [3, 4]], ["a", "b"])
    cloud = points.cloud_info(np.eye(2), 0.1)
    return {
        "series": lambda look: (series.figure(lines, look), series.table(lines)),
        "weights": lambda look: (weights.figure(mean, look), weights.table(mean)),
        "alignment": lambda look: (alignment.figure(near, look), alignment.table(near)),
        "heatmap": lambda look: (heatmap.figure(cells, look), heatmap.table(cells)),
        "dots": lambda look: (dots.figure(numbers, look), dots.table(numbers)),
        "points": lambda look: (points.figure(ways, look), points.table(ways)),
        "labels": lambda look: (labels.figure(held, look, label=1), labels.table(held)),
        "cloud": lambda look: (points.cloud(cloud, look), pd.DataFrame({"x": [0]})),
    }


def test_every_figure_draws_in_light_and_dark(pair: list[Subject]) -> None:
    for name, drawing in drawings(pair).items():
        for look in LOOKS:
            figure, table = drawing(look)
            drawn = json.loads(figure.to_json())
            assert drawn["data"], name
            assert len(table), name
            layout = figure.layout.template.layout
            # Transparent, so that it lies on either page; the ink is the page's.
            assert layout.paper_bgcolor == "rgba(0,0,0,0)", name
            assert layout.font.color == look.ink, name
            assert not [one for one in figure.data if one.type.endswith("gl")], name


def test_samples_by_two_numbers(trace: xr.Dataset) -> None:
    """Of the samples that were measured in both, in the colour of the expert asked most."""
    one = Subject("a", trace)
    names = ("disagreement", "perturbation_growth")
    info = samples_scatter.samples_info(one, *names, chosen=(11, 99), focus=12)
    assert info.seeds.tolist() == [10, 11, 12]  # the others were not observed
    for column, name in enumerate(names):
        np.testing.assert_allclose(
            info.values[:, column], trace[name].mean("step").values[:3], rtol=1e-12
        )
    whose = trace["weights"].mean("step").values.argmax(axis=1)[:3]
    assert info.expert.tolist() == whose.tolist()
    assert samples_scatter.table(info)["chosen"].tolist() == [False, True, False]
    for look in LOOKS:
        chart = samples_scatter.figure(info, look)
        drawn = {
            seed: (x, y, part.marker.color, opacity)
            for part in chart.data
            for (seed,), x, y, opacity in zip(
                part.customdata, part.x, part.y, part.marker.opacity, strict=True
            )
        }
        for row, seed in enumerate(info.seeds.tolist()):
            assert drawn[seed][:2] == tuple(info.values[row])
            assert drawn[seed][2] == expert_colour(whose[row])
        # Nobody steps back who was chosen or is followed.
        assert drawn[10][3] < drawn[11][3] == drawn[12][3]
    alone = samples_scatter.samples_info(Subject("b", trace.drop_vars("weights")), *names)
    assert set(alone.expert.tolist()) == {samples_scatter.NOBODY}
    assert len(samples_scatter.figure(alone, Look()).data) == 1
    assert samples_scatter.says(alone).startswith("n = 3: too few")


def test_samples_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(2, 4, 40))
    dims = ("step", "sample")
    trace = xr.Dataset(
        {"a": (dims, values[0]), "b": (dims, values[1] + values[0])},
        {"sample": np.arange(40)},
    )
    info = samples_scatter.samples_info(Subject("x", trace), "a", "b")
    wanted = spearmanr(trace["a"].mean("step"), trace["b"].mean("step")).statistic
    assert info.rho.value == pytest.approx(wanted)
    assert info.rho.n == 40


def test_hostile_names_are_text_in_figures(trace: xr.Dataset) -> None:
    evil = '<a href="javascript:alert(1)">x</a><img src=x onerror=alert(1)>'
    assert "<" not in plain(evil)
    pair = [Subject(evil, trace), Subject("b", trace)]
    for name, drawing in drawings(pair).items():
        figure, _ = drawing(Look())
        assert "<a" not in figure.to_json().replace("\\u003c", "<"), name


def test_experts_keep_their_colours_and_differ() -> None:
    assert expert_colours(40)[:8] == expert_colours(8)
    assert len(set(expert_colours(32))) == 32
    assert expert_colour(0) == "#0072B2"
    # No run is drawn in an expert's colour.
    for look in LOOKS:
        assert not {run_style(i, look).colour for i in range(4)} & set(expert_colours(32))


def test_figures_over_time_carry_the_cursor(pair: list[Subject]) -> None:
    for name in ("series", "weights", "alignment", "heatmap"):
        figure, _ = drawings(pair)[name](Look())
        places = figure.layout.meta["cursor"]
        panels = places if isinstance(places[0], list) else [places]
        assert [len(steps) for steps in panels] == [STEPS] * len(panels), name


def test_sprite_puts_frames_where_the_player_looks() -> None:
    frames = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5, 1)
    whole = sprite(frames)
    assert whole.shape == (8, 15, 1)
    np.testing.assert_array_equal(whole[4:8, 10:15], frames[1, 2])
    assert png(whole).startswith(b"\x89PNG")
    assert grid(frames[0]).shape == (8, 10, 1)
    assert strip(np.zeros((3, 16, 1, 8, 8), np.uint8)).shape[2] == 4
    assert thinned(1000)[[0, -1]].tolist() == [0, 999]
    assert len(thinned(7)) == 7


def test_player_shares_seeds_and_ships_weights(pair: list[Subject]) -> None:
    later = pair[1].trace.isel(shown=slice(1, None))
    data = player_data([pair[0], Subject("b", later)], ["", ""])
    assert data is not None
    assert data.content["seeds"] == [11, 12, 13]
    assert data.content["tile"] == [4, 6]
    assert data.content["runs"][0]["experts"] == EXPERTS
    bare = pair[0].trace.drop_vars(["x0_hat", "x0_hat_expert"])
    moved = player_data([Subject("points", bare)], [""])
    assert moved is not None
    assert "points" in moved.content["runs"][0]
    assert player_data([Subject("none", bare.drop_vars("state"))], [""]) is None


def test_filmstrip_has_the_mix_and_the_experts_that_matter() -> None:
    trace = make_trace(route="full", experts=20)
    data = filmstrip_data(trace, 11)
    assert data is not None
    assert data["rows"][0]["label"] == "mix"
    assert len(data["rows"]) == 13
    assert filmstrip_data(trace, 14) is None
    assert filmstrip_data(trace.drop_vars("x0_hat_expert"), 11)["rows"] == [
        {"label": "mix", "colour": ""}
    ]


def test_measured_keeps_the_order_of_dims(trace: xr.Dataset) -> None:
    turned = trace["cluster_distance"].transpose("expert", "sample", "step")
    np.testing.assert_array_equal(measured(turned), trace["cluster_distance"].values)
