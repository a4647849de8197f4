"""What a worker keeps between jobs: nothing that a new process would not load."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ddm_core import kept as kept_module
from ddm_core import worker
from ddm_core.branching import branch_config
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.kept import Kept
from ddm_core.queue import Claim
from ddm_core.records import RunRecord
from ddm_core.shipped import checkpoints_folder
from ddm_core.stamps import folder_of, stamp
from ddm_core.store import Store


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were loaded, in their order."""
    names: list[str] = []
    load = kept_module.load_system

    def counted(name: str) -> object:
        names.append(name)
        return load(name)

    monkeypatch.setattr(kept_module, "load_system", counted)
    return names


def work(store: Store, kept: Kept | None, kind: str, payload: dict[str, object]) -> RunRecord:
    task = worker.Task(Claim("j", kind, payload, None), store, kept)
    worker.HANDLERS[kind](task)
    return store.run(task.runs[-1])


def test_jobs_of_a_warm_worker_give_what_those_of_a_new_one_give(
    tmp_path: Path, loads: list[str]
) -> None:
    store, kept = Store(tmp_path / "runs"), Kept()
    config = RunConfig(system="digits", router="top_k:k=2", num=4, steps=4, device="cpu")
    sampled = {"configs": [config.model_dump(mode="json")]}
    parent = work(store, kept, "sample", sampled)
    branch = branch_config(parent.config, step=2, seeds=[1], router="fixed:expert=3/full")
    change = branch.model_dump(
        mode="json", include={"seed", "num", "router", "sampler", "label", "guidance"}
    )
    branched = {"parent": parent.id, "step": 2, **change}
    measured = {"runs": [parent.id], "metrics": ["fid", "energy_distance"]}

    warm = [work(store, kept, "branch", branched), work(store, kept, "metrics", measured)]
    again = [work(store, kept, "branch", branched), work(store, kept, "metrics", measured)]
    assert loads == ["digits"]
    fresh = [work(store, None, "branch", branched), work(store, None, "metrics", measured)]
    assert loads == ["digits"] * 3
    for one, two, three in zip(warm, again, fresh, strict=True):
        assert one.hashes == two.hashes == three.hashes
        assert (
            json.dumps(one.departure) == json.dumps(two.departure) == json.dumps(three.departure)
        )
        assert one.metrics == two.metrics == three.metrics
    assert warm[0].departure["real_distance"]["n"] == 1
    # A branch is compared with what it is, whether that was read back or not.
    read = store.trace(warm[0].id)["cluster_distance"].isel(step=-1).values.min()
    assert warm[0].departure["cluster_distance"]["branch"] == [float(read)]


def test_a_checkpoint_that_was_written_since_is_loaded_again(
    tmp_path: Path, loads: list[str]
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(checkpoints_folder() / "digits", folder)
    kept, name = Kept(), str(folder)
    before, rule = kept.system(name), kept.yardstick(name)
    assert kept.system(name) is before
    assert kept.yardstick(name) is rule
    os.utime(folder / "system.toml", (1, 1))
    assert kept.system(name) is not before
    assert kept.yardstick(name) is not rule
    assert loads == [name, name]
    expert = folder / "expert_0.safetensors"
    expert.write_bytes(expert.read_bytes()[:-1])
    with pytest.raises(RequestError, match=r"expert_0\.safetensors is damaged"):
        kept.system(name)


def test_a_checkpoint_that_is_written_while_it_is_loaded_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(checkpoints_folder() / "digits", folder)
    load = kept_module.load_system
    times = iter((1, 2))

    def overtaken(name: str) -> object:
        system = load(name)
        if (time := next(times, None)) is not None:
            os.utime(folder / "system.toml", (time, time))
        return system

    monkeypatch.setattr(kept_module, "load_system", overtaken)
    kept, name = Kept(), str(folder)
    first, second, third = (kept.system(name) for _ in range(3))
    assert first is not second
    assert second is not third
    assert kept.system(name) is third


def test_only_the_folder_of_a_system_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert [folder_of(name) for name in ("/", str(tmp_path), "..", "ring", "x" * 999)] == [
        None
    ] * 5
    assert stamp(None) == stamp(tmp_path / "gone") == frozenset()
    assert len(stamp(tmp_path)) == 1
    assert folder_of("digits") == checkpoints_folder() / "digits"


def test_only_the_last_ones_are_kept(loads: list[str]) -> None:
    kept = Kept(most=2)
    first = kept.system("ring:experts=3")
    kept.system("ring:experts=4")
    assert kept.system("ring:experts=3") is first
    kept.system("ring:experts=5")  # "ring:experts=4" was not asked for since
    assert kept.system("ring:experts=3") is first
    assert loads == [f"ring:experts={k}" for k in (3, 4, 5)]
    kept.system("ring:experts=4")
    assert loads[-1] == "ring:experts=4"
    assert len({id(kept.yardstick(f"ring:experts={k}")) for k in (3, 4, 5)}) == 3
