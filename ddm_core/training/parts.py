"""The parts of a system, each trained on its own: what a part is shown and what it is asked.

An expert sees its own cluster and nothing else: neither the images nor the random numbers of any
other part. That is what lets experts be trained on different machines.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023)
    Classifier-Free Diffusion Guidance (Ho and Salimans, 2022)
    Decentralized Diffusion Models (McAllister et al., 2025)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ddm_core.devices import place
from ddm_core.nets import build
from ddm_core.schedules import Linear
from ddm_core.training.clusters import as_float
from ddm_core.training.loop import Objective, Recipe, fit, generator, write_tensors
from ddm_core.training.plan import Plan

__all__ = ["is_finished", "part_path", "train_part", "uniform_times"]

_LABEL_DROPOUT = 0.15


def part_path(folder: Path, part: str) -> Path:
    """Where a finished part lies: "expert:3" in expert_3.safetensors."""
    return folder / f"{part.replace(':', '_')}.safetensors"


def is_finished(folder: Path, part: str) -> bool:
    """Whether a part needs no more training."""
    return part_path(folder, part).is_file()


def train_part(
    plan: Plan,
    folder: Path,
    part: str,
    until: int,
    report: Callable[[int, float], None],
    should_stop: Callable[[], bool],
) -> int:
    """Train a part up to step `until`; at its last step its weights are written.

    Arguments:
        folder: holds data.safetensors and assignment.safetensors.

    Returns:
        How many steps are done.
    """
    wish = plan.parts[part]
    device = torch.device(plan.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(plan.seed, part, "start").initial_seed())
        net = build(wish.backbone, wish.settings)
    data = {key: value.to(device) for key, value in _shown(folder, part).items()}
    recipe = Recipe(part, wish.steps, wish.lr, plan.seed, plan.precision, device)
    resume = part_path(folder / "resume", part)
    objective = _objective(part, data, wish.batch, len(plan.labels))
    step, losses, average = fit(net, objective, recipe, resume, until, report, should_stop)
    if step >= wish.steps:
        last = losses[-max(1, wish.steps // 10) :]
        facts = {
            "part": part,
            "images": str(len(data["images"])),
            "steps": str(step),
            "batch": str(wish.batch),
            "samples": str(step * wish.batch),
            "loss": f"{float(last.mean()):.6f}",
        }
        write_tensors(part_path(folder, part), average, facts)
        resume.unlink()
    return step


def _shown(folder: Path, part: str) -> dict[str, Tensor]:
    """The training data of a part, and only those."""
    data = load_file(folder / "data.safetensors")
    shown = {"images": data["train_images"]}
    if "train_labels" in data:
        shown["labels"] = data["train_labels"]
    if part.startswith("expert:"):
        clusters = load_file(folder / "assignment.safetensors")["train"]
        own = torch.nonzero(clusters == int(part.removeprefix("expert:"))).flatten()
        return {key: value[own] for key, value in shown.items()}
    if part == "router":
        shown["labels"] = load_file(folder / "assignment.safetensors")["train"]
    return shown


def _objective(part: str, data: dict[str, Tensor], batch: int, classes: int) -> Objective:
    if part == "features":
        return lambda net, random: _classify(net, _draw(data, batch, random), random)
    if part == "router":
        return lambda net, random: _route(net, _draw(data, batch, random), random)
    return lambda net, random: _flow(net, _draw(data, batch, random), classes, random)


def _draw(
    data: dict[str, Tensor], batch: int, random: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """A batch with replacement, so that a cluster of three images is one too."""
    images = data["images"]
    rows = place(torch.randint(len(images), (batch,), generator=random), images.device)
    labels = data.get("labels")
    return as_float(images[rows]), None if labels is None else labels[rows]


def uniform_times(n: int, random: torch.Generator) -> Tensor:
    """t [sample], uniform in [0, 1], one in each of n equal bins: less noise in the gradient."""
    return (torch.randperm(n, generator=random) + torch.rand(n, generator=random)) / n


def _noised(x_0: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(x_t, t, v) of fresh noise and times."""
    t = place(uniform_times(len(x_0), random), x_0.device)
    eps = place(torch.randn(x_0.shape, generator=random), x_0.device)
    path = Linear()
    return path.noised(x_0, eps, t), t, path.velocity(x_0, eps, t)


def _flow(
    net: nn.Module, batch: tuple[Tensor, Tensor | None], classes: int, random: torch.Generator
) -> Tensor:
    """Flow matching: mean squared error of v."""
    x_0, labels = batch
    x_t, t, v = _noised(x_0, random)
    if labels is not None:
        chance = place(torch.rand(len(x_0), generator=random), x_0.device)
        labels = torch.where(chance < _LABEL_DROPOUT, classes, labels)
    return (net(x_t, t, labels).float() - v).square().mean()


def _route(net: nn.Module, batch: tuple[Tensor, Tensor | None], random: torch.Generator) -> Tensor:
    """Cross-entropy of the cluster at noised images."""
    x_0, clusters = batch
    assert clusters is not None
    x_t, t, _ = _noised(x_0, random)
    return functional.cross_entropy(net(x_t, t).float(), clusters)


def _classify(
    net: nn.Module, batch: tuple[Tensor, Tensor | None], random: torch.Generator
) -> Tensor:
    """Cross-entropy of the label at images moved by a few pixels."""
    x_0, labels = batch
    assert labels is not None
    most = max(1, x_0.shape[-1] // 14)
    shifts = torch.randint(-most, most + 1, (len(x_0), 2), generator=random).tolist()
    moved = functional.pad(x_0, (most, most, most, most), value=-1.0)
    side = x_0.shape[-1]
    x_0 = torch.stack(
        [
            image[:, most + dy : most + dy + side, most + dx : most + dx + side]
            for image, (dy, dx) in zip(moved, shifts, strict=True)
        ]
    )
    return functional.cross_entropy(net(x_0).float(), labels)
