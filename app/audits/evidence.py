"""The evidence in an audit's file: alignment, accuracy, router and disagreement by noise level."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.audits.untrusted import (
    NOTHING,
    Count,
    E,
    Estimates,
    Number,
    Numbers,
    Part,
    Picture,
    Text,
    same,
)

__all__ = [
    "Accuracy",
    "Alignment",
    "AlignmentRoute",
    "Bin",
    "Disagreement",
    "DisagreementRoute",
    "Loss",
    "Noising",
    "Pixels",
    "RouterQuality",
]


class AlignmentRoute(Part):
    """Distances and hits of a route at each t, by one definition of distance."""

    router: Text
    chosen: Estimates = ()
    not_chosen: Estimates = ()
    hit: Estimates = ()
    hit_chance: Numbers = ()
    rank: Estimates = ()
    rank_chance: Number = None
    distance: Text = "cluster_distance"
    definition: Text = ""


class Noising(Part):
    """Whether the true cluster is chosen when real data are noised; routes: their distances."""

    times: Numbers
    router: Text
    hit: Estimates
    chance: Numbers = ()
    routes: tuple[AlignmentRoute, ...] = ()


def _along(part: Part, times: Numbers, routes: tuple[AlignmentRoute, ...]) -> None:
    for one in routes:
        lists = (one.chosen, one.not_chosen, one.hit, one.hit_chance, one.rank)
        same(part, times, **{f"list {i}": values for i, values in enumerate(lists)})


class Alignment(Part):
    """Are the chosen experts the near ones?"""

    times: Numbers
    routes: tuple[AlignmentRoute, ...] = ()
    noising: Noising | None = None

    @model_validator(mode="after")
    def _fits(self) -> Alignment:
        _along(self, self.times, self.routes)
        if self.noising is not None:
            same(self, self.noising.times, hit=self.noising.hit, chance=self.noising.chance)
            _along(self, self.noising.times, self.noising.routes)
        return self


class AccuracyRoute(Part):
    """Denoising error of chosen and other experts at each t."""

    router: Text
    chosen: Estimates = ()
    not_chosen: Estimates = ()
    difference: Estimates = ()


class Loss(Part):
    """Denoising loss of a route at each t, and its excess over two better choices of weights."""

    router: Text
    loss: Estimates = ()
    over_oracle: Estimates = ()
    over_best: Estimates = ()


class Accuracy(Part):
    """Do the chosen experts predict better? matrix: [time][expert][cluster]."""

    times: Numbers
    clusters_n: tuple[Count, ...] = ()
    matrix: tuple[tuple[Numbers, ...], ...] = ()
    routes: tuple[AccuracyRoute, ...] = ()
    loss: tuple[Loss, ...] = ()
    source: Text = ""

    @model_validator(mode="after")
    def _fits(self) -> Accuracy:
        same(self, self.times, matrix=self.matrix)
        for one in self.routes:
            same(self, self.times, chosen=one.chosen, others=one.not_chosen, d=one.difference)
        for one in self.loss:
            same(self, self.times, loss=one.loss, oracle=one.over_oracle, best=one.over_best)
        return self


class Bin(Part):
    """A bin of the reliability diagram."""

    low: Number
    high: Number
    confidence: Number
    accuracy: Number
    n: Count = 0


class RouterQuality(Part):
    """How well the router knows the true cluster of noised data."""

    name: Text
    times: Numbers
    accuracy: Estimates = ()
    ece: Numbers = ()
    entropy: Estimates = ()
    chance: Number = None
    reliability: tuple[Bin, ...] = ()
    ece_all: Number = None
    temperature: E = NOTHING
    nll: Number = None
    nll_fitted: Number = None

    @model_validator(mode="after")
    def _fits(self) -> RouterQuality:
        return same(self, self.times, accuracy=self.accuracy, ece=self.ece, entropy=self.entropy)


class Bucket(Part):
    """Samples of equal disagreement."""

    low: Number
    high: Number
    n: Count = 0
    quality: E
    distance: E = NOTHING
    confidence: E = NOTHING
    picture: Picture = None
    #: Which samples of the route: seeds less that of the plan.
    samples: Annotated[tuple[Count, ...], Field(max_length=100_000)] = ()


class DisagreementRoute(Part):
    """Disagreement of a route at each t, and quality by bucket of it."""

    router: Text
    by_t: Estimates = ()
    buckets: tuple[Bucket, ...] = ()
    spearman: E = NOTHING
    p: Number = None
    spearman_doubt: E = NOTHING
    p_doubt: Number = None


class NoisedDisagreement(Part):
    """Disagreement on noised real data, and its rank correlation with a route's loss on them."""

    times: Numbers
    router: Text = ""
    by_t: Estimates = ()
    by_t_max: Estimates = ()
    spearman: E = NOTHING
    p: Number = None

    @model_validator(mode="after")
    def _fits(self) -> NoisedDisagreement:
        return same(self, self.times, by_t=self.by_t, by_t_max=self.by_t_max)


class Pixels(Part):
    """Where in the image experts disagree: maps [time][row][column]."""

    times: Numbers
    maps: tuple[tuple[Numbers, ...], ...]

    @model_validator(mode="after")
    def _fits(self) -> Pixels:
        return same(self, self.times, maps=self.maps)


class Disagreement(Part):
    """Does quality fall where experts disagree?"""

    times: Numbers
    routes: tuple[DisagreementRoute, ...] = ()
    pixels: Pixels | None = None
    across: E = NOTHING
    noising: NoisedDisagreement | None = None

    @model_validator(mode="after")
    def _fits(self) -> Disagreement:
        for one in self.routes:
            same(self, self.times, by_t=one.by_t)
        return self
