"""Routers and strategies: what all promise, the rule of each, and who is asked."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st
from torch import Tensor

import ddm_core.ensemble as dispatch
from ddm_core.denoise import Denoiser
from ddm_core.ensemble import Moment
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.strategies.base import STRATEGIES, kept
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System
from ddm_core.testing import RouterContract, StrategyContract, network_system, probabilities
from ddm_core.testing.probes import recorded
from ddm_core.testing.strategies import decisions

CASES = run_with(max_examples=25, deadline=None, derandomize=True, database=None)


class TestEveryStrategy(StrategyContract):
    specs = (*STRATEGIES, "top_k:k=1", "sticky:k=3:margin=1", "nucleus:p=1", "threshold:tau=0")


class TestRoutersOfTheRing(RouterContract):
    specs = (
        "exact",
        "oracle",
        "nearest",
        "nearest:prior=no",
        "uniform",
        "fixed:expert=2",
        "interval",
    )


class TestRoutersOfNetworks(RouterContract):
    specs = ("learned", "oracle", "nearest", "nearest:prior=no", "uniform", "fixed:expert=2")
    systems = (network_system,)


def test_every_router_is_tested() -> None:
    tested = (*TestRoutersOfTheRing.specs, *TestRoutersOfNetworks.specs)
    assert {spec.partition(":")[0] for spec in tested} == set(ROUTERS)


def weights(spec: str, p: Tensor) -> Tensor:
    """What a strategy makes of probabilities [sample, expert] at the first step."""
    return decisions(STRATEGIES.parse(spec), p[None])[0].weights


@CASES
@given(steps=probabilities(), k=st.integers(1, 70))
def test_top_k_takes_the_largest(steps: Tensor, k: int) -> None:
    p = steps[0]
    w = weights(f"top_k:k={k}", p)
    chosen = w > 0
    assert int(chosen.sum(dim=1).max()) <= k
    # No expert that was left out is likelier than one that was taken.
    left_out = torch.where(chosen, -1.0, p).amax(dim=1)
    taken = torch.where(chosen, p, 2.0).amin(dim=1)
    assert bool((left_out <= taken).all())
    total = torch.where(chosen, p, 0.0).sum(dim=1, keepdim=True)
    torch.testing.assert_close(torch.where(chosen, w * total, 0.0), torch.where(chosen, p, 0.0))


@pytest.mark.parametrize("strategy", ["top_k", "sticky", "wrong"])
@pytest.mark.parametrize("experts", [3, 8, 64])
def test_of_equals_the_first_are_taken(strategy: str, experts: int) -> None:
    """So that a GPU asks whom a CPU asks; at t = 1 all experts of `ring` are equally likely."""
    for k in (1, 2, 3):
        w = weights(f"{strategy}:k={k}", torch.full((5, experts), 1 / experts))
        assert (w > 0).nonzero()[:, 1].reshape(5, k).tolist() == [list(range(k))] * 5


@CASES
@given(steps=probabilities())
def test_full_and_one_of_all(steps: Tensor) -> None:
    p = steps[0]
    assert torch.equal(weights("full", p), p)
    torch.testing.assert_close(weights(f"top_k:k={p.shape[1]}", p), p)


@CASES
@given(steps=probabilities(), share=st.floats(0, 1))
def test_nucleus_is_the_smallest_set_with_enough(steps: Tensor, share: float) -> None:
    p = steps[0]
    chosen = weights(f"nucleus:p={share}", p) > 0
    held = torch.where(chosen, p, 0.0).sum(dim=1)
    assert bool((held >= share - 1e-5).all())
    # Without its least likely member it would hold too little, unless it has no other.
    least = torch.where(chosen, p, 2.0).amin(dim=1)
    alone = chosen.sum(dim=1) == 1
    assert bool(((held - least < share + 1e-5) | alone).all())


def test_nucleus_by_hand() -> None:
    p = torch.tensor([[0.1, 0.5, 0.15, 0.25]], dtype=torch.float64)
    for share, chosen in [(0, [1]), (0.5, [1]), (0.51, [1, 3]), (0.75, [1, 3]), (0.8, [1, 2, 3])]:
        assert (weights(f"nucleus:p={share}", p)[0] > 0).nonzero().flatten().tolist() == chosen
    assert int((weights("nucleus:p=1", p) > 0).sum()) == 4


@CASES
@given(steps=probabilities(), tau=st.floats(0, 1))
def test_threshold_takes_what_reaches_it(steps: Tensor, tau: float) -> None:
    p = steps[0].double()
    w = weights(f"threshold:tau={tau}", p)
    reached = p >= tau
    some = reached.any(dim=1)
    assert torch.equal((w > 0)[some], (reached & (p > 0))[some])
    none = ~some
    assert bool(((w[none] > 0).sum(dim=1) == 1).all())
    assert torch.equal(w[none].argmax(dim=1), p[none].argmax(dim=1))


@CASES
@given(steps=probabilities(), k=st.integers(1, 3))
def test_wrong_takes_the_least_likely(steps: Tensor, k: int) -> None:
    p = steps[0]
    w = weights(f"wrong:k={k}", p)
    k = min(k, p.shape[1])
    assert bool(((w > 0).sum(dim=1) == k).all())
    assert bool((torch.where(w > 0, p, -1.0).amax(dim=1) <= p.sort(dim=1).values[:, k - 1]).all())


def test_kept_shares_no_mass_evenly() -> None:
    keep = torch.tensor([[True, True, False], [True, True, False], [True, False, True]])
    p = torch.tensor([[0.0, 0.0, 1.0], [1e-42, 3e-42, 1.0], [0.2, 0.5, 0.3]])
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.4, 0.0, 0.6]])
    torch.testing.assert_close(kept(p, keep), expected)


def sticky(rows: list[list[float]], spec: str) -> list[list[int]]:
    """The experts that are chosen at each step, for one sample."""
    steps = torch.tensor(rows, dtype=torch.float64)[:, None]
    made = decisions(STRATEGIES.parse(spec), steps)
    return [(d.weights[0] > 0).nonzero().flatten().tolist() for d in made]


def test_sticky_changes_only_for_a_clear_lead() -> None:
    rows = [[0.6, 0.4, 0.0], [0.45, 0.55, 0.0], [0.44, 0.56, 0.0], [0.3, 0.7, 0.0]]
    assert sticky(rows, "sticky:margin=0.15") == [[0], [0], [0], [1]]
    assert sticky(rows, "sticky:margin=0") == [[0], [1], [1], [1]]
    assert sticky(rows, "sticky:margin=1") == [[0]] * 4
    # Exactly the margin is not more than the margin.
    assert sticky([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], "sticky:margin=0.25") == [[0], [0]]


def test_sticky_of_two_replaces_one_at_a_time() -> None:
    rows = [[0.5, 0.3, 0.2], [0.5, 0.21, 0.29], [0.5, 0.1, 0.4], [0.1, 0.1, 0.8]]
    assert sticky(rows, "sticky:k=2:margin=0.1") == [[0, 1], [0, 1], [0, 2], [0, 2]]
    # The weights are the plain probabilities.
    steps = torch.tensor(rows, dtype=torch.float64)[:, None]
    last = decisions(STRATEGIES.parse("sticky:k=2:margin=0.1"), steps)[-1].weights[0]
    torch.testing.assert_close(last, torch.tensor([1 / 9, 0, 8 / 9], dtype=torch.float64))


def test_sticky_keeps_an_expert_without_mass() -> None:
    """A margin of one never lets go, and the weights stay on the simplex."""
    steps = torch.tensor([[1.0, 0.0], [1e-42, 1.0]])[:, None]
    last = decisions(STRATEGIES.parse("sticky:margin=1"), steps)[-1].weights
    torch.testing.assert_close(last, torch.tensor([[1.0, 0.0]]))


def test_sample_draws_as_often_as_the_probabilities_say() -> None:
    count = 20_000
    p = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0]).expand(count, -1)
    draw = Noise(tuple(range(count)), (1,)).uniform(7)
    w = STRATEGIES.parse("sample").decide(p, Moment(p[:, 0], None, draw)).weights
    assert bool((w[:, [0, 2, 5]] == 0).all())
    error = 5 * (p[0] * (1 - p[0]) / count).sqrt()
    assert bool(((w.mean(dim=0) - p[0]).abs() <= error).all())


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_sample_never_draws_the_impossible(draw: float) -> None:
    p = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    drawn = torch.full((3,), draw)
    assert torch.equal(
        STRATEGIES.parse("sample").decide(p, Moment(p[:, 0], None, drawn)).weights, p
    )


def test_draws_lie_below_one_in_every_precision() -> None:
    seeds = tuple(range(5000))
    single = Noise(seeds, (1,)).uniform(0)
    double = Noise(seeds, (1,), torch.float64).uniform(0)
    # Equal without rounding: no precision sees another number, and none sees a 1.
    assert torch.equal(single.double(), double)
    assert torch.equal(double * 2**24, (double * 2**24).floor())


def test_sample_once_keeps_what_it_drew() -> None:
    trace = recorded(
        network_system(), [PROBES.parse("weights")], route="uniform/sample_once", seeds=range(12)
    ).trace
    expert = trace.weights.argmax("expert")
    assert bool((expert == expert.isel(step=0)).all())
    assert len(set(expert.isel(step=0).values.tolist())) > 1
    again = recorded(
        network_system(), [PROBES.parse("weights")], route="uniform/sample", seeds=range(12)
    ).trace.weights.argmax("expert")
    assert not bool((again == again.isel(step=0)).all())


@pytest.mark.parametrize("sampler", [*SAMPLERS])
def test_sample_once_is_one_expert_alone_in_every_stage(sampler: str) -> None:
    probes = [PROBES.parse("weights")]
    # At the exact router's probabilities a later stage would draw another one for some of these.
    seeds = range(48)
    once = recorded(ring(), probes, route="sample_once", sampler=sampler, seeds=seeds)
    drawn = once.trace.weights.argmax("expert").isel(step=0).values
    assert len(set(drawn.tolist())) > 1
    for k in set(drawn.tolist()):
        alone = recorded(
            ring(), probes, route=f"fixed:expert={k}/full", sampler=sampler, seeds=seeds
        )
        some = torch.from_numpy(drawn == k)
        torch.testing.assert_close(once.samples[some], alone.samples[some])


class Counting(Denoiser):
    """An expert that notes which samples it sees, by their first coordinate."""

    def __init__(self, inner: Denoiser, fails: bool = False) -> None:
        super().__init__(inner.schedule)
        self.inner = inner
        self.fails = fails
        self.sizes: list[int] = []
        self.seen: list[Tensor] = []

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        self.sizes.append(len(x_t))
        self.seen.append(x_t.clone())
        v = self.inner(x_t, t, condition)
        return v * torch.nan if self.fails else v


def counted(settings: RingSettings | None = None) -> tuple[System, list[Counting]]:
    """A ring whose experts count; already in place, so that moving it copies nothing."""
    system = ring(settings or RingSettings(experts=4)).to(torch.device("cpu"))
    experts = [Counting(expert) for expert in system.experts]
    return dataclasses.replace(system, experts=tuple(experts)), experts


def times_asked(experts: list[Counting]) -> list[int]:
    """Samples that each expert has seen."""
    return [sum(expert.sizes) for expert in experts]


@pytest.mark.parametrize(
    ("route", "per_step"),
    [("top_k:k=1", 1), ("top_k:k=2", 2), ("sticky:k=3", 3), ("sample", 1), ("uniform/full", 4)],
)
@pytest.mark.parametrize(("sampler", "stages"), [("euler", 1), ("heun", 2)])
def test_only_routed_experts_run(route: str, per_step: int, sampler: str, stages: int) -> None:
    system, experts = counted()
    probes = [PROBES.parse(name) for name in ("weights", "expert_calls", "state")]
    trace = recorded(system, probes, route=route, sampler=sampler, seeds=range(90), steps=5).trace
    # Heun's last step into the clean state has one stage.
    calls = [90 * per_step * (stages if step < 4 else 1) for step in range(5)]
    assert trace.expert_calls.values.tolist() == calls
    assert sum(times_asked(experts)) == sum(calls)
    if stages == 1:
        asked = (trace.weights > 0).sum(("step", "sample")).values.tolist()
        assert times_asked(experts) == asked
        # Who was seen is who was routed there.
        for k, expert in enumerate(experts):
            seen = {tuple(row) for part in expert.seen for row in part.tolist()}
            routed = trace.state.values[(trace.weights.values[..., k] > 0)]
            assert seen == {tuple(row) for row in routed.tolist()}


def test_an_expert_runs_once_a_step_for_all_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    system, experts = counted()
    most = 32
    monkeypatch.setattr(dispatch, "CPU_ROWS_OF_POINTS", most)
    rows = 2 * most + 3
    recorded(system, [], route="fixed:expert=1/full", seeds=range(rows), steps=3)
    assert experts[1].sizes == [most, most, 3] * 3
    assert times_asked(experts) == [0, 3 * rows, 0, 0]


def test_a_dense_probe_asks_everybody_and_is_not_charged() -> None:
    system, experts = counted()
    probes = [PROBES.parse(name) for name in ("disagreement", "expert_calls")]
    trace = recorded(system, probes, route="top_k:k=1", steps=3).trace
    assert times_asked(experts) == [15, 15, 15, 15]
    assert trace.expert_calls.values.tolist() == [5, 5, 5]


def test_nearest_asks_everybody_once() -> None:
    system, experts = counted()
    calls = recorded(
        system, [PROBES.parse("expert_calls")], route="nearest/top_k:k=1", steps=3
    ).trace.expert_calls
    assert calls.values.tolist() == [5 * (4 + 1), 5, 5]
    assert sum(times_asked(experts)) == 5 * 7


def test_zero_weight_is_not_run_even_by_the_full_strategy() -> None:
    system, experts = counted()
    field = build_ensemble(system, parse_route("fixed:expert=3/full"))
    field(torch.zeros(2, 2), torch.full((2,), 0.5))
    assert times_asked(experts) == [0, 0, 0, 2]


def test_what_was_not_asked_is_nan() -> None:
    field = build_ensemble(ring(), parse_route("exact/top_k:k=2"), keep=True)
    x_t = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mixture = field.mix(x_t, torch.full((7,), 0.4, dtype=torch.float64))
    assert mixture.experts is not None
    assert torch.equal(mixture.experts.isfinite().all(dim=2), mixture.weights > 0)
    v = (mixture.weights[..., None] * mixture.experts.nan_to_num()).sum(dim=1)
    torch.testing.assert_close(mixture.velocity, v)


def test_a_broken_expert_harms_only_those_who_asked_it() -> None:
    sound, experts = counted()
    broken = dataclasses.replace(
        sound, experts=(*sound.experts[:3], Counting(experts[3].inner, fails=True))
    )
    x_t = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    t = torch.full((60,), 0.3)
    route = parse_route("exact/top_k:k=1")
    good = build_ensemble(sound, route).mix(x_t, t)
    bad = build_ensemble(broken, route, dense=True).mix(x_t, t)
    asked = good.weights[:, 3] > 0
    assert 0 < int(asked.sum()) < 60
    assert bool(bad.velocity[asked].isnan().all())
    assert torch.equal(bad.velocity[~asked], good.velocity[~asked])


def test_frozen_weights_are_taken_as_they_are() -> None:
    system, experts = counted()
    field = build_ensemble(system, parse_route("exact/full"))
    frozen = torch.tensor([[0.0, 0.25, 0.75, 0.0]]).expand(3, -1)
    mixture = field.mix(torch.ones(3, 2), torch.full((3,), 0.5), weights=frozen)
    assert torch.equal(mixture.weights, frozen)
    assert times_asked(experts) == [0, 3, 3, 0]
    assert mixture.calls.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("system", "route", "told"),
    [
        (ring, "learned/full", "has no router network; take exact, nearest, uniform or fixed"),
        (network_system, "exact/full", "has no closed-form posterior; take learned, nearest, un"),
        (ring, "fixed:expert=6/full", "no expert 6; system 'ring' has experts 0 to 5"),
    ],
)
def test_what_a_system_lacks_is_told_in_a_sentence(system, route, told) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError) as caught:
        build_ensemble(system(), parse_route(route))
    assert told in str(caught.value)


def test_a_system_without_a_monolith_says_so() -> None:
    alone = dataclasses.replace(ring(), monolith=None)
    with pytest.raises(RequestError, match="system 'ring' has no monolith; take top_k or full"):
        build_ensemble(alone, parse_route("monolith"))


def test_a_route_without_a_router_takes_the_best_there_is() -> None:
    assert network_system().default_router == "learned"
    assert ring().default_router == "exact"
    assert dataclasses.replace(ring(), posterior=None).default_router == "nearest"


@pytest.mark.parametrize("route", ["top_k:k=3", "full", "nearest/sticky", "wrong", "sample"])
def test_one_expert_is_always_right(route: str) -> None:
    """K = 1: every route is the monolith."""
    system = ring(RingSettings(experts=1))
    routed = recorded(system, [], route=route, dtype=torch.float64).samples
    alone = recorded(system, [], route="monolith", dtype=torch.float64).samples
    torch.testing.assert_close(routed, alone, rtol=1e-9, atol=1e-9)
