"""Nothing in the loop waits for the device, but for the one question that cannot be spared.

A kernel cannot be launched on a batch of unknown size: the sizes of the groups are copied to the
host once per evaluation of the mixture. All else stays on the device; on a GPU each such question
would stop the queue of kernels.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES, STANDARD, Scene, parse_probes
from ddm_core.record import record
from ddm_core.rollout import rollout
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import load_system
from ddm_core.systems.base import System

STEPS, SAMPLES = 2, 4
#: Operations whose result, or the shape of whose result, the host must know before it goes on.
ASKING = {
    *("_local_scalar_dense", "item", "nonzero", "masked_select", "unique_dim", "_unique2"),
    *("unique_consecutive", "equal", "is_nonzero", "allclose", "argwhere", "bincount"),
}


class Watch(TorchDispatchMode):
    """Counts what would wait for a GPU; on the CPU the same operations are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in ASKING:
            self.seen[name] += 1
        if name in ("index", "index_put", "index_put_"):
            # A mask as an index is a nonzero in disguise.
            masks = [one for one in args[1] if one is not None and one.dtype == torch.bool]
            self.seen["mask"] += len(masks)
        if name in ("_to_copy", "copy_") and _moves(func, args, kwargs or {}):
            self.seen["move"] += 1
        return func(*args, **(kwargs or {}))


def _moves(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a copy goes to another device than that of its source."""
    if func.overloadpacket.__name__ == "_to_copy":
        return kwargs.get("device", args[0].device) != args[0].device
    return args[0].device != args[1].device


class Lists:
    """Counts calls of tolist, which asks once for any number of elements."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        plain = torch.Tensor.tolist

        def tolist(tensor: torch.Tensor) -> Any:
            self.sizes.append(tensor.numel())
            return plain(tensor)

        monkeypatch.setattr(torch.Tensor, "tolist", tolist)


@pytest.fixture(scope="module")
def digits() -> System:
    return load_system("digits")


def points() -> System:
    return load_system("ring").to(torch.device("cpu"), torch.float32)


def walked(
    system: System,
    route: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    probes: tuple[str, ...] = (),
    sampler: str = "euler",
) -> tuple[Counter[str], list[int]]:
    """What the loop asked: other questions by name, and the sizes of its lists."""
    meters = parse_probes(probes, system)
    dense = any(probe.needs_all_experts for probe in meters)
    ensemble = build_ensemble(system, parse_route(route), dense=dense)
    walk = SAMPLERS.parse(sampler)
    noise = Noise(tuple(range(SAMPLES)), system.shape)
    x_T, times = noise.initial(), system.schedule.times(STEPS)
    scene = Scene(system, ensemble, walk, noise, None, 2)
    lists, watch = Lists(monkeypatch), Watch()

    def watched(steps: Any) -> Any:
        # What is asked after the last step is asked once for the whole run.
        yield from steps
        frozen.update(watch.seen)
        sizes.extend(lists.sizes)

    frozen: Counter[str] = Counter()
    sizes: list[int] = []
    with torch.no_grad(), watch:
        record(watched(rollout(ensemble, walk, x_T, times, noise)), STEPS, scene, meters)
    return frozen, sizes


ROUTES = [f"{router}/{strategy}" for router in sorted(ROUTERS) for strategy in sorted(STRATEGIES)]


@pytest.mark.parametrize("route", [*ROUTES, "monolith"])
def test_a_step_asks_the_host_for_the_sizes_of_its_groups_and_for_nothing_else(
    route: str, digits: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = points() if route.startswith("exact") else digits
    asked, lists = walked(system, route, monkeypatch)
    assert not +asked
    experts = 1 if route == "monolith" else len(system.experts)
    # A router that looks at x0_hat runs everybody once, before anything is predicted.
    assert lists == [experts] * (STEPS + ("nearest" in route))


@pytest.mark.parametrize("probe", [*STANDARD, *sorted(set(PROBES) - set(STANDARD))])
def test_a_probe_asks_for_nothing_but_the_groups_of_what_it_runs(
    probe: str, digits: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PROBES[probe]
    system = points() if one.points_only else digits
    asked, lists = walked(system, "top_k:k=2", monkeypatch, probes=(probe,))
    assert not +asked
    assert set(lists) == {len(system.experts)}
    # Without a mixture of its own a probe adds the pass over the experts that were not chosen.
    if not one.costly:
        assert len(lists) == STEPS * (2 if one.needs_all_experts else 1)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_sampler_asks_for_nothing(
    sampler: str, digits: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, lists = walked(digits, "sticky:k=2", monkeypatch, sampler=sampler)
    assert not +asked
    stages = SAMPLERS[sampler].stages
    assert len(lists) == STEPS * stages - (stages - 1)


def test_the_watch_sees_what_would_wait() -> None:
    """The test of the test: each way of asking is found."""
    x = torch.arange(4.0)
    ways = {
        "_local_scalar_dense": lambda: float(x[0]),
        "nonzero": lambda: x.nonzero(),
        "mask": lambda: x[x > 1],
        "masked_select": lambda: x.masked_select(x > 1),
        "move": lambda: x.to("meta"),
    }
    for name, way in ways.items():
        with Watch() as watch:
            way()
        assert watch.seen[name] == 1, name
