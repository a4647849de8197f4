"""Disagreement: is quality worse where experts disagree?"""

from __future__ import annotations

import math

import streamlit as st

from app import parts, selection, state
from app.audits.evidence import Disagreement, DisagreementRoute
from app.exhibits.clickable import sample_picture
from app.figures import across, buckets, evidence, over_time
from app.figures.claims import finite, p_text
from app.views.evidence import NO_DATA, abreast, bands_exhibit, interval, run_link, verdict
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]


def page() -> None:
    """Draw the page."""
    st.title("Is quality worse where experts disagree?", anchor=False)
    state.publish("route")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    found = one.audit.disagreement
    if found is None or not found.routes:
        parts.empty(
            "In no route of this audit were all experts looked at, as their disagreement asks "
            "for. A longer budget allows it.",
            page="audit",
            label="Run an audit",
        )
        return
    verdict(one, 4)
    names = list(dict.fromkeys(route.router for route in found.routes))
    name = parts.choice("Samples of", "route", names, pills=True, says=parts.literal)
    plan = one.audit.plan
    selection.bar(range(plan.seed, plan.seed + plan.num))
    _buckets(one, next(route for route in found.routes if route.router == name))
    st.subheader("When, and where in the image?", anchor=False)
    left, right = abreast("where")
    with left:
        _by_time(one, found)
    with right:
        _pixels(one, found)
    _noised(one, found)
    _correlations(one, found)


def _buckets(one: Picked, route: DisagreementRoute) -> None:
    rows = buckets.bucket_rows(route)
    title = one.audit.plan.quality_title or one.audit.plan.quality
    p = finite(route.p)
    rho = f"{interval(route.spearman)}, n = {route.spearman.n:,}"
    rho += "" if math.isnan(p) else f", p {p_text(p)}"
    if not rows:
        st.caption(
            f"Too few samples to part them into buckets. Spearman of disagreement with distance "
            f"to real data: {parts.literal(rho)}."
        )
        return
    sizes = sorted({row.n for row in rows})
    count = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    parts.exhibit(
        "disagreement_buckets",
        f"Quality by disagreement: Spearman {parts.literal(rho)}",
        parts.explained(
            f"{buckets.finding(rows, title)}. Buckets of {count} samples by their mean "
            "disagreement over the path, 95% intervals",
            f"left: {title} of the bucket; right: mean distance of its samples to their 5 nearest "
            "real neighbours in the same features, which the correlation is about. A bucket is "
            f"small and all of one kind, so that its {title} is above that of all samples; "
            "compare buckets of one n, look at what is in them, and take no order for a cause",
            definition="mean angle between all pairs of velocities",
        ),
        lambda: buckets.buckets_figure(rows, title, state.look()),
        lambda: buckets.buckets_table(rows, title),
        key=(*one.key, route.router),
    )
    if not any(bucket.picture for bucket in route.buckets):
        st.caption("No samples of the buckets were kept.")
        return
    for place, row, bucket in zip(st.columns(len(rows)), rows, route.buckets, strict=True):
        with place:
            says = f"{row.range} rad, n = {row.n:,}"
            sample_picture(bucket.picture, f"samples of bucket {row.place}: disagreement {says}")
            st.caption(f"**{row.place}**  ·  {parts.literal(says)}")
            if bucket.samples:
                st.button(
                    "Choose these",
                    key=f"choose_bucket_{row.place}",
                    icon=":material/select_all:",
                    type="tertiary",
                    help="choose these samples, to see them on every page",
                    on_click=selection.choose,
                    args=(
                        [one.audit.plan.seed + sample for sample in bucket.samples],
                        f"bucket {row.place} of disagreement, {route.router}",
                    ),
                )
    measured = next((r for r in one.audit.routes if r.router == route.router), None)
    if measured is not None:
        run_link(measured)


def _by_time(one: Picked, found: Disagreement) -> None:
    bands_exhibit(
        one,
        "disagreement_time",
        "When do they disagree?",
        parts.explained(
            "mean over samples, 95% intervals, from noise to data. Experts of different data have "
            "to differ where the data are not yet told apart: an angle is no fault by itself",
            definition="mean angle between the velocities of all pairs of experts",
        ),
        evidence.disagreement_bands(found),
        height=360,
    )


def _noised(one: Picked, found: Disagreement) -> None:
    if found.noising is None:
        return
    bands_exhibit(
        one,
        "disagreement_noising",
        "And on real data noised to every t?",
        parts.explained(
            one.audit.plan.truth_source,
            "mean over items, 95% intervals; the state is a real one, wherever a route would go",
            definition="angle between the velocities of two experts",
        ),
        evidence.noised_disagreement_bands(found.noising),
        height=360,
    )


def _pixels(one: Picked, found: Disagreement) -> None:
    if found.pixels is None:
        points = one.audit.accuracy is not None
        st.markdown("**Where in the image do they disagree?**")
        parts.empty(
            "Samples of this system are points: there are no pixels." if points else NO_DATA
        )
        return
    info = over_time.pixels_info(found.pixels)
    parts.exhibit(
        "disagreement_pixels",
        "Where in the image do they disagree?",
        parts.explained(
            "standard deviation over experts of the predicted clean image, mean over held-out "
            "images noised to t. Each t has a scale of its own: where is seen, and the key says "
            "how much",
        ),
        lambda: over_time.figure(info, state.look(), height=380),
        lambda: over_time.table(info),
        key=one.key,
    )


def _correlations(one: Picked, found: Disagreement) -> None:
    info = across.across_info(one.audit)
    rows = across.correlations(one.audit, found)
    if not rows and len(info.points) < 2:
        return
    st.subheader("From sample to sample, and from route to route", anchor=False)
    left, right = abreast("across")
    with left:
        if rows:
            parts.exhibit(
                "disagreement_correlations",
                "Does quality follow disagreement?",
                parts.explained(
                    "rank correlation with 95% intervals; to the right of 0 more disagreement "
                    "goes with worse quality; filled: the interval leaves 0 out. Both may come "
                    "from hard samples: a correlation is no cause"
                ),
                lambda: across.correlations_figure(rows, state.look()),
                lambda: across.correlations_table(rows),
                key=one.key,
            )
    with right:
        if len(info.points) > 1:
            parts.exhibit(
                "disagreement_across",
                "Are routes worse whose experts disagree more?",
                parts.explained(
                    f"mean disagreement and {info.quality} of each route, 95% intervals; grey: "
                    "measured for the paradox map. Routes differ in much else, too"
                ),
                lambda: across.figure(info, state.look()),
                lambda: across.table(info),
                key=one.key,
            )
