"""What a run will cost: told before it begins, against what it then took."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ddm_core import estimate as module
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.estimate import Costs, Subject, estimate, registered_costs, require_room, together
from ddm_core.records import RunRecord
from ddm_core.run import execute
from ddm_core.systems import load_system

RING = Subject(8, (2,))
IMAGES = Subject(8, (1, 28, 28))


@pytest.fixture(scope="module")
def costs() -> Costs:
    return registered_costs()


def config(**fields) -> RunConfig:
    return RunConfig(**{"system": "ring", "num": 4, "steps": 3, "device": "cpu", **fields})


def record(seconds: float, device: str = "cpu (2 cores)", **fields) -> RunRecord:
    asked = config(**fields)
    return RunRecord(
        id="x",
        status="done",
        created=datetime.now(UTC).isoformat(),
        system=asked.system,
        router=asked.router,
        config=asked,
        seconds=seconds,
        device=device,
    )


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddpm"])
@pytest.mark.parametrize(
    ("router", "exact"),
    [
        *(("top_k:k=3", True), ("full", True), ("sample", True), ("sticky:k=2", True)),
        *(("nearest/wrong", True), ("monolith", True), ("sample_once", True)),
        *(("nucleus:p=0.7", False), ("threshold:tau=0.1", False)),
    ],
)
def test_evaluations_are_those_that_are_counted(
    costs: Costs, router: str, exact: bool, sampler: str
) -> None:
    asked = config(router=router, sampler=sampler, probes=("expert_calls",), workers=1)
    system = load_system("ring")
    counted = int(execute(asked, system=system).trace["expert_calls"].sum())
    told = estimate(asked, Subject(len(system.experts), system.shape), costs).evaluations
    stages = 2 if sampler == "heun" else 1
    # A router that looks at x0_hat asks everybody once; Heun's last step has one stage.
    first = 4 * len(system.experts) if "nearest" in router else 0
    last = told // (3 * stages) * (stages - 1)
    told += first - last
    assert counted == told if exact else counted <= told


def test_probes_count_as_far_as_they_run(costs: Costs) -> None:
    plain = config(num=100, observed=10, probes=("weights",))

    def of(*probes: str) -> int:
        asked = plain.model_copy(update={"probes": probes})
        return estimate(asked, RING, costs).evaluations

    assert of("weights") == 100 * 3 * 2
    assert of("weights", "disagreement") == of("weights") + 10 * 3 * 6
    assert of("disagreement", "expert_angle") == of("disagreement")
    assert of("perturbation_growth") == of("weights") + 10 * 3 * 2
    alone = plain.model_copy(update={"router": "monolith", "probes": ("disagreement",)})
    assert estimate(alone, RING, costs).evaluations == 100 * 3
    guided = plain.model_copy(update={"guidance": 2.0, "label": 1})
    assert estimate(guided, RING, costs).evaluations == 2 * of("weights")


def test_a_branch_costs_what_its_parent_cost_and_then_its_own(costs: Costs) -> None:
    parent = config(router="full", probes=("none",))
    branch = config(
        router="top_k:k=1", probes=("none",), branch={"step": 2, "of": parent.model_dump()}
    )
    assert estimate(branch, RING, costs).evaluations == 4 * (2 * 8 + 1 * 1)


def test_memory_holds_the_trace_twice(costs: Costs) -> None:
    large = config(num=10_000, steps=1000, probes=("weights", "entropy"))
    trace = 10_000 * 1000 * (8 + 1) * 4
    assert 2 * trace < estimate(large, RING, costs).memory < 2 * trace + 2**28
    shown = config(num=10_000, steps=50, shown=16, probes=("x0_hat_expert",))
    pictures = 50 * 16 * 8 * 784
    assert estimate(shown, IMAGES, costs).memory > 2 * pictures
    # Points have no such pictures.
    assert estimate(shown, RING, costs).memory < 2**28


# Not ru_maxrss: a child begins with that of its parent, which may be the larger one.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_process_grows_by_no_more_than_was_told(costs: Costs) -> None:
    probes = ("weights", "router_probability", "cluster_distance", "cluster_distance_noised")
    asked = config(num=10_000, steps=100, workers=1, probes=probes)
    script = """
        import pathlib, re, sys
        from ddm_core.config import RunConfig
        from ddm_core.run import execute
        from ddm_core.trace import trace_bytes
        from ddm_core.systems import load_system
        system = load_system("ring")
        status = pathlib.Path("/proc/self/status")
        peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
        execute(RunConfig(system="ring", num=4, steps=2), system=system)
        before = peak()
        trace_bytes(execute(RunConfig.model_validate_json(sys.argv[1]), system=system).trace)
        print(peak() - before)
    """
    lines = "\n".join(line.strip() for line in script.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", lines, asked.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
    )
    ring = load_system("ring")
    subject = Subject(len(ring.experts), ring.shape)
    grown, told = int(done.stdout), estimate(asked, subject, costs).memory
    trace = 10_000 * 100 * 4 * subject.experts * 4
    assert trace < grown < 1.2 * told, (trace, grown, told)


def test_what_cannot_fit_is_refused_at_once() -> None:
    huge = config(num=1_000_000, steps=10_000)
    system = load_system("ring")
    begin = time.process_time()
    with pytest.raises(RequestError) as caught:
        execute(huge, system=system)
    assert time.process_time() - begin < 0.5
    said = str(caught.value)
    assert said.startswith("1,000,000 samples x 10,000 steps with these probes need ")
    assert "GiB of memory" in said
    assert "fewer samples" in said


def test_room_is_what_is_free(costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    one = estimate(config(num=20_000, steps=100), RING, costs)
    monkeypatch.setattr(module, "free_memory", lambda: one.memory)
    require_room(one, config())
    monkeypatch.setattr(module, "free_memory", lambda: one.memory - 1)
    with pytest.raises(RequestError, match="are free; take fewer samples"):
        require_room(one, config())


def test_time_is_that_of_the_runs_most_alike(costs: Costs) -> None:
    asked = config(num=100, router="full", probes=("none",))
    alike = record(6.0, num=100, router="full", probes=("none",))
    told = estimate(asked, RING, costs, [alike])
    assert (told.seconds, told.earlier) == (pytest.approx(6.0), 1)
    twice = asked.model_copy(update={"num": 200})
    assert estimate(twice, RING, costs, [alike]).seconds == pytest.approx(12.0)
    # Small runs cost more per evaluation: among many the ones of like size are asked.
    small = [record(9.0, num=4, router="full", probes=("none",)) for _ in range(5)]
    assert estimate(asked, RING, costs, [*small, alike, alike]).seconds == pytest.approx(6.0)
    others = [
        record(1.0, num=100, router="full", system="digits"),
        record(1.0, "cuda:0 (a card)", num=100, router="full"),
        alike.model_copy(update={"status": "interrupted"}),
        alike.model_copy(update={"seconds": None}),
    ]
    nothing = estimate(asked, RING, costs, others)
    assert nothing.seconds is None
    assert "time unknown" in str(nothing)


def test_a_comparison_takes_the_sum_of_times_and_the_largest_memory(costs: Costs) -> None:
    told = [record(6.0, num=100, probes=("none",))]
    parts = [
        estimate(config(num=num, probes=("none",)), RING, costs, told) for num in (100, 20_000)
    ]
    both = together(parts)
    assert both.memory == parts[1].memory
    assert both.evaluations == 2 * 3 * 20_100
    assert both.seconds == pytest.approx(6.0 * 201)
    assert str(both).endswith("about 20 min going by 1 earlier run")
    assert together([parts[0], estimate(config(), RING, costs)]).seconds is None


def test_a_page_estimates_without_torch(costs: Costs) -> None:
    again = Costs.model_validate(json.loads(costs.model_dump_json()))
    assert again == costs
    lines = (
        "import sys\nfrom ddm_core.config import RunConfig\n"
        "from ddm_core.estimate import Costs, Subject, estimate, free_memory\n"
        "told = estimate(RunConfig(system='ring'), Subject(8, (2,)),"
        " Costs.model_validate_json(sys.argv[1]))\n"
        "assert free_memory() > told.memory > 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", lines, costs.model_dump_json()], check=True)
