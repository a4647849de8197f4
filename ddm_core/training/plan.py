"""A training with every open choice made, kept in plan.json beside the parts."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ddm_core.devices import pick_device
from ddm_core.errors import RequestError
from ddm_core.nets import build
from ddm_core.training.config import TrainConfig

__all__ = ["PartPlan", "Plan", "expert_settings", "write_plan"]

#: By dataset: steps of an expert, batch, steps of the classifier and of the router (batch 256).
_DIGITS = (500, 64, 400, 600)
_MNIST = (2000, 64, 2500, 4000)
_FOLDER = (2000, 64, 1500, 2000)


@dataclasses.dataclass(frozen=True)
class PartPlan:
    """How one network is trained.

    Arguments:
        backbone, settings: of the network; see ddm_core.nets.
        steps, batch, lr: of AdamW.
    """

    backbone: str
    settings: Mapping[str, Any]
    steps: int
    batch: int
    lr: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training with every choice made, as kept in plan.json beside the parts.

    Arguments:
        name: of the system.
        dataset: name of the dataset, never a path.
        command: that asked for it.
        shape: of one image.
        labels: class names, empty without labels.
        experts: number of clusters.
        seed: of everything random.
        precision: "bf16" or "fp32", of the forward pass in training.
        device: torch device.
        parts: by name: "features", "router", "expert:0", ..., "monolith".
    """

    name: str
    dataset: str
    command: str
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    experts: int
    seed: int
    precision: str
    device: str
    parts: Mapping[str, PartPlan]

    def to_json(self) -> str:
        """The text of plan.json."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that plan.json holds."""
        raw = json.loads(text)
        parts = {name: PartPlan(**part) for name, part in raw.pop("parts").items()}
        raw["shape"], raw["labels"] = tuple(raw["shape"]), tuple(raw["labels"])
        return cls(parts=parts, **raw)


def expert_settings(shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """Settings of a U-Net for images of this shape, small enough for a CPU."""
    channels, size, _ = shape
    widths, patch = [16, 32], 1
    if size > 12:
        widths, patch = [32, 64], 2
    if size > 40:
        widths = [32, 64, 96]
    return {
        "channels": channels,
        "widths": widths,
        "patch": patch,
        "blocks": 1,
        "classes": classes,
    }


def write_plan(config: TrainConfig, folder: Path) -> Plan:
    """Make the plan, or read it and refuse where it is one of another request."""
    path = folder / "plan.json"
    plan = _make_plan(config, folder)
    if path.is_file():
        earlier = Plan.from_json(path.read_text())
        plan = dataclasses.replace(plan, precision=earlier.precision)
        if dataclasses.replace(earlier, device=plan.device) != plan:
            raise RequestError(
                f"{folder} holds unfinished work of another request ({earlier.command}): "
                "delete it or choose another --out"
            )
        return plan
    if plan.precision == "auto":
        plan = dataclasses.replace(plan, precision=_faster_precision(plan))
    beside = path.with_suffix(".tmp")
    beside.write_text(plan.to_json())
    beside.replace(path)
    return plan


def _make_plan(config: TrainConfig, folder: Path) -> Plan:
    with safe_open(folder / "data.safetensors", "pt") as file:
        _, channels, size, width = file.get_slice("train_images").get_shape()
        facts = file.metadata()
    with safe_open(folder / "clusters.safetensors", "pt") as file:
        experts = file.get_slice("sizes").get_shape()[0]
    labels = tuple(facts["labels"].split("\n")) if facts["labels"] else ()
    shape = (channels, size, width)
    presets = {"digits": _DIGITS, "mnist": _MNIST}
    steps, batch, classifier_steps, router_steps = presets.get(config.dataset, _FOLDER)
    steps, batch = config.steps or steps, config.batch or batch
    lr = config.lr or 3e-3
    images = {"channels": channels, "size": size}
    net = expert_settings(shape, len(labels))
    parts: dict[str, PartPlan] = {}
    if labels:
        settings = {**images, "classes": len(labels)}
        parts["features"] = PartPlan(
            "convnet", settings, min(classifier_steps, 10 * steps), 128, 2e-3
        )
    settings = {**images, "experts": experts}
    parts["router"] = PartPlan("router", settings, min(router_steps, 10 * steps), 256, 1e-3)
    for k in range(experts):
        parts[f"expert:{k}"] = PartPlan("unet", net, steps, batch, lr)
    if config.monolith:
        parts["monolith"] = PartPlan("unet", net, steps * experts, batch, lr)
    return Plan(
        name=config.name,
        dataset=facts["name"],
        command=config.command,
        shape=shape,
        labels=labels,
        experts=experts,
        seed=config.seed,
        precision=config.precision,
        device=str(pick_device(config.device)),
        parts=parts,
    )


def _faster_precision(plan: Plan) -> str:
    """The faster one for a training step of an expert: measured, for CPUs differ by 30 times."""
    part = plan.parts["expert:0"]
    device = torch.device(plan.device)
    net = build(part.backbone, part.settings).to(device)
    x, t = (
        torch.zeros(part.batch, *plan.shape, device=device),
        torch.rand(part.batch, device=device),
    )
    seconds = {"fp32": float("inf"), "bf16": float("inf")}
    for _ in range(3):
        for precision in seconds:
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = net(x, t).square().mean()
            loss.backward()
            float(loss.detach())  # waits for the device
            seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    return "bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32"
