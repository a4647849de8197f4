"""Colours, fonts and the Plotly template of every figure.

Experts have hues, runs have letters and dashes: the two are never mistaken for each other, and one
expert has one colour on every page. Eight can be told apart with any of the common kinds of colour
blindness; from the ninth on a pattern says what a colour alone cannot.

References:
    Color Universal Design: How to make figures and presentations that are friendly to colorblind
    people (Okabe and Ito, 2008)
"""

from __future__ import annotations

import colorsys
import html
from typing import NamedTuple

import plotly.graph_objects as go

__all__ = [
    "Look",
    "RunStyle",
    "alpha",
    "base_figure",
    "expert_colour",
    "expert_colours",
    "expert_pattern",
    "on_colour",
    "on_scale",
    "plain",
    "run_style",
    "scale",
]

#: Okabe and Ito's six hues; a plum and an olive stand for their yellow, which cannot be seen on
#: white, and their black. Any two differ by 20 in CIEDE2000 at least, to colour-blind eyes by 10.
_EXPERTS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#A01464",
    "#645028",
)
#: How the second, third and fourth eight differ from the first: in lightness, and by a pattern.
_SHADES = (0.0, 0.15, -0.10, 0.22)
_PATTERNS = ("", "/", ".", "x")

#: The page's own font; the browser has it already.
_FONT = '"Source Sans", sans-serif'

_LETTERS = "ABCDEFGH"
_DASHES = ("solid", "dash", "dot", "dashdot")
_RUNS_LIGHT = ("#1B2A41", "#B5179E", "#0B7A75", "#6A4C93")
_RUNS_DARK = ("#E8ECF1", "#F48FD8", "#4FD1C5", "#BBA2E8")


class Look(NamedTuple):
    """Light or dark."""

    dark: bool = False

    @property
    def ink(self) -> str:
        """Text."""
        return "#E6E9EF" if self.dark else "#22272E"

    @property
    def muted(self) -> str:
        """Axis labels, reference lines."""
        return "#9AA4B2" if self.dark else "#66707C"

    @property
    def grid(self) -> str:
        """Grid lines."""
        return "rgba(255,255,255,0.09)" if self.dark else "rgba(20,30,50,0.08)"

    @property
    def paper(self) -> str:
        """What a marker's rim or a cell's gap shows: the page behind."""
        return "#0F1318" if self.dark else "#FFFFFF"


class RunStyle(NamedTuple):
    """How a run of a comparison is told from the others."""

    letter: str
    colour: str
    dash: str


def expert_colour(k: int) -> str:
    """The colour of expert k, "#rrggbb": eight hues, then the same lighter and darker up to 32."""
    base = _EXPERTS[k % len(_EXPERTS)]
    shade = _SHADES[(k // len(_EXPERTS)) % len(_SHADES)]
    if shade == 0.0:
        return base
    r, g, b = (int(base[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(r, g, b)
    mixed = colorsys.hls_to_rgb(hue, min(max(lightness + shade, 0.12), 0.9), saturation)
    return "#" + "".join(f"{round(255 * part):02X}" for part in mixed)


def expert_colours(count: int) -> list[str]:
    """The colours of experts 0 to count - 1."""
    return [expert_colour(k) for k in range(count)]


def expert_pattern(k: int) -> str:
    """Plotly's name of the pattern that expert k's areas and bars have; "" for the first eight."""
    return _PATTERNS[(k // len(_EXPERTS)) % len(_PATTERNS)]


def run_style(index: int, look: Look) -> RunStyle:
    """Letter, colour and dash of the run at this place of a comparison."""
    colours = _RUNS_DARK if look.dark else _RUNS_LIGHT
    return RunStyle(
        _LETTERS[index % len(_LETTERS)],
        colours[index % len(colours)],
        _DASHES[index % len(_DASHES)],
    )


def alpha(colour: str, opacity: float) -> str:
    """A colour "#rrggbb" with an opacity in [0, 1]."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity:g})"


def scale(look: Look) -> list[tuple[float, str]]:
    """Sequential colour scale whose zero is the page itself: to dark blue, or to light."""
    if look.dark:
        stops = ("#141A22", "#17406B", "#1F77B4", "#6FC0EA", "#F2FAFF")
    else:
        stops = ("#FFFFFF", "#D4E6F4", "#7FB7DC", "#2474B5", "#08306B")
    return [(i / (len(stops) - 1), colour) for i, colour in enumerate(stops)]


def on_scale(share: float, look: Look) -> str:
    """The colour of text that can be read on this share of the colour scale."""
    stops = scale(look)
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    low, high = (_channels(stops[i][1]) for i in (first, first + 1))
    ground = [a + (b - a) * (place - first) for a, b in zip(low, high, strict=True)]
    return max(("#FFFFFF", "#0F1318"), key=lambda ink: _contrast(_channels(ink), ground))


def on_colour(colour: str) -> str:
    """The colour of text that can be read on a colour "#rrggbb": white or nearly black."""
    ground = _channels(colour)
    return max(("#FFFFFF", "#0F1318"), key=lambda ink: _contrast(_channels(ink), ground))


def _channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of two colours, 1 to 21.

    References:
        Web Content Accessibility Guidelines 2.2 (W3C, 2023)
    """
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: list[float]) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def plain(text: object, most: int = 60) -> str:
    """Text for a figure: Plotly reads some HTML in labels, so that names are escaped, and cut."""
    whole = str(text)
    return html.escape(whole if len(whole) <= most else whole[: most - 1] + "…")


def template(look: Look) -> go.layout.Template:
    """Thin axes, no box, transparent ground."""
    axis = {
        "gridcolor": look.grid,
        "linecolor": look.grid,
        "zeroline": False,
        "ticks": "",
        "title": {"font": {"size": 12, "color": look.muted}, "standoff": 8},
        "tickfont": {"size": 11, "color": look.muted},
        "ticklabelstandoff": 4,
        "automargin": True,
    }
    return go.layout.Template(
        layout=go.Layout(
            font={
                "family": _FONT,
                "color": look.ink,
                "size": 13,
            },
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            xaxis=axis,
            yaxis=axis,
            margin={"l": 8, "r": 8, "t": 28, "b": 8},
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 12, "color": look.ink},
            },
            hoverlabel={
                "bgcolor": look.paper,
                "bordercolor": look.muted,
                "font": {"color": look.ink, "size": 12},
            },
            hovermode="x unified",
            colorway=expert_colours(8),
            coloraxis={"colorscale": scale(look)},
        )
    )


def base_figure(
    look: Look, *, height: int = 300, cursor: list[float] | list[list[float]] | None = None
) -> go.Figure:
    """An empty figure.

    Arguments:
        height: pixels.
        cursor: where on x each step lies, for figures over time; the page's cursor goes there.
            A list for each panel where they differ.
    """
    meta = {} if cursor is None else {"cursor": cursor}
    return go.Figure(layout=go.Layout(template=template(look), height=height, meta=meta))
