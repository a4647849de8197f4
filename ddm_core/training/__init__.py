"""Training: from images to a decentralized diffusion model, resumable at any moment."""

from __future__ import annotations

from ddm_core.training.config import TrainConfig, TrainProgress
from ddm_core.training.train import train_system

__all__ = ["TrainConfig", "TrainProgress", "train_system"]
