"""The filmstrip of the sample in focus, and of a second run on the same seed below it."""

from __future__ import annotations

import streamlit as st
import xarray as xr

from app import parts, state
from app.components.filmstrip import filmstrip, filmstrip_data
from ddm_core.records import RunRecord

__all__ = ["film"]

_ALONE = "none"
_MOST_OTHERS = 30


def film(record: RunRecord, trace: xr.Dataset, focus: int | None) -> None:
    """What each expert sees in the noise, step by step; nothing where no pictures were kept."""
    if focus is None or "x0_hat" not in trace:
        return
    others = {run.id: run for run in _others(record, focus)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("What each expert sees in the noise", anchor=False, width="stretch")
        second = _ALONE
        if others:
            with st.container(width=320):
                second = parts.choice(
                    "Second run below",
                    "second",
                    [_ALONE, *others],
                    says=lambda id: _says(others[id]) if id in others else "no second run",
                    hide_label=True,
                    help="another run that holds the same seed: same columns, same cursor",
                )
    data = state.kept(lambda: filmstrip_data(trace, focus), "film", record.id, focus)
    if data is None:
        kept = trace["shown"].values
        st.caption(f"Pictures were kept of samples {kept[0]} to {kept[-1]}; choose one of them.")
        return
    st.caption(
        f"Predicted clean image of sample {focus} at every step: the mix, then each expert. "
        "Opacity is the weight, a frame means asked. Click on a column to go there."
    )
    below = None
    if second in others:
        steps = trace.sizes["step"]
        strip = state.kept(
            lambda: filmstrip_data(state.trace(second), focus, steps=steps),
            *("film", second, focus, steps),
        )
        if strip is None:
            st.caption("The second run kept no pictures of this sample.")
        else:
            below = (state.label_of(others[second], [record, others[second]]), strip)
    filmstrip(
        data,
        key="film",
        label=record.router,
        below=below,
        name=f"{record.id[-6:]}-sample-{focus}",
    )


def _others(record: RunRecord, focus: int) -> list[RunRecord]:
    """Runs of this system that keep pictures of this seed, those of the same comparison first."""
    found = [
        run
        for run in state.store().runs()
        if run.id != record.id
        and run.status == "done"
        and run.system == record.system
        and run.config.seed <= focus < run.config.seed + min(run.config.shown, run.config.num)
    ]
    found.sort(key=lambda run: run.comparison != record.comparison or not record.comparison)
    return found[:_MOST_OTHERS]


def _says(run: RunRecord) -> str:
    return f"{run.router} · {run.config.steps} steps · {state.age(run.created)} · {run.id[-6:]}"
