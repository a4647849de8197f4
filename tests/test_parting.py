"""Where two runs part: against loops over samples and steps; those that never do; colours."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr
from page_runs import EVIL
from test_figures import SHOWN, make_trace

from app.components.difference import difference_colours, difference_scale
from app.figures import parting
from app.figures.look import Look
from app.figures.subjects import AXES, Subject


def other(trace: xr.Dataset, seed: int = 8) -> xr.Dataset:
    """The same run with other pictures and other states, nearer at first than at the end."""
    rng = np.random.default_rng(seed)
    steps = trace.sizes["step"]
    share = np.linspace(0, 1, steps) ** 2
    pictures, states = trace["x0_hat"].values.astype(float), trace["state"].values
    noise = rng.uniform(0, 255, pictures.shape)
    blend = share.reshape(-1, *[1] * 4) * rng.uniform(0, 1, (1, SHOWN, 1, 1, 1))
    mixed = ((1 - blend) * pictures + blend * noise).round().astype(np.uint8)
    moved = states + share[:, None, None] * rng.normal(size=states.shape)
    return trace.assign(x0_hat=(trace["x0_hat"].dims, mixed), state=(trace["state"].dims, moved))


def slow(a: np.ndarray, b: np.ndarray) -> float:
    """The distance of two samples, number by number."""
    x, y = a.ravel().tolist(), b.ravel().tolist()
    if a.dtype == np.uint8:
        x, y = [v / 127.5 - 1 for v in x], [v / 127.5 - 1 for v in y]
    apart = math.sqrt(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)))
    return 2 * apart / (math.sqrt(sum(p * p for p in x)) + math.sqrt(sum(q * q for q in y)))


@pytest.mark.parametrize("what", ["x0_hat", "state"])
def test_the_first_step_above_the_threshold(what: str) -> None:
    first, second = make_trace(), other(make_trace())
    if what == "state":
        first, second = first.drop_vars("x0_hat"), second.drop_vars("x0_hat")
    dim = "shown" if what == "x0_hat" else "sample"
    info = parting.parting_info(Subject("a", first), Subject("b", second), threshold=0.25)
    assert info is not None
    assert info.what == what
    assert info.seeds.tolist() == first[dim].values.tolist()
    back = 0
    for i, seed in enumerate(info.seeds.tolist()):
        one, two = (run[what].sel({dim: seed}).values for run in (first, second))
        distances = [slow(one[s], two[s]) for s in range(len(one))]
        np.testing.assert_allclose(info.distance[:, i], distances, rtol=1e-9)
        above = [s for s, d in enumerate(distances) if d > 0.25]
        assert info.by_seed()[seed] == (above[0] if above else -1)
        back += bool(above) and distances[-1] <= 0.25
    assert info.back == back
    assert 0 < info.parted <= len(info.seeds)


def test_those_that_never_part_are_said_to_be_such() -> None:
    same = Subject("a", make_trace())
    info = parting.parting_info(same, same, threshold=0.01)
    assert info is not None
    assert info.parted == info.back == 0
    rows = parting.table(info)
    assert rows["parting_step"].isna().all()
    assert rows["t"].isna().all()
    assert (rows["distance_most"] == 0).all()
    for axis in AXES:
        drawn = parting.parting_info(same, same, threshold=0.01, axis=axis)
        assert drawn is not None
        assert parting.figure(drawn, Look()).data


def test_the_table_begins_with_the_earliest() -> None:
    first, second = Subject("a", make_trace()), Subject("b", other(make_trace()))
    info = parting.parting_info(first, second, threshold=0.3)
    assert info is not None
    rows = parting.table(info)
    steps = rows["parting_step"].astype(float).fillna(math.inf).tolist()
    assert steps == sorted(steps)
    assert math.inf in steps
    for seed, step in zip(rows["sample"], steps, strict=True):
        assert info.by_seed()[seed] == (-1 if step == math.inf else step)


def test_runs_of_two_lengths_meet_at_the_nearest_time() -> None:
    long, short = make_trace(steps=9), other(make_trace(steps=4))
    info = parting.parting_info(Subject("a", long), Subject("b", short), threshold=0.1)
    assert info is not None
    for s, t in enumerate(long["t"].values):
        near = min(range(4), key=lambda j: abs(short["t"].values[j] - t))
        want = slow(long["x0_hat"].values[s, 2], short["x0_hat"].values[near, 2])
        assert info.distance[s, 2] == pytest.approx(want)


def test_runs_that_share_nothing_have_no_parting() -> None:
    one = make_trace()
    far = one.assign_coords(shown=one["shown"] + 100, sample=one["sample"] + 100)
    assert parting.parting_info(Subject("a", one), Subject("b", far), threshold=0.1) is None
    bare = one.drop_vars(["x0_hat", "state"])
    assert parting.parting_info(Subject("a", one), Subject("b", bare), threshold=0.1) is None


def test_final_samples_of_all_seeds_that_both_hold() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 256, (6, 4, 6, 1), dtype=np.uint8)
    second = first.copy()
    second[3:] = rng.integers(0, 256, (3, 4, 6, 1), dtype=np.uint8)
    seeds = (np.arange(6), np.arange(2, 8))
    shifted = np.concatenate((second[2:], first[:2]))
    info = parting.apart_info(first, shifted, seeds, threshold=0.2)
    assert info is not None
    # Shared are 2, 3, 4, 5: the first of them is the same image.
    distances = [slow(first[k], second[k]) for k in (2, 3, 4, 5)]
    assert info.n == 4
    assert info.share == sum(d > 0.2 for d in distances) / 4 == 0.75
    assert info.median == pytest.approx(np.median(distances))
    assert info.low < 0.75 < info.high
    assert (
        parting.apart_info(first, shifted, (np.arange(6), np.arange(50, 56)), threshold=1) is None
    )
    assert parting.apart_info(first, shifted[:, :2], seeds, threshold=1) is None


def test_opposite_is_two_and_nothing_is_zero() -> None:
    a = np.array([[1.0, -2.0], [0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(parting.relative_distance(a, -a), [2, 0, 2])
    np.testing.assert_allclose(parting.relative_distance(a, a), 0)


def test_figure_is_drawn_with_hostile_names_and_many_samples() -> None:
    info = parting.parting_info(
        Subject(EVIL, make_trace()), Subject("b", other(make_trace())), threshold=0.3, axis="snr"
    )
    assert info is not None
    many = info._replace(
        seeds=np.arange(100),
        distance=np.tile(info.distance, 25),
        parting=np.tile(info.parting, 25),
    )
    for one in (info, many):
        for look in (Look(False), Look(True)):
            text = parting.figure(one, look).to_json()
            assert "<script" not in text
            assert json.loads(text)["layout"]["xaxis2"]["type"] == "log"
    assert len(parting.table(many)) == 100


def test_difference_colours_are_fixed_and_their_middle_is_the_page() -> None:
    for look in (Look(False), Look(True)):
        signed = difference_colours(look, signed=True)
        assert signed.shape == (511, 3)
        page = [255, 255, 255] if not look.dark else [0x14, 0x1A, 0x22]
        assert signed[255].tolist() == page
        # Blue where the second is brighter, orange where the first is.
        assert signed[400][2] > signed[400][0]
        assert signed[110][0] > signed[110][2]
        plain = difference_colours(look, signed=False)
        np.testing.assert_array_equal(plain, signed[255:])
    assert "{b} − {a}" in difference_scale(Look(), signed=True)["says"]
    assert "|{b} − {a}|" in difference_scale(Look(), signed=False)["says"]
