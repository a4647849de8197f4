"""Sampling as a whole: a sample is its seed, only who is routed runs, and nothing half is kept."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import STEPS, TIMES, counted, run
from torch import Tensor

from ddm_core.errors import WorkError
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES
from ddm_core.routers.base import ROUTERS
from ddm_core.run import sample
from ddm_core.samplers.base import SAMPLERS
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import load_system
from ddm_core.systems.base import System
from ddm_core.testing.probes import recorded

#: Strategies that draw, that remember, that take all, and a router that looks at its own answer.
ROUTES = ("top_k:k=1", "full", "sample", "sample_once", "sticky:margin=0.3", "nearest/top_k:k=2")


@pytest.fixture(scope="module")
def systems() -> dict[str, System]:
    """Loaded once, and in place: moving them to the CPU copies nothing."""
    return {name: load_system(name).to(torch.device("cpu")) for name in ("ring", "digits")}


@pytest.fixture(scope="module")
def digits(systems: dict[str, System]) -> System:
    return systems["digits"]


def assert_close(one: Tensor, other: Tensor) -> None:
    """Equal up to what another batch size does to the order of sums."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


CASES = [
    *itertools.product(("ring", "digits"), SAMPLERS, ("top_k:k=2",)),
    *itertools.product(("ring", "digits"), ("euler",), ROUTES),
    ("digits", "heun", "sample"),
    ("digits", "ddpm", "nearest/sticky:k=2"),
]


@pytest.mark.parametrize(("name", "sampler", "route"), CASES)
def test_a_sample_is_its_seed(
    systems: dict[str, System], name: str, sampler: str, route: str
) -> None:
    system = systems[name]
    whole = run(system, route, sampler=sampler, seed=20).samples
    assert len(torch.unique(whole, dim=0)) == 7
    for batch, workers in ((1, 2), (3, 1), (7, 2)):
        split = run(system, route, sampler=sampler, seed=20, batch=batch, workers=workers)
        assert_close(split.samples, whole)
    for seed in (20, 23, 26):
        alone = run(system, route, sampler=sampler, seed=seed, num=1).samples
        assert_close(alone[0], whole[seed - 20])
    order = (26, 20, 24, 21, 25, 23, 22)
    mixed = recorded(system, [], route=route, sampler=sampler, seeds=order, steps=STEPS).samples
    assert_close(mixed, whole[[seed - 20 for seed in order]])


@pytest.mark.parametrize("name", ["ring", "digits"])
@pytest.mark.parametrize("route", [*ROUTES, "nearest/sticky", "monolith"])
def test_nobody_notices_who_works_and_who_looks(
    systems: dict[str, System], name: str, route: str
) -> None:
    """The same batches are the same bits: with two workers, and under every probe there is."""
    system = systems[name]
    plain = run(system, route, batch=4)
    # All probes with networks only where a strategy remembers: each by itself is tried elsewhere.
    everything = name == "ring" or route == "nearest/sticky"
    watched = run(system, route, batch=4, workers=2, probes=("all" if everything else "standard",))
    for other in (run(system, route, batch=4, workers=2), watched):
        assert torch.equal(other.samples, plain.samples)
        assert other.hashes == plain.hashes
    assert len(plain.trace.data_vars) == 0 < len(watched.trace.data_vars)


def test_the_noise_is_that_of_the_seeds_and_of_nothing_else(digits: System) -> None:
    hashes = [
        run(digits, route, sampler=sampler, batch=batch).hashes["x_T"]
        for route, sampler, batch in (
            ("top_k:k=1", "euler", 0),
            ("full", "ddpm", 2),
            ("monolith", "heun", 3),
        )
    ]
    assert len(set(hashes)) == 1
    assert run(digits, seed=1).hashes["x_T"] not in hashes
    assert run(digits, num=6).hashes["x_T"] not in hashes


def test_the_front_door_is_the_same_run(digits: System) -> None:
    asked = run(digits, "learned:temperature=2/sticky", seed=5, label=3, probes=("weights",))
    for system in ("digits", digits):
        found = sample(
            system,
            "learned:temperature=2/sticky",
            seeds=[5, 6, 7, 8, 9, 10, 11],
            steps=STEPS,
            label=3,
            probes="weights",
            device="cpu",
        )
        assert_close(found.samples, asked.samples)
        assert found.config.digest == asked.config.digest
        assert found.seeds.tolist() == [5, 6, 7, 8, 9, 10, 11]
        assert list(found.trace.data_vars) == ["weights"]


@pytest.mark.parametrize("name", ["ring", "digits"])
@pytest.mark.parametrize("route", [*ROUTES, "threshold:tau=0.2", "nearest/sticky:k=3"])
def test_only_routed_experts_run(systems: dict[str, System], name: str, route: str) -> None:
    system, experts = counted(systems[name])
    probes = ("weights", "expert_calls")
    trace = run(system, route, num=11, batch=4, workers=2, probes=probes).trace
    asked = (trace.weights > 0).sum("sample")
    if route.startswith("nearest"):
        # It has no prediction to look at before it has asked everybody once.
        asked[0] += 11
    rows = [[expert.rows[t] for expert in experts] for t in TIMES]
    assert asked.values.tolist() == rows
    assert trace.expert_calls.values.tolist() == [sum(row) for row in rows]
    if name == "digits" and route == "top_k:k=1":
        # The route does choose: were it always the same expert, nothing would be shown here.
        assert np.count_nonzero(asked.sum("step")) > 3


def test_every_stage_of_a_step_is_counted(digits: System) -> None:
    system, experts = counted(digits)
    trace = run(system, "top_k:k=1", sampler="heun", batch=3, probes=("expert_calls",)).trace
    assert trace.expert_calls.values.tolist() == [14, 14, 14, 7]
    assert sum(expert.rows.total() for expert in experts) == 7 * 7


def test_probes_that_look_at_all_experts_are_not_charged(digits: System) -> None:
    system, experts = counted(digits)
    fields = {"num": 9, "batch": 4, "observed": 5, "probes": ("disagreement", "expert_calls")}
    trace = run(system, "top_k:k=1", **fields).trace
    # Five samples were observed by all eight experts; the other four by the one that was routed.
    assert sum(expert.rows.total() for expert in experts) == STEPS * (5 * 8 + 4)
    assert trace.expert_calls.values.tolist() == [9] * STEPS
    seen = trace.disagreement.notnull().all("step").values.tolist()
    assert seen == [True] * 5 + [False] * 4
    assert bool(trace.disagreement.isel(sample=slice(5, None)).isnull().all())


def unguided(system: System, k: int, x: Tensor, t: float, label: int | None) -> Tensor:
    """What one expert says, asked directly."""
    times = torch.full((len(x),), t, dtype=x.dtype)
    condition = None if label is None else torch.full((len(x),), label)
    return system.experts[k](x, times, condition)


def by_hand(system: System, label: int | None, guidance: float, expert: int | None) -> Tensor:
    """Euler with v_u + g (v_c - v_u), of one expert or of all under the router's softmax."""
    x = Noise(tuple(range(7)), system.shape, torch.float64).initial()
    assert system.router is not None
    with torch.no_grad():
        for t, s in itertools.pairwise((*TIMES, 0.0)):
            p = torch.softmax(system.router(x, torch.full((7,), t, dtype=x.dtype)), dim=1)
            if expert is not None:
                p = torch.zeros_like(p)
                p[:, expert] = 1
            v = torch.zeros_like(x)
            for k in range(len(system.experts)):
                v_c = unguided(system, k, x, t, label)
                v_u = unguided(system, k, x, t, None)
                v += p[:, k].reshape(-1, 1, 1, 1) * (v_u + guidance * (v_c - v_u))
            x = x + (s - t) * v
    return x


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("expert", [None, 5])
def test_guidance_is_its_formula(digits: System, guidance: float, expert: int | None) -> None:
    route = "learned/full" if expert is None else f"fixed:expert={expert}/full"
    fields = {"label": 7, "guidance": guidance, "dtype": "float64", "batch": 4}
    found = run(digits, route, **fields).samples
    double = digits.to(torch.device("cpu"), torch.float64)
    expected = by_hand(double, 7, guidance, expert)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_guidance_goes_from_no_label_to_the_label(digits: System) -> None:
    free = run(digits)
    asked = {g: run(digits, label=3, guidance=g).samples for g in (0.0, 1.0, 2.0)}
    assert_close(asked[0.0], free.samples)
    assert torch.equal(asked[1.0], run(digits, label=3).samples)
    for one, other in itertools.combinations([*asked.values(), run(digits, label=4).samples], 2):
        assert float((one - other).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["ring", "digits"])
@pytest.mark.parametrize("route", ROUTES)
def test_the_trace_says_what_happened(systems: dict[str, System], name: str, route: str) -> None:
    fields = {"seed": 90, "num": 9, "batch": 2, "workers": 2, "observed": 3}
    result = run(systems[name], route, probes=("standard",), **fields)
    trace, experts = result.trace, len(systems[name].experts)
    assert dict(trace.weights.sizes) == {"step": STEPS, "sample": 9, "expert": experts}
    for shares in (trace.weights, trace.router_probability):
        assert float(shares.min()) >= 0
        np.testing.assert_allclose(shares.sum("expert"), 1, rtol=0, atol=1e-6)
    calls = (trace.weights > 0).sum(("sample", "expert")).values
    if route.startswith("nearest"):
        calls[0] += 9 * experts
    np.testing.assert_array_equal(trace.expert_calls, calls)
    assert trace.sample.values.tolist() == result.seeds.tolist() == list(range(90, 99))
    assert trace.t.dims == ("step",)
    assert trace.t.values.tolist() == list(TIMES)
    assert trace.attrs["router"] == result.config.router
    assert trace.attrs["config_digest"] == result.config.digest
    # What is dear was measured on the first samples, everything else on all of them.
    for variable in trace.data_vars.values():
        if "sample" in variable.dims:
            measured = variable.notnull().all([dim for dim in variable.dims if dim != "sample"])
            assert measured.values.tolist() in ([True] * 9, [True] * 3 + [False] * 6)
    assert bool(trace.selected_distance.notnull().all())
    assert bool(trace.disagreement.isel(sample=8).isnull().all())


@pytest.mark.parametrize("experts", [1, 64])
@pytest.mark.parametrize("route", [*ROUTES, "nucleus", "threshold", "wrong", "uniform/sticky:k=3"])
def test_one_expert_and_many(experts: int, route: str) -> None:
    system = load_system(f"ring:experts={experts}")
    result = run(system, route, probes=("all",))
    assert bool(result.samples.isfinite().all())
    for name, variable in result.trace.data_vars.items():
        assert bool(np.isfinite(variable.values).all()), name
    weights = result.trace.weights
    np.testing.assert_allclose(weights.sum("expert"), 1, rtol=0, atol=1e-6)
    if experts == 1:
        assert bool((weights == 1).all())
        assert_close(result.samples, run(system, "monolith").samples)


PLUGINS = {
    "router": """
from ddm_core.routers.base import Router, register
@register
@dataclasses.dataclass(frozen=True)
class Mine(Router):
    name = "mine"
    def bind(self, system): {body}
""",
    "strategy": """
from ddm_core.strategies.base import MemorylessStrategy, register
@register
@dataclasses.dataclass(frozen=True)
class Mine(MemorylessStrategy):
    name = "mine"
    def weights(self, p): {body}
""",
    "probe": """
from ddm_core.probes.base import Probe, register
from ddm_core.trace import Variable
@register
@dataclasses.dataclass(frozen=True)
class Mine(Probe):
    name = "mine"
    variable = Variable("mine", ("step", "sample", "expert"), "x")
    def begin(self, scene): {body}
""",
}


@pytest.mark.parametrize(
    ("family", "body", "words"),
    [
        ("router", "raise ValueError('no\\n net')", "router 'mine': ValueError: no net"),
        ("router", "return 5", "router 'mine': bind gave an int, which is no function"),
        ("router", "return lambda s: None", "router 'mine' at step 0: logits: nothing, not a ten"),
        ("router", "return lambda s: s.oops", "router 'mine' at step 0: AttributeError: "),
        (
            "router",
            "return lambda s: s.x_t.new_zeros(len(s.x_t), 3)",
            "router 'mine' at step 0: logits of shape [7, 3], not [7, 6]",
        ),
        (
            "router",
            "return lambda s: torch.zeros(7, 6, dtype=torch.float64)",
            "router 'mine' at step 0: logits of torch.float64, not torch.float32",
        ),
        (
            "router",
            "return lambda s: s.x_t.new_zeros(7, 6 if s.t[0] > 0.6 else 5)",
            "router 'mine' at step 2: logits of shape [7, 5], not [7, 6]",
        ),
        ("strategy", "pass", "strategy 'mine' at step 0: weights: nothing, not a tensor [7, 6]"),
        ("strategy", "return p[:, :2]", "strategy 'mine' at step 0: weights of shape [7, 2], not"),
        ("strategy", "1 / 0", "strategy 'mine' at step 0: ZeroDivisionError: division by zero"),
        ("strategy", "raise SystemExit(0)", "strategy 'mine' at step 0: it calls exit(0) where"),
        ("probe", "return 5", "probe 'mine': begin gave an int, which is no function"),
        (
            "probe",
            "return lambda step: step.t",
            "probe 'mine' at step 0: mine (sample, expert): a",
        ),
        (
            "probe",
            "return lambda step: step.x_t[:, 0]",
            "probe 'mine' at step 0: mine (sample, expert) of shape [7], not [7, 6]",
        ),
        ("probe", "return lambda step: 1 / (2 - step.index)", "probe 'mine' at step 0: mine (sam"),
    ],
)
def test_a_fault_of_a_plugin_names_it_and_the_step(
    systems: dict[str, System],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    body: str,
    words: str,
) -> None:
    for registry in (ROUTERS, STRATEGIES, PROBES):
        members: dict[str, Any] = {name: registry[name] for name in registry}
        monkeypatch.setattr(registry, "_members", members)
    scope = {"__name__": __name__, "dataclasses": dataclasses, "torch": torch}
    exec(PLUGINS[family].format(body=body), scope)
    route = {"router": "mine/full", "strategy": "mine", "probe": "full"}[family]
    probes = ("mine",) if family == "probe" else ()
    with pytest.raises(WorkError) as caught:
        run(systems["ring"], route, probes=probes)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert str(copy.copy(caught.value)) == str(caught.value)
