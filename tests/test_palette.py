"""One colour per expert, told apart by everybody: measured, not believed."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
from test_figures import make_trace

from app.figures import look, weights
from app.figures.look import expert_colours, expert_pattern
from app.figures.subjects import Subject

APP = Path(look.__file__).parents[1]

# Linear RGB as it is seen without one of the three cones: A Physiologically-based Model for
# Simulation of Color Vision Deficiency (Machado, Oliveira and Fernandes, 2009), severity 1.
EYES = {
    "all": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB [3] of "#rrggbb"."""
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eyes: str) -> np.ndarray:
    """CIE L*a*b* [3] under D65, as these eyes see the colour."""
    seen = np.clip(np.array(EYES[eyes]) @ linear(colour), 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.array(to_xyz) @ seen / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 of two colours [3] in L*a*b*.

    References:
        The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data, and
        Mathematical Observations (Sharma, Wu and Dalal, 2005)
    """
    (l1, a1, b1), (l2, a2, b2) = one, other
    seventh = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(seventh / (seventh + 25**7)))
    c1, c2 = np.hypot((1 + g) * a1, b1), np.hypot((1 + g) * a2, b2)
    h1 = np.degrees(np.arctan2(b1, (1 + g) * a1)) % 360
    h2 = np.degrees(np.arctan2(b2, (1 + g) * a2)) % 360
    # The shorter way round, and the middle of it.
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    h = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    t = (
        1
        - 0.17 * np.cos(np.radians(h - 30))
        + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6))
        - 0.20 * np.cos(np.radians(4 * h - 63))
    )
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    blue = 30 * np.exp(-(((h - 275) / 25) ** 2))
    r = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(np.radians(2 * blue))
    dl, dc, dh = (l2 - l1) / s_l, (c2 - c1) / s_c, hue / s_h
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + r * dc * dh))


def nearest(colours: list[str], eyes: str) -> float:
    """The difference of the two colours that are the least apart."""
    seen = [lab(colour, eyes) for colour in colours]
    return min(difference(a, b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        # From the supplementary test data of the paper.
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_itself(
    one: tuple[float, ...], other: tuple[float, ...], apart: float
) -> None:
    assert difference(np.array(one), np.array(other)) == pytest.approx(apart, abs=1e-4)


def test_eight_experts_are_told_apart_by_everybody() -> None:
    colours = expert_colours(8)
    assert nearest(colours, "all") >= 20
    for eyes in ("protan", "deutan", "tritan"):
        assert nearest(colours, eyes) >= 10, eyes


def test_experts_are_seen_on_both_grounds() -> None:
    for ground in (look.Look(False).paper, look.Look(True).paper):
        for colour in expert_colours(8):
            bright = [0.05 + linear(c) @ [0.2126, 0.7152, 0.0722] for c in (ground, colour)]
            assert max(bright) / min(bright) >= 2, (ground, colour)


def test_32_experts_differ_in_colour_or_in_pattern() -> None:
    colours = expert_colours(32)
    assert len(set(colours)) == 32
    for pattern in {expert_pattern(k) for k in range(32)}:
        mine = [colours[k] for k in range(32) if expert_pattern(k) == pattern]
        assert len(mine) == 8
        assert nearest(mine, "all") >= 15, pattern
        assert all(nearest(mine, eyes) >= 5 for eyes in ("protan", "deutan", "tritan")), pattern


def test_stacked_areas_carry_the_pattern_and_the_name() -> None:
    info = weights.weights_info([Subject("full", make_trace(route="full", experts=12))])
    drawn = weights.figure(info, look.Look()).data
    assert [one.fillpattern.shape or "" for one in drawn] == [expert_pattern(k) for k in range(12)]
    assert [one.name for one in drawn if one.showlegend] == [f"expert {k}" for k in range(12)]


def test_colours_of_experts_come_from_one_place() -> None:
    """No other file of the app writes a colour of the palette beside the word expert."""
    palette = {colour.lower() for colour in expert_colours(32)}
    for path in [*APP.rglob("*.js"), *APP.rglob("*.css")]:
        if path.parts[-2] == "components":
            text = path.read_text().lower()
            assert [colour for colour in palette if colour in text] == [], path.name
    for path in (APP / "components").glob("*.py"):
        found = {
            node.value.lower()
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert found & palette == set(), path.name
