"""Join the trained parts into a checkpoint folder that appears whole or not at all."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ddm_core import disk
from ddm_core.errors import RequestError
from ddm_core.systems.checkpoint import load_checkpoint
from ddm_core.systems.manifest import write_manifest
from ddm_core.training.parts import part_path
from ddm_core.training.plan import PartPlan, Plan
from ddm_core.training.reference import extractor_name

__all__ = ["assemble"]


def assemble(plan: Plan, folder: Path, out: Path, figures: dict[str, Any]) -> Path:
    """Copy the parts into `out` with a system.toml, in place of a checkpoint that was there.

    Once `out` is complete, the folder of the parts is removed.

    Arguments:
        folder: with all parts finished.
        figures: held-out figures for system.toml.

    Raises:
        RequestError: a part that was brought from elsewhere does not fit.
    """
    beside = out.with_name(f"{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "reference").mkdir(parents=True)
    name = extractor_name(plan)
    for path in (
        folder / "clusters.safetensors",
        folder / "reference" / f"{name}.safetensors",
        *(part_path(folder, part) for part in plan.parts),
    ):
        shutil.copyfile(path, beside / path.relative_to(folder))
    write_manifest(beside, _manifest(plan, folder, figures))
    load_checkpoint(beside)
    # The parts are deleted at the end: by then what was made of them must be on the disk.
    disk.sync_tree(beside)
    old = out.with_name(f"{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    beside.rename(out)
    disk.sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(folder)
    return out


def _label_counts(plan: Plan, folder: Path) -> dict[str, list[list[int]]]:
    """Training images per cluster and label, where there are labels: who knows what."""
    if not plan.labels:
        return {}
    labels = load_file(folder / "data.safetensors")["train_labels"]
    cluster = load_file(folder / "assignment.safetensors")["train"]
    cell = cluster.long() * len(plan.labels) + labels.long()
    counts = torch.bincount(cell, minlength=plan.experts * len(plan.labels))
    return {"label_counts": counts.reshape(plan.experts, -1).tolist()}


def _manifest(plan: Plan, folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    clusters = load_file(folder / "clusters.safetensors")
    sizes = clusters["sizes"]
    trained = {part.replace(":", "_"): _facts(plan, folder, part, sizes) for part in plan.parts}
    networks = {"expert": _network(plan.parts["expert:0"])}
    for part in ("monolith", "router", "features"):
        if part in plan.parts:
            networks[part] = _network(plan.parts[part])
    conditional = f"conditional on {len(plan.labels)} labels" if plan.labels else "unconditional"
    return {
        "name": plan.name,
        "description": f"{plan.experts} experts on clusters of {plan.dataset}, {conditional}",
        "shape": list(plan.shape),
        "schedule": "linear",
        "prediction": "v",
        "mix": "v",
        "labels": list(plan.labels),
        "extractor": extractor_name(plan),
        "networks": networks,
        "clusters": {
            "features": "pca",
            "dimensions": len(clusters["components"]),
            "found_by": "k-means, 10 starts, nearest centroid, on principal components of pixels",
            "sizes": sizes.tolist(),
            "proportions": [round(p, 5) for p in (sizes.double() / sizes.sum()).tolist()],
            "spread": round(float(clusters["spread"]), 5),
            "feature_spread": round(float(clusters["feature_spread"]), 5),
            **_label_counts(plan, folder),
        },
        "training": {
            "command": plan.command,
            "dataset": plan.dataset,
            "images": int(sizes.sum()),
            "seed": plan.seed,
            "objective": "flow matching: mean squared error of v = eps - x_0, t uniform in [0, 1]",
            "optimiser": "AdamW, trapezoid learning rate, averaged weights",
            "label_dropout": 0.15 if plan.labels else 0.0,
            "precision": plan.precision,
            "machine": _machine(plan),
            "parts": trained,
        },
        "held_out": figures,
    }


def _network(part: PartPlan) -> dict[str, Any]:
    return {"backbone": part.backbone, "settings": dict(part.settings)}


def _facts(plan: Plan, folder: Path, part: str, sizes: Tensor) -> dict[str, Any]:
    """What a part's own file says about its training; parts may come from other machines."""
    path = part_path(folder, part)
    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
    shown = sizes[int(part.removeprefix("expert:"))] if ":" in part else sizes.sum()
    if said.get("images", str(int(shown))) != str(int(shown)):
        raise RequestError(
            f"{path} was trained on {said['images']} images instead of {int(shown)}: "
            "train all parts on the same clusters"
        )
    numbers: dict[str, Any] = {
        key: int(said[key]) for key in ("steps", "batch", "samples") if key in said
    }
    return {**numbers, "lr": plan.parts[part].lr, "final_loss": float(said.get("loss", "nan"))}


def _machine(plan: Plan) -> str:
    device = torch.device(plan.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), device {where}, "
        f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}"
    )
