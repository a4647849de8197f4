"""Values of a file that may come from anywhere: what is kept of them, and what is left out."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ddm_core.intervals import Estimate

__all__ = [
    "NOTHING",
    "Count",
    "E",
    "Estimates",
    "MaybeE",
    "Number",
    "Numbers",
    "Part",
    "Picture",
    "Positive",
    "Text",
    "same",
]

T = TypeVar("T")

NOTHING = Estimate(None, None, None, 0, "")
_MOST_PICTURE = 2**20  # characters of base64
_MOST_PIXELS = 2048  # along a side
_MOST_ENTRIES = 2000
_PNG = "data:image/png;base64,"


def _number(value: object) -> float | None:
    """A finite number, or None: what is no number is not drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def _estimate(value: object) -> Estimate:
    if value is None or isinstance(value, Estimate):
        return value or NOTHING
    if not isinstance(value, dict):
        raise ValueError("an estimate is an object with value, low, high, n and method")
    given: dict[str, Any] = value
    n = _number(given.get("n"))
    middle, low, high = (_number(given.get(name)) for name in ("value", "low", "high"))
    return Estimate(
        middle, low, high, int(min(max(n or 0.0, 0.0), 1e15)), str(given.get("method", ""))[:1000]
    )


def _picture(value: object) -> str | None:
    """A PNG as a data address, or None where it is anything else, or too large to be a preview."""
    if not isinstance(value, str) or not value.startswith(_PNG) or len(value) > _MOST_PICTURE:
        return None
    try:
        data = base64.b64decode(value[len(_PNG) :], validate=True)
    except (binascii.Error, ValueError):
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    right = data[:8] == b"\x89PNG\r\n\x1a\n" and 0 < width <= _MOST_PIXELS
    return value if right and 0 < height <= _MOST_PIXELS else None


def _bounded(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(value) > _MOST_ENTRIES:
        raise ValueError(f"a list of more than {_MOST_ENTRIES:,} entries")
    return value


def _maybe(value: object) -> Estimate | None:
    return None if value is None else _estimate(value)


Text = Annotated[str, Field(max_length=10_000)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[float, Field(gt=0)]
Number = Annotated[float | None, BeforeValidator(_number)]
E = Annotated[Estimate, BeforeValidator(_estimate)]
Picture = Annotated[str | None, BeforeValidator(_picture)]
Numbers = Annotated[tuple[Number, ...], AfterValidator(_bounded)]
Estimates = Annotated[tuple[E, ...], AfterValidator(_bounded)]
MaybeE = Annotated[Estimate | None, BeforeValidator(_maybe)]


class Part(BaseModel):
    """Part of such a file: what it does not know is left out, nothing in it is changed."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def same(part: T, along: Sequence[Any], **lists: Sequence[Any]) -> T:
    """Every list is empty or as long as what it lies along."""
    for name, values in lists.items():
        if values and len(values) != len(along):
            raise ValueError(f"{name} has {len(values)} entries beside {len(along)}")
    return part
