"""An axis on which small and large values are both seen: logarithmic, also through zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["Stretch", "stretch"]

#: Beyond this ratio of the largest to the typical value a linear axis hides the small ones.
_WIDE = 4.0
#: Smallest unit of an asinh axis, in units of the largest value.
_SMALLEST = 1e-12
_TICKS = 7


class Stretch(NamedTuple):
    """How values lie along an axis.

    Arguments:
        kind: linear; log, of positive values; asinh, linear within `unit` of zero and
            logarithmic beyond.
    """

    kind: str = "linear"
    unit: float = 1.0

    def at(self, value: float) -> float:
        """Where a value lies; nan where it has no place."""
        if self.kind == "log":
            return math.log10(value) if value > 0 else math.nan
        return math.asinh(value / self.unit) if self.kind == "asinh" else value

    def axis(self, values: Iterable[float]) -> dict[str, Any]:
        """Ticks for an axis that shows these values: 1, 2, 5 of each power of ten, or fewer."""
        known = [value for value in values if math.isfinite(value)]
        if self.kind == "linear" or not known:
            return {"nticks": _TICKS}
        low, high = min(known), max(known)
        ticks = _marks(low, high, 0.0 if self.kind == "log" else self.unit)
        return {
            "tickvals": [self.at(tick) for tick in ticks],
            "ticktext": [f"{tick:g}".replace("-", "−") for tick in ticks],
        }


def stretch(values: Iterable[float]) -> Stretch:
    """The axis that suits: linear as long as the largest value is not many times the median."""
    known = sorted(abs(value) for value in values if math.isfinite(value))
    if not known:
        return Stretch()
    middle = known[len(known) // 2]
    if middle == 0 or known[-1] <= _WIDE * middle:
        return Stretch()
    if min(v for v in values if math.isfinite(v)) > 0:
        return Stretch("log")
    # Beyond what a picture can show, a typical value is as good as zero; and a quotient by it
    # might be no number.
    return Stretch("asinh", max(middle, _SMALLEST * known[-1]))


def _marks(low: float, high: float, unit: float) -> list[float]:
    """Round values from low to high; between minus and plus half a unit only zero."""
    reach = max(abs(low), abs(high))
    least = max(unit / 2, 1e-300) if unit else max(low, 1e-300)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(reach))
    # Beyond a dozen powers of ten, every second one, or third.
    powers = range(first, last + 1, 1 + (last - first) // (2 * _TICKS))
    ticks: list[float] = []
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        sizes = [m * 10.0**p for p in powers for m in mantissas]
        ticks = [s for s in sizes if s >= least * 0.999 and low <= s <= high]
        if unit:
            ticks += [-s for s in sizes if s >= least and low <= -s <= high]
            ticks += [0.0] * (low <= 0 <= high)
        if len(ticks) <= _TICKS + 2:
            break
    return sorted(ticks)
