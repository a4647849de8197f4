"""The report's evidence by noise level: alignment, accuracy, disagreement, as on the pages."""

from __future__ import annotations

from collections.abc import Sequence

from app.audits.evidence import DisagreementRoute
from app.audits.file import Audit
from app.audits.report_html import Figures, element, text
from app.figures import across, bands, buckets, evidence, losses, over_time, reliability
from app.figures.bands import BandsInfo
from app.figures.claims import finite, p_text, written

__all__ = ["accuracy", "alignment", "disagreement"]

#: The routes that claims are about come first; more than four panels are too narrow to read.
_FIRST = ("top_k:k=1", "top_k:k=2", "full", "uniform/full")
_MOST = 4


def _section(name: str, title: str, *parts: str) -> str:
    return element("section", element("h2", text(title)) + "".join(parts), id=name)


def _some(names: Sequence[str]) -> list[str]:
    there = list(dict.fromkeys(names))
    return ([name for name in _FIRST if name in there] or there)[:_MOST]


def _lines(figures: Figures, name: str, title: str, says: str, info: BandsInfo) -> str:
    return figures.add(name, title, says, lambda look: bands.figure(info, look), bands.table(info))


def alignment(figures: Figures, audit: Audit) -> str:
    """Chosen against not-chosen by t, the hit rate and the rank beside chance; "" without any."""
    found = audit.alignment
    if found is None or not found.routes:
        return ""
    names = _some([route.router for route in found.routes])
    parts: list[str] = []
    for distance in dict.fromkeys(route.distance for route in found.routes):
        shown = [r for r in found.routes if r.router in names and r.distance == distance]
        parts.append(
            _lines(
                figures,
                f"alignment_{distance}",
                "Distance to the data of the chosen experts, and of the others,",
                f"by t: {shown[0].definition}. Means over samples with 95% intervals; a route "
                "that asks everybody leaves no others.",
                evidence.distance_bands(found.times, shown),
            )
            if shown
            else ""
        )
    first = found.routes[0].distance
    shown = [r for r in found.routes if r.router in names and r.distance == first]
    parts.append(
        _lines(
            figures,
            "alignment_hit",
            "How often the nearest cluster’s expert is chosen,",
            "beside chance: the share of experts that are chosen, which a blind choice would "
            "reach. For a route that asks everybody it is 100%, and a hit says nothing.",
            evidence.hit_bands(found.times, shown),
        )
    )
    parts.append(
        _lines(
            figures,
            "alignment_rank",
            "Rank of the leading expert’s cluster,",
            "1 is the nearest, beside chance, the middle rank.",
            evidence.rank_bands(found.times, shown),
        )
    )
    if found.noising is not None:
        parts.append(
            _lines(
                figures,
                "alignment_noising",
                f"How often {found.noising.router} chooses the true cluster’s expert",
                f"on real data noised to every t ({audit.plan.truth_source}), where the truth is "
                "known.",
                evidence.noising_bands(found.noising),
            )
        )
    return _section("alignment", "Are the chosen experts those whose data are near?", *parts)


def accuracy(figures: Figures, audit: Audit) -> str:
    """The K x K matrix, paired differences, the split of the loss, and the router's quality."""
    found = audit.accuracy
    if found is None:
        return ""
    names = [one.router for one in (*found.loss, *found.routes) if one.router != "monolith"]
    routes = _some(names)
    parts: list[str] = []
    paired = evidence.difference_bands(found, routes)
    if paired.panels:
        parts.append(
            _lines(
                figures,
                "accuracy_difference",
                "Loss of the chosen experts minus that of the others,",
                f"|v_k − (eps − x_0)|² / dimension, paired by item ({found.source}), means with "
                "95% intervals. Below 0 the chosen predict better.",
                paired,
            )
        )
    if found.matrix:
        matrix = over_time.matrix_info(found)
        parts.append(
            figures.add(
                "accuracy_matrix",
                "Every expert on the data of every cluster:",
                "loss divided by that of the cluster’s own expert; framed: who belongs together. "
                "The slider walks from noise to data.",
                lambda look: over_time.figure(matrix, look),
                over_time.table(matrix),
            )
        )
        parts.append(
            _lines(
                figures,
                "accuracy_own",
                "When does it matter who is asked?",
                "Loss of the cluster’s own expert and mean loss of all others.",
                evidence.own_bands(matrix),
            )
        )
    split = losses.losses_info(found, routes)
    if split.routes:
        parts.append(
            figures.add(
                "accuracy_split",
                "What the experts cannot do, and what routing loses:",
                "grey, the same experts under the oracle’s weights; on top, what the route’s "
                "weights add, or save. Dotted: the best convex weights in hindsight.",
                lambda look: losses.figure(split, look),
                losses.table(split),
            )
        )
    return _section("accuracy", "Do the chosen experts predict better?", *parts) + _router(
        figures, audit
    )


def _router(figures: Figures, audit: Audit) -> str:
    router = audit.router
    if router is None:
        return ""
    fitted = router.temperature
    says = (
        f"{router.name}: expected calibration error {finite(router.ece_all):.3g}, fitted "
        f"temperature {written(*map(finite, fitted[:3]))}, n = {fitted.n:,}. "
        f"{reliability.verdict(router)}."
    )
    parts = [element("p", text(says))]
    parts.append(
        _lines(
            figures,
            "router_accuracy",
            "How often is it right?",
            "Share of held-out items whose true cluster has the largest probability.",
            evidence.router_bands(router),
        )
    )
    info = reliability.reliability_info(router)
    if info.bins:
        parts.append(
            figures.add(
                "router_reliability",
                "Is it as sure as it is right?",
                "On the dotted line confidence is deserved; above it the router is too modest.",
                lambda look: reliability.figure(info, look),
                reliability.table(info),
            )
        )
    return _section("router", "How well does the router know the cluster?", *parts)


def disagreement(figures: Figures, audit: Audit) -> str:
    """Quality by bucket of disagreement, when and where experts disagree, Spearman."""
    found = audit.disagreement
    if found is None or not found.routes:
        return ""
    parts = [_buckets(figures, audit, place, one) for place, one in enumerate(found.routes)]
    parts.append(
        _lines(
            figures,
            "disagreement_time",
            "When do they disagree?",
            "Mean angle between the velocities of all pairs of experts, mean over samples.",
            evidence.disagreement_bands(found),
        )
    )
    if found.noising is not None:
        parts.append(
            _lines(
                figures,
                "disagreement_noising",
                "And on real data noised to every t?",
                "Angle between the velocities of two experts, mean over items.",
                evidence.noised_disagreement_bands(found.noising),
            )
        )
    if found.pixels is not None:
        info = over_time.pixels_info(found.pixels)
        parts.append(
            figures.add(
                "disagreement_pixels",
                "Where in the image do they disagree?",
                "Standard deviation over experts of the predicted clean image; each t on a scale "
                "of its own.",
                lambda look: over_time.figure(info, look, height=400),
                over_time.table(info),
            )
        )
    rows = across.correlations(audit, found)
    if rows:
        parts.append(
            figures.add(
                "disagreement_correlations",
                "Does quality follow disagreement?",
                "Spearman’s rank correlation with 95% intervals; to the right of 0 more "
                "disagreement goes with worse quality. A correlation is no cause.",
                lambda look: across.correlations_figure(rows, look),
                across.correlations_table(rows),
            )
        )
    return _section("disagreement", "Is quality worse where experts disagree?", *parts)


def _buckets(figures: Figures, audit: Audit, place: int, route: DisagreementRoute) -> str:
    rows = buckets.bucket_rows(route)
    if not rows:
        return ""
    title = audit.plan.quality_title or audit.plan.quality
    rho = written(*map(finite, route.spearman[:3]))
    p = finite(route.p)
    said = f"Spearman {rho}, n = {route.spearman.n:,}" + ("" if p != p else f", p {p_text(p)}")
    drawn = figures.add(
        f"disagreement_buckets_{place}",
        f"Quality by disagreement, {route.router}: {said}.",
        f"{buckets.finding(rows, title)[:1].upper()}{buckets.finding(rows, title)[1:]}. Buckets "
        f"of {rows[0].n:,} samples by their mean disagreement over the path; left {title} of the "
        "bucket, right the mean distance of its samples to their 5 nearest real neighbours.",
        lambda look: buckets.buckets_figure(rows, title, look),
        buckets.buckets_table(rows, title),
    )
    pictures = "".join(
        element(
            "div",
            figures.picture(one.picture, f"samples of bucket {row.place}")
            + element("p", text(f"{row.place}: {row.range} rad"), class_="small"),
        )
        for row, one in zip(rows, route.buckets, strict=True)
        if one.picture
    )
    return drawn + (element("div", pictures, class_="gallery") if pictures else "")
