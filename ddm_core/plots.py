"""Figures of results, for notebooks: looked up by name, so that what computes draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from ddm_core.errors import RequestError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["GROUP", "Shown", "plots"]

#: Entry points of this group, "run" and "comparison", each take what is shown and draw it.
GROUP = "ddm_core.plots"


class Shown(NamedTuple):
    """A run as its figures need it.

    Arguments:
        label: its route.
        numbers: by name, each with value, low, high and n: metrics, and the summary of the trace.
    """

    label: str
    trace: xr.Dataset
    numbers: Mapping[str, Mapping[str, Any]]


def plots(kind: str, shown: Sequence[Shown]) -> Any:
    """The object whose methods draw these runs.

    Arguments:
        kind: run, or comparison.

    Raises:
        RequestError: nobody who draws is installed.
    """
    found = [point for point in entry_points(group=GROUP) if point.name == kind]
    if not found:
        raise RequestError(
            "figures are drawn by the dashboard's package, which is not installed: "
            "pip install -e . from a checkout"
        )
    return found[0].load()(shown)
