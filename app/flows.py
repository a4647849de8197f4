"""Which flows of stored runs can be drawn, and which still have to be computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import xarray as xr

from app import state
from app.catalogue import Catalogue
from app.maps import stamp
from ddm_core.analysis.field_file import field_path, load_field
from ddm_core.errors import RequestError
from ddm_core.records import RunRecord

__all__ = ["FoundFlow", "find_flows", "in_the_plane"]


class FoundFlow(NamedTuple):
    """A run and its flow.

    Arguments:
        flow: None while there is none.
        key: of which file and which state of it.
        fault: why a file that is there cannot be shown, or "".
    """

    record: RunRecord
    flow: xr.Dataset | None
    key: str
    fault: str = ""


def in_the_plane(records: Sequence[RunRecord], catalogue: Catalogue) -> list[RunRecord]:
    """Finished runs of systems whose samples are points."""
    out: list[RunRecord] = []
    for record in records:
        card = catalogue.system(record.system)
        if record.status == "done" and card is not None and card.shape == (2,):
            out.append(record)
    return out


def find_flows(records: Sequence[RunRecord]) -> list[FoundFlow]:
    """The flow of each of these runs, as far as it was computed."""
    root = state.store().root
    found: list[FoundFlow] = []
    for record in records:
        path = field_path(root, record)
        key = stamp(path)
        if not key:
            found.append(FoundFlow(record, None, ""))
            continue
        try:
            flow = state.kept(lambda path=path: load_field(path), "flow", key)
        except RequestError as error:
            found.append(FoundFlow(record, None, key, str(error)))
            continue
        found.append(FoundFlow(record, flow, key))
    return found
