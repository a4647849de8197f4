"""The audit as a whole: what it says, that it goes on where it stopped, that it names faults."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddm_core import systems
from ddm_core.analysis import crew as crew_module
from ddm_core.analysis import parts as parts_module
from ddm_core.analysis import plan as plan_module
from ddm_core.analysis.audit import State, audit
from ddm_core.analysis.findings import Measurements
from ddm_core.analysis.parts import Part, load_part
from ddm_core.analysis.plan import Request
from ddm_core.analysis.sections import alignment
from ddm_core.cli import run
from ddm_core.denoise import Denoiser
from ddm_core.errors import RequestError
from ddm_core.run import Cancelled
from ddm_core.store import Store
from ddm_core.systems.base import System

Document = dict[str, Any]


def audited(
    request: Request, store: Store, on_state: Callable[[State], None] = lambda state: None
) -> Document:
    return audit(request, store, on_state=on_state, should_stop=lambda: False)[1]


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def estimates(value: Any) -> Iterator[Document]:
    if isinstance(value, dict):
        if {"value", "low", "high", "n", "method"} <= value.keys():
            yield value
        for one in value.values():
            yield from estimates(one)
    elif isinstance(value, list):
        for one in value:
            yield from estimates(one)


RING = Request(system="ring", num=256, steps=16, budget=3600)


@pytest.fixture(autouse=True)
def little_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few items noised to one level are as good for how an audit goes, and shorter.

    The audit of `ring` below is whole: what is of the module is made before this.
    """
    monkeypatch.setattr(parts_module, "LEVELS", (0.5,))
    monkeypatch.setattr(plan_module, "LEAST_REAL", 64)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Document, Store]]:
    store = Store(tmp_path_factory.mktemp("audit"))
    with pytest.MonkeyPatch.context() as patch:
        # One error and two temperatures make a map as well as three and four, in less time.
        patch.setattr(plan_module, "ERRORS", (0.0,))
        patch.setattr(plan_module, "TEMPERATURES", (1.0, 4.0))
        yield audited(RING, store), store


def test_the_document_is_json_and_finite(ring: tuple[Document, Store]) -> None:
    document, _ = ring
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert all(math.isfinite(one) for one in numbers(document))
    found = list(estimates(document))
    assert len(found) > 500
    for one in found:
        assert one["method"]
        if one["low"] is not None:
            assert one["low"] <= one["value"] <= one["high"], one
            assert one["n"] >= 2


def test_four_claims_with_effect_interval_and_n(ring: tuple[Document, Store]) -> None:
    claims = ring[0]["claims"]
    assert [claim["claim"] for claim in claims] == [1, 2, 3, 4]
    for claim in claims:
        assert claim["verdict"] in {"supported", "contradicted", "undecided"}
        assert claim["low"] <= claim["effect"] <= claim["high"]
        assert claim["n"] > 0
        assert claim["sentence"].endswith(".")


def test_the_ring_is_as_the_theory_says(ring: tuple[Document, Store]) -> None:
    """Exact experts and an exact router: the whole ensemble is the flow itself."""
    document, _ = ring
    routes = {route["router"]: route for route in document["routes"]}
    same = ("energy_distance", "growth", "lipschitz", "delta_refine", "routed_loss")
    for name in same:
        full, monolith = (routes[r]["numbers"][name]["value"] for r in ("full", "monolith"))
        assert full == pytest.approx(monolith, rel=1e-3), name
    # Nobody can know the cluster better than the posterior does.
    assert routes["full"]["numbers"]["excess_over_oracle"]["value"] == pytest.approx(0, abs=1e-6)
    worse = {r: n["numbers"]["routed_loss"]["value"] for r, n in routes.items() if n["numbers"]}
    assert min(worse, key=worse.__getitem__) in {"full", "monolith"}
    assert document["router"]["temperature"]["low"] < 1 < document["router"]["temperature"]["high"]
    assert document["claims"][1]["verdict"] == "supported"
    assert document["claims"][2]["verdict"] == "supported"


def test_a_router_too_soft_brings_the_paradox_and_the_exact_one_does_not(
    ring: tuple[Document, Store],
) -> None:
    """The small exact experiment: with logits / 4 the whole ensemble is the stablest and worst."""
    orders = {(o["error"], o["temperature"]): o for o in ring[0]["map"]["orders"]}
    assert orders[0.0, 4.0]["paradox"]
    assert orders[0.0, 4.0]["worst"] == 6
    assert not orders[0.0, 1.0]["paradox"]
    assert orders[0.0, 1.0]["worst"] == 1
    exact, soft = (orders[0.0, t]["full_minus_sparse"] for t in (1.0, 4.0))
    assert exact["high"] < soft["low"]


def test_every_route_is_a_run_and_every_cell_of_the_map_is_there(
    ring: tuple[Document, Store],
) -> None:
    document, store = ring
    here = {run.id: run for run in store.runs()}
    for route in document["routes"]:
        assert here[route["run"]].router == route["router"]
        assert "audit" in here[route["run"]].tags
    found = {(c["error"], c["temperature"], c["k"]) for c in document["map"]["cells"]}
    m = document["map"]
    assert found == {(e, t, k) for e in m["errors"] for t in m["temperatures"] for k in m["ks"]}


def test_buckets_say_which_samples_they_hold(ring: tuple[Document, Store]) -> None:
    document, store = ring
    (sparse, _) = document["disagreement"]["routes"]
    run = next(r["run"] for r in document["routes"] if r["router"] == sparse["router"])
    spread = store.trace(run)["disagreement"].mean("step").values
    held = [bucket["samples"] for bucket in sparse["buckets"]]
    assert sorted(one for some in held for one in some) == list(range(RING.num or 0))
    for bucket, some in zip(sparse["buckets"], held, strict=True):
        assert len(some) == bucket["n"]
        assert bucket["low"] - 1e-6 <= spread[some].min()
        assert spread[some].max() <= bucket["high"] + 1e-6


def test_evidence_is_of_all_routes_that_are_not_of_the_map_alone(
    ring: tuple[Document, Store],
) -> None:
    """A router's temperature may be what a route is about: its kind says why it was measured."""
    steps = np.ones((3, 5))
    series = dict.fromkeys(("chosen", "not_chosen", "hit", "rank", "share"), steps)
    t, usage = np.array([1.0, 0.6, 0.3]), np.full((3, 2), 0.5)
    part = Part("", None, None, 1.0, 1.0, "", np.zeros((5, 2)), t, series, usage, {}, {}, b"")
    kept, mapped = "exact:temperature=fitted/full", "exact:temperature=4/full"
    both = dict.fromkeys((kept, mapped))
    m: Any = Measurements(
        *(dict.fromkeys(both, part), both, {}, "fid", "top_k:k=1", "full", None, None, "", None),
        mapped=frozenset({mapped}),
    )  # pyright: ignore[reportArgumentType]
    assert [one["router"] for one in alignment(m)["routes"]] == [kept]
    document, _ = ring
    own = {route["router"] for route in document["routes"] if route["kind"] != "map"}
    for section, rows in (("alignment", "routes"), ("accuracy", "loss")):
        assert {one["router"] for one in document[section][rows]} <= own
        assert len(document[section][rows]) > 3
    across = document["disagreement"]["across"]
    assert across == document["claims"][3]["tests"][-1]["estimate"]
    assert across["n"] <= len(document["routes"])


def test_every_route_is_measured_on_real_data_too(ring: tuple[Document, Store]) -> None:
    document, _ = ring
    for route in document["routes"]:
        assert route["numbers"]["lipschitz_noised"]["n"] == document["plan"]["stability_samples"]
    assert "lipschitz_noised" in {row["name"] for row in document["league"]["rows"]}


def test_again_is_the_same_without_sampling(ring: tuple[Document, Store]) -> None:
    document, store = ring
    before = {run.id for run in store.runs()}
    seen: list[State] = []
    again = audited(RING, store, seen.append)
    assert stripped(again) == stripped(document)
    assert {run.id for run in store.runs()} == before
    assert seen
    assert all(state.sampling is None for state in seen)


def stripped(document: Document) -> Document:
    """Without what is of the clock."""
    out = {k: v for k, v in document.items() if k not in {"created", "seconds"}}
    routes = [
        {k: v for k, v in route.items() if k not in {"run", "seconds"}} for route in out["routes"]
    ]
    return {**out, "routes": routes}


def test_stopped_anywhere_it_goes_on_and_says_the_same(tmp_path: Path) -> None:
    request = Request(system="ring:experts=3", num=64, steps=4, budget=5, map=False)
    straight = audited(request, Store(tmp_path / "straight"))
    store = Store(tmp_path / "stopped")
    for after in (1, 7, 30):
        told = 0

        def stop(after: int = after) -> bool:
            nonlocal told
            told += 1
            return told > after

        with pytest.raises(Cancelled):
            audit(request, store, on_state=lambda state: None, should_stop=stop)
    (folder,) = (tmp_path / "stopped" / "audits").iterdir()
    before = float((folder / "seconds.json").read_text())
    assert before > 0
    # The plan is kept: a machine that is faster now does not change what is measured.
    whole = audited(request, store)
    assert stripped(whole) == stripped(straight)
    assert whole["seconds"] > before  # what was spent before it was stopped is not forgotten
    routes = [run.config.router for run in store.runs()]
    assert len(routes) == len(set(routes))  # no run was made twice


def test_ctrl_c_is_a_sentence_and_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle the command says so; asked again it goes on with what is there."""
    asked = ["audit", "ring:experts=2", "--num", "32", "--budget", "1s", "--steps", "4"]
    asked += ["--no-map", "--runs", str(tmp_path)]
    plain, kept = crew_module.save_part, 0

    def stopped(path: Path, part: Part) -> None:
        nonlocal kept
        plain(path, part)
        kept += 1
        if kept == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(crew_module, "save_part", stopped)
    assert run(asked) == 130
    assert (
        "stopped by Ctrl-C; what was measured is kept: the same command" in capsys.readouterr().err
    )
    before = {one.id for one in Store(tmp_path).runs()}
    assert len(before) == 3
    assert run(asked) == 0
    after = [one.config.router for one in Store(tmp_path).runs()]
    assert before < {one.id for one in Store(tmp_path).runs()}
    assert len(after) == len(set(after))  # no route was sampled twice
    (folder,) = (tmp_path / "audits").iterdir()
    assert (folder / "report.html").is_file()
    # Two experts are as few as there can be.
    document = json.loads((folder / "audit.json").read_text())
    assert len(document["claims"]) == 4
    assert np.shape(document["accuracy"]["matrix"]) == (10, 2, 2)


class Broken(Denoiser):
    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.full_like(x_t, torch.nan)


class Always(nn.Module):
    """A router that sees nothing."""

    def __init__(self, k: int, count: int) -> None:
        super().__init__()
        self.register_buffer("answer", torch.full((count,), -20.0))
        self.answer[k] = 20.0

    answer: Tensor

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.answer.to(x_t.dtype).expand(len(x_t), -1)


def base() -> System:
    return dataclasses.replace(systems.load_system("ring:experts=4"), name="faulty")


def nan_expert() -> System:
    ring = base()
    experts = (*ring.experts[:3], Broken(ring.schedule))
    return dataclasses.replace(ring, experts=experts, digest="nan")


def three_faults() -> System:
    ring = base()
    return dataclasses.replace(
        ring,
        experts=(ring.experts[0], ring.experts[0], *ring.experts[2:]),
        clusters=dataclasses.replace(ring.clusters, sizes=(500, 400, 300, 3)),
        router=Always(2, 4),
        digest="three",
    )


@pytest.mark.parametrize(
    ("make", "sentences"),
    [
        (nan_expert, ["expert 3"]),
        (
            three_faults,
            [
                "the router picks expert 2 in 100.0% of all steps",
                "experts 0 and 1 are the same",
                "cluster 3 holds 3 training images",
            ],
        ),
    ],
)
def test_a_bad_system_is_audited_and_each_fault_named(
    make: Callable[[], System],
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(systems, "_plugged", lambda: {"faulty": make})
    document = audited(
        Request(system="faulty", num=32, steps=4, budget=1, map=False), Store(tmp_path)
    )
    for sentence in sentences:
        assert any(sentence in one for one in document["health"]), document["health"]
    assert [claim["claim"] for claim in document["claims"]] == [1, 2, 3, 4]
    json.dumps(document, allow_nan=False)


def test_a_sound_system_has_no_faults(ring: tuple[Document, Store]) -> None:
    assert ring[0]["health"] == []


def test_many_experts_and_progress_rises_to_the_end(tmp_path: Path) -> None:
    seen: list[State] = []
    request = Request(system="ring:experts=64", num=32, budget=5, steps=4, map=False)
    document = audited(request, Store(tmp_path), seen.append)
    assert len(document["claims"]) == 4
    assert np.shape(document["accuracy"]["matrix"]) == (10, 64, 64)
    done = [state.done for state in seen]
    assert done == sorted(done)
    assert done[-1] <= seen[-1].total
    assert done[-1] > 0.95 * seen[-1].total
    assert any(state.eta is not None for state in seen)


def test_one_expert_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has one expert"):
        audited(Request(system="ring:experts=1", num=32, steps=4), Store(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_is_told_in_a_sentence(ring: tuple[Document, Store]) -> None:
    _, store = ring
    (folder,) = (store.root / "audits").iterdir()
    whole = (folder / "part-000.npz").read_bytes()
    for damaged in (b"", whole[:200], b"PK" + whole[2:60], b"no archive"):
        path = folder / "damaged.npz"
        path.write_bytes(damaged)
        with pytest.raises(RequestError, match=r"damaged\.npz is no part of an audit"):
            load_part(path)
