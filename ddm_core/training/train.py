"""From a dataset to a checkpoint: clusters, networks, reference, experts, figures, assembly."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors.torch import load_file

from ddm_core import disk
from ddm_core.datasets import ImageSet, load_dataset
from ddm_core.errors import RequestError, WorkError
from ddm_core.training.assemble import assemble
from ddm_core.training.clusters import as_float, assign, find_clusters
from ddm_core.training.config import TrainConfig, TrainProgress
from ddm_core.training.figures import measure
from ddm_core.training.loop import write_tensors
from ddm_core.training.parts import is_finished
from ddm_core.training.plan import Plan, write_plan
from ddm_core.training.reference import write_reference
from ddm_core.training.schedule import Report, stopped, train_parts

__all__ = ["train_system"]

_BEFORE_THE_PLAN = ("data", "assignment", "clusters")


def train_system(
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train a system, or go on where an earlier call stopped.

    Arguments:
        config: what to train. Unfinished work lies in `<out>.partial`.
        progress: told about every stage and about once a second within one.
        should_stop: asked before every step; a stopped training can be resumed.

    Returns:
        The finished checkpoint folder; with `config.only` the folder of unfinished work.

    Raises:
        RequestError: an impossible request, or work of another request lies there already.
        WorkError: the loss became infinite, a worker died, the training was stopped, or another
            one is at work on the same checkpoint.
    """
    out = config.folder
    if out.exists() and not (out / "system.toml").is_file():
        raise RequestError(f"{out} exists and is no checkpoint: choose another --out")
    folder = out.with_name(f"{out.name}.partial")
    with _alone(folder):
        return _train(config, folder, out, progress, should_stop)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """One training at a time works in a folder; it leaves no new one behind that holds nothing.

    Raises:
        WorkError: another one does.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    disk.make_folder(folder)
    mine = folder / disk.owned("at", "work")
    with disk.told("start a training", folder):
        mine.touch(exist_ok=False)
    try:
        # Marked first and looked then: of two that start at once, none overlooks the other.
        for mark in folder.glob(".at-work-*"):
            owner = disk.owner_of(mark.name)
            if mark == mine:
                continue
            if disk.alive(owner):
                remedy = f" (if it no longer runs, delete {mark})" if disk.elsewhere(owner) else ""
                raise WorkError(
                    f"another training is at work in {folder}{remedy}: wait for it, or choose "
                    "another --out"
                )
            mark.unlink(missing_ok=True)
        yield
    finally:
        mine.unlink(missing_ok=True)
        with suppress(OSError):
            for path in missing or [folder]:
                path.rmdir()


def _train(
    config: TrainConfig,
    folder: Path,
    out: Path,
    progress: Callable[[TrainProgress], None],
    should_stop: Callable[[], bool],
) -> Path:
    began = time.monotonic()

    def tell(stage: str) -> None:
        if should_stop():
            raise stopped()
        progress(TrainProgress(stage, seconds=time.monotonic() - began))

    def train(stage: str, parts: list[str]) -> None:
        train_parts(
            plan, folder, parts, config.workers, _teller(stage, plan, began, progress), should_stop
        )

    plan = _begin(config, folder, tell)
    networks = [part for part in ("features", "router") if part in plan.parts]
    others = [part for part in plan.parts if part not in networks]
    if config.only is not None:
        if config.only in plan.parts:
            train(config.only, [config.only])
        elif config.only == "reference":
            write_reference(plan, folder)
        return folder
    train("networks", networks)
    tell("reference")
    write_reference(plan, folder)
    train("experts", others)
    tell("figures")
    figures = measure(plan, folder)
    tell("assemble")
    return assemble(plan, folder, out, figures)


def _begin(config: TrainConfig, folder: Path, tell: Callable[[str], None]) -> Plan:
    """Data, clusters and plan, or those that are there; a request that is refused leaves none.

    Raises:
        RequestError: it cannot be done, or is another one than that of the work that lies there.
    """
    fresh = not (folder / "plan.json").is_file()
    if fresh:
        # One that was killed early leaves data and clusters, and this one may ask for others.
        _forget(folder)
    try:
        tell("data")
        _write_data(config, folder)
        tell("clusters")
        _write_clusters(config, folder)
        plan = write_plan(config, folder)
        _require_part(config.only, plan, folder)
    except RequestError:
        if fresh:
            _forget(folder)
        raise
    return plan


def _forget(folder: Path) -> None:
    for name in ("plan.json", *(f"{one}.safetensors" for one in _BEFORE_THE_PLAN)):
        (folder / name).unlink(missing_ok=True)


def _require_part(only: str | None, plan: Plan, folder: Path) -> None:
    parts = ("clusters", *plan.parts, "reference")
    if only not in (None, *parts):
        raise RequestError(f"no part '{only}'; there are: {', '.join(parts)}")
    if only == "reference" and "features" in plan.parts and not is_finished(folder, "features"):
        raise RequestError("the reference needs the features: train --only features first")


def _teller(
    stage: str, plan: Plan, began: float, progress: Callable[[TrainProgress], None]
) -> Callable[[dict[str, int], Report], None]:
    """Steps by part as progress with an estimate of what is left."""
    start = time.monotonic()
    first: int | None = None

    def tell(done: dict[str, int], latest: Report) -> None:
        nonlocal first
        now, total = sum(done.values()), sum(plan.parts[part].steps for part in done)
        first = now if first is None else first
        seconds = time.monotonic() - start
        eta = seconds * (total - now) / (now - first) if now > first else None
        progress(
            TrainProgress(
                stage, now, total, time.monotonic() - began, eta, latest.loss, latest.part
            )
        )

    return tell


def _write_data(config: TrainConfig, folder: Path) -> None:
    """Keep the images beside the parts: every worker and every resumption sees the same ones."""
    path = folder / "data.safetensors"
    if path.is_file():
        return
    tensors: dict[str, torch.Tensor] = {}
    facts: dict[str, str] = {}
    for split in ("train", "test"):
        images = _load(config, split)
        tensors[f"{split}_images"] = images.images
        if images.labels is not None:
            tensors[f"{split}_labels"] = images.labels
        facts = {"name": images.name, "labels": "\n".join(images.label_names)}
    write_tensors(path, tensors, facts)


def _load(config: TrainConfig, split: str) -> ImageSet:
    return load_dataset(
        config.dataset, split=split, folder=config.data, size=config.size, grey=config.grey
    )


def _write_clusters(config: TrainConfig, folder: Path) -> None:
    path = folder / "clusters.safetensors"
    if path.is_file():
        return
    data = load_file(folder / "data.safetensors")
    clusters = find_clusters(data["train_images"], config.experts, config.seed)
    assignment = {
        "train": clusters.pop("assignment"),
        "test": assign(as_float(data["test_images"]), clusters),
    }
    write_tensors(folder / "assignment.safetensors", assignment, {})
    write_tensors(path, clusters, {})
