"""Who painted this pixel? The part of Trace about the finished picture of the sample in focus."""

from __future__ import annotations

import streamlit as st

from app import parts, state
from app.components.painting import painting, painting_data
from app.figures import painting as figures
from app.figures.subjects import Subject

__all__ = ["painted"]


def painted(run: str, subject: Subject, focus: int | None, axis: str) -> None:
    """The picture in the colours of its painters, and their shares over the steps."""
    trace = subject.trace
    if focus is None or "x0_hat" not in trace or trace.sizes.get("expert", 1) < 2:
        return
    if "contribution" not in trace:
        if "x0_hat_expert" in trace:
            st.caption(
                "Who painted this pixel? This run did not record it. Runs that are sampled from "
                "now on do; an older one can be sampled again with the probes "
                "`standard,contribution`."
            )
        return
    info = state.kept(
        lambda: figures.painting_info(trace, focus, axis=axis), "painting", run, focus, axis
    )
    if info is None:
        return
    look = state.look()
    st.subheader("Who painted this pixel?", anchor=False)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.caption(
            "Colour: the expert whose weighted velocities, summed over the path so far, moved the "
            "pixel most; strong where it is far ahead of the next. Noise and all contributions "
            "sum to the picture. A single pixel of another colour has hardly been moved at all."
        )
        data = state.kept(lambda: painting_data(trace, info), "painted", run, focus)
        painting(data, look, key="painting")
    with right:
        parts.exhibit(
            "painting",
            "Shares of the picture",
            parts.explained(f"of sample {focus}, mean over pixels", definition=info.definition),
            lambda: figures.figure(info, state.look()),
            lambda: figures.table(info),
            key=(run, focus, axis),
        )
