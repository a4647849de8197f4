"""`ddm tune`: the cheapest route within the interval of the best, confirmed on other seeds."""

from __future__ import annotations

import json

import pytest

from ddm_core.analysis import tune as module
from ddm_core.analysis.tune import Tuned, candidates, tune
from ddm_core.cli import run
from ddm_core.errors import RequestError
from ddm_core.systems import load_system


def tuned(system: str, **changes: object) -> Tuned:
    settings = {"num": 200, "steps": 8, "max_calls": 2.0} | changes
    return tune(system, on_progress=lambda *told: None, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ring() -> Tuned:
    return tuned("ring")


def test_no_route_is_dearer_than_asked_and_all_are_measured(ring: Tuned) -> None:
    wanted = set(candidates(load_system("ring"), 2.0))
    assert {one.router for one in ring.candidates} == wanted
    assert all(one.calls <= 2.5 for one in ring.candidates)
    values = [one.quality.value for one in ring.candidates if one.quality is not None]
    assert values == sorted(values)  # type: ignore[type-var]
    assert ring.best == ring.candidates[0].router


def test_the_chosen_is_the_cheapest_within_the_interval(ring: Tuned) -> None:
    best = next(one for one in ring.candidates if one.router == ring.best)
    assert best.quality is not None
    assert best.quality.high is not None
    high = best.quality.high
    within = [one for one in ring.candidates if one.quality and (one.quality.value or 0) <= high]
    assert ring.calls == min(one.calls for one in within)
    assert ring.chosen in {one.router for one in within}


def test_it_is_confirmed_on_seeds_that_had_no_part_in_the_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[tuple[str, int]] = []
    plain = module._measure

    def noted(bench: object, route: str, seed: int, *place: int):  # type: ignore[no-untyped-def]
        measured.append((route, seed))
        return plain(bench, route, seed, *place)  # type: ignore[arg-type]

    told: list[tuple[int, int, str]] = []
    settings = {"max_calls": 2.0, "num": 64, "steps": 4, "seed": 5}
    monkeypatch.setattr(module, "_measure", noted)
    found = tune("ring:experts=3", on_progress=lambda *one: told.append(one[:3]), **settings)  # type: ignore[arg-type]
    # Whoever watches sees every route once, the two of the second set of seeds too.
    assert list(dict.fromkeys(told)) == [
        (done, len(measured), route) for done, (route, _) in enumerate(measured)
    ]
    assert {seed for _, seed in measured[:-2]} == {5}
    assert measured[-2:] == [(found.chosen, 69), (found.rival, 69)]
    assert found.rival != found.chosen


def test_the_best_is_put_against_the_runner_up_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against itself everything is confirmed: the second look has to be at something else."""
    monkeypatch.setattr(module, "candidates", lambda system, calls: ["full", "fixed/full"])
    found = tuned("ring", num=64, steps=4, max_calls=6)
    assert (found.chosen, found.best, found.rival) == ("full", "full", "fixed/full")
    assert "is itself the best" in found.says
    assert "the runner-up, fixed/full" in found.says
    assert "better" in found.says
    assert (found.difference.high or 0) < 0


def test_a_single_route_is_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "candidates", lambda system, calls: ["full"])
    found = tuned("ring", num=64, steps=4, max_calls=6)
    assert "nothing to compare" in found.says


def test_a_step_takes_at_least_one_call() -> None:
    with pytest.raises(RequestError, match="at least 1"):
        tuned("ring", max_calls=0.5)


def test_the_command_says_the_same_on_a_system_of_networks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["top_k:k=1", "sample"]
    monkeypatch.setattr(module, "candidates", lambda system, calls: few)
    asked = ["tune", "digits", "--num", "32", "--steps", "2", "--max-calls", "1"]
    assert run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["num"]) == ("fid", 32)
    assert {one["router"] for one in found["candidates"]} == set(few)
    assert found["difference"]["n"] == 32
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert found["says"] in said
    assert f"difference {found['difference']['value']:.4g}"[:14] in said
