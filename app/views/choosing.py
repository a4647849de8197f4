"""Ways to choose samples without a mouse, and what the chosen ones have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import streamlit as st

from app import parts, state
from app.figures.subjects import Subject, long_name
from app.selection import bar, choose
from app.views.tables import written
from ddm_core.analysis import subset
from ddm_core.errors import RequestError
from ddm_core.selections import parsed

__all__ = ["numbers_table", "raw_table", "selection_line"]

_SHARES = (5, 10, 20, 50)
_TITLES = {
    "selected_distance": "chosen distance",
    "selected_minus_chance": "chosen − chance",
    "perturbation_growth_median": "growth, median",
}


def selection_line(subjects: Sequence[Subject], runs: Sequence[str]) -> None:
    """What is chosen, its numbers, and the ways to choose; for pages that show runs.

    Arguments:
        subjects: the runs of the page, of one system.
        runs: their ids.
    """
    seeds = subjects[0].trace["sample"].values.tolist()
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="selection_line"
    ):
        chosen = bar(seeds, runs=runs)
        if chosen.among(seeds):
            _numbers(subjects, runs, chosen.chosen)
        _chooser(subjects, runs)


def _numbers(subjects: Sequence[Subject], runs: Sequence[str], chosen: tuple[int, ...]) -> None:
    table = state.kept(lambda: numbers_table(subjects, chosen), "subset", tuple(runs), chosen)
    with st.popover("Numbers", icon=":material/table:", type="tertiary", key="selection_numbers"):
        st.dataframe(
            table, hide_index=True, width="stretch", alt="numbers of the chosen and of all others"
        )
        st.caption(
            "Means over samples, or the median, with 95% intervals and n. Whoever was chosen by a "
            "number differs in it by construction; what else differs is a finding."
        )
        parts.csv_button("chosen_numbers", lambda: raw_table(subjects, chosen))


def numbers_table(subjects: Sequence[Subject], chosen: tuple[int, ...]) -> pd.DataFrame:
    """The main numbers of the chosen samples and of the others, a row per run and number."""
    rows = [
        {
            "run": label,
            "number": _TITLES.get(row.name, row.name.replace("_", " ")),
            "chosen": written(row.chosen.to_json()),
            "n": row.chosen.n,
            "others": written(row.others.to_json()),
            "n of others": row.others.n,
        }
        for label, row in _rows(subjects, chosen)
    ]
    table = pd.DataFrame(rows)
    return table.drop(columns="run") if len(subjects) == 1 and rows else table


def raw_table(subjects: Sequence[Subject], chosen: tuple[int, ...]) -> pd.DataFrame:
    """The same for other programs: all digits, and how each number was made."""
    return pd.DataFrame(
        [
            {"run": label, "number": row.name, "samples": who, **estimate.to_json()}
            for label, row in _rows(subjects, chosen)
            for who, estimate in (("chosen", row.chosen), ("others", row.others))
        ]
    )


def _rows(
    subjects: Sequence[Subject], chosen: tuple[int, ...]
) -> Iterator[tuple[str, subset.SubsetRow]]:
    for subject in subjects:
        for row in subset.subset_rows(subject.trace, chosen):
            yield subject.label, row


def _chooser(subjects: Sequence[Subject], runs: Sequence[str]) -> None:
    """By a variable, by seed, or by rows of a table."""
    menu = st.popover(
        "Choose samples",
        icon=":material/select_all:",
        type="tertiary",
        key="selection_chooser",
        on_change="rerun",
    )
    if not menu.open:
        return
    with menu:
        label = subjects[0].label
        if len(subjects) > 1:
            labels = [subject.label for subject in subjects]
            label = st.selectbox("Run", labels, key="choose_run") or label
        index = [subject.label for subject in subjects].index(label)
        trace = subjects[index].trace
        names = subset.rankable(trace)
        if names:
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                which = st.selectbox("The", ["highest", "lowest"], key="choose_which", width=120)
                share = st.selectbox(
                    "share",
                    _SHARES,
                    index=1,
                    format_func=lambda one: f"{one}%",
                    key="choose_share",
                    width=90,
                )
                name = st.selectbox(
                    "of mean",
                    names,
                    index=names.index("disagreement") if "disagreement" in names else 0,
                    format_func=lambda one: long_name(trace[one]),
                    key="choose_variable",
                    width=230,
                )
                st.button(
                    "Choose",
                    key="choose_extreme",
                    on_click=lambda: _extreme(label, subjects[index], name, share, which),
                )
        st.text_input(
            "Or seeds",
            key="choose_seeds",
            placeholder="0-5, 9, 17",
            on_change=_typed,
            help="as ranges; what is chosen replaces what was",
        )
        _rows_of(runs[index], subjects[index])


def _extreme(label: str, subject: Subject, name: str, share: int, which: str) -> None:
    def act() -> None:
        seeds = subset.extreme(subject.trace, name, share / 100, highest=which == "highest")
        title = str(name).replace("_", " ")
        choose(seeds, f"{which} {share}% of {title}, {label}")

    parts.told(act)


def _typed() -> None:
    text = "".join(str(st.session_state["choose_seeds"]).split())
    try:
        choose(parsed(text) if text else (), "typed")
    except RequestError as error:
        st.toast(parts.literal(error), icon=":material/warning:")


def _rows_of(run: str, subject: Subject) -> None:
    """A table of samples whose rows can be chosen."""
    table = state.kept(lambda: subset.sample_table(subject.trace), "sample_table", run)
    key = f"choose_rows_{run}"
    st.caption("Or rows: mean over steps of every variable")
    st.dataframe(
        table,
        hide_index=True,
        height=240,
        key=key,
        selection_mode="multi-row",
        on_select=lambda: choose(
            table["seed"].iloc[list(st.session_state[key]["selection"]["rows"])].tolist(),
            "rows of the table",
        ),
    )
