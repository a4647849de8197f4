"""Backbones: the networks that a checkpoint may name. A closed list, so that no file runs code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from ddm_core.errors import RequestError, unknown
from ddm_core.nets.classifier import ConvClassifier
from ddm_core.nets.router import RouterNet
from ddm_core.nets.unet import UNet

__all__ = ["BACKBONES", "ConvClassifier", "RouterNet", "UNet", "build"]

BACKBONES: Mapping[str, type[nn.Module]] = {
    "unet": UNet,
    "router": RouterNet,
    "convnet": ConvClassifier,
}

_UNFIT = (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError, UserWarning)


def build(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """A network by the name and the settings that a checkpoint holds, freshly initialised.

    Raises:
        RequestError: no such backbone, or settings that it does not take.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    try:
        with warnings.catch_warnings():
            # torch only warns of layers without a single weight.
            warnings.simplefilter("error", UserWarning)
            return BACKBONES[name](**settings)
    except _UNFIT as error:
        raise RequestError(f"backbone '{name}' does not take these settings: {error}") from None
