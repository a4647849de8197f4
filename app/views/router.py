"""How good the router itself is, whatever is made of its answers."""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.audits.evidence import RouterQuality
from app.figures import evidence, reliability
from app.figures.claims import finite, shown
from app.views.evidence import abreast, bands_exhibit, interval
from app.views.picker import Picked

__all__ = ["router_section"]


def router_section(one: Picked, router: RouterQuality) -> None:
    """Draw accuracy, calibration and entropy of the router on noised real data."""
    st.subheader("How well does the router know the cluster?", anchor=False)
    st.markdown(_numbers(router))
    left, right = abreast("router")
    with left:
        _accuracy(one, router)
    with right:
        _reliability(one, router)
    left, right = abreast("sureness")
    with left:
        _calibration(one, router)
    with right:
        _entropy(one, router)


def _numbers(router: RouterQuality) -> str:
    """The router in a line of Markdown."""
    words = [
        f"**{parts.literal(router.name)}**",
        f"expected calibration error **{shown(finite(router.ece_all))}**",
        f"fitted temperature **{interval(router.temperature)}**, n = {router.temperature.n:,}",
    ]
    if router.nll is not None and router.nll_fitted is not None:
        words.append(
            f"negative log-likelihood {router.nll:.4g}, with that temperature "
            f"{router.nll_fitted:.4g}"
        )
    said = reliability.verdict(router)
    return "  ·  ".join(words) + (f"  \n:gray[{said}.]" if said else "")


def _accuracy(one: Picked, router: RouterQuality) -> None:
    bands_exhibit(
        one,
        "router_accuracy",
        "How often is it right?",
        parts.explained(
            "share of held-out items whose true cluster has the largest probability, 95% "
            "intervals. Who always names the largest cluster reaches the dotted line; near t = 1 "
            "no router can do much better"
        ),
        evidence.router_bands(router),
    )


def _reliability(one: Picked, router: RouterQuality) -> None:
    info = reliability.reliability_info(router)
    if not info.bins:
        st.caption("No reliability diagram was measured.")
        return
    parts.exhibit(
        "router_reliability",
        "Is it as sure as it is right?",
        parts.explained(
            "all noise levels; on the dotted line confidence is deserved, above it the router is "
            "too modest, below it too sure. Bars: answers per bin; a bin of few answers says "
            "little, and answers on one item at several t are no independent ones"
        ),
        lambda: reliability.figure(info, state.look()),
        lambda: reliability.table(info),
        key=one.key,
    )


def _calibration(one: Picked, router: RouterQuality) -> None:
    bands_exhibit(
        one,
        "router_calibration",
        "When is its confidence off?",
        parts.explained(
            "expected calibration error: mean distance of confidence and accuracy over 15 bins of "
            "equal width. Without an interval, and never quite 0 for few items"
        ),
        evidence.calibration_bands(router),
    )


def _entropy(one: Picked, router: RouterQuality) -> None:
    bands_exhibit(
        one,
        "router_entropy",
        "When does it make up its mind?",
        parts.explained(
            "entropy of its probabilities, mean over items, 95% intervals. Low entropy is "
            "confidence; whether it is deserved, the diagram above says",
            definition="-sum_k p_k ln p_k, nats",
        ),
        evidence.entropy_bands(router, one.audit.plan.experts),
    )
