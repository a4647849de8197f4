"""A router network: which cluster does a noisy image come from?

Clusters of k-means are cut by planes, and at high noise the true posterior is a softmax of a
linear function of x_t. A patchify layer and a small MLP that is modulated by the time are
therefore enough, and cost a few percent of one expert.

References:
    Decentralized Diffusion Models (McAllister et al., 2025)
    FiLM: Visual Reasoning with a General Conditioning Layer (Perez et al., 2018)
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ddm_core.nets.unet import TimeEmbedding

__all__ = ["RouterNet"]


class RouterNet(nn.Module):
    """Logits of the clusters at a noisy image.

    Arguments:
        channels, size: of the image; `size` must be a multiple of `patch`.
        experts: number of clusters.
        patch: side of the squares that the first convolution looks at.
        tokens: channels per square.
        width: of the hidden layers.
        depth: number of residual layers.
    """

    capturable = True

    def __init__(
        self,
        channels: int,
        size: int,
        experts: int,
        patch: int = 4,
        tokens: int = 16,
        width: int = 256,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.time = TimeEmbedding(width // 2)
        self.stem = nn.Conv2d(channels, tokens, patch, stride=patch)
        self.embed = nn.Linear(tokens * (size // patch) ** 2, width)
        self.skip = nn.Linear(channels * size**2, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth + 1))
        self.modulation = nn.Linear(width // 2, 2 * width * (depth + 1))
        self.head = nn.Linear(width, experts)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [sample, channel, height, width], t [sample] -> logits [sample, expert]."""
        parts = self.modulation(functional.silu(self.time(t))).chunk(2 * len(self.norms), dim=1)
        scales, shifts = parts[::2], parts[1::2]
        y = self.embed(functional.silu(self.stem(x_t)).flatten(1)) + self.skip(x_t.flatten(1))
        for norm, layer, scale, shift in zip(
            self.norms, self.layers, scales, shifts, strict=False
        ):
            y = y + layer(functional.silu(norm(y) * (1 + scale) + shift))
        y = self.norms[-1](y) * (1 + scales[-1]) + shifts[-1]
        return self.head(functional.silu(y))
