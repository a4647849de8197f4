"""Accuracy: do the chosen experts predict better?"""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.audit_file import Accuracy, RouterQuality
from app.figures import bands, buckets, over_time
from app.figures.bands import CHANCE, CHOSEN, OTHERS, THIRD, BandsInfo, Panel, as_band
from app.views.alignment import chosen_routes, interval
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]


def page() -> None:
    """Draw the page."""
    st.title("Do the chosen experts predict better?", anchor=False)
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    accuracy = one.audit.accuracy
    if accuracy is None:
        parts.empty(
            "This audit had no real data, and without them nobody knows what is right. "
            "Give it the dataset's files: `ddm audit … --data DIR`."
        )
        return
    left, right = st.columns(2, gap="large")
    with left:
        _matrix(one, accuracy)
    with right:
        if one.audit.router is not None:
            _reliability(one, one.audit.router)
    names = list(dict.fromkeys([r.router for r in accuracy.routes]))
    routes = chosen_routes(names) if names else []
    _paired(one, accuracy, routes)
    _split(one, accuracy, routes)
    if one.audit.router is not None:
        _router(one, one.audit.router)


def _matrix(one: Picked, accuracy: Accuracy) -> None:
    info = over_time.matrix_info(accuracy)
    parts.exhibit(
        "accuracy_matrix",
        "Every expert on the data of every cluster",
        parts.sentence(
            "Denoising loss |v_k - (eps - x_0)|² on held-out data, divided by that of the "
            "cluster's own expert: 1 on the diagonal, and above it what a wrong choice costs; "
            "the slider moves from data (0) to noise (1)"
        ),
        lambda: over_time.figure(info, state.look()),
        lambda: over_time.table(info),
        key=one.key,
    )


def _reliability(one: Picked, router: RouterQuality) -> None:
    temperature = interval(router.temperature)
    parts.exhibit(
        "router_reliability",
        f"Is {parts.literal(router.name)} as sure as it is right?",
        parts.sentence(
            f"all noise levels; size: number of answers; on the dotted line confidence is "
            f"deserved, above it the router is too modest. Expected calibration error "
            f"{_number(router.ece_all)}; fitted temperature {temperature} "
            f"(n = {router.temperature.n:,})"
        ),
        lambda: buckets.reliability_figure(router, state.look()),
        lambda: buckets.reliability_table(router),
        key=one.key,
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _paired(one: Picked, accuracy: Accuracy, routes: list[str]) -> None:
    shown = [route for route in accuracy.routes if route.router in routes]
    if not shown:
        st.caption("Every route that is shown asks all experts: there are none that it left out.")
        return
    info = BandsInfo(
        _times(accuracy),
        tuple(
            Panel(r.router, (as_band("chosen − not chosen", CHOSEN, r.difference),)) for r in shown
        ),
        "difference of loss",
        zero=True,
    )
    parts.exhibit(
        "accuracy_difference",
        "Loss of the chosen experts minus that of the others",
        parts.sentence(
            f"Paired by item ({accuracy.source}); below 0 the chosen predict better; chosen: "
            "weighted as they are; 95% intervals"
        ),
        lambda: bands.figure(info, state.look()),
        lambda: bands.table(info),
        key=(*one.key, *routes),
    )


def _split(one: Picked, accuracy: Accuracy, routes: list[str]) -> None:
    st.subheader("What the experts cannot do, and what routing loses", anchor=False)
    names = [*routes, *(name for name in ("full", "uniform/full") if name not in routes)][:4]
    shown = [part for part in accuracy.loss if part.router in names]
    if not shown:
        return
    info = BandsInfo(
        _times(accuracy),
        tuple(
            Panel(
                part.router,
                (
                    as_band("over the true cluster's weights", CHOSEN, part.over_oracle),
                    as_band("over the best weights in hindsight", OTHERS, part.over_best),
                ),
            )
            for part in shown
        ),
        "excess loss",
        zero=True,
    )
    parts.exhibit(
        "accuracy_excess",
        "Denoising loss beyond that of the same experts under better weights",
        parts.sentence(
            "E|v_route - (eps - x_0)|² minus the same with the weights of who knows the cluster, "
            "and minus that of the best convex weights, chosen for each item; what is left of "
            "the loss is the experts' own"
        ),
        lambda: bands.figure(info, state.look()),
        lambda: bands.table(info),
        key=(*one.key, "excess", *names),
    )


def _router(one: Picked, router: RouterQuality) -> None:
    st.subheader("How well does the router know the cluster?", anchor=False)
    times = tuple(t for t in router.times if t is not None)
    info = BandsInfo(
        times,
        (
            Panel(
                router.name,
                (
                    as_band("right", CHOSEN, router.accuracy),
                    as_band("calibration error", THIRD, router.ece),
                    as_band("largest cluster's share", CHANCE, [router.chance] * len(times)),
                ),
            ),
        ),
        "share of items",
        share=True,
    )
    parts.exhibit(
        "router_accuracy",
        "Accuracy and calibration error by noise level",
        parts.sentence(
            "Accuracy: the largest probability is the true cluster's; calibration error: mean "
            "distance of confidence and accuracy over 15 bins; a router that always names the "
            "largest cluster reaches the dotted line"
        ),
        lambda: bands.figure(info, state.look()),
        lambda: bands.table(info),
        key=one.key,
    )


def _times(accuracy: Accuracy) -> tuple[float, ...]:
    return tuple(t for t in accuracy.times if t is not None)
