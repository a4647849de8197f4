"""Metrics: closed forms, and intervals that hold what they promise."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from feature_sets import Array, normal, real
from small_runs import run
from threadpoolctl import threadpool_info, threadpool_limits

from ddm_core.cli import run as command
from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics import (
    METRICS,
    Evidence,
    Measured,
    measure_evidence,
    paired_difference,
)
from ddm_core.metrics.fidelity import (
    Statistics,
    feature_statistics,
    frechet_distance,
    precision_recall,
)
from ddm_core.metrics.frechet import frechet_replicates
from ddm_core.metrics.kid import cubic
from ddm_core.metrics.precision_recall import recall_replicates
from ddm_core.metrics.resampling import random_halves, resample_counts
from ddm_core.metrics.two_sample import two_sample
from ddm_core.registry import load_plugin
from ddm_core.store import Store
from ddm_core.systems import load_system

# Closed forms


def test_frechet_distance_of_two_gaussians() -> None:
    one = Statistics(np.array([1.0, 2.0, 0.0]), np.diag([4.0, 1.0, 9.0]))
    two = Statistics(np.array([0.0, 2.0, 2.0]), np.diag([1.0, 1.0, 16.0]))
    # Diagonal covariances: sum of (difference of means)^2 + (difference of standard deviations)^2.
    assert frechet_distance(one, two) == pytest.approx(1 + 4 + 1 + 0 + 1, rel=1e-12)


@pytest.mark.parametrize(("n", "dims"), [(200, 6), (12, 30)], ids=["n > d", "n < d"])
def test_fast_frechet_distance_is_the_librarys(n: int, dims: int) -> None:
    mixing = normal(dims, dims, 1)
    reference = feature_statistics(normal(500, dims, 2) @ mixing)
    x = 1.3 * normal(n, dims, 3) @ mixing + 0.2
    counts = np.vstack([np.ones(n), resample_counts(n, 3, [0])])
    expected = [
        frechet_distance(feature_statistics(np.repeat(x, row.astype(int), axis=0)), reference)
        for row in counts
    ]
    assert frechet_replicates(x, reference, counts) == pytest.approx(expected, rel=1e-6)


def test_fast_frechet_distance_with_a_dead_feature() -> None:
    x, y = normal(100, 4, 0), normal(300, 4, 1)
    x[:, 2] = y[:, 2] = 0.0
    found = frechet_replicates(x, feature_statistics(y), np.ones((1, 100)))
    kept = [0, 1, 3]
    expected = frechet_distance(feature_statistics(x[:, kept]), feature_statistics(y[:, kept]))
    assert found[0] == pytest.approx(expected, rel=1e-9)


def test_energy_distance_of_two_normals_on_a_line() -> None:
    shift, n = 0.8, 3000
    found = measure_evidence(
        ["energy_distance"], Evidence(normal(n, 1, 0) + shift, real(normal(n, 1, 1)))
    )["energy_distance"]
    # |X - Y| of N(shift, 2) is folded normal; of N(0, 2) it has the mean 2 / sqrt(pi).
    cross = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    exact = 2 * cross - 4 / math.sqrt(math.pi)
    assert found.low < exact < found.high
    assert found.high - found.low < 0.3 * exact


def test_energy_distance_of_one_distribution_covers_zero() -> None:
    covered = 0
    for seed in range(20):
        evidence = Evidence(
            normal(150, 2, 2 * seed), real(normal(150, 2, 2 * seed + 1)), replicates=50, seed=seed
        )
        found = measure_evidence(["energy_distance"], evidence)["energy_distance"]
        covered += found.low <= 0 <= found.high
    assert covered >= 18


def test_two_sample_statistic_is_the_mean_over_pairs() -> None:
    x, y = normal(7, 3, 0), normal(9, 3, 1)
    value, _ = two_sample(cubic, Evidence(x, real(y)))

    def k(a: Array, b: Array) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within = [
        np.mean([k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])
        for a in (x, y)
    ]
    between = np.mean([k(a, b) for a in x for b in y])
    assert value == pytest.approx(sum(within) - 2 * between, rel=1e-10)


def test_recall_of_everything_is_the_librarys() -> None:
    x, y = 0.8 * normal(90, 3, 0), normal(120, 3, 1)
    found = recall_replicates(x, y, 3, np.ones((1, 90)))
    assert found[0] == pytest.approx(precision_recall(x, y, neighbours=3)[1])
    half = random_halves(90, 1, [0])
    expected = precision_recall(x[half[0] > 0], y, neighbours=3)[1]
    assert recall_replicates(x, y, 3, half)[0] == pytest.approx(expected)


def test_mode_collapse_keeps_precision_and_loses_recall() -> None:
    modes = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    y = np.concatenate([normal(200, 2, k) + mode for k, mode in enumerate(modes)])
    collapsed = Evidence(normal(200, 2, 9) + modes[0], real(y), replicates=20)
    found = measure_evidence(["precision", "recall"], collapsed)
    assert found["precision"].value > 0.9
    assert 0.1 < found["recall"].value < 0.26
    # The other way round the two trade places.
    swapped = Evidence(y, real(collapsed.features), replicates=20)
    found = measure_evidence(["precision", "recall"], swapped)
    assert found["recall"].value > 0.9
    assert 0.1 < found["precision"].value < 0.26


# Intervals


class Trials(NamedTuple):
    values: Array
    errors: Array
    covered: float
    percentile: float


@pytest.fixture(scope="module")
def trials() -> Trials:
    """FID of many sets of samples against one reference."""
    reference = real(normal(2000, 4, 0))
    rows: list[tuple[float, float, float, float, float]] = []
    for seed in range(1, 201):
        evidence = Evidence(normal(150, 4, seed) * 1.1 + 0.3, reference, replicates=80, seed=seed)
        found = measure_evidence(["fid"], evidence)["fid"]
        counts = resample_counts(150, 80, [seed])
        replicates = frechet_replicates(evidence.features, reference.statistics, counts)
        low, high = np.quantile(replicates, (0.025, 0.975))
        rows.append((found.value, found.low, found.high, low, high))
    values, low, high, bottom, top = np.array(rows).T
    target = values.mean()
    covered = float(np.mean((low <= target) & (target <= high)))
    percentile = float(np.mean((bottom <= target) & (target <= top)))
    return Trials(values, (high - values) / 1.96, covered, percentile)


def test_fid_interval_covers_the_expected_fid(trials: Trials) -> None:
    # 200 trials of a 95% interval: a standard deviation of the share is 1.5 points.
    assert 0.90 <= trials.covered <= 0.99
    assert trials.errors.mean() == pytest.approx(trials.values.std(), rel=0.2)


def test_percentiles_would_not_cover_it(trials: Trials) -> None:
    """Why the interval is not the bootstrap's quantiles: they sit too high."""
    assert trials.percentile < trials.covered - 0.03


def test_recall_interval_has_the_right_width() -> None:
    reference = real(normal(300, 3, 0))
    found = [
        measure_evidence(
            ["recall"], Evidence(0.7 * normal(200, 3, seed), reference, replicates=40, seed=seed)
        )["recall"]
        for seed in range(1, 61)
    ]
    spread = np.std([one.value for one in found])
    errors = [(one.high - one.low) / (2 * 1.96) for one in found]
    assert np.mean(errors) == pytest.approx(spread, rel=0.35)


def test_kid_interval_has_the_right_width() -> None:
    found = [
        measure_evidence(
            ["kid:subsets=20:subset_size=100"],
            Evidence(
                normal(120, 3, 2 * seed) + 0.5, real(normal(200, 3, 2 * seed + 1)), replicates=40
            ),
        )["kid"]
        for seed in range(60)
    ]
    spread = np.std([one.value for one in found])
    errors = [(one.high - one.low) / (2 * 1.96) for one in found]
    assert np.mean(errors) == pytest.approx(spread, rel=0.35)


def test_paired_difference_uses_the_shared_noise() -> None:
    reference = real(normal(2000, 4, 0))
    noise = normal(200, 4, 1)
    one, other = Evidence(1.3 * noise + 0.3, reference), Evidence(1.32 * noise + 0.33, reference)
    found = paired_difference(one, other)
    alone = [measure_evidence(["fid"], each)["fid"] for each in (one, other)]
    assert found.value == pytest.approx(alone[0].value - alone[1].value, rel=1e-12)
    # Alone, the two intervals overlap and decide nothing; paired, they do.
    assert alone[1].low < alone[0].high
    assert found.high < 0
    assert paired_difference(other, one).value == pytest.approx(-found.value)
    same = paired_difference(one, one)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_paired_difference_refuses_what_is_no_pair() -> None:
    reference, stranger = real(normal(50, 2, 0)), real(normal(50, 2, 1))
    one = Evidence(normal(20, 2, 2), reference)
    for other, sentence in (
        (Evidence(normal(21, 2, 3), reference), "equal sets, not 20 and 21"),
        (Evidence(normal(20, 2, 3), stranger), "one reference"),
        (Evidence(normal(20, 2, 3), reference, seed=1), "same resampling"),
    ):
        with pytest.raises(RequestError, match=sentence):
            paired_difference(one, other)


# Every metric


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_gives_a_quotable_number(name: str) -> None:
    evidence = Evidence(normal(60, 3, 0) + 0.2, real(normal(90, 3, 1), "the test's own"))
    found = measure_evidence([name], evidence)[name]
    again = measure_evidence(
        [name], Evidence(evidence.features, real(normal(90, 3, 1), "the test's own"))
    )[name]
    assert isinstance(found, Measured)
    assert found == again
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert found.n == 60
    assert found.extractor == "made-up"
    for word in ("60 samples", "90 of the test's own", "made-up, 3-d", "torch-fidelity"):
        assert word in found.protocol
    assert found.method
    assert set(json.loads(json.dumps(found.to_json()))) == set(Measured._fields)
    assert METRICS[name].better in ("lower", "higher")


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_can_be_cancelled(name: str) -> None:
    evidence = Evidence(normal(60, 3, 0), real(normal(90, 3, 1)), should_stop=lambda: True)
    with pytest.raises(WorkError, match="cancelled"):
        measure_evidence([name], evidence)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread in any case")
@pytest.mark.parametrize(("dims", "threads"), [(8, 1), (600, 2)])
def test_small_matrices_get_one_thread_and_all_get_theirs_back(dims: int, threads: int) -> None:
    """Beside processes that sample, two threads of the linear algebra spin for each other."""
    evidence = Evidence(normal(4, dims, 0), real(normal(5, dims, 1)))

    def now() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        assert evidence.once("threads", now) == {threads}
        assert now() == {2}


def test_kid_and_recall_say_what_they_used() -> None:
    evidence = Evidence(normal(60, 3, 0), real(normal(90, 3, 1)), replicates=5)
    found = measure_evidence(["kid", "recall:most=40", "precision:neighbours=5"], evidence)
    assert "100 subsets of 60" in found["kid"].protocol
    assert "against 40 of 90" in found["recall"].protocol
    assert "k = 5" in found["precision"].protocol


def test_a_metric_is_one_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(METRICS, "_members", {name: METRICS[name] for name in METRICS})
    plugin = tmp_path / "spread.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from ddm_core.metrics import METRICS, Measured, Metric\n"
        "@METRICS.register\n"
        "@dataclass(frozen=True)\n"
        "class Spread(Metric):\n"
        "    name = 'spread'\n"
        "    title = 'spread'\n"
        "    better = 'lower'\n"
        "    power: int = 2\n"
        "    def measure(self, evidence):\n"
        "        value = float((abs(evidence.features) ** self.power).mean())\n"
        "        return Measured(value, value, value, evidence.n,\n"
        "            evidence.protocol('spread'), evidence.reference.extractor, 'none')\n"
    )
    load_plugin(plugin)
    evidence = Evidence(np.full((5, 2), 2.0), real(normal(20, 2, 0)))
    assert measure_evidence(["spread:power=3"], evidence)["spread"].value == 8.0

    # The command line takes the file, too, as if the process were a new one.
    monkeypatch.delitem(METRICS._members, "spread")
    plugin.write_text(plugin.read_text() + "# edited")
    store = Store(tmp_path / "runs")
    id = store.save(run(load_system("ring"))).id
    measured = ["metrics", id, "--metrics", "spread", "--runs", str(store.root)]
    assert command([*measured, "--plugin", str(plugin), "--device", "cpu"]) == 0
    assert store.run(id).metrics["spread"]["n"] == 7
    assert command(["tune", "ring", "--plugin", str(tmp_path / "gone.py")]) == 2
    assert "there is no plug-in file" in capsys.readouterr().err
