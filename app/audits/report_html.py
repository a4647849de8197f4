"""The pieces of a report: text that stays text, tables, and figures that need no network."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from app.figures.look import Look

__all__ = ["Figures", "bullets", "document", "element", "table", "text"]

_ASSETS = Path(__file__).parents[1] / "assets"
#: Nothing is loaded from anywhere, whatever stands in the file.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
_IMAGE = "data:image/png;base64,"
#: Rows of a table in the report; the JSON holds all.
_MOST_ROWS = 700


def text(words: object) -> str:
    """Words as they are, in HTML."""
    return html.escape(str(words))


def element(name: str, inside: str, **attributes: str) -> str:
    """An element around HTML; the attributes' values are words, class_ and data_x their names."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{said}>{inside}</{name}>"


def bullets(sentences: Sequence[str]) -> str:
    """A list of sentences; "" of none."""
    inside = "".join(element("li", text(one)) for one in sentences)
    return element("ul", inside) if inside else ""


def table(frame: pd.DataFrame) -> str:
    """A table; numbers with four digits, a dash for none; a long one says what is cut."""
    head = "".join(element("th", text(name)) for name in frame.columns)
    rows = [
        "".join(_cell(value) for value in row)
        for row in frame.head(_MOST_ROWS).itertuples(index=False, name=None)
    ]
    body = "".join(element("tr", row) for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    more = len(frame) - _MOST_ROWS
    rest = element("p", f"and {more:,} rows more: the JSON holds all of them", class_="small")
    return element("div", whole + (rest if more > 0 else ""), class_="wide")


def _cell(value: Any) -> str:
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return element("td", "yes" if value else "no")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return element("td", "–")
    if isinstance(value, int):
        return element("td", f"{value:,}", class_="number")
    if isinstance(value, float):
        return element("td", f"{value:.4g}".replace("-", "−"), class_="number")
    return element("td", text(value))


class Figures:
    """Collects the figures of a report, in light and in dark; every picture is kept once."""

    def __init__(self) -> None:
        self._drawn: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, int] = {}
        self._samples: dict[str, dict[str, int]] = {}

    def add(
        self,
        name: str,
        title: str,
        says: str,
        draw: Callable[[Look], go.Figure],
        frame: pd.DataFrame,
        *,
        samples: Mapping[str, str | None] | None = None,
        alt: str = "",
    ) -> str:
        """A figure with its caption and its table.

        Arguments:
            name: of the figure in this report; letters, digits and "_".
            samples: pictures shown beside while a point is hovered over, by the name with which
                the point's customdata begins.
        """
        looks = {"light": Look(dark=False), "dark": Look(dark=True)}
        self._drawn[name] = {
            mode: self._packed(json.loads(str(draw(look).to_json())))
            for mode, look in looks.items()
        }
        height = int(self._drawn[name]["light"]["layout"]["height"])
        plot = element(
            "div",
            "",
            class_="plot",
            data_figure=name,
            style=f"height:{height}px",
            role="img",
            aria_label=alt or f"{title} {says}",
        )
        if samples:
            self._samples[name] = {
                key: self._picture(one) for key, one in samples.items() if one is not None
            }
            hint = element("p", "Point at the figure to see samples.")
            beside = element("aside", f'<img alt="">{hint}', class_="samples")
            plot = element("div", plot + beside, class_="beside")
        caption = element("figcaption", element("b", text(title)) + " " + text(says))
        rows = element("details", element("summary", "Table") + table(frame))
        return element("figure", caption + plot + rows)

    def picture(self, address: str, alt: str) -> str:
        """A picture that stands by itself; the script puts it there."""
        return f'<img data-picture="{self._picture(address)}" alt="{text(alt)}">'

    def _packed(self, part: Any) -> Any:
        """The same with every picture replaced by its number."""
        if isinstance(part, dict):
            return {key: self._packed(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self._packed(value) for value in part]
        if isinstance(part, str) and part.startswith(_IMAGE):
            return f"picture:{self._picture(part)}"
        return part

    def _picture(self, address: str) -> int:
        return self._pictures.setdefault(address, len(self._pictures))

    def data(self) -> str:
        """All of it as JSON that may stand inside of a script."""
        whole = {
            "figures": self._drawn,
            "pictures": list(self._pictures),
            "samples": self._samples,
        }
        return json.dumps(whole, separators=(",", ":")).replace("<", "\\u003c")


def document(title: str, body: str, figures: Figures) -> str:
    """The whole page."""
    css = (_ASSETS / "report.css").read_text()
    script = (_ASSETS / "report.js").read_text()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{css}</style></head><body>{body}"
        f"<script>{get_plotlyjs()}</script>"
        f'<script type="application/json" id="data">{figures.data()}</script>'
        f"<script>{script}</script></body></html>"
    )
