"""Runs of an archive on their way into a store: checked in a place of their own, then moved."""

from __future__ import annotations

from pathlib import Path

from ddm_core import disk
from ddm_core.archive import same_run, unpack
from ddm_core.records import RunRecord, new_id, read_record

__all__ = ["take_in"]


def take_in(root: Path, file: Path) -> list[RunRecord]:
    """Take in the runs of a .zip; see `Store.import_archive`."""
    disk.make_folder(root)
    place = root / disk.owned("import", "runs")
    try:
        with disk.told("import runs", root):
            records = unpack(file, place)
            with disk.exclusive(root):
                taken = _move(root, place, records)
            disk.sync_folder(root)
    finally:
        if place.exists():
            disk.remove_folder(place)
    return taken


def _move(root: Path, place: Path, records: list[RunRecord]) -> list[RunRecord]:
    """Give every run its place; one whose id a stranger has gets a new one.

    All new ids are known before the first run moves, since a branch may come before its parent.
    """
    here = {record.id for record in records if (root / record.id).exists()}
    same = {id for id in here if same_run(root / id, place / id)}
    fresh = {r.id: new_id(r.system, r.router) for r in records if r.id in here - same}
    out: list[RunRecord] = []
    for record in records:
        if record.id in same:
            out.append(read_record(root / record.id))
            continue
        named = {"id": fresh.get(record.id, record.id)}
        if record.parent is not None:
            named["parent"] = fresh.get(record.parent, record.parent)
        new = record.model_copy(update=named)
        disk.replace_file(place / record.id / "run.json", new.to_json())
        (place / record.id).replace(root / new.id)
        out.append(new)
    return out
