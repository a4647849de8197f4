"""The colours of a difference of two images: fixed, so that no two pictures lie beside each other.

Grey images have a signed difference: blue where the second run is brighter, orange where the first
is. Of colour images the channel that differs most is shown, without a sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.look import Look, scale
from app.pictures import packed

__all__ = ["difference_colours", "difference_scale"]

#: Where the first run is brighter; the other half is the sequential scale of all figures.
_ORANGE_LIGHT = ("#FFFFFF", "#FBD9B5", "#F19A4B", "#D65F00", "#6E3100")
_ORANGE_DARK = ("#141A22", "#5A3416", "#B0621F", "#F0883E", "#FFE9CF")


def difference_colours(look: Look, *, signed: bool) -> np.ndarray:
    """Colour of every difference there can be, uint8 [difference, 3].

    Arguments:
        signed: 511 differences from -255 to 255; else 256 from 0 to 255. Linear in between the
            stops of the scale; no difference is the page itself.
    """
    above = _between([colour for _, colour in scale(look)])
    if not signed:
        return above
    below = _between(_ORANGE_DARK if look.dark else _ORANGE_LIGHT)
    return np.concatenate((below[:0:-1], above))


def _between(stops: list[str] | tuple[str, ...]) -> np.ndarray:
    known = np.array(
        [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], dtype=float
    )
    places = np.linspace(0, 255, len(stops))
    channels = [np.interp(np.arange(256), places, known[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def difference_scale(look: Look, *, signed: bool, points: bool = False) -> dict[str, Any]:
    """The scale as the browser needs it; {a} and {b} stand for the letters of the two runs."""
    if points:
        says = (
            "a line from every sample of {a} to the same sample of {b}, to the scale of the plane"
        )
        ends = ["", "", ""]
    elif signed:
        says = "{b} − {a}, pixel values 0 to 255; one scale for all steps, samples and runs"
        ends = ["−255, {a} brighter", "0", "{b} brighter, 255"]
    else:
        says = (
            "|{b} − {a}| of the channel that differs most, pixel values 0 to 255; one scale for "
            "all steps, samples and runs"
        )
        ends = ["0, equal", "", "255"]
    colours = packed(difference_colours(look, signed=signed), np.uint8)
    return {"colours": colours, "signed": signed, "says": says, "ends": ends}
