"""A small image classifier whose last hidden layer serves as feature space for FID and its kin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvClassifier"]


class ConvClassifier(nn.Module):
    """Three convolutions, 64 features, a linear head.

    Arguments:
        channels, size: of the images.
        classes: number of labels.
        width: channels of the first convolution.
        features: length of the feature vectors.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        width: int = 32,
        features: int = 64,
    ) -> None:
        super().__init__()
        self.channels = channels
        strides = (1, 2, 2) if size < 16 else (2, 2, 2)
        self.conv_1 = nn.Conv2d(channels, width, 3, stride=strides[0], padding=1)
        self.conv_2 = nn.Conv2d(width, 2 * width, 3, stride=strides[1], padding=1)
        self.conv_3 = nn.Conv2d(2 * width, 2 * width, 3, stride=strides[2], padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, w) for w in (width, 2 * width, 2 * width))
        side = size
        for stride in strides:
            side = (side + stride - 1) // stride
        self.embed = nn.Linear(2 * width * side**2, features)
        self.head = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """x [sample, channel, height, width] in [-1, 1] -> [sample, feature]."""
        for conv, norm in zip((self.conv_1, self.conv_2, self.conv_3), self.norms, strict=True):
            x = functional.silu(norm(conv(x)))
        return functional.silu(self.embed(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """x [sample, channel, height, width] in [-1, 1] -> logits [sample, label]."""
        return self.head(self.features(x))

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 [sample, 1 or 3, height, width] -> float in [-1, 1] with this net's channels."""
        x = images.to(torch.float32) / 127.5 - 1
        if x.shape[1] == 3 and self.channels == 1:
            return x.mean(dim=1, keepdim=True)
        return x.expand(-1, self.channels, -1, -1)
