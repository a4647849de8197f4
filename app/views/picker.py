"""Which audit is looked at: a system and one of its audits, both in the URL."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from app import parts, state
from app.audits.file import Audit
from app.audits.files import Found, find, read
from ddm_core.errors import WorkError

__all__ = ["Picked", "facts", "none_yet", "picked"]


_MOST_FAULTS = 3


class Picked(NamedTuple):
    """An audit and the file that it was read from."""

    found: Found
    audit: Audit

    @property
    def key(self) -> tuple[str, str]:
        """Of which file, and of which state of it: for `parts.exhibit`."""
        return str(self.found.path), self.found.stamp


def picked() -> Picked | None:
    """Draw the picker; the audit that is looked at, or None where there is none."""
    state.publish("audited", "audit", "job")
    there, faults = _there()
    if not there:
        _left_out(faults)
        return None
    wanted = state.view("audit")
    systems = list(dict.fromkeys(one.audit.system for one in there))
    named = next((one.audit.system for one in there if one.found.key == wanted), _telling(there))
    names = {one.audit.system: one.audit.name for one in reversed(there)}
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        system = parts.choice(
            "System", "audited", systems, default=named, says=lambda one: names[one]
        )
    mine = {one.found.key: one for one in there if one.audit.system == system}
    with right:
        key = parts.choice("Audit", "audit", list(mine), says=lambda one: _says(mine[one]))
    if wanted and wanted not in mine:
        state.forget("audit")
    _left_out(faults)
    return mine[key]


def _telling(there: list[Picked]) -> str:
    """The system to open on: of the newest own audit; of those that ship, the largest."""
    if not there[0].found.shipped:
        return there[0].audit.system
    most = max(there, key=lambda one: (one.audit.plan.experts, one.audit.plan.truth_images or 0))
    return most.audit.system


def _left_out(faults: list[str]) -> None:
    """Say which files are no audits, and why."""
    for fault in faults[:_MOST_FAULTS]:
        st.caption(f":material/warning: left out: {parts.literal(fault)}")


def _there() -> tuple[list[Picked], list[str]]:
    """Every audit at hand, and why others are left out."""
    folder = state.catalogue().checkpoints
    there: list[Picked] = []
    faults: list[str] = []
    for found in find(state.store().root, Path(folder) if folder else None):
        one = state.kept(lambda found=found: _read(found), "audit", str(found.path), found.stamp)
        if isinstance(one, str):
            faults.append(one)
        else:
            there.append(Picked(found, one))
    return there, faults


def _read(found: Found) -> Audit | str:
    """An audit, or the sentence that says why it is none: both are worth keeping."""
    try:
        return read(found.path)
    except WorkError as error:
        return str(error)


def _says(one: Picked) -> str:
    audit = one.audit
    where = "shipped" if one.found.shipped else "own"
    words = [where, state.age(audit.created) or audit.created[:10]]
    words.append(f"{audit.plan.num:,} samples per route")
    if audit.plan.budget_seconds is not None:
        words.append(f"budget {_round(audit.plan.budget_seconds)}")
    return " · ".join(word for word in words if word)


def _round(seconds: float) -> str:
    return parts.seconds(seconds).removesuffix(" 0 s").removesuffix(" 0 min")


def facts(audit: Audit) -> str:
    """What the audit rests on, in one line of Markdown."""
    plan = audit.plan
    words = [
        f"{plan.num:,} samples per route from seed {plan.seed}",
        f"{plan.steps} steps of {parts.literal(plan.sampler)}",
        f"{plan.experts} experts",
        f"judged by {parts.literal(plan.quality_title or plan.quality)}",
    ]
    if plan.truth_images:
        words.append(f"{plan.truth_images:,} held-out data")
    if audit.seconds is not None:
        machine = f" on {parts.literal(audit.machine)}" if audit.machine else ""
        words.append(f"{_round(audit.seconds)}{machine}")
    return "  ·  ".join(words)


def none_yet() -> None:
    """What a page says while there is no audit, and the way to one."""
    if parts.awaited():
        st.caption("What is being measured appears here as soon as it is done.")
        return
    parts.empty(
        "There is no audit yet. Run one, and it is shown here.", icon=":material/fact_check:"
    )
    st.page_link(st.session_state["pages"]["audit"], label="Run an audit", icon=":material/add:")
