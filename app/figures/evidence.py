"""The evidence of an audit as lines over the noise level: what pages and report draw alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.audits.evidence import (
    Accuracy,
    AlignmentRoute,
    Disagreement,
    NoisedDisagreement,
    Noising,
    RouterQuality,
)
from app.figures.bands import CHANCE, CHOSEN, OTHERS, THIRD, BandsInfo, Panel, as_band
from app.figures.losses import LossesInfo
from app.figures.over_time import FramesInfo, own_and_others

__all__ = [
    "calibration_bands",
    "difference_bands",
    "disagreement_bands",
    "distance_bands",
    "entropy_bands",
    "excess_bands",
    "hit_bands",
    "noised_disagreement_bands",
    "noising_bands",
    "own_bands",
    "rank_bands",
    "router_bands",
]

_ROLES = (CHOSEN, OTHERS, THIRD)
Times = Sequence[float | None]


def distance_bands(times: Times, shown: Sequence[AlignmentRoute]) -> BandsInfo:
    """Distance to the data of the chosen experts and of the others, a panel per route."""
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("chosen", CHOSEN, route.chosen),
                as_band("not chosen", OTHERS, route.not_chosen),
            ),
        )
        for route in shown
    )
    return BandsInfo(tuple(times), panels, "distance")


def hit_bands(times: Times, shown: Sequence[AlignmentRoute]) -> BandsInfo:
    """How often the nearest cluster's expert is chosen, beside chance."""
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("nearest cluster's expert chosen", CHOSEN, route.hit),
                as_band("by chance", CHANCE, route.hit_chance),
            ),
        )
        for route in shown
    )
    return BandsInfo(tuple(times), panels, "share of samples", share=True)


def rank_bands(times: Times, shown: Sequence[AlignmentRoute]) -> BandsInfo:
    """Rank of the leading expert's cluster, beside chance."""
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("leading expert's cluster", CHOSEN, route.rank),
                as_band("by chance", CHANCE, [route.rank_chance] * len(times)),
            ),
        )
        for route in shown
    )
    return BandsInfo(tuple(times), panels, "rank (1 = nearest)", ranks=True)


def noising_bands(found: Noising) -> BandsInfo:
    """How often the true cluster's expert is chosen on noised real data."""
    panel = Panel(
        found.router,
        (
            as_band("true cluster's expert chosen", CHOSEN, found.hit),
            as_band("by chance", CHANCE, found.chance),
        ),
    )
    return BandsInfo(found.times, (panel,), "share of items", share=True)


def difference_bands(accuracy: Accuracy, routes: Sequence[str]) -> BandsInfo:
    """Loss of the chosen experts less that of the others, of the routes that leave some out."""
    panels = tuple(
        Panel(route.router, (as_band("chosen − not chosen", CHOSEN, route.difference),))
        for route in accuracy.routes
        if route.router in routes
    )
    return BandsInfo(accuracy.times, panels, "difference of loss", zero=True)


def own_bands(info: FramesInfo) -> BandsInfo:
    """Mean loss of the clusters' own experts, and of all others."""
    own, others = own_and_others(info)
    panel = Panel(
        "",
        (as_band("own expert", CHOSEN, own.tolist()), as_band("others", OTHERS, others.tolist())),
    )
    return BandsInfo(info.times, (panel,), "denoising loss")


def excess_bands(times: Times, info: LossesInfo) -> BandsInfo:
    """What routing loses against two better choices of weights."""
    panels = tuple(
        Panel(
            split.router,
            (
                as_band("over the oracle's weights", CHOSEN, split.over_oracle),
                as_band("over the best weights in hindsight", OTHERS, split.over_best),
            ),
        )
        for split in info.routes
    )
    return BandsInfo(tuple(times), panels, "excess loss", zero=True)


def disagreement_bands(found: Disagreement) -> BandsInfo:
    """Mean angle between the experts' velocities, a line per route."""
    lines = tuple(
        as_band(route.router, role, route.by_t)
        for route, role in zip(found.routes, _ROLES, strict=False)
    )
    return BandsInfo(found.times, (Panel("", lines),), "mean angle (rad)")


def noised_disagreement_bands(found: NoisedDisagreement) -> BandsInfo:
    """Mean and largest angle between the experts' velocities on noised real data."""
    lines = (
        as_band("mean over pairs", CHOSEN, found.by_t),
        as_band("largest", OTHERS, found.by_t_max),
    )
    return BandsInfo(found.times, (Panel("", lines),), "angle (rad)")


def router_bands(router: RouterQuality) -> BandsInfo:
    """How often the router names the true cluster."""
    panel = Panel(
        router.name,
        (
            as_band("right", CHOSEN, router.accuracy),
            as_band("largest cluster's share", CHANCE, [router.chance] * len(router.times)),
        ),
    )
    return BandsInfo(router.times, (panel,), "share of items", share=True)


def calibration_bands(router: RouterQuality) -> BandsInfo:
    """Expected calibration error by noise level."""
    panel = Panel(router.name, (as_band("calibration error", CHOSEN, router.ece),))
    return BandsInfo(router.times, (panel,), "calibration error", zero=True)


def entropy_bands(router: RouterQuality, experts: int) -> BandsInfo:
    """Entropy of the router's probabilities, beside that of no idea at all."""
    blind = math.log(max(experts, 1))
    panel = Panel(
        router.name,
        (
            as_band("entropy", CHOSEN, router.entropy),
            as_band("no idea: ln K", CHANCE, [blind] * len(router.times)),
        ),
    )
    return BandsInfo(router.times, (panel,), "entropy (nats)", zero=True)
