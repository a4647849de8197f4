"""What an audit does before it begins: routes, budget, request; and how verdicts are reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddm_core.analysis import parts
from ddm_core.analysis import plan as plan_module
from ddm_core.analysis.claims import Check, Claim, decide
from ddm_core.analysis.plan import FEWEST, MOST, Request, make_plan, parse_budget
from ddm_core.errors import RequestError
from ddm_core.intervals import Estimate
from ddm_core.routes import parse_route
from ddm_core.run import execute
from ddm_core.shipped import checkpoints_folder
from ddm_core.store import Store
from ddm_core.systems import load_system


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 m", 120)]
)
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "10 minutes", "m", "1e3", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="90s, 10m or 1h"):
        parse_budget(text)


@pytest.mark.parametrize("experts", [2, 3, 8, 64])
def test_a_plan_has_every_route_once_and_the_whole_ensemble(experts: int) -> None:
    name = f"ring:experts={experts}"
    plan = make_plan(Request(system=name, num=64), load_system(name))
    own = [entry for entry in plan.entries if entry.system is None]
    routes = [entry.router for entry in own]
    assert len(set(routes)) == len(routes)
    assert all(str(parse_route(route)) == route for route in routes)
    assert {"monolith", "top_k:k=1", "full", "uniform/full", "sample", "sample_once"} <= {*routes}
    every = range(1, experts + 1) if experts <= 8 else [2**i for i in range(7)]
    assert {e.k for e in own if e.k is not None} == {*every}
    assert f"top_k:k={experts}" not in routes  # that is the full ensemble by another name
    assert plan.ks[0] == 1
    assert plan.ks[-1] == experts
    # Every cell of the map has its route, on every ring.
    for error in plan.errors:
        there = {(e.temperature, e.k) for e in plan.entries if (e.error or 0.0) == error}
        wanted = {(t, k) for t in plan.temperatures for k in plan.ks if k > 1}
        assert wanted <= there, error


def test_a_small_budget_takes_fewer_samples_and_says_so() -> None:
    system = load_system("digits")
    small = make_plan(Request(system="digits", budget=5), system)
    large = make_plan(Request(system="digits", budget=36_000), system)
    assert small.num == FEWEST
    assert large.num == MOST
    assert large.given_up == ()
    assert any("samples per route instead of" in one for one in small.given_up)
    assert any("take longer than the 5 s" in one for one in small.given_up)
    assert len(small.entries) < len(large.entries)


def test_who_names_samples_and_no_time_gets_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    system = load_system("digits")
    monkeypatch.setattr(plan_module, "_pace", lambda request, system: 10.0)  # calls a second
    patient = make_plan(Request(system="digits", num=64), system)
    assert patient.temperatures == plan_module.TEMPERATURES
    assert patient.truth_images == MOST
    assert patient.limit is None
    assert patient.given_up == ()
    hurried = make_plan(Request(system="digits", num=64, budget=600), system)
    assert len(hurried.temperatures) < len(patient.temperatures)
    assert hurried.truth_images < patient.truth_images
    assert hurried.limit == 600
    assert any("temperatures" in one for one in hurried.given_up)
    assert any("take longer than the 600 s" in one for one in hurried.given_up)


def test_what_is_given_up_first_is_what_nobody_sees_on_the_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From all down to nothing but the strategies, each plan gives up what the one before had."""
    system = load_system("digits")
    monkeypatch.setattr(plan_module, "PLANNED", 0.65)
    whole: list[tuple[int, bool]] = []
    for pace in (1e6, 4.3e3, 3.6e3, 3.2e3, 10.0):
        monkeypatch.setattr(plan_module, "_pace", lambda request, system, pace=pace: pace)
        plan = make_plan(Request(system="digits"), system)
        mapped = [entry for entry in plan.entries if entry.kind == "map"]
        every = all(entry.sensitive for entry in mapped)
        assert all(entry.sensitive for entry in plan.entries if entry.kind != "map")
        assert any("sensitivities" in one for one in plan.given_up) == (not every)
        assert any("temperatures 0.25" in one for one in plan.given_up) == (
            0.25 not in plan.temperatures
        )
        whole.append((len(plan.temperatures), every and bool(mapped)))
    assert whole == [(4, True), (4, False), (3, False), (2, False), (1, False)]


def test_a_dozen_samples_cost_more_where_more_experts_share_them() -> None:
    """Expert calls alone would say that a Top-1 costs what one model does; it takes more."""
    plan = make_plan(Request(system="digits", num=32), load_system("digits"))
    costs = {entry.router: plan.cost(entry, 8) for entry in plan.entries}
    once = {
        entry.router: plan.request.steps * (32 * entry.calls + 32 * max(0, 8 - entry.calls))
        for entry in plan.entries
    }
    few = {router: cost - once[router] for router, cost in costs.items() if router != "monolith"}
    alone = costs["monolith"] - once["monolith"]
    assert 2 * alone < few["top_k:k=1"] < few["top_k:k=2"] < few["top_k:k=4"] < few["full"]
    assert few["full"] == pytest.approx(8 * alone, rel=1e-6)


def test_one_expert_leaves_nothing_to_choose() -> None:
    with pytest.raises(RequestError, match="one expert"):
        make_plan(Request(system="ring:experts=1"), load_system("ring:experts=1"))


def test_the_command_asks_for_the_same() -> None:
    request = Request(system="my folder/x", budget=90, num=64, seed=3, data="/somewhere")
    assert request.command == "ddm audit 'my folder/x' --budget 90s --num 64 --seed 3"
    assert Request(system="ring").command == "ddm audit ring"


def test_equal_requests_share_a_digest_and_others_do_not() -> None:
    system = load_system("ring")
    one = Request(system="ring", num=64)
    assert one.digest(system) == Request(system="ring", num=64, device="cpu").digest(system)
    assert one.digest(system) != Request(system="ring", num=65).digest(system)
    assert one.digest(system) != one.digest(load_system("ring:error=0.5"))


def check(value: float, *, supports: int = 1, p: float = 1e-6, decides: bool = True) -> Check:
    estimate = Estimate(value, value - 0.1, value + 0.1, 100, "made up")
    return Check(f"check {value}", "definition", estimate, supports, None, p, decides)


def claim(*checks: Check, number: int = 1) -> Claim:
    return Claim(number, "title", "statement", "effect", "", checks, "nothing was run")


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((check(1), check(-1, supports=-1)), "supported"),
        ((check(-1), check(-1, supports=-1)), "contradicted"),  # what the claim is about
        ((check(1), check(1, supports=-1)), "contradicted"),  # all that it rests on
        ((check(1), check(1, supports=-1), check(1)), "undecided"),  # one for, one against
        ((check(1), check(0.05)), "undecided"),  # the interval holds 0
        ((check(1), check(1, p=0.2)), "undecided"),  # p says no
        ((check(1), check(-1, decides=False)), "supported"),  # shown, not weighed
        ((), "undecided"),
    ],
)
def test_a_verdict_needs_every_deciding_test(checks: tuple[Check, ...], verdict: str) -> None:
    (found,) = decide([claim(*checks)])
    assert found["verdict"] == verdict
    assert verdict in found["sentence"].lower()


def test_correction_is_over_the_whole_report() -> None:
    """A p of 0.03 stands alone, and falls among ten others."""
    (alone,) = decide([claim(check(1, p=0.03))])
    assert alone["verdict"] == "supported"
    others = claim(*(check(0.0, p=0.9) for _ in range(10)), number=2)
    together, _ = decide([claim(check(1, p=0.03)), others])
    assert together["verdict"] == "undecided"
    assert together["tests"][0]["p_holm"] == pytest.approx(0.33)


def test_a_claim_without_tests_says_why() -> None:
    (found,) = decide([claim()])
    assert found["verdict"] == "undecided"
    assert "nothing was run" in found["sentence"]
    assert (found["effect"], found["n"]) == (None, 0)


def test_an_audit_of_a_folder_finds_the_runs_that_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(checkpoints_folder() / "digits")
    monkeypatch.chdir(tmp_path)
    store, system = Store(tmp_path / "runs"), load_system("mine")
    plan = make_plan(Request(system="mine", num=32, steps=4, budget=5, map=False), system)
    config = parts._config(plan.model_copy(update={"num": 4}), plan.entries[0], 1, image=True)
    for _ in range(2):
        parts._sample(config, system, store, ("audit",), lambda progress: None)
    (run,) = store.runs()
    # Another folder to stand in changes nothing, also where only sampling made the path whole.
    assert run.system == run.config.system == str(tmp_path / "mine")
    relative = config.model_copy(update={"system": "mine", "seed": 9})
    with store.begin(relative) as draft:
        other = draft.save(execute(relative, system=system))
    assert other.system == other.config.system == str(tmp_path / "mine")
