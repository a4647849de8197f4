"""Numbers of runs as rows and dots, each with its interval and n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from app.figures.dots import Dot, DotsInfo, dots_info
from app.figures.subjects import Subject
from app.parts import literal
from ddm_core.records import RunRecord

__all__ = ["dots_of", "number", "number_rows", "numbers_table", "summary_rows", "written"]

_TITLES = {
    "fid": "FID",
    "fd_infinity": "FD-infinity",
    "kid": "KID",
    "energy_distance": "Energy distance",
    "precision": "Precision",
    "recall": "Recall",
    "expert_calls": "Experts asked per sample and step",
}
_HIGHER = frozenset({"precision", "recall"})
#: Columns of the summary beside quality: name in the record, heading.
_COLUMNS = (
    ("selected_minus_chance", "chosen − chance"),
    ("nearest_selected", "nearest asked"),
    ("disagreement", "disagreement"),
    ("perturbation_growth_median", "growth"),
    ("expert_calls", "calls"),
    ("seconds", "seconds"),
)
#: A number and its interval, which is not broken over two lines.
_CELL = "{} :gray[:small[{}\u00a0to\u00a0{}]]"
#: Names that say more where a run stands alone.
_OF_ONE = {
    "selected_distance": "chosen distance",
    "selected_minus_chance_noised": "chosen − chance, of the noisy state",
    "nearest_selected_chance": "nearest asked, by chance",
    "perturbation_growth": "growth, mean",
    "perturbation_growth_median": "growth, median",
}


def number(one: dict[str, Any] | None, key: str) -> float:
    """A number of a record; nan where there is none. Records may come from elsewhere."""
    value = (one or {}).get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def written(one: dict[str, Any] | None, pattern: str = "{} [{}, {}]") -> str:
    """Value and interval: 53.1 [50.2, 56.4]; the value alone where there is no interval."""
    value, low, high = (number(one, key) for key in ("value", "low", "high"))
    if math.isnan(value):
        return ""
    if math.isnan(low) or math.isnan(high) or low == value == high:
        return _short(value)
    return pattern.format(*map(_short, (value, low, high)))


def _short(value: float) -> str:
    # What is left of a zero after a million float32 additions is a zero.
    text = "0" if abs(value) < 5e-6 else f"{value:.3g}"
    return f"−{text[1:]}" if text.startswith("-") else text


def summary_rows(records: Sequence[RunRecord], labels: Sequence[str]) -> pd.DataFrame:
    """A row per run, a column per number that any of them has; cells are Markdown."""
    return numbers_table(
        labels, [one.metrics for one in records], [one.summary for one in records]
    )


def numbers_table(
    labels: Sequence[str],
    metrics: Sequence[dict[str, Any]],
    summaries: Sequence[dict[str, Any]],
    *,
    leave: Sequence[str] = (),
) -> pd.DataFrame:
    """The same of numbers that are in no record.

    Arguments:
        metrics, summaries: a dict per row, as a record has them.
        leave: names of the summary that get no column.
    """
    known = list(dict.fromkeys(name for one in metrics for name in one))
    columns = [(name, _TITLES.get(name, name), metrics) for name in known]
    columns += [
        (name, title, summaries)
        for name, title in _COLUMNS
        if name not in leave and any(written(one.get(name)) for one in summaries)
    ]
    rows: list[dict[str, str]] = []
    for index, label in enumerate(labels):
        row = {"": f"**{'ABCDEFGH'[index]}**", "router": literal(label)}
        for name, title, of in columns:
            row[title] = written(of[index].get(name), _CELL)
        rows.append(row)
    return pd.DataFrame(rows)


def number_rows(record: RunRecord) -> pd.DataFrame:
    """All numbers of one run, a row each, with how it was made; cells are Markdown."""
    titles = _TITLES | dict(_COLUMNS) | _OF_ONE
    rows: list[dict[str, str]] = []
    for name, one in (record.metrics | record.summary).items():
        said = written(one, _CELL)
        how = str(one.get("protocol") or one.get("method") or "")
        if said:
            count = number(one, "n")
            rows.append(
                {
                    "number": literal(titles.get(name, name.replace("_", " "))),
                    "value": said,
                    "n": "" if math.isnan(count) else f"{int(count):,}",
                    "how": f":gray[:small[{literal(how)}]]" if how else "",
                }
            )
    return pd.DataFrame(rows)


def dots_of(
    records: Sequence[RunRecord], subjects: Sequence[Subject], name: str
) -> DotsInfo | None:
    """A number of every run that has it; None where none has."""
    dots: list[Dot] = []
    note = ""
    quality = any(name in record.metrics for record in records)
    for index, (record, subject) in enumerate(zip(records, subjects, strict=True)):
        one = record.metrics.get(name) or record.summary.get(name)
        if one is None or math.isnan(number(one, "value")):
            continue
        value, low, high = (number(one, key) for key in ("value", "low", "high"))
        n = number(one, "n")
        dots.append(Dot(subject.label, index, value, low, high, 0 if math.isnan(n) else int(n)))
        note = note or str(one.get("protocol") or one.get("method") or "")
    if not dots:
        return None
    better = ("higher" if name in _HIGHER else "lower") if quality else ""
    info = dots_info(
        name, _TITLES.get(name, name.replace("_", " ")), dots, note=note, better=better
    )
    if not quality or len(dots) < 2:
        return info
    words = f"{better.capitalize()} is better; "
    if info.ranked:
        words += "best to worst: " + ", ".join(info.ranked)
    elif len({dot.n for dot in dots}) > 1:
        words += "different n: not comparable"
    elif any(math.isnan(dot.low) for dot in dots):
        words += "not ranked, as intervals are missing"
    else:
        words += "not ranked, as some intervals overlap"
    return info._replace(note=f"{words}. {note}")
