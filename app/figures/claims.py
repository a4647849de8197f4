"""A claim's effect against zero, and the tests behind it.

References:
    Forest plots: trying to see the wood and the trees (Lewis and Clarke, 2001)
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from app.audits.file import Claim, Test
from app.figures.look import Look, alpha, base_figure, plain

__all__ = [
    "SAYS",
    "VERDICTS",
    "Effect",
    "ForestInfo",
    "VerdictStyle",
    "colour_of",
    "effect_figure",
    "finite",
    "forest_figure",
    "forest_info",
    "p_text",
    "said",
    "shown",
    "table",
    "written",
]


class VerdictStyle(NamedTuple):
    """How a verdict looks: blue and orange are told apart by everybody, and there is a word.

    Arguments:
        sign: of the verdict, for text without icons.
    """

    word: str
    icon: str
    sign: str
    light: str
    dark: str


VERDICTS = {
    "supported": VerdictStyle("Supported", ":material/check_circle:", "✓", "#0072B2", "#56B4E9"),
    "contradicted": VerdictStyle("Contradicted", ":material/cancel:", "✕", "#C44E00", "#F0883E"),
    "undecided": VerdictStyle("Undecided", ":material/help:", "?", "#66707C", "#9AA4B2"),
}
#: The verdict that a single test would give.
SAYS = {"supports": "supported", "contradicts": "contradicted", "undecided": "undecided"}
_SYMBOLS = {"supported": "circle", "contradicted": "x", "undecided": "circle-open"}


#: A text to the right of its place.
_ASIDE = {"xanchor": "left", "align": "left", "showarrow": False}


class Effect(NamedTuple):
    """A difference with its interval, and what it says.

    Arguments:
        value, low, high: nan where there is none.
        verdict: a key of VERDICTS.
        decides: whether the claim's verdict rests on it.
    """

    name: str
    definition: str
    value: float
    low: float
    high: float
    n: int
    effect_size: float
    p: float
    p_holm: float
    verdict: str
    decides: bool
    method: str


class ForestInfo(NamedTuple):
    """A claim as it is drawn.

    Arguments:
        effect: the claim's own, with its verdict.
        tests: all that was tested, the effect's test first.
        supports: the sign of the effect that would speak for the claim; 0 where that is unknown.
    """

    name: str
    unit: str
    effect: Effect
    tests: tuple[Effect, ...]
    supports: int


def forest_info(claim: Claim) -> ForestInfo:
    """The numbers of a claim."""
    name = _with_unit(claim.effect_name, claim.unit)
    numbers = (finite(claim.effect), finite(claim.low), finite(claim.high))
    nan = math.nan
    effect = Effect(
        name, "", *numbers, claim.n, nan, nan, nan, claim.verdict, decides=True, method=""
    )
    tests = tuple(_effect(test) for test in claim.tests)
    return ForestInfo(name, claim.unit, effect, tests, _direction(tests))


def _direction(tests: Sequence[Effect]) -> int:
    """The sign that would support the claim, where the effect's own test has said something."""
    if not tests or tests[0].verdict == "undecided" or math.isnan(tests[0].value):
        return 0
    sign = 1 if tests[0].value > 0 else -1
    return sign if tests[0].verdict == "supported" else -sign


def _with_unit(name: str, unit: str) -> str:
    """A name with its unit."""
    return f"{name} ({unit})" if unit else name


def _effect(test: Test) -> Effect:
    value, low, high, n, method = test.estimate
    return Effect(
        test.name,
        test.definition,
        finite(value),
        finite(low),
        finite(high),
        n,
        finite(test.effect_size),
        finite(test.p),
        finite(test.p_holm),
        SAYS[test.says],
        test.decides,
        method,
    )


def finite(value: float | None) -> float:
    """A number that may be missing, as one that is drawn: nan where it is."""
    return math.nan if value is None else value


def shown(value: float) -> str:
    """Three digits; a dash where there is no number."""
    if math.isnan(value):
        return "–"
    # A hyphen would be read as a dash before a number.
    return f"{value:.3g}".replace("-", "−")


def written(value: float, low: float, high: float) -> str:
    """Value and interval: −6.3 [−9.9, −2.4]."""
    if math.isnan(low) or math.isnan(high):
        return shown(value)
    return f"{shown(value)} [{shown(low)}, {shown(high)}]"


def p_text(p: float) -> str:
    """A p as it follows the letter: = 0.03, < 0.0001."""
    if math.isnan(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def said(test: Effect) -> str:
    """What a test says of the claim: a sign and a word."""
    style = VERDICTS[test.verdict]
    word = {"supported": "for", "contradicted": "against"}.get(test.verdict, "undecided")
    return f"{style.sign} {word}" + ("" if test.decides else " (beside)")


def colour_of(verdict: str, look: Look) -> str:
    """The colour of a verdict."""
    style = VERDICTS[verdict]
    return style.dark if look.dark else style.light


def effect_figure(info: ForestInfo, look: Look, *, height: int = 84) -> go.Figure:
    """The effect with its interval against zero; the tinted side speaks for the claim."""
    chart = base_figure(look, height=height)
    effect = info.effect
    reach = [v for v in (effect.value, effect.low, effect.high, 0.0) if not math.isnan(v)]
    low, high = min(reach), max(reach)
    pad = 0.12 * (high - low or 1.0)
    # Both sides of zero are seen, however far away the effect is.
    low, high = min(low - pad, -2.5 * pad), max(high + pad, 2.5 * pad)
    if info.supports:
        forward = info.supports > 0
        tint = alpha(colour_of("supported", look), 0.08)
        ends = (0, high) if forward else (low, 0)
        chart.add_vrect(x0=ends[0], x1=ends[1], fillcolor=tint, line_width=0, layer="below")
        chart.add_annotation(
            x=0,
            xshift=5 if forward else -5,
            xanchor="left" if forward else "right",
            y=1,
            yref="paper",
            yanchor="top",
            text="for the claim →" if forward else "← for the claim",
            showarrow=False,
            font={"size": 11, "color": look.muted},
        )
    chart.add_vline(x=0, line={"color": look.muted, "width": 1.2})
    _row(chart, effect, 0.0, 1.0, look, size=13)
    chart.update_layout(
        hovermode="closest", margin={"t": 2, "b": 22, "l": 8, "r": 8}, showlegend=False
    )
    chart.update_xaxes(range=[low, high], nticks=7)
    chart.update_yaxes(range=[-0.75, 1.0], visible=False)
    return chart


def forest_figure(info: ForestInfo, look: Look) -> go.Figure:
    """Every test on a scale of its own, zero aligned; what decides the verdict is written bold."""
    chart = base_figure(look, height=34 + 40 * max(len(info.tests), 1))
    chart.add_vline(x=0, line={"color": look.muted, "width": 1.2})
    for row, test in enumerate(info.tests):
        ends = [abs(v) for v in (test.value, test.low, test.high) if not math.isnan(v)]
        _row(chart, test, float(row), max(ends, default=1.0) or 1.0, look, size=11)
        numbers = written(test.value, test.low, test.high)
        small = f"n = {test.n:,}, p {p_text(test.p_holm)} (Holm)"
        chart.add_annotation(
            x=1.15,
            y=row,
            text=f"{numbers}<br><span style='color:{look.muted}'>{small}</span>",
            **_ASIDE,
            font={"size": 12, "color": look.ink},
        )
        chart.add_annotation(
            x=3.1,
            y=row,
            text=said(test).replace(" (", "<br>("),
            **_ASIDE,
            font={"size": 12, "color": colour_of(test.verdict, look)},
        )
    chart.update_layout(hovermode="closest", margin={"t": 8, "b": 4}, showlegend=False)
    chart.update_xaxes(range=[-1.06, 3.95], visible=False)
    chart.update_yaxes(
        range=[len(info.tests) - 0.5, -0.5],
        showgrid=False,
        tickvals=list(range(len(info.tests))),
        ticktext=[_named(test) for test in info.tests],
        tickfont={"size": 12, "color": look.ink},
    )
    return chart


def _named(test: Effect) -> str:
    lines = textwrap.wrap(test.name, 48, max_lines=2, placeholder=" …") or [""]
    text = "<br>".join(plain(line) for line in lines)
    return f"<b>{text}</b>" if test.decides else text


def _row(
    chart: go.Figure, effect: Effect, y: float, scale: float, look: Look, *, size: int
) -> None:
    if math.isnan(effect.value):
        return
    colour = colour_of(effect.verdict, look)
    if not (math.isnan(effect.low) or math.isnan(effect.high)):
        chart.add_scatter(
            x=[effect.low / scale, effect.high / scale],
            y=[y, y],
            mode="lines",
            line={"color": alpha(colour, 0.55), "width": 5},
            hoverinfo="skip",
        )
    numbers = written(effect.value, effect.low, effect.high)
    chart.add_scatter(
        x=[effect.value / scale],
        y=[y],
        mode="markers",
        marker={
            "size": size,
            "symbol": _SYMBOLS[effect.verdict],
            "color": colour,
            "line": {"color": colour, "width": 2 if effect.verdict == "undecided" else 0},
        },
        hovertemplate=f"{plain(effect.name)}: {numbers}, n = {effect.n:,}<extra></extra>",
    )


def table(info: ForestInfo) -> pd.DataFrame:
    """The tests, one row each; of a claim without any, its effect alone."""
    return pd.DataFrame(
        [
            {
                "test": one.name,
                "definition": one.definition,
                "estimate": one.value,
                "low": one.low,
                "high": one.high,
                "n": one.n,
                "effect_size": one.effect_size,
                "p": one.p,
                "p_holm": one.p_holm,
                "says": one.verdict,
                "decides": one.decides,
                "method": one.method,
            }
            for one in info.tests or (info.effect,)
        ]
    )
