"""What to train: the request of a user, and how far it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

from ddm_core.errors import RequestError, unknown

__all__ = ["TrainConfig", "TrainProgress"]


class TrainProgress(NamedTuple):
    """How far a training is.

    Arguments:
        stage: "data", "clusters", "networks", "reference", "experts", "figures" or "assemble".
        done, total: optimisation steps in this stage, or 0 and 0 where it has none.
        seconds: since the training (or its resumption) began.
        eta: seconds until this stage ends, or None while unknown.
        loss: a running mean of the part that reported last, or None.
        part: which part reported last, such as "expert:3", or "".
    """

    stage: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    eta: float | None = None
    loss: float | None = None
    part: str = ""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A request for a decentralized diffusion model.

    Arguments:
        dataset: "digits", "mnist", or the path of a folder or .zip of images.
        out: the checkpoint folder to make; default checkpoints/<name of the dataset>.
        data: where mnist's files are.
        experts: number of experts, or "auto" for the best silhouette of 2 to 16 clusters.
        size, grey: of a folder's images; see load_dataset.
        steps: optimisation steps of each expert; default by dataset.
        batch, lr: of experts and monolith; default by dataset.
        seed: of everything random.
        workers: parts trained side by side, one process with one thread each.
        device: "auto", "cpu", "cuda" or "cuda:1".
        monolith: whether to train one model on everything, with as many samples as all experts.
        only: one part ("clusters", "features", "router", "reference", "expert:3", "monolith"), so
            that parts can be trained on different machines and joined in one folder.
        precision: of the forward pass: "fp32", "bf16", or "auto" for the faster one here.
    """

    dataset: str
    out: Path | None = None
    data: Path | None = None
    experts: int | str = 8
    size: int | None = None
    grey: bool | None = None
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int = 0
    workers: int = 2
    device: str = "auto"
    monolith: bool = True
    only: str | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.experts != "auto" and (isinstance(self.experts, str) or self.experts < 2):
            raise RequestError(f"experts must be 'auto' or at least 2, not {self.experts}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise unknown("precision", self.precision, ("auto", "fp32", "bf16"))
        for name in ("steps", "batch", "lr", "workers", "size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise RequestError(f"{name} must be greater than 0, not {value}")

    @property
    def name(self) -> str:
        """Of the system: the last part of `out`, else of the dataset, in plain letters."""
        name = self.out.resolve().name if self.out else Path(self.dataset).resolve().stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "system"

    @property
    def folder(self) -> Path:
        """Where the finished checkpoint will be."""
        return self.out or Path("checkpoints") / self.name

    @property
    def command(self) -> str:
        """The command line that asks for this training."""
        words = ["ddm", "train", self.dataset]
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name in ("workers", "only", "out", "data") or value == field.default:
                continue
            option = f"--{field.name}"
            words += (
                [option if value else f"--no-{field.name}"]
                if isinstance(value, bool)
                else [option, f"{value}"]
            )
        return " ".join(words)
