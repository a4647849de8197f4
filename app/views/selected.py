"""Selected runs: what came out of them, how they were asked for, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import parts, state
from app.parts import literal
from app.views.tables import number_rows, summary_rows
from ddm_core import pictures
from ddm_core.config import RunConfig
from ddm_core.records import RunRecord
from ddm_core.settings import Difference, differences

__all__ = ["difference_rows", "one_run", "several_runs"]

#: Settings that are named whether or not they are as usual.
_ALWAYS = frozenset({"system", "router", "seed", "num", "steps", "sampler"})
_ABREAST = 4
_LETTERS = 8
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
    """Samples of the first ones side by side, their numbers, and what differs."""
    for place, record in zip(st.columns(_ABREAST), chosen[:_ABREAST], strict=False):
        with place:
            _picture(record, most=16)
    if len(chosen) <= _LETTERS:
        rows = summary_rows(chosen, [_called(one) for one in chosen])
        st.table(rows, border="horizontal", hide_index=True, alt="numbers of the chosen runs")
        counts = {record.config.num for record in chosen if record.metrics}
        if len(counts) > 1:
            # Its bias goes with 1 / n: smaller sets look worse than they are.
            st.caption("FIDs of different numbers of samples must not be compared.")
    _differences(chosen)


def _called(record: RunRecord) -> str:
    return f"{record.router} · {record.id[-6:]}"


def _differences(chosen: Sequence[RunRecord]) -> None:
    """Settings as rows, runs as columns; those that differ alone, or all."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**What differs in their settings**", width="stretch")
        only = st.toggle(
            "Differences only",
            value=state.view("settings") != "all",
            key="differences_only",
        )
    state.show(settings=None if only else "all")
    found = differences([record.config for record in chosen])
    shown = [row for row in found if row.differs or not only]
    if not shown:
        st.caption("Nothing: these runs were asked for in exactly the same way.")
        return
    # Names of columns must differ, and a router may have been run twice.
    names = [_called(record) for record in chosen]
    if len(chosen) > _LETTERS:
        values = [[row.name, *(value or "–" for value in row.values)] for row in shown]
        table = pd.DataFrame(values, columns=["setting", *names])
        st.dataframe(table, hide_index=True, alt="settings of the chosen runs")
        return
    st.table(
        difference_rows(shown, names),
        border="horizontal",
        hide_index=True,
        alt="settings in which the chosen runs differ",
    )


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)


def difference_rows(rows: Sequence[Difference], names: Sequence[str]) -> pd.DataFrame:
    """A row per setting; cells are Markdown: grey where it is what the first run says.

    What belongs to a setting stands below it, a step to the right.
    """
    out: list[dict[str, str]] = []
    for row in rows:
        outer, dot, inner = row.name.rpartition(".")
        title = f":gray[{literal(outer)}.]{literal(inner)}" if dot else literal(row.name)
        cells = {"setting": title}
        for index, (name, value) in enumerate(zip(names, row.values, strict=True)):
            said = literal("–" if value is None else value)
            same = index > 0 and value == row.values[0]
            cells[literal(name)] = f":gray[{said}]" if same else f"**{said}**"
        out.append(cells)
    return pd.DataFrame(out)


def _picture(record: RunRecord, most: int = 36) -> None:
    """The first samples of a run."""
    if record.status != "done":
        return
    shown, count = state.kept(lambda: _samples(record.id, most), "samples", record.id, most)
    seeds = record.config.seeds[:count]
    st.image(
        shown,
        width="stretch",
        alt=f"samples {seeds[0]} to {seeds[-1]} of {record.router}",
        caption=f"samples {seeds[0]} to {seeds[-1]} of {parts.literal(record.router)}",
    )


def _samples(id: str, most: int) -> tuple[bytes, int]:
    """A picture of a run's samples, and of how many it is."""
    images = state.store().samples(id).images
    # Points become a picture of where they are, which needs all of them.
    some = images if images.ndim == 2 else images[:most]
    picture = pictures.grid(some)
    scale = max(1, _WIDE // picture.shape[1])
    return pictures.png(picture.repeat(scale, axis=0).repeat(scale, axis=1)), len(some)


def _usual(name: str) -> object:
    """The default of a setting, as JSON has it."""
    usual = RunConfig.model_fields[name].get_default()
    return list(usual) if isinstance(usual, tuple) else usual


def _label(id: str) -> None:
    tags = st.session_state.get(f"tags_{id}")
    note = st.session_state.get(f"note_{id}")
    parts.told(lambda: state.store().label(id, tags=tags, note=note))
