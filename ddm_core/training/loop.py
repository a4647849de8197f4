"""The optimisation loop: AdamW, a trapezoid learning rate, averaged weights, and resumption.

Every random number of step i comes from a seed that is made of (seed, part, i), and everything
else that matters lies in one resume file. A training that was killed and resumed is the training
that was not, bit for bit.

References:
    Decoupled Weight Decay Regularization (Loshchilov and Hutter, 2019)
    Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations
    (Haegele et al., 2024)
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ddm_core import disk
from ddm_core.errors import WorkError

__all__ = ["Objective", "Recipe", "fit", "generator", "write_tensors"]

#: The loss of one step: (net, random numbers of that step) -> [].
Objective = Callable[[nn.Module, torch.Generator], Tensor]

_WARMUP = 200  # steps
_DECAY = 0.3  # the last share of the steps, in which the learning rate falls to zero
_HALF_LIFE = 0.02  # of the averaged weights, as a share of the steps
_CLIP = 1.0
_SAVE_EVERY = 60.0  # seconds


class Recipe(NamedTuple):
    """How long and how fast: part names the stream of random numbers."""

    part: str
    steps: int
    lr: float
    seed: int
    precision: str
    device: torch.device


def generator(seed: int, *names: object) -> torch.Generator:
    """Random numbers that depend on these names alone."""
    text = "/".join(map(str, (seed, *names)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        WorkError: the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk.replacing(path) as fresh:
            save_file({key: value.contiguous() for key, value in tensors.items()}, fresh, facts)
    except (OSError, SafetensorError) as error:
        raise WorkError(f"{path} cannot be written: {error}") from None


def fit(
    net: nn.Module,
    objective: Objective,
    recipe: Recipe,
    resume: Path,
    until: int,
    report: Callable[[int, float], None],
    should_stop: Callable[[], bool],
) -> tuple[int, Tensor, dict[str, Tensor]]:
    """Train from where the resume file stands up to step `until`.

    Arguments:
        net: freshly initialised.
        resume: written every minute, at the end, and when stopped.
        report: called now and then with (steps done, running mean of the loss).
        should_stop: asked before every step.

    Returns:
        (steps done, losses [step], averaged weights).

    Raises:
        WorkError: the loss is no longer finite.
    """
    net.to(recipe.device).train()
    on_gpu = recipe.device.type == "cuda"
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=recipe.lr, betas=(0.9, 0.99), fused=on_gpu or None
    )
    average = {key: value.detach().clone() for key, value in net.state_dict().items()}
    losses = torch.zeros(0)
    if resume.is_file():
        losses = _restore(resume, net, optimiser, average)
    recent: list[Tensor] = []
    saved = reported = time.monotonic()

    def save() -> int:
        nonlocal losses, recent
        losses = torch.cat((losses, torch.stack(recent).cpu())) if recent else losses
        recent = []
        if not losses.isfinite().all():
            raise WorkError(f"training of {recipe.part} fails: the loss is not finite any more")
        _save(resume, net, optimiser, average, losses)
        return len(losses)

    step = len(losses)
    while step < until and not should_stop():
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * _trapezoid(step, recipe.steps)
        with torch.autocast(
            recipe.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"
        ):
            loss = objective(net, generator(recipe.seed, recipe.part, step))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
        optimiser.step()
        optimiser.zero_grad()
        _move_average(average, net, step, recipe.steps)
        recent.append(loss.detach().float())
        step += 1
        now = time.monotonic()
        if now - reported > 1.0:
            reported = now
            report(step, float(torch.stack(recent[-50:]).mean()))
        if now - saved > _SAVE_EVERY:
            saved = now
            save()
    save()
    report(step, float(losses[-50:].mean()) if len(losses) else float("nan"))
    return step, losses, {key: value.cpu() for key, value in average.items()}


def _trapezoid(step: int, steps: int) -> float:
    """Up over the first steps, flat, and down to zero over the last ones."""
    up = (step + 1) / min(_WARMUP, max(1, steps // 5))
    down = (steps - step) / (_DECAY * steps)
    return min(1.0, up, down)


@torch.no_grad()
def _move_average(average: dict[str, Tensor], net: nn.Module, step: int, steps: int) -> None:
    # Young averages follow quickly, so that the random start is soon forgotten.
    decay = min(0.5 ** (1 / max(1.0, _HALF_LIFE * steps)), (1 + step) / (10 + step))
    now = net.state_dict()
    # All at once: on a GPU one kernel instead of one per tensor.
    get_ema_multi_avg_fn(decay)([average[key] for key in now], list(now.values()), 0)


def _save(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    losses: Tensor,
) -> None:
    tensors = {f"net.{key}": value for key, value in net.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in state.items()}
    write_tensors(path, {**tensors, "losses": losses}, {})


def _restore(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> Tensor:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WorkError(
            f"{path} is damaged: delete it to begin this part anew ({error})"
        ) from None
    net.load_state_dict({key: tensors[f"net.{key}"] for key in net.state_dict()})
    for key, value in average.items():
        value.copy_(tensors[f"average.{key}"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, field = key.split(".", 2)
            state.setdefault(int(index), {})[field] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return tensors["losses"]
