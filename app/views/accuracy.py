"""Accuracy: do the chosen experts predict better?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.audits.evidence import Accuracy
from app.figures import evidence, losses, over_time
from app.views.evidence import NO_DATA, abreast, bands_exhibit, chosen_routes, verdict
from app.views.picker import Picked, facts, none_yet, picked
from app.views.router import router_section

__all__ = ["page"]

_MONOLITH = "monolith"


def page() -> None:
    """Draw the page."""
    st.title("Do the chosen experts predict better?", anchor=False)
    state.publish("routes")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    accuracy = one.audit.accuracy
    if accuracy is None:
        parts.empty(NO_DATA, page="audit", label="Run an audit")
        return
    verdict(one, 3)
    both = [route.router for route in (*accuracy.loss, *accuracy.routes)]
    names = [name for name in dict.fromkeys(both) if name != _MONOLITH]
    routes = chosen_routes(names) if names else []
    _paired(one, accuracy, routes)
    if accuracy.matrix:
        _matrix(one, accuracy)
    _split(one, accuracy, routes)
    if one.audit.router is not None:
        router_section(one, one.audit.router)


def _paired(one: Picked, accuracy: Accuracy, routes: Sequence[str]) -> None:
    shown = [route for route in accuracy.routes if route.router in routes]
    if not shown:
        st.caption("Every route that is shown asks all experts: there are none that it left out.")
        return
    bands_exhibit(
        one,
        "accuracy_difference",
        "Loss of the chosen experts minus that of the others",
        parts.explained(
            f"below 0 the chosen predict better. Paired by item ({accuracy.source}), means with "
            "95% intervals; chosen experts count as they are weighted, the others alike. It "
            "compares experts one by one: whether their mix is better still, the split below says",
            definition="|v_k - (eps - x_0)|² / dimension",
        ),
        evidence.difference_bands(accuracy, routes),
        *routes,
    )


def _matrix(one: Picked, accuracy: Accuracy) -> None:
    info = over_time.matrix_info(accuracy)
    left, right = abreast("matrix")
    with left:
        parts.exhibit(
            "accuracy_matrix",
            "Every expert on the data of every cluster",
            parts.explained(
                "loss on held-out data of a cluster, divided by that of the cluster's own expert; "
                "framed: who belongs together. Above 1, blue: what a wrong choice costs; below "
                "1, orange: a stranger does better. One scale for all t",
            ),
            lambda: over_time.figure(info, state.look()),
            lambda: over_time.table(info),
            key=one.key,
        )
    with right:
        bands_exhibit(
            one,
            "accuracy_own",
            "When does it matter who is asked?",
            parts.explained(
                "loss of the cluster's own expert and mean loss of all others; mean over the "
                "clusters that have data, each alike, without an interval. Where the lines meet "
                "any expert will do, and no router can be blamed",
            ),
            evidence.own_bands(info),
            height=400,
        )


def _split(one: Picked, accuracy: Accuracy, routes: Sequence[str]) -> None:
    info = losses.losses_info(accuracy, routes)
    if not info.routes:
        return
    st.subheader("What the experts cannot do, and what routing loses", anchor=False)
    parts.exhibit(
        "accuracy_split",
        "Denoising loss of each route, split in two",
        parts.explained(
            "grey: the same experts under the oracle's weights (the exact posterior where the "
            "system has one, else the true cluster's expert alone); no router can be blamed for "
            "that. On top: what this route's weights add, or save where a mix beats the one "
            "expert. Dotted: the best convex weights, chosen for each item in hindsight; no "
            "router can know them",
            definition="E|sum_k w_k v_k - (eps - x_0)|² / dimension",
        ),
        lambda: losses.figure(info, state.look()),
        lambda: losses.table(info),
        key=(*one.key, *routes),
    )
    bands_exhibit(
        one,
        "accuracy_excess",
        "What routing loses, with intervals",
        parts.explained(
            "loss beyond that of the same experts under better weights, paired by item, 95% "
            "intervals. At 0 the route does as well as they do; a loss here is one of single "
            "steps, and says little of how samples look in the end"
        ),
        evidence.excess_bands(accuracy.times, info),
        *routes,
    )
