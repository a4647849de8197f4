"""A small U-Net for images of 8 to 64 pixels.

Residual blocks with a scale-and-shift from the time (and label) embedding, one self-attention at
the lowest resolution, nearest-neighbour upsampling. Written for CPUs first: few channels at full
resolution, most of them at the bottom, where convolutions are cheap.

References:
    U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger et al., 2015)
    Diffusion Models Beat GANs on Image Synthesis (Dhariwal and Nichol, 2021)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["UNet"]


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class TimeEmbedding(nn.Module):
    """Sines and cosines of t in [0, 1], then a small network: [sample] -> [sample, features]."""

    def __init__(self, features: int, frequencies: int = 32) -> None:
        super().__init__()
        # Periods from 2 pi / 1000 (tells neighbouring steps apart) to 2 pi (tells the ends apart).
        self.register_buffer(
            "omega",
            torch.exp(torch.linspace(0.0, math.log(1000.0), frequencies)),
            persistent=False,
        )
        self.net = nn.Sequential(
            nn.Linear(2 * frequencies, features),
            nn.SiLU(),
            nn.Linear(features, features),
        )

    omega: Tensor

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None] * self.omega
        return self.net(torch.cat((angle.sin(), angle.cos()), dim=1))


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, norm * (1 + scale) + shift, SiLU, conv, plus the input."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(8, inputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_2 = nn.GroupNorm(8, outputs)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        # Every block starts as the identity (up to its skip): the whole net starts linear.
        _zero(self.conv_2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        y = self.conv_1(functional.silu(self.norm_1(x)))
        y = self.conv_2(functional.silu(self.norm_2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class Attention(nn.Module):
    """Self-attention over all positions of a small feature map."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        _zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = (
            self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w).unbind(1)
        )
        # Written out rather than fused: the fused CPU kernel has no forward-mode derivative.
        score = q.transpose(-1, -2) @ k / math.sqrt(c // self.heads)
        y = v @ score.softmax(dim=-1).transpose(-1, -2)
        return x + self.out(y.reshape(n, c, h, w))


class UNet(nn.Module):
    """What an expert or a monolith predicts for every pixel.

    Arguments:
        channels: of the image, 1 or 3.
        patch: pixels of `patch` x `patch` become channels before the first convolution; 2 makes
            the net four times cheaper at equal widths and loses no pixel.
        widths: channels at each resolution, from full resolution down; each level halves it.
        blocks: residual blocks per level on the way down (and as many on the way up).
        classes: number of labels; 0 makes an unconditional net. The label `classes` means "none".
        heads: of the self-attention at the lowest resolution.
    """

    capturable = True

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (32, 64),
        patch: int = 1,
        blocks: int = 1,
        classes: int = 0,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.patch = patch
        channels = channels * patch**2
        features = 2 * widths[-1]
        self.time = TimeEmbedding(features)
        self.label = nn.Embedding(classes + 1, features) if classes else None
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        skips: list[int] = []
        width = widths[0]
        for level, outputs in enumerate(widths):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResidualBlock(width, outputs, features))
                width = outputs
                skips.append(width)
            if level + 1 < len(widths):
                stage.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
            self.down.append(stage)
        self.middle_1 = ResidualBlock(width, width, features)
        self.attention = Attention(width, heads)
        self.middle_2 = ResidualBlock(width, width, features)
        self.up = nn.ModuleList()
        for level, outputs in reversed(list(enumerate(widths))):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResidualBlock(width + skips.pop(), outputs, features))
                width = outputs
            if level > 0:
                stage.append(nn.Conv2d(width, widths[level - 1], 3, padding=1))
                width = widths[level - 1]
            self.up.append(stage)
        self.norm = nn.GroupNorm(8, width)
        self.head = nn.Conv2d(width, channels, 3, padding=1)
        _zero(self.head)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """x [sample, channel, height, width], t [sample] in [0, 1], label [sample] -> like x."""
        embedding = self.time(t)
        if self.label is not None:
            if label is None:
                label = torch.full_like(t, self.classes, dtype=torch.long)
            embedding = embedding + self.label(label)
        embedding = functional.silu(embedding)
        x = self.stem(functional.pixel_unshuffle(x, self.patch))
        skips: list[Tensor] = []
        for stage in self.down:
            for layer in stage:  # pyright: ignore[reportGeneralTypeIssues]
                if isinstance(layer, ResidualBlock):
                    x = layer(x, embedding)
                    skips.append(x)
                else:
                    x = layer(x)
        x = self.middle_2(self.attention(self.middle_1(x, embedding)), embedding)
        for stage in self.up:
            for layer in stage:  # pyright: ignore[reportGeneralTypeIssues]
                if isinstance(layer, ResidualBlock):
                    x = layer(torch.cat((x, skips.pop()), dim=1), embedding)
                else:
                    size = skips[-1].shape[-2:]
                    x = layer(functional.interpolate(x, size=size, mode="nearest"))
        x = self.head(functional.silu(self.norm(x)))
        return functional.pixel_shuffle(x, self.patch)
