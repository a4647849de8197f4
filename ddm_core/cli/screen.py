"""What a person sees: progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from ddm_core.records import RunRecord

__all__ = [
    "Bar",
    "aside",
    "counted",
    "note",
    "number",
    "progress",
    "run_json",
    "say_json",
    "say_table",
    "tell_labels",
    "warn",
]

_SPARSE_SECONDS = 5.0


class Bar:
    """One line of progress; a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, what: str, rich: Progress | None) -> None:
        self._what = what
        self._rich = rich
        self._task: TaskID | None = None
        self._told = time.monotonic()

    def update(self, done: int, total: int, text: str = "", eta: float | None = None) -> None:
        """How far it is."""
        if self._rich is not None:
            if self._task is None:
                self._task = self._rich.add_task(self._what, total=total)
            self._rich.update(
                self._task, completed=done, total=total or None, text=_with_eta(text, eta)
            )
        elif time.monotonic() - self._told > _SPARSE_SECONDS:
            self._told = time.monotonic()
            share = f"{100 * done // total}%" if total else "..."
            print(f"{self._what}: {share} {_with_eta(text, eta)}".rstrip(), file=sys.stderr)


def _with_eta(text: str, eta: float | None) -> str:
    left = "" if eta is None else f"{eta:.0f} s left"
    return ", ".join(part for part in (text, left) if part)


@contextmanager
def aside() -> Generator[None]:
    """What components print while they work goes to stderr: stdout is for the answer."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def progress(what: str) -> Generator[Bar]:
    """A bar that goes away at the end, over work that prints nothing on stdout."""
    with aside(), _bar(what) as bar:
        yield bar


@contextmanager
def _bar(what: str) -> Generator[Bar]:
    if not sys.stderr.isatty():
        yield Bar(what, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as rich:
        yield Bar(what, rich)


def run_json(record: RunRecord) -> dict[str, Any]:
    """A run as plain finite numbers, words and nulls."""
    # By way of text: only there does pydantic turn what is not finite into null.
    return json.loads(record.to_json())


def say_json(document: object) -> None:
    """Print the one JSON document."""
    print(json.dumps(document, indent=1, allow_nan=False))


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; words from users are shown as they are, never as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: Table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for index, column in enumerate(columns):
        numbers = index > 0 and all(_numeric(row[index]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # A pipe has no width: nothing is folded there.
    Console(width=None if sys.stdout.isatty() else 400).print(table)


def _numeric(cell: str) -> bool:
    """Whether a cell is a number, with its interval, n or unit: not "8 experts on clusters"."""
    return re.fullmatch(r"[-+\d.,e\[\]() %]*( ?m?s| ?Mi?B)?", cell) is not None


def counted(count: int, noun: str) -> str:
    """A number of things: 1 run, 2 runs."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def note(sentence: str) -> None:
    """One line on stderr that a person may want to know before a long wait."""
    print(sentence, file=sys.stderr)


def warn(sentence: str) -> None:
    """One line on stderr that is no error."""
    print(f"warning: {sentence}", file=sys.stderr)


def tell_labels(labels: Iterable[int | None]) -> None:
    """Say that samples of one label alone are far from the data although nothing is wrong."""
    for label in sorted({one for one in labels if one is not None}):
        warn(f"samples of label {label} alone are measured against real data of all labels")


def number(one: Mapping[str, Any] | None, digits: int = 3, *, interval: bool = False) -> str:
    """A number as text, with its interval where asked; a dash where there is none."""
    value = None if one is None else one.get("value")
    if one is None or value is None:
        return "-"
    text = f"{value:.{digits}g}"
    if not interval:
        return text
    low, high, n = one.get("low"), one.get("high"), one.get("n")
    span = "" if low is None or high is None else f" [{low:.{digits}g}, {high:.{digits}g}]"
    return f"{text}{span} ({n})"
