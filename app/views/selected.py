"""Selected runs: what came out of them, how they were asked for, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import parts, state
from app.views.tables import number_rows
from ddm_core import pictures
from ddm_core.config import RunConfig
from ddm_core.records import RunRecord

__all__ = ["differences", "one_run", "several_runs"]

#: Settings that are named whether or not they are as usual.
_ALWAYS = frozenset({"system", "router", "seed", "num", "steps", "sampler"})
_ABREAST = 4
_WIDE = 480  # pixels that a picture of samples has at least


def one_run(record: RunRecord) -> None:
    """Samples of a run, its settings, tags and note, and all of its numbers."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _picture(record)
        if record.error:
            st.error(parts.literal(record.error), icon=":material/error:")
    with right:
        _settings(record.config)
        st.multiselect(
            "Tags",
            sorted(set(record.tags)),
            default=list(record.tags),
            accept_new_options=True,
            key=f"tags_{record.id}",
            on_change=_label,
            args=(record.id,),
        )
        st.text_area(
            "Note",
            record.note,
            key=f"note_{record.id}",
            on_change=_label,
            args=(record.id,),
            max_chars=10_000,
        )
    rows = number_rows(record)
    if not rows.empty:
        st.markdown("**Numbers**")
        st.table(rows, border="horizontal", hide_index=True, alt="numbers of the run")


def _settings(config: RunConfig) -> None:
    """What is not as usual, and what is always worth saying."""
    settings = config.model_dump(mode="json")
    own = {
        name: value for name, value in settings.items() if name in _ALWAYS or value != _usual(name)
    }
    st.markdown(
        "  ·  ".join(
            f":gray[{parts.literal(name)}] {parts.literal(_plain(value))}"
            for name, value in own.items()
        )
    )
    with st.expander("All settings"):
        st.json(settings)


def several_runs(chosen: Sequence[RunRecord]) -> None:
    """Samples of the first ones side by side, and the settings in which all differ."""
    for place, record in zip(st.columns(_ABREAST), chosen[:_ABREAST], strict=False):
        with place:
            _picture(record, most=16)
    st.markdown("**What differs**")
    table = differences([record.config for record in chosen])
    if table.empty:
        st.caption("Nothing: these runs were asked for in exactly the same way.")
        return
    # Names of columns must differ, and a router may have been run twice.
    table.columns = ["setting", *(f"{one.router} · {one.id[-6:]}" for one in chosen)]
    st.dataframe(table, hide_index=True, alt="settings in which the selected runs differ")


def differences(configs: Sequence[RunConfig]) -> pd.DataFrame:
    """Settings in which configs differ, a row each, a column per config."""
    dumped = [config.model_dump(mode="json") for config in configs]
    rows: list[list[str]] = []
    for name in RunConfig.model_fields:
        values = [_plain(one[name]) for one in dumped]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return pd.DataFrame(rows, columns=["setting", *(str(i) for i in range(len(configs)))])


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)


def _picture(record: RunRecord, most: int = 36) -> None:
    """The first samples of a run."""
    if record.status != "done":
        return
    shown = state.kept(lambda: _samples(record.id, most), "samples", record.id, most)
    seeds = record.config.seeds[:most]
    st.image(
        shown,
        width="stretch",
        alt=f"samples {seeds[0]} to {seeds[-1]} of {record.router}",
        caption=f"samples {seeds[0]} to {seeds[-1]} of {parts.literal(record.router)}",
    )


def _samples(id: str, most: int) -> bytes:
    images = state.store().samples(id).images
    # Points become a picture of where they are, which needs all of them.
    picture = pictures.grid(images if images.ndim == 2 else images[:most])
    scale = max(1, _WIDE // picture.shape[1])
    return pictures.png(picture.repeat(scale, axis=0).repeat(scale, axis=1))


def _usual(name: str) -> object:
    """The default of a setting, as JSON has it."""
    usual = RunConfig.model_fields[name].get_default()
    return list(usual) if isinstance(usual, tuple) else usual


def _label(id: str) -> None:
    tags = st.session_state.get(f"tags_{id}")
    note = st.session_state.get(f"note_{id}")
    parts.told(lambda: state.store().label(id, tags=tags, note=note))
