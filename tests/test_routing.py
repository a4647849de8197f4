"""Who leads and when it changes: against slow counting, and laws that any answer obeys."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import xarray as xr
from test_figures import make_trace

from app.components.raster import picked_rows, raster_data
from app.figures import alluvial, dwelling, leaders, usage, weights
from app.figures.look import Look, expert_colours
from app.figures.subjects import Subject
from ddm_core.analysis.switching import (
    ORDERS,
    Leading,
    dwells,
    leading,
    order_of,
    share_of,
    stages_of,
    transitions,
)

K = 4


def who_of(expert: np.ndarray, seeds: np.ndarray | None = None) -> Leading:
    """Leaders [step, sample] as a trace would give them."""
    yes = np.ones(expert.shape, dtype=bool)
    known = np.arange(expert.shape[1]) if seeds is None else seeds
    t = np.linspace(1, 0.1, len(expert))
    return Leading(expert.astype(np.int16), yes, yes, known, t, K)


@pytest.fixture(scope="module")
def who() -> Leading:
    """Random walks through the experts: most steps keep the leader."""
    rng = np.random.default_rng(4)
    expert = np.empty((9, 40), dtype=np.int16)
    expert[0] = rng.integers(0, K, 40)
    for step in range(1, 9):
        stays = rng.random(40) < 0.7
        expert[step] = np.where(stays, expert[step - 1], rng.integers(0, K, 40))
    return who_of(expert, rng.permutation(40) + 100)


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return [Subject("top_k:k=1", make_trace()), Subject("full", make_trace(route="full"))]


def test_the_leader_is_who_has_the_largest_weight() -> None:
    w = np.array([[[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    coords = {"t": ("step", [1.0, 0.5]), "sample": [7, 9]}
    trace = xr.Dataset({"weights": (("step", "sample", "expert"), w)}, coords)
    found = leading(trace)
    # Of two with the same weight the lower number leads, and is said not to lead alone.
    assert found.expert.tolist() == [[1, 0], [0, 2]]
    assert found.alone.tolist() == [[True, False], [True, True]]
    assert found.only.tolist() == [[False, False], [True, True]]
    assert found.seeds.tolist() == [7, 9]
    with pytest.raises(KeyError):
        leading(trace.isel(expert=[0]))


def test_switches_and_stretches_are_what_counting_says(who: Leading) -> None:
    found = dwells(who.expert)
    at = 0
    for sample, row in enumerate(who.expert.T):
        groups = [(k, len(list(group))) for k, group in itertools.groupby(row.tolist())]
        assert who.switches[sample] == len(groups) - 1
        assert who.first[sample] == (groups[0][1] if len(groups) > 1 else 0)
        for k, length in groups:
            assert (found.expert[at], found.length[at], found.sample[at]) == (k, length, sample)
            at += 1
        assert not found.ended[at - 1]
    assert at == len(found.expert)
    # Stretches fill the path of each sample, and all but the last of each are followed by another.
    assert np.bincount(found.sample, found.length).tolist() == [9] * 40
    assert (~found.ended).sum() == 40
    assert found.ended.sum() == who.switches.sum()


def test_transitions_add_up(who: Leading) -> None:
    moved = 0
    for step in range(8):
        table = transitions(who.expert, K, step, step + 1)
        np.testing.assert_array_equal(
            table.sum(axis=1), np.bincount(who.expert[step], minlength=K)
        )
        np.testing.assert_array_equal(
            table.sum(axis=0), np.bincount(who.expert[step + 1], minlength=K)
        )
        moved += table.sum() - np.trace(table)
    assert moved == who.switches.sum()
    info = alluvial.alluvial_info("a", who, stages_of(9))
    assert info.stages == (0, 3, 5, 8)
    assert info.moves.sum() - np.trace(info.moves) == moved
    assert info.moves.sum() == 8 * 40
    rows = alluvial.table(info)
    assert rows.groupby("from_step")["samples"].sum().tolist() == [40] * 3
    slow = sum(int(a == 1 and b == 2) for a, b in zip(who.expert[0], who.expert[3], strict=True))
    one = rows.query("from_step == 0 and from_expert == 1 and to_expert == 2")["samples"]
    assert one.sum() == slow


def test_ribbons_fill_the_bars_they_leave_and_enter(who: Leading) -> None:
    info = alluvial.alluvial_info("a", who, (0, 8))
    chart = alluvial.figure(info, Look())
    ribbons = [one for one in chart.data if "between" in one.text]
    bars = [one for one in chart.data if "leads" in one.text]
    for bar in bars:
        k, stage = int(bar.text.split()[1]), round(float(np.mean(bar.x[:2])))
        colour = expert_colours(K)[k]
        assert bar.fillcolor == colour
        edge = 0 if stage == 0 else len(ribbons[0].x) // 2 - 1
        words = f"expert {k} " if stage == 0 else f"to {k}<"
        mine = [r for r in ribbons if words in r.text or f"stays with {k}<" in r.text * stage]
        ends = sorted(((r.y[edge], r.y[len(r.y) - 1 - edge]) for r in mine), reverse=True)
        # One below the other, without a gap, from the top of the bar to its bottom.
        edges = [max(bar.y), *(low for _, low in ends)]
        assert [high for high, _ in ends] == pytest.approx(edges[:-1])
        assert edges[-1] == pytest.approx(min(bar.y))


def test_many_experts_are_few_shapes() -> None:
    rng = np.random.default_rng(1)
    many = who_of(rng.integers(0, 32, (4, 600)))._replace(experts=32)
    info = alluvial.alluvial_info("a", many, (0, 1, 2, 3))
    assert np.count_nonzero(info.flows) > 1000
    data = alluvial.figure(info, Look()).data
    assert len(data) <= 3 * 2 * 32 + 4 * 32
    # All ribbons between two stages together carry all samples.
    carried = 0.0
    for one in data:
        if "between step 1 and 2" in one.text:
            for piece in np.split(one.y, np.flatnonzero(np.isnan(one.y))):
                edge = piece[~np.isnan(piece)]
                carried += edge[0] - edge[-1]
    assert carried == pytest.approx(1)


@pytest.mark.parametrize("order", list(ORDERS))
def test_an_order_is_one_and_does_not_depend_on_the_batch(who: Leading, order: str) -> None:
    rows = order_of(who, order)
    assert sorted(rows.tolist()) == list(range(40))
    mixed = np.random.default_rng(8).permutation(40)
    other = who._replace(expert=who.expert[:, mixed], seeds=who.seeds[mixed])
    assert other.seeds[order_of(other, order)].tolist() == who.seeds[rows].tolist()


def test_orders_sort_by_what_they_say(who: Leading) -> None:
    by = {name: order_of(who, name) for name in ORDERS}
    assert (np.diff(who.seeds[by["seed"]]) > 0).all()
    assert (np.diff(who.switches[by["switches"]]) >= 0).all()
    assert (np.diff(who.expert[-1][by["final"]]) >= 0).all()
    first = np.where(who.first == 0, 99, who.first)
    assert (np.diff(first[by["first"]]) >= 0).all()


def test_patterns_that_are_alike_stand_together() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.integers(0, K, (3, 12))
    member = rng.integers(0, 3, 60)
    expert = kinds[member].T.copy()
    # One cell of each differs from its kind.
    expert[rng.integers(0, 12, 60), np.arange(60)] = rng.integers(0, K, 60)
    rows = order_of(who_of(expert), "pattern")
    assert (np.diff(member[rows]) != 0).sum() == 2
    apart = [(expert[:, a] != expert[:, b]).mean() for a, b in itertools.pairwise(rows)]
    plain = [(expert[:, a] != expert[:, b]).mean() for a, b in itertools.pairwise(range(60))]
    assert np.mean(apart) < 0.5 * np.mean(plain)


def test_a_share_has_the_interval_of_wilson() -> None:
    share = share_of(8, 10, "x")
    assert share.value == 0.8
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share_of(0, 0, "x").value is None


def test_the_same_sample_is_in_the_same_row_of_all_runs(subjects: list[Subject]) -> None:
    shorter = Subject("late", make_trace().sel(sample=[11, 12, 13]))
    info = leaders.leaders_info([*subjects, shorter], order="final", lead=1)
    assert info.by == "full"
    assert set(info.seeds.tolist()) == {11, 12, 13}
    assert (np.diff(info.panels[1].who.expert[-1]) >= 0).all()
    for panel, subject in zip(info.panels, [*subjects, shorter], strict=True):
        for row, seed in enumerate(info.seeds):
            own = subject.trace["weights"].sel(sample=seed).values.argmax(axis=1)
            np.testing.assert_array_equal(panel.who.expert[:, row], own)
    # Means are of all samples of the run, also of those that are not drawn.
    assert info.panels[0].switches.n == 5
    counted = weights.weights_info(subjects).panels[0].switches
    assert info.panels[0].switches.value == pytest.approx(counted)
    table = leaders.table(info)
    assert len(table) == 9
    assert table.query("run == 'full'")["sample"].tolist() == info.seeds.tolist()


def test_full_ensembles_are_said_to_have_others(subjects: list[Subject]) -> None:
    top, full = leaders.leaders_info(subjects).panels
    assert (top.only, full.only) == (1.0, 0.0)
    ties = make_trace(route="full")
    ties["weights"][:] = 1 / 3
    one = leaders.leaders_info([Subject("uniform/full", ties)]).panels[0]
    assert one.alone == 0.0
    assert one.switches.value == 0.0
    drawn = raster_data(leaders.leaders_info([Subject("u", ties)]))
    assert "tied at 100%" in drawn["panels"][0]["note"]


@pytest.mark.parametrize("dark", [False, True])
def test_figures_draw_what_the_numbers_say(subjects: list[Subject], dark: bool) -> None:
    look = Look(dark)
    info = leaders.leaders_info(subjects)
    chart = leaders.figure(info, look)
    assert [one.type for one in chart.data[:2]] == ["image", "image"]
    traces = [subject.trace for subject in subjects]
    for counted in usage.COUNTS:
        found = usage.usage_info(info.panels, traces, [0.5, 0.3, 0.2], counted)
        for label, mine in itertools.groupby(found.uses, lambda use: use.label):
            assert sum(use.share.value or 0 for use in mine) == pytest.approx(1), label
        assert len(usage.figure(found, look).data) == 3
        assert len(usage.table(found)) == 6
    stays = dwelling.dwell_info(info.panels)
    assert sum(stay.n for stay in stays.runs[0][2]) == 5 + info.panels[0].who.switches.sum()
    assert len(dwelling.table(stays)) == 6
    dwelling.figure(stays, look)
    counts = dwelling.switches_info(info.panels)
    assert counts.runs[0][2].sum() == pytest.approx(1)
    assert len(dwelling.switches_figure(counts, look).data) == 2
    moves = alluvial.alluvial_info("a", info.panels[0].who, (0, 6))
    z = alluvial.matrix(moves, look).data[0].z
    assert np.nansum(z) == info.panels[0].who.switches.sum()
    assert len(alluvial.matrix_table(moves)) == 9


def test_what_was_picked_becomes_rows(subjects: list[Subject]) -> None:
    info = leaders.leaders_info(subjects, order="seed")
    pick = picked_rows({"rows": [3, 1], "add": True}, info)
    assert pick is not None
    assert pick.rows.tolist() == [1, 2, 3]
    assert (pick.one, pick.add) == (False, True)
    led = picked_rows({"expert": 1, "step": 2}, info)
    assert led is not None
    np.testing.assert_array_equal(
        np.isin(np.arange(5), led.rows), info.panels[0].who.expert[2] == 1
    )
    beyond = picked_rows({"rows": [0, 10**9]}, info)
    assert beyond is not None
    assert beyond.rows.tolist() == list(range(5))
    assert picked_rows("<script>", info) is None
    assert picked_rows({"rows": [1]}, info) is None


def test_large_runs_are_sorted_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    expert = np.repeat(rng.integers(0, 8, (10, 2000)), 5, axis=0)
    big = who_of(expert)._replace(experts=8)
    begin = time.process_time()
    order_of(big, "pattern")
    assert time.process_time() - begin < 5
