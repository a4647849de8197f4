"""A system: experts, schedule, clusters, router network, decoder. What a route is bound to."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ddm_core.denoise import Denoiser
from ddm_core.flops import Flops, counted
from ddm_core.schedules import Schedule

__all__ = ["Clusters", "Features", "System"]


class Features(nn.Module):
    """The linear space in which the data were clustered: phi(x) = components (flatten(x) - mean).

    Arguments:
        name: "pca", or "pixels" where phi is the identity.
        mean: [dimension]
        components: [feature, dimension], orthonormal rows; None for the identity.
    """

    def __init__(self, name: str, mean: Tensor, components: Tensor | None = None) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    mean: Tensor
    components: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """x [sample, *] -> phi [sample, feature]."""
        y = x.flatten(1) - self.mean
        return y if self.components is None else y @ self.components.T


@dataclasses.dataclass(frozen=True)
class Clusters:
    """The parts of the data that the experts were trained on.

    Arguments:
        centroids: mean of each cluster in the space of x_0, [expert, *].
        proportions: share of the data in each cluster, [expert], sums to 1.
        spread: root mean square distance per dimension of the data to their own centroid.
        features: the space in which the clusters were found.
        feature_centroids: [expert, feature].
        feature_spread: as `spread`, per feature and to the feature centroids: principal components
            vary far more than pixels.
        sizes: number of training items in each cluster; empty where the data are a density.
        examples: a few real items per cluster, uint8 [expert, item, channel, height, width].
    """

    centroids: Tensor
    proportions: Tensor
    spread: float
    features: Features
    feature_centroids: Tensor
    feature_spread: float
    sizes: tuple[int, ...] = ()
    examples: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> Clusters:
        """The same clusters elsewhere."""
        components = self.features.components
        return dataclasses.replace(
            self,
            centroids=self.centroids.to(device, dtype),
            proportions=self.proportions.to(device, dtype),
            features=Features(
                self.features.name,
                self.features.mean.to(device, dtype),
                None if components is None else components.to(device, dtype),
            ),
            feature_centroids=self.feature_centroids.to(device, dtype),
        )


@dataclasses.dataclass(frozen=True)
class System:
    """A decentralized diffusion model, whole.

    Arguments:
        name: how the command line calls it.
        description: one sentence.
        shape: of one x_0: (channel, height, width), or (2,) for points.
        experts: one denoiser per cluster.
        router: network (x_t [sample, *], t [sample]) -> logits [sample, expert], or None.
        posterior: closed form (x_t, t) -> log p(k | x_t) + const [sample, expert], or None.
        monolith: one denoiser trained on everything, or None.
        labels: names of the classes that experts can be conditioned on; empty for none.
        decoder: x_0 -> what a person looks at; the identity where x_0 is an image.
        folder: where it was loaded from, or None.
        extractor: name of its own feature extractor, or None.
        digest: sha256 over what defines it; equal digests give equal samples.
        info: what its system.toml says, or the settings of an analytic system.
    """

    name: str
    description: str
    shape: tuple[int, ...]
    schedule: Schedule
    experts: tuple[Denoiser, ...]
    clusters: Clusters
    router: nn.Module | None = None
    posterior: nn.Module | None = None
    monolith: Denoiser | None = None
    labels: tuple[str, ...] = ()
    decoder: nn.Module = dataclasses.field(default_factory=nn.Identity)
    folder: Path | None = None
    extractor: str | None = None
    digest: str = ""
    info: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_image(self) -> bool:
        """Whether x_0 is [channel, height, width] rather than a point."""
        return len(self.shape) == 3

    @property
    def default_router(self) -> str:
        """The router of a route that names none: learned, else exact, else nearest."""
        if self.router is not None:
            return "learned"
        return "exact" if self.posterior is not None else "nearest"

    @functools.cached_property
    def flops(self) -> Flops:
        """What an evaluation of its networks costs per sample."""
        like = self.clusters.centroids
        x, t = like.new_zeros(1, *self.shape), like.new_full((1,), 0.5)

        def of(module: nn.Module | None) -> int:
            return 0 if module is None else counted(lambda: module(x, t))

        return Flops(of(self.experts[0]), of(self.router), of(self.monolith))

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> System:
        """The same system on a device, ready for inference.

        This one keeps its tensors: two runs may use it at the same time, in different precisions.
        What is there already is shared, not copied.
        """
        parts = (self.experts, self.router, self.posterior, self.monolith, self.decoder)
        modules = [*self.experts, *(part for part in parts[1:] if isinstance(part, nn.Module))]
        # What deepcopy finds in its memo it takes for copied: the structure is new, the tensors
        # are those that we put there. Modules that share a part go on sharing it.
        memo: dict[int, Any] = {}
        moves = False
        for tensor in {t for m in modules for t in (*m.parameters(), *m.buffers())}:
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            there = tensor.detach().to(device, kind)
            parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(there, requires_grad=False) if parameter else there
            moves |= tensor.requires_grad or there.data_ptr() != tensor.data_ptr()
        experts, router, posterior, monolith, decoder = (
            copy.deepcopy(parts, memo) if moves else parts
        )
        for module in (*experts, router, posterior, monolith, decoder):
            if module is not None:
                module.eval()
        return dataclasses.replace(
            self,
            experts=experts,
            router=router,
            posterior=posterior,
            monolith=monolith,
            decoder=decoder,
            clusters=self.clusters.to(device, dtype),
        )
