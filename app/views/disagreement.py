"""Disagreement: is quality worse where experts disagree?"""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.audit_file import Disagreement, DisagreementRoute
from app.clickable import sample_picture
from app.figures import bands, buckets, over_time
from app.figures.bands import CHOSEN, OTHERS, BandsInfo, Panel, as_band
from app.views.alignment import interval
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
        parts.empty("This audit looked at all experts in no route.")
        return
    names = [route.router for route in found.routes]
    name = parts.choice("Route", "route", names, segmented=True)
    route = next(route for route in found.routes if route.router == name)
    _buckets(one, route)
    left, right = st.columns(2, gap="large")
    with left:
        _by_time(one, found)
    with right:
        _pixels(one, found)


def _buckets(one: Picked, route: DisagreementRoute) -> None:
    rows = buckets.bucket_rows(route)
    title = one.audit.plan.quality_title or one.audit.plan.quality
    rho = interval(route.spearman)
    if not rows:
        st.caption(
            f"Too few samples for buckets. Spearman of disagreement with distance to real data: "
            f"{rho} (n = {route.spearman.n:,})."
        )
        return
    parts.exhibit(
        "disagreement_buckets",
        f"Quality by bucket of disagreement: Spearman {parts.literal(rho)} over "
        f"{route.spearman.n:,} samples",
        parts.sentence(
            f"Equal numbers of samples, from little to much disagreement (mean angle between all "
            f"pairs of velocities over the path); left: {title} of each bucket, at equal n; "
            "right: mean distance of its samples to their 5 nearest real neighbours in the same "
            "features; a bucket of few samples has a high FID by its bias, and one of samples "
            "that are alike has a high FID for lack of variety: compare buckets, and look at them"
        ),
        lambda: buckets.buckets_figure(rows, title, state.look()),
        lambda: buckets.buckets_table(rows, title),
        key=(*one.key, route.router),
    )
    if any(bucket.picture for bucket in route.buckets):
        places = st.columns(len(rows), gap="medium")
        for place, row, bucket in zip(places, rows, route.buckets, strict=True):
            with place:
                sample_picture(bucket.picture, f"samples of bucket {row.name}")
                st.caption(parts.literal(row.name))


def _by_time(one: Picked, found: Disagreement) -> None:
    times = tuple(t for t in found.times if t is not None)
    roles = (CHOSEN, OTHERS)
    panel = Panel(
        "",
        tuple(
            as_band(route.router, role, route.by_t)
            for route, role in zip(found.routes, roles, strict=False)
        ),
    )
    info = BandsInfo(times, (panel,), "mean angle (rad)")
    parts.exhibit(
        "disagreement_time",
        "When do they disagree?",
        parts.sentence(
            "Mean angle between the velocities of all pairs of experts, mean over samples, 95% "
            "intervals; time runs from noise to data"
        ),
        lambda: bands.figure(info, state.look()),
        lambda: bands.table(info),
        key=one.key,
    )


def _pixels(one: Picked, found: Disagreement) -> None:
    if found.pixels is None:
        st.caption(
            "There is no map over pixels: the samples are points, or this audit had no real data."
        )
        return
    info = over_time.pixels_info(found.pixels)
    parts.exhibit(
        "disagreement_pixels",
        "Where in the image do they disagree?",
        parts.sentence(
            "Standard deviation over experts of the predicted clean image, mean over held-out "
            "images noised to t; the slider moves from data (0) to noise (1)"
        ),
        lambda: over_time.figure(info, state.look()),
        lambda: over_time.table(info),
        key=one.key,
    )
