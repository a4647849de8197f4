"""The axis of time: the SNR that a run records, where pure noise stands, runs of two lengths."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from test_figures import make_trace

from app.figures import alignment, heatmap, series, weights
from app.figures.look import Look
from app.figures.subjects import AXES, Subject, axes_of, axis_of
from ddm_core.config import make_config
from ddm_core.run import execute
from ddm_core.schedules import schedule_named


@pytest.mark.parametrize("name", ["linear", "cosine", "vp"])
def test_a_run_records_the_ratio_of_its_own_schedule(name: str) -> None:
    fields = {"system": f"ring:schedule={name}", "router": "full", "num": 2, "steps": 5}
    trace = execute(make_config(fields)).trace
    for t, ratio in zip(trace["t"].values, trace["snr"].values, strict=True):
        alpha, sigma = schedule_named(name).alpha_sigma(torch.tensor(t, dtype=torch.float64))
        assert ratio == pytest.approx(float(alpha) ** 2 / float(sigma) ** 2, rel=1e-12)
    assert (np.diff(trace["snr"].values) > 0).all()
    assert np.isfinite(axis_of(trace, "snr")).all()
    assert (axis_of(trace, "snr") > 0).all()


def test_pure_noise_stands_left_of_everything() -> None:
    trace = make_trace()
    assert trace["snr"].values[0] == 0
    places = axis_of(trace, "snr")
    np.testing.assert_array_equal(places[1:], trace["snr"].values[1:])
    assert places[0] / places[1] == pytest.approx(places[1] / places[2])


def test_a_trace_without_the_ratio_offers_what_it_has() -> None:
    new = Subject("new", make_trace())
    old = Subject("old", make_trace().drop_vars("snr"))
    assert axes_of([new]) == list(AXES)
    assert axes_of([new, old]) == ["step", "t"]


DRAWN: dict[str, Callable[[list[Subject]], object]] = {
    "series": lambda s: series.figure(series.series_info(s, "disagreement", axis="snr"), Look()),
    "weights": lambda s: weights.figure(weights.weights_info(s, axis="snr"), Look()),
    "alignment": lambda s: alignment.figure(alignment.alignment_info(s, axis="snr"), Look()),
    "heatmap": lambda s: heatmap.figure(
        heatmap.heatmap_info(s[0].trace, "weights", axis="snr"), Look()
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_over_the_ratio_are_logarithmic_and_tell_the_cursor_where(name: str) -> None:
    chart = json.loads(
        DRAWN[name]([Subject("a", make_trace()), Subject("b", make_trace())]).to_json()
    )
    layout = chart["layout"]
    assert layout["xaxis"]["type"] == "log"
    ticks = np.log10(layout["xaxis"]["tickvals"])
    assert len(ticks) <= 6
    np.testing.assert_allclose(ticks, ticks.round())
    places = layout["meta"]["cursor"]
    places = places[0] if isinstance(places[0], list) else places
    np.testing.assert_allclose(places, axis_of(make_trace(), "snr"))


def test_runs_of_two_lengths_lie_each_at_its_own_times() -> None:
    subjects = [Subject("long", make_trace(steps=9)), Subject("short", make_trace(steps=4))]
    table = series.table(series.series_info(subjects, "disagreement", axis="t"))
    for subject in subjects:
        own = table[table["run"] == subject.label]
        np.testing.assert_allclose(own["t"], subject.trace["t"].values)
    lines = series.figure(series.series_info(subjects, "disagreement", axis="t"), Look())
    drawn = {len(one.x): one.x for one in lines.data if one.name}
    np.testing.assert_allclose(drawn[4], subjects[1].trace["t"].values)
    cursor = weights.figure(weights.weights_info(subjects, axis="t"), Look()).layout.meta["cursor"]
    assert [len(places) for places in cursor] == [9, 4]
