"""Runs that belong together: those of a comparison, of an audit, and a run with its branches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ddm_core.records import RunRecord

__all__ = ["Group", "groups_of"]

Kind = Literal["comparison", "audit", "branches"]
#: An audit's runs carry "audit" and the name of its folder, which ends in a hash, as tags.
_AUDIT = re.compile(r".+-[0-9a-f]{6,}")


class Group(NamedTuple):
    """Runs that belong together.

    Arguments:
        id: of the group, for an address.
        runs: oldest first.
    """

    id: str
    kind: Kind
    runs: tuple[RunRecord, ...]

    @property
    def newest(self) -> str:
        """When its last run was made."""
        return max(run.created for run in self.runs)


def groups_of(records: Sequence[RunRecord]) -> list[Group]:
    """The groups among these runs, newest first. A run may be in several."""
    found: dict[tuple[Kind, str], list[RunRecord]] = {}
    for record in sorted(records, key=lambda one: (one.created, one.id)):
        if record.comparison:
            found.setdefault(("comparison", record.comparison), []).append(record)
        audit = _audit(record)
        if audit:
            found.setdefault(("audit", audit), []).append(record)
    here = {record.id: record for record in records}
    roots = {record.id: _root(record, here) for record in records}
    for record in sorted(records, key=lambda one: (one.created, one.id)):
        if roots[record.id] != record.id or record.id in roots.values():
            found.setdefault(("branches", roots[record.id]), []).append(record)
    groups = [Group(f"{kind}:{name}", kind, tuple(runs)) for (kind, name), runs in found.items()]
    several = [group for group in groups if len(group.runs) > 1]
    return sorted(several, key=lambda group: group.newest, reverse=True)


def _audit(record: RunRecord) -> str:
    if "audit" not in record.tags:
        return ""
    return next((tag for tag in record.tags if _AUDIT.fullmatch(tag)), "")


def _root(record: RunRecord, here: dict[str, RunRecord]) -> str:
    """The run from which a branch, or its parent, or its parent's parent branches."""
    seen = {record.id}
    while record.parent is not None and record.parent not in seen:
        seen.add(record.parent)
        if record.parent not in here:
            return record.parent  # gone; its branches still belong together
        record = here[record.parent]
    return record.id
