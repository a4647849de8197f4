"""Branches: a run that leaves another one's path, from that very state and with the same noise."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from pydantic import ValidationError
from small_runs import STEPS, run
from test_sampling_faults import without
from torch import Tensor

import ddm_core as ddm
from ddm_core.analysis.branches import Side, departures, to_json
from ddm_core.branching import branch_config, change_in_words, make_branch, order_branch
from ddm_core.cli import run as command
from ddm_core.config import MOST_BRANCHES, RunConfig, located, make_config
from ddm_core.ensemble import State
from ddm_core.errors import RequestError, WorkError
from ddm_core.make import yardstick_or_none
from ddm_core.noise import Noise
from ddm_core.recipe import read_recipe_file
from ddm_core.records import RunRecord
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import parse_route
from ddm_core.run import Progress, Result, execute
from ddm_core.shipped import checkpoints_folder
from ddm_core.store import Store
from ddm_core.systems import load_system
from ddm_core.systems.base import System


@pytest.fixture(scope="module")
def ring() -> System:
    return load_system("ring").to(torch.device("cpu"))


def branched(parent: Result, system: System, **how: Any) -> Result:
    return ddm.branch(parent, system=system, **how)


@pytest.mark.parametrize("step", [0, 1, STEPS - 1])
@pytest.mark.parametrize(
    ("router", "sampler"),
    [
        ("top_k:k=2", "euler"),
        ("sticky:margin=0.4", "euler"),  # remembers whom it chose
        ("nearest/full", "heun"),  # looks at the last prediction of the clean sample
        ("sample_once", "ddpm"),  # remembers its draw, and takes noise at every step
    ],
)
def test_a_branch_that_changes_nothing_is_its_parent(
    ring: System, router: str, sampler: str, step: int
) -> None:
    probes = ("weights", "perturbation_growth", "local_lipschitz", "expert_calls")
    parent = run(ring, router, sampler=sampler, probes=probes)
    same = branched(parent, ring, step=step)
    assert torch.equal(same.samples, parent.samples)
    assert same.trace.equals(parent.trace)
    assert same.config.digest != parent.config.digest


def test_a_forced_expert_goes_on_from_that_very_state(ring: System) -> None:
    """An independent loop: the state is read from the parent's trace, the rest is plain Euler."""
    step, seed = 2, 3
    parent = run(ring, "full", probes=("state",))
    forced = branched(parent, ring, step=step, seeds=[seed], router="fixed:expert=4/full")
    x = torch.tensor(parent.trace["state"].sel(sample=seed, step=step).values)[None]
    times = ring.schedule.times(STEPS)
    for t, s in zip(times[step:-1], times[step + 1 :], strict=True):
        with torch.no_grad():
            x = x + (s - t) * ring.experts[4](x, torch.full((1,), t))
    torch.testing.assert_close(forced.samples, x, rtol=0, atol=1e-6)
    assert not torch.equal(forced.samples[0], parent.samples[seed])


def test_probes_measure_the_whole_path(ring: System) -> None:
    parent = run(ring, "full", probes=("weights", "state", "perturbation_growth"))
    forced = branched(parent, ring, step=2, router="fixed:expert=4/full")
    for name in ("weights", "state", "perturbation_growth"):
        before = forced.trace[name].sel(step=slice(0, 1))
        xr.testing.assert_equal(before, parent.trace[name].sel(step=slice(0, 1)))
    after = forced.trace["weights"].sel(step=slice(2, None))
    assert (after.sel(expert=4) == 1).all()
    # The twin changes hands where the sample does: from there one linear field moves both.
    x = twin_of(ring, parent, 2, expert=4)
    growth = (x - forced.samples).norm(dim=1) / 0.01
    seen = torch.tensor(forced.trace["perturbation_growth"].isel(step=-1).values)
    torch.testing.assert_close(seen, growth.to(seen.dtype), rtol=1e-3, atol=1e-3)


def twin_of(system: System, parent: Result, step: int, expert: int) -> Tensor:
    """A slow loop of the perturbed twin: the exact posterior up to step, one expert from there."""
    noise = Noise(tuple(parent.config.seeds), system.shape)
    x = noise.initial() + 0.01 * noise.direction()
    route = parse_route("exact/full")
    assert route.router is not None
    logits = route.router.bind(system)
    times = system.schedule.times(STEPS)
    with torch.no_grad():
        for index, (t, s) in enumerate(itertools.pairwise(times)):
            at = torch.full((len(x),), t)
            if index < step:
                p = torch.softmax(logits(State(x, at, None)), dim=1)
                v = sum(p[:, k, None] * one(x, at) for k, one in enumerate(system.experts))
            else:
                v = system.experts[expert](x, at)
            x = x + (s - t) * v
    return x


def test_a_branch_of_a_branch(ring: System) -> None:
    root = run(ring, "full", probes=("state",))
    first = branched(root, ring, step=1, router="fixed:expert=4/full")
    second = branched(first, ring, step=3, router="full", seeds=range(2, 5))
    xr.testing.assert_equal(
        second.trace["state"].sel(step=slice(0, 3)),
        first.trace["state"].sel(step=slice(0, 3), sample=slice(2, 4)),
    )
    # One that leaves before its parent did has nothing of the parent's own.
    early = branched(first, ring, step=1, router="full")
    assert torch.equal(early.samples, root.samples)
    legs = [(leg.config.router, leg.start) for leg in second.config.legs]
    assert legs == [("full", 0), ("fixed:expert=4/full", 1), ("full", 3)]
    assert [leg.start for leg in early.config.legs] == [0, 1]


def test_a_monolith_can_take_over(ring: System) -> None:
    parent = run(ring, "full", probes=("weights", "state"))
    alone = branched(parent, ring, step=2, router="monolith")
    assert "weights" not in alone.trace  # it has none, and the path is measured whole
    xr.testing.assert_equal(
        alone.trace["state"].sel(step=slice(0, 2)), parent.trace["state"].sel(step=slice(0, 2))
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"step": STEPS}, f"step {STEPS} is not on the path: its 4 steps are 0 to 3"),
        ({"step": 1, "seeds": [9]}, "the parent has samples 0 to 6, not 9 to 9"),
        ({"step": 1, "seeds": [1, 3]}, "seeds of a branch must be consecutive"),
        ({"step": 1, "seeds": []}, "seeds of a branch must be consecutive"),
        ({"step": 1, "router": "neerest/full"}, "no router 'neerest'"),
        ({"step": 1, "router": "fixed:expert=99/full"}, "no expert 99"),
        ({"step": 1, "guidance": 2.0}, "guidance 2 needs a label"),
        ({"step": 1, "sampler": "eule"}, "no sampler 'eule'"),
    ],
)
def test_what_cannot_be_a_branch_is_refused(
    ring: System, change: dict[str, Any], says: str
) -> None:
    parent = run(ring, "full").config
    with pytest.raises(RequestError, match=says) as caught:
        execute(branch_config(parent, **change), system=ring)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changed", [{"steps": 5}, {"dtype": "float64"}, {"system": "digits"}])
def test_grid_system_and_precision_are_the_parents(changed: dict[str, Any]) -> None:
    of = RunConfig(system="ring", steps=4)
    fields = {"system": "ring", "steps": 4, **changed, "branch": {"step": 1, "of": of}}
    with pytest.raises(RequestError, match=f"a branch keeps its parent's {next(iter(changed))}"):
        make_config(fields)


def test_the_depth_has_an_end() -> None:
    config = RunConfig(system="ring")
    for _ in range(MOST_BRANCHES):
        config = branch_config(config, step=1)
    assert len(config.lineage) == 1 + MOST_BRANCHES
    with pytest.raises(RequestError, match="8 deep at most"):
        branch_config(config, step=1)
    deep = '{"system": "ring", "branch": {"step": 1, "of": ' * 5000 + "{}" + "}}" * 5000
    with pytest.raises(ValidationError):
        RunConfig.model_validate_json(deep)


def test_the_digest_knows_the_branch_and_nothing_else_changes() -> None:
    parent = RunConfig(system="ring")
    assert parent.digest == "208f54993718"  # as before there were branches
    one, other = branch_config(parent, step=3), branch_config(parent, step=4)
    assert len({parent.digest, one.digest, other.digest}) == 3
    seen = branch_config(parent.model_copy(update={"probes": ("none",)}), step=3)
    assert seen.digest == one.digest  # how the parent was looked at is no part of its path
    assert RunConfig.model_validate_json(one.model_dump_json()) == one


def test_the_change_is_told_in_words() -> None:
    parent = RunConfig(system="ring", router="top_k:k=2")
    branch = branch_config(parent, step=3, router="fixed:expert=1/full", sampler="heun")
    assert change_in_words(branch) == "expert 1 alone, sampler heun"
    assert change_in_words(branch_config(parent, step=3)) == "nothing changed"


@pytest.mark.parametrize("broken", ["before", "after"])
def test_who_lost_the_numbers_of_a_branch_is_named(ring: System, broken: str) -> None:
    """The expert that the parent never asks, and the one that only the parent asks."""
    parent = run(ring, "fixed:expert=2/full").config
    at_fault = 2 if broken == "before" else 5
    config = branch_config(parent, step=2, router="fixed:expert=5/full")
    with pytest.raises(WorkError) as caught:
        execute(config, system=without(ring, at_fault))
    step = 0 if broken == "before" else 2
    assert f"at step {step} " in str(caught.value)
    assert f"from expert {at_fault} for seed 0" in str(caught.value)


def stored(store: Store, system: System) -> tuple[RunRecord, RunRecord]:
    """A run of the ring and a branch of some of its samples."""
    parent = store.save(run(system, "full", probes=("standard",)))
    config = branch_config(parent.config, step=2, seeds=range(2, 6), router="fixed:expert=4/full")
    order = order_branch(parent, config)
    record = make_branch(
        store, parent, order, on_progress=ignore, yardstick=lambda: yardstick_or_none(system)
    )
    return parent, record


def ignore(now: Progress) -> None:
    """Nobody looks."""


def test_a_branch_is_kept_with_its_parent_and_its_numbers(ring: System, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    parent, record = stored(store, ring)
    assert record.parent == parent.id
    assert store.branches(parent.id) == [record]
    a, b = store.samples(record.id).images, store.samples(parent.id).images[2:6]
    relative = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
    told = record.departure["image_difference"]
    assert told["branch"] == pytest.approx(relative)
    assert told["value"] == pytest.approx(relative.mean())
    assert told["n"] == 4
    assert told["low"] <= told["value"] <= told["high"]
    away = record.departure["real_distance"]
    assert away["value"] == pytest.approx(np.mean(away["branch"]) - np.mean(away["parent"]))
    last = store.trace(parent.id)["cluster_distance"].isel(step=-1, sample=slice(2, 6))
    nearest = last.transpose("sample", "expert").values.min(axis=1)
    assert record.departure["cluster_distance"]["parent"] == pytest.approx(nearest)

    file = store.export_archive([parent.id, record.id], tmp_path / "two.zip")
    other = Store(tmp_path / "other")
    other.import_archive(file)
    assert other.run(record.id) == record
    store.delete([parent.id])
    again = store.run(record.id)
    assert again == record
    assert again.config.legs[0].config.router == "full"
    same = execute(again.config, system=ring)
    assert same.hashes["samples"] == record.hashes["samples"]


def test_an_archive_brings_no_plug_in_of_a_parent(ring: System, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    _, record = stored(store, ring)
    path = store.folder(record.id) / "run.json"
    document = json.loads(path.read_text())
    document["config"]["branch"]["of"]["plugins"] = ["mine.py"]
    path.write_text(json.dumps(document))
    assert store.run(record.id).config.lineage[1].plugins == ("mine.py",)
    other = Store(tmp_path / "other")
    other.import_archive(store.export_archive([record.id], tmp_path / "one.zip"))
    assert all(one.plugins == () for one in other.run(record.id).config.lineage)


def test_a_child_follows_a_parent_that_gets_a_new_id(ring: System, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    parent, record = stored(store, ring)
    file = store.export_archive([parent.id, record.id], tmp_path / "two.zip")
    store.delete([record.id])
    samples = store.folder(parent.id) / "samples.npz"
    samples.write_bytes(store_of_another(ring, tmp_path).read_bytes())
    moved, child = sorted(store.import_archive(file), key=lambda one: one.parent or "")
    assert moved.id != parent.id
    assert child.parent == moved.id


def store_of_another(system: System, tmp_path: Path) -> Path:
    store = Store(tmp_path / "another")
    record = store.save(run(system, "full", seed=100))
    return store.folder(record.id) / "samples.npz"


def test_another_version_of_the_system_is_refused(ring: System, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    parent = store.save(run(dataclasses.replace(ring, digest="older"), "full"))
    with pytest.raises(RequestError, match="another version of 'ring'"):
        order_branch(parent, branch_config(parent.config, step=1))


def test_one_sample_tells_no_interval() -> None:
    trace = xr.Dataset(
        {"selected_distance": (("step", "sample"), [[9.0], [2.0]])},
        {"step": [0, 1], "sample": [5]},
    )
    black, white = np.zeros((1, 2, 2, 1), np.uint8), np.full((1, 2, 2, 1), 255, np.uint8)
    found = departures(
        Side(white, trace, np.array([3.0])),
        Side(black, trace - 1, np.array([5.0])),
        step=1,
    )
    told = to_json(found)
    assert told["image_difference"]["value"] == 2.0  # |1 - -1| / |-1|
    assert told["pixel_difference"]["value"] == 255
    assert told["real_distance"]["value"] == -2
    assert (told["selected_distance"]["branch"], told["selected_distance"]["parent"]) == ([2], [1])
    assert all(one["n"] == 1 and one["low"] is None for one in told.values())
    assert all("no interval" in one["method"] for one in told.values())
    assert "cluster_distance" not in told


def test_on_the_command_line(
    ring: System, tmp_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = Store(tmp_store).save(run(ring, "full", probes=("standard",)))
    arguments = ["branch", parent.id[-6:], "--step", "2", "--router", "fixed:expert=1/full"]
    assert command([*arguments, "--sample", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parent"] == parent.id
    assert document["config"]["branch"]["step"] == 2
    assert document["departure"]["image_difference"]["n"] == 1
    assert command([*arguments, "--sample", "three"]) == 2
    assert "'three' is no sample" in capsys.readouterr().err
    assert command(["branch", parent.id, "--step", "9"]) == 2
    assert "its 4 steps are 0 to 3" in capsys.readouterr().err


def test_a_run_of_files_of_ones_own_goes_on_from_another_folder(
    tmp_path: Path, tmp_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget() -> None:
        """As if the process were a new one; an edited file runs again."""
        known = {name: ROUTERS[name] for name in ROUTERS if name != "ok"}
        monkeypatch.setattr(ROUTERS, "_members", known)

    forget()
    (tmp_path / "mine").mkdir()
    (tmp_path / "cp").symlink_to(checkpoints_folder() / "digits")
    file = tmp_path / "mine" / "ok.py"
    file.write_text(
        "from ddm_core.routers.base import register\n"
        "from ddm_core.routers.uniform import Uniform\n"
        "@register\nclass Ok(Uniform):\n    name = 'ok'\n"
    )
    few = ["--num", "2", "--steps", "2", "--probes", "none", "--device", "cpu", "--workers", "1"]
    monkeypatch.chdir(tmp_path)
    made = ["sample", "cp", "--router", "ok/full", "--plugin", "mine/ok.py"]
    assert command([*made, *few]) == 0
    store = Store(tmp_store)
    (parent,) = store.runs()
    assert parent.config.plugins == (str(file),)
    assert parent.system == parent.config.system == str(tmp_path / "cp")
    assert parent.config.digest == make_config({**dict(parent.config), "plugins": ()}).digest
    found = read_recipe_file(store.folder(parent.id) / "samples.png")
    assert (found.plugins, found.folder) == (1, True)
    assert str(file).encode() not in (store.folder(parent.id) / "samples.png").read_bytes()

    monkeypatch.chdir(tmp_store)
    forget()
    file.write_text(file.read_text() + "# edited")
    assert command(["branch", parent.id, "--step", "1", "--sample", "1"]) == 0
    file = file.rename(tmp_path / "moved.py")
    again = ["branch", parent.id, "--step", "1", "--sample", "0"]
    forget()
    assert command(again) == 2
    assert command([*again, "--plugin", "../moved.py"]) == 0
    assert store.runs()[0].config.plugins == (str(file),)


def test_names_that_are_known_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "ring:experts=3", "elsewhere:photos"):
        Path(name).mkdir()
        config = make_config({"system": name})
        assert located(config) == config
    one = make_config({"system": "./digits", "plugins": ("a/../b.py",)})
    here = located(one)
    assert (here.system, here.plugins) == (str(tmp_path / "digits"), (str(tmp_path / "b.py"),))
    assert located(make_config({"system": "gone/away"})).system == "gone/away"
    long = make_config({"system": "ring", "plugins": ("a/" * 499,)})
    with pytest.raises(RequestError, match="has more than 1000 characters"):
        located(long)


def test_a_branch_of_a_run_of_which_nothing_was_recorded(ring: System, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    parent = store.save(run(ring, "full", probes=("none",)))
    config = branch_config(parent.config, step=1, router="fixed:expert=3/full")
    record = make_branch(
        store, parent, order_branch(parent, config), on_progress=ignore, yardstick=lambda: None
    )
    assert set(record.departure) == {"image_difference"}
