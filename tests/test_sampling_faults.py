"""Sampling that goes wrong: who lost the numbers is named, and nothing half is kept."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import TIMES, config_of, counted, run
from torch import Tensor

from ddm_core.denoise import Denoiser
from ddm_core.errors import RequestError, WorkError
from ddm_core.make import Order, make_run, yardstick
from ddm_core.run import Cancelled, Progress, execute, sample
from ddm_core.samplers.base import SAMPLERS
from ddm_core.store import Store
from ddm_core.strategies.base import STRATEGIES, MemorylessStrategy, register
from ddm_core.systems import load_system
from ddm_core.systems.base import System


@pytest.fixture(scope="module")
def systems() -> dict[str, System]:
    """Loaded once, and in place: moving them to the CPU copies nothing."""
    return {name: load_system(name).to(torch.device("cpu")) for name in ("ring", "digits")}


@pytest.fixture(scope="module")
def digits(systems: dict[str, System]) -> System:
    return systems["digits"]


class Broken(Denoiser):
    """An expert whose numbers are lost below a time."""

    def __init__(self, inner: Denoiser, below: float = 2.0, value: float = torch.nan) -> None:
        super().__init__(inner.schedule)
        self.inner = inner
        self.below = below
        self.value = value

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        v = self.inner(x_t, t, condition)
        lost = (t < self.below).reshape(-1, *[1] * (v.ndim - 1))
        return torch.where(lost, torch.full_like(v, self.value), v)


class Lost(torch.nn.Module):
    """A router network that knows nothing."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.full((len(x_t), 8), torch.nan)


def without(system: System, expert: int, **how: float) -> System:
    """The same system with one broken expert."""
    experts = [Broken(e, **how) if k == expert else e for k, e in enumerate(system.experts)]
    return dataclasses.replace(system, experts=tuple(experts))


def told(system: System, router: str, **fields: Any) -> str:
    with pytest.raises(WorkError) as caught:
        run(system, router, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_broken_expert_is_named_with_its_step(
    digits: System, sampler: str, value: float
) -> None:
    system = without(digits, 3, below=0.6, value=value)
    sentence = told(system, "fixed:expert=3/full", sampler=sampler, seed=40, num=2)
    # Heun looks ahead: the second stage of the step before is the first to ask at t = 0.5.
    step, t = (1, 0.75) if sampler == "heun" else (2, 0.5)
    assert sentence == (
        f"not a number at step {step} (t = {t}) from expert 3 for seed 40, 41; nothing was stored"
    )


def test_only_the_samples_that_asked_are_named(digits: System) -> None:
    weights = run(digits, "top_k:k=1", num=64, batch=64, probes=("weights",)).trace.weights
    late = weights.sel(expert=3).isel(step=slice(2, None)) > 0
    step = int(late.any("sample").argmax("step")) + 2
    seeds = late.sample[late.isel(step=step - 2).values].values.tolist()
    assert 0 < len(seeds) < 64
    system = without(digits, 3, below=0.6)
    sentence = told(system, "top_k:k=1", num=64, batch=64)
    names = ", ".join(map(str, seeds[:5])) + (f" and {len(seeds) - 5} more;" if seeds[5:] else ";")
    assert f"at step {step} (t = {TIMES[step]}) from expert 3 for seed {names}" in sentence


def test_whoever_lost_the_numbers_is_named(digits: System) -> None:
    assert digits.monolith is not None
    alone = dataclasses.replace(digits, monolith=Broken(digits.monolith))
    assert "step 0 (t = 1) from the monolith for seed 0" in told(alone, "monolith", num=1)
    blind = dataclasses.replace(digits, router=Lost())
    for route in ("top_k:k=2", "full", "sample"):
        assert "step 0 (t = 1) from the router for seed 0" in told(blind, route, num=1)
    guided = without(digits, 6)
    assert "from expert 6" in told(guided, "fixed:expert=6/full", num=1, label=1, guidance=3.0)


def test_a_strategy_that_loses_the_numbers_is_named(
    digits: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forgotten again: it would be a strategy in every later test.
    monkeypatch.setattr(STRATEGIES, "_members", {name: STRATEGIES[name] for name in STRATEGIES})

    @register
    @dataclasses.dataclass(frozen=True)
    class Divides(MemorylessStrategy):
        """What is left of nothing."""

        name = "divides"

        def weights(self, probabilities: Tensor) -> Tensor:
            return 0 * probabilities / (0 * probabilities)

    assert "step 0 (t = 1) from the strategy for seed 0" in told(digits, "divides", num=1)


def test_a_route_that_never_asks_the_broken_expert_works(digits: System) -> None:
    broken = without(digits, 3)
    for route in ("fixed:expert=1/full", "learned:temperature=0.001/top_k:k=1", "monolith"):
        fields = {"seed": 20, "num": 3, "probes": ("weights", "router_probability")}
        sound = run(digits, route, **fields)
        if route.startswith("learned"):
            assert not bool((sound.trace.weights.sel(expert=3) > 0).any())
        found = run(broken, route, **fields)
        assert torch.equal(found.samples, sound.samples)
        assert found.trace.drop_attrs().identical(sound.trace.drop_attrs())
    # A probe that asks everybody loses its own numbers, never the sample's.
    dense = run(broken, "fixed:expert=1/full", seed=20, num=3, probes=("disagreement",))
    plain = run(digits, "fixed:expert=1/full", seed=20, num=3)
    assert torch.equal(dense.samples, plain.samples)
    assert bool(dense.trace.disagreement.isnull().all())


def left_in(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.name != ".lock"]


def test_a_run_that_fails_is_not_stored(digits: System, tmp_path: Path) -> None:
    system = without(digits, 3, below=0.6)
    order = Order(config_of(system, "fixed:expert=3/full", num=40, batch=4), system, None)
    store = Store(tmp_path / "runs")
    with pytest.raises(WorkError, match="nothing was stored"):
        make_run(store, order, on_progress=lambda now: None, on_measure=lambda done, total: None)
    assert store.runs() == []
    assert left_in(store.root) == []


@pytest.mark.parametrize("stop", [Cancelled("enough"), KeyboardInterrupt()])
def test_a_cancelled_run_ends_at_once_and_leaves_nothing(
    systems: dict[str, System], tmp_path: Path, stop: BaseException
) -> None:
    system, experts = counted(systems["ring"])

    def on_progress(now: Progress) -> None:
        if now.done:
            raise stop

    order = Order(config_of(system, num=20, steps=10_000, batch=10, workers=2), system, None)
    store = Store(tmp_path / "runs")
    before = threading.active_count()
    with pytest.raises(type(stop)):
        make_run(store, order, on_progress=on_progress, on_measure=lambda done, total: None)
    assert store.runs() == []
    assert left_in(store.root) == []
    # No worker goes on to the end behind the caller's back.
    assert threading.active_count() == before
    assert 0 < sum(expert.rows.total() for expert in experts) < 2 * 20 * 10_000


def test_a_run_cancelled_while_measured_keeps_its_samples(
    systems: dict[str, System], tmp_path: Path
) -> None:
    system = systems["ring"]
    config = config_of(system, metrics=("fid",))
    store = Store(tmp_path / "runs")
    with pytest.raises(WorkError, match="cancelled"):
        make_run(
            store,
            Order(config, system, yardstick(system, device="cpu")),
            on_progress=lambda now: None,
            on_measure=lambda done, total: None,
            should_stop=lambda: True,
        )
    (record,) = store.runs()
    assert record.status == "done"
    assert record.metrics == {}
    assert store.samples(record.id).seeds.tolist() == list(range(7))


def test_progress_ends_at_the_end_and_shows_the_first_samples(systems: dict[str, System]) -> None:
    shapes = {"ring": (3, 2), "digits": (3, 8, 8, 1)}
    for name, system in systems.items():
        heard: list[Progress] = []
        config = config_of(system, num=5, batch=4, shown=3)
        result = execute(config, heard.append, system=system)
        last = heard[-1]
        assert (last.done, last.total, last.step, last.steps) == (20, 20, 4, 4)
        assert [now.done for now in heard] == sorted(now.done for now in heard)
        assert last.preview is not None
        picture = last.preview()
        assert picture.shape == shapes[name]
        assert picture.dtype == result.images.dtype


GIANT = 10**9


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("ring", {"steps": GIANT}, "steps = 1000000000 is not possible"),
        ("ring", {"seeds": range(GIANT)}, "num = 1000000000 is not possible"),
        ("ring", {"steps": 0}, "steps = 0 is not possible"),
        ("ring", {"steps": -1}, "steps = -1 is not possible"),
        ("ring", {"steps": 2.5}, "steps = 2.5 is not possible"),
        ("ring", {"seeds": []}, "at least one, as in range(16)"),
        ("ring", {"seeds": [0, 2]}, "seeds must be consecutive"),
        ("ring", {"seeds": range(9, 0, -1)}, "seeds must be consecutive"),
        ("ring", {"seeds": [-1, 0]}, "seed = -1 is not possible"),
        ("ring", {"seeds": [2**62]}, "seed = 4611686018427387904 is not possible"),
        ("ring", {"label": 0}, "no label 0 in system 'ring'; there are: none (it is uncondition"),
        ("ring", {"guidance": 2.0}, "system 'ring' has none: leave it at 1"),
        ("digits", {"label": 10}, "no label 10 in system 'digits'; there are: 0, 1, 2"),
        ("digits", {"label": -1}, "label = -1 is not possible"),
        ("digits", {"guidance": 2.0}, "guidance 2 needs a label to guide to; add one"),
        ("digits", {"label": 1, "guidance": float("nan")}, "guidance = nan is not possible"),
        ("digits", {"label": 1, "guidance": -1.0}, "guidance = -1.0 is not possible"),
        ("digits", {"label": 1, "guidance": 1e9}, "guidance = 1000000000.0 is not possible"),
        (
            "digits",
            {"router": "fixed:expert=8/full"},
            "no expert 8; system 'digits' has experts 0",
        ),
        ("ring", {"router": "top_k:k=7"}, "k=7 in 'top_k:k=7' is more than the 6 experts of sys"),
        ("ring", {"router": "exact/sticky:k=7"}, "k=7 in 'sticky:k=7' is more than the 6 expert"),
        ("digits", {"router": "exact/full"}, "'digits' has no closed-form posterior"),
        ("digits", {"probes": "state"}, "probe 'state' needs points; 'digits' has none"),
        (
            "digits",
            {"seeds": range(10**6), "steps": 10_000, "probes": "all"},
            "1,000,000 samples x 10,000 steps with these probes need ",
        ),
    ],
)
def test_an_absurd_request_is_refused_before_anything_is_allocated(
    systems: dict[str, System], name: str, asked: dict[str, Any], words: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            sample(systems[name], **{"device": "cpu", **asked})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert most < 2**20
