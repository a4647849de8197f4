"""`ring`: a 2-D Gaussian mixture whose experts, router and density are known in closed form.

Cluster k is N(mu_k, s^2 I) with the mu_k evenly on a circle. Under x_t = alpha x_0 + sigma eps the
state of cluster k is N(alpha mu_k, c_t I) with c_t = alpha^2 s^2 + sigma^2, hence

    E[x_0 | x_t, k] = mu_k + alpha s^2 / c_t (x_t - alpha mu_k)
    log p(k | x_t)  = log pi_k - |x_t - alpha mu_k|^2 / (2 c_t) + const

and the full ensemble under the exact router *is* the velocity of the whole mixture.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddm_core.denoise import Denoiser
from ddm_core.errors import RequestError
from ddm_core.registry import shortest
from ddm_core.schedules import Schedule, expand, schedule_named
from ddm_core.systems.base import Clusters, Features, System

__all__ = ["GaussianExpert", "GaussianPosterior", "MixtureDenoiser", "RingSettings", "ring"]


class RingSettings(NamedTuple):
    """What can be set about the ring.

    Arguments:
        experts: number of clusters and experts.
        radius: of the circle that the centres lie on.
        spread: standard deviation s of each cluster.
        error: how wrong an expert is outside its own cluster. An expert's prediction of x_0 is
            shifted by `error` standard deviations of the whole data in a direction of its own,
            times 1 - p(k | x_t): exact where its own data are, wrong where they are not.
        schedule: linear, cosine or vp.
    """

    experts: int = 6
    radius: float = 1.0
    spread: float = 0.1
    error: float = 0.0
    schedule: str = "linear"


class GaussianPosterior(nn.Module):
    """log p(k | x_t) + const of a mixture of isotropic Gaussians.

    Arguments:
        centres: [expert, 2]
        spread: standard deviation of each cluster.
    """

    def __init__(self, centres: Tensor, spread: float, schedule: Schedule) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        self.spread = spread
        self.schedule = schedule

    centres: Tensor

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t [sample, 2], t [sample] -> logits [sample, expert]; equal proportions."""
        alpha, sigma = self.schedule.alpha_sigma(t)
        variance = alpha**2 * self.spread**2 + sigma**2
        away = x_t[:, None] - alpha[:, None, None] * self.centres
        return -away.square().sum(dim=2) / (2 * variance[:, None])


class GaussianExpert(Denoiser):
    """The exact denoiser of one cluster, wrong elsewhere by as much as `error` says."""

    def __init__(self, k: int, posterior: GaussianPosterior, error: float, scale: float) -> None:
        super().__init__(posterior.schedule)
        self.k = k
        self.posterior = posterior
        # Each expert errs in a direction of its own, so that errors do not simply add up; the
        # golden angle spreads any number of directions over the circle.
        angle = k * math.pi * (3 - math.sqrt(5))
        direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        self.wrong = error != 0.0
        self.register_buffer("shift", error * scale * direction)

    shift: Tensor

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha, sigma = self.schedule.alpha_sigma(t)
        s2 = self.posterior.spread**2
        gain = alpha * s2 / (alpha**2 * s2 + sigma**2)
        centre = self.posterior.centres[self.k]
        x_0 = centre + expand(gain, x_t) * (x_t - expand(alpha, x_t) * centre)
        if self.wrong:
            own = torch.softmax(self.posterior(x_t, t), dim=1)[:, self.k]
            x_0 = x_0 + expand(1 - own, x_t) * self.shift
        return self.schedule.v_from_x_0(x_t, x_0, t)


class MixtureDenoiser(Denoiser):
    """The exact denoiser of the whole mixture, from the score of its density; the monolith.

    Computed by another way than the ensemble (the score of the log density), so that the two check
    each other.
    """

    def __init__(self, posterior: GaussianPosterior) -> None:
        super().__init__(posterior.schedule)
        self.posterior = posterior

    def log_density(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p_t(x_t) [sample] in nats."""
        alpha, sigma = self.schedule.alpha_sigma(t)
        variance = alpha**2 * self.posterior.spread**2 + sigma**2
        count = len(self.posterior.centres)
        mixture = torch.logsumexp(self.posterior(x_t, t), dim=1) - math.log(count)
        return mixture - torch.log(2 * math.pi * variance)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha, sigma = self.schedule.alpha_sigma(t)
        variance = expand(alpha**2 * self.posterior.spread**2 + sigma**2, x_t)
        p = torch.softmax(self.posterior(x_t, t), dim=1)
        score = (expand(alpha, x_t) * (p @ self.posterior.centres) - x_t) / variance
        # Tweedie's x_0 = (x_t + sigma^2 score) / alpha divides by alpha, which is 0 at t = 1 of
        # the linear path; the same posterior mean written with the centres does not.
        x_0 = p @ self.posterior.centres - expand(alpha, x_t) * self.posterior.spread**2 * score
        eps = -expand(sigma, x_t) * score
        return self.schedule.velocity(x_0, eps, t)


def ring(settings: RingSettings | None = None) -> System:
    """The ring as a system; moves to any device and dtype.

    Raises:
        RequestError: a setting out of bounds.
    """
    settings = settings or RingSettings()
    k, spread = settings.experts, settings.spread
    if not 1 <= k <= 1024:
        raise RequestError(f"ring:experts={k} is not possible; take 1 to 1024")
    for name in ("radius", "spread"):
        value = getattr(settings, name)
        if not 1e-3 <= value <= 1e3:
            raise RequestError(f"ring:{name}={value:g} is not possible; take 0.001 to 1000")
    if not 0 <= settings.error <= 1e3:
        raise RequestError(f"ring:error={settings.error:g} is not possible; take 0 to 1000")
    schedule = schedule_named(settings.schedule)
    angle = 2 * math.pi * torch.arange(k, dtype=torch.float64) / k
    centres = settings.radius * torch.stack((angle.cos(), angle.sin()), dim=1)
    posterior = GaussianPosterior(centres, spread, schedule)
    scale = math.sqrt(settings.radius**2 / 2 + spread**2)
    experts = tuple(GaussianExpert(i, posterior, settings.error, scale) for i in range(k))
    clusters = Clusters(
        centroids=centres,
        proportions=torch.full((k,), 1 / k, dtype=torch.float64),
        spread=spread,
        features=Features("pixels", torch.zeros(2, dtype=torch.float64)),
        feature_centroids=centres.clone(),
        feature_spread=spread,
    )
    info = settings._asdict()
    changed = [key for key, usual in RingSettings()._asdict().items() if info[key] != usual]
    return System(
        name=":".join(["ring", *(f"{key}={shortest(info[key])}" for key in changed)]),
        description="2-D Gaussian mixture on a ring, closed-form experts and router",
        shape=(2,),
        schedule=schedule,
        experts=experts,
        clusters=clusters,
        posterior=posterior,
        monolith=MixtureDenoiser(posterior),
        extractor="coordinates",
        digest=hashlib.sha256(repr(settings).encode()).hexdigest(),
        info=info,
    )
