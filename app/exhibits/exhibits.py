"""Exhibits: a figure, the table behind it, and every form in which both can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import streamlit as st

from app import state
from app.components.chart import chart
from app.exhibits import paper
from app.exhibits.stamp import Stamp
from ddm_core.export import csv_bytes, parquet_bytes
from ddm_core.records import RUN_ID
from ddm_core.versions import installed

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "comparison_lines",
    "csv_button",
    "drawn_json",
    "exhibit",
    "export_menu",
    "run_lines",
    "stamp",
]

T = TypeVar("T")

#: The lines that draw a figure again where a page names no shorter ones.
_FROM_JSON = """\
import plotly.io as pio

figure = pio.read_json("{name}.json")  # Export > JSON
figure.show()
"""


def csv_button(name: str, table: Callable[[], pd.DataFrame], *, label: str = "CSV") -> None:
    """Download a table; it is made when somebody clicks."""
    _download(name, label, "csv", "text/csv", lambda: csv_bytes(table()))


def _download(
    name: str, label: str, ending: str, mime: str, data: Callable[[], bytes], help: str = ""
) -> None:
    st.download_button(
        label,
        data=data,
        file_name=f"{name}.{ending}",
        mime=mime,
        key=f"{ending}_{name}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        help=help or f"{name}.{ending}",
    )


@st.fragment
def exhibit(
    name: str,
    title: str,
    says: str,
    figure: Callable[[], go.Figure],
    table: Callable[[], pd.DataFrame],
    *,
    key: tuple[Hashable, ...] | None = None,
    alt: str = "",
    runs: Sequence[str] = (),
    code: str = "",
    on_pick: Callable[[str], None] | None = None,
    on_lasso: Callable[[list[str]], None] | None = None,
) -> None:
    """A figure, the table behind it and all their exports under one title.

    Arguments:
        name: unique on the page; the files' name.
        title, says: Markdown; what one sees, in one line.
        figure, table: made when they are shown. The figure asks `state.look()` when it is made,
            so that for paper it is light.
        key: of which runs and settings the figure is, so that it is drawn once.
        alt: the picture in words; default the title and what one sees.
        runs: ids of the runs it is of, for the files; default those in the key.
        code: the Python lines that draw it in a notebook.
        on_pick, on_lasso: see `chart`; the whole page follows.
    """
    if st.session_state.pop(f"told_{name}", False):
        st.rerun()
    with st.container(key=f"exhibit_{name}", gap="xsmall"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="stretch")
            as_table = st.toggle("Table", key=f"table_{name}")
            export_menu(name, stamp(title, says, key, runs), figure, table, code=code)
        if says:
            st.caption(says)
        if as_table:
            st.dataframe(table(), hide_index=True, height=300, placeholder="–")
        else:
            chart(
                drawn_json(name, figure, key),
                alt=alt or f"{title}. {says}",
                key=f"figure_{name}",
                on_pick=_whole_page(name, on_pick),
                on_lasso=_whole_page(name, on_lasso),
            )


def _whole_page(name: str, do: Callable[[T], None] | None) -> Callable[[T], None] | None:
    """What is picked here is seen everywhere, and a fragment draws itself alone."""
    if do is None:
        return None

    def act(said: T) -> None:
        do(said)
        st.session_state[f"told_{name}"] = True

    return act


def drawn_json(
    name: str, figure: Callable[[], go.Figure], key: tuple[Hashable, ...] | None
) -> str:
    """A figure as the browser gets it, made once where a key says what it is of."""

    def made() -> str:
        return str(figure().to_json(validate=False))

    return made() if key is None else state.kept(made, name, *key, state.look())


def run_lines(run: str, call: str) -> str:
    """The Python lines that draw a stored run; the call is such as weights(axis="t")."""
    return f'import ddm_core as ddm\n\nrun = ddm.open_run("{run}")\nrun.plot.{call}'


def comparison_lines(comparison: str, call: str) -> str:
    """The same of a stored comparison; "" where the runs are of none."""
    if not comparison:
        return ""
    opened = f'comparison = ddm.open_comparison("{comparison}")'
    return f"import ddm_core as ddm\n\n{opened}\ncomparison.plot.{call}"


def stamp(title: str, says: str, key: object, runs: Sequence[str] = ()) -> Stamp:
    """What the files of an exhibit say of themselves; arguments as in `exhibit`."""
    ids = tuple(runs) or tuple(_ids(key))
    words = [_plain(says), f"Runs: {', '.join(ids)}" if ids else "", f"ddm {installed('ddm')}"]
    return Stamp(_plain(title), ". ".join(word.rstrip(".") for word in words if word))


def export_menu(
    name: str,
    stamp: Stamp,
    figure: Callable[[], go.Figure],
    table: Callable[[], pd.DataFrame],
    *,
    code: str = "",
) -> None:
    """A button that opens all exports; they cost nothing until it is opened, and until clicked.

    Arguments:
        stamp: what pictures say of themselves.
        figure, table, code: as in `exhibit`.
    """
    menu = st.popover(
        "Export",
        icon=":material/download:",
        type="tertiary",
        key=f"export_{name}",
        on_change="rerun",
    )
    if not menu.open:
        return
    with menu:
        with _row("Numbers"):
            csv_button(name, table)
            _download(
                name,
                "Parquet",
                "parquet",
                "application/vnd.apache.parquet",
                lambda: parquet_bytes(table()),
            )
        _pictures(name, stamp, figure)
        with _row("In a notebook"):
            if not code:
                _download(name, "JSON", "json", "application/json", lambda: _json(figure))
        st.code(code.strip() or _FROM_JSON.format(name=name).strip(), language="python")


def _pictures(name: str, stamp: Stamp, figure: Callable[[], go.Figure]) -> None:
    if paper.find_browser() is None:
        st.caption(f":material/warning: {paper.NO_BROWSER}.")
        return
    widths = list(paper.WIDTHS)
    with _row("For paper"):
        wide = st.segmented_control(
            "Width on paper",
            widths,
            format_func=lambda one: f"{one} mm",
            default=widths[0],
            key=f"width_{name}",
            label_visibility="collapsed",
            required=True,
        )
        for format, mime in paper.FORMATS.items():

            def made(format: str = format, width: int = wide or widths[0]) -> bytes:
                with state.in_light():
                    return paper.rendered(figure(), format, width, stamp)

            _download(name, format.upper(), format, mime, made, f"{paper.WIDTHS[wide]}; seconds")


@contextmanager
def _row(label: str) -> Generator[None]:
    """Buttons behind a word that says what they are for."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(label, width=90)
        yield


def _json(figure: Callable[[], go.Figure]) -> bytes:
    with state.in_light():
        return str(figure().to_json()).encode()


def _ids(key: Any) -> Iterator[str]:
    """The run ids in a key, however deep."""
    if isinstance(key, str):
        if RUN_ID.fullmatch(key):
            yield key
    elif isinstance(key, tuple):
        for part in key:
            yield from _ids(part)


def _plain(text: str) -> str:
    """Markdown of a title without its backslashes and stars."""
    return text.replace("\\", "").replace("*", "").strip()
