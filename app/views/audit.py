"""Audit: do the paper's four claims hold for this system?"""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd
import streamlit as st

from app import parts, state
from app.audits.file import Audit, Claim
from app.audits.report import report
from app.figures import claims, league
from app.views.picker import Picked, facts, picked

__all__ = ["page"]

#: Seconds that an audit may take, in the words of `ddm audit --budget`.
_BUDGETS = {"2m": 120.0, "10m": 600.0, "30m": 1800.0, "2h": 7200.0}
#: Progress of an audit is told in thousandths.
_UNITS = 1000
_WORDS = {"2m": "2 minutes", "10m": "10 minutes", "30m": "30 minutes", "2h": "2 hours"}


def page() -> None:
    """Draw the page."""
    st.title("Do the paper's four claims hold for this system?", anchor=False)
    one = picked()
    if one is None:
        if parts.awaited():
            st.caption("What is being measured appears here as soon as it is done.")
        else:
            parts.empty(
                "There is no audit yet. One samples every route from the same noise, measures "
                "what the paper measures, and says of each claim whether it holds.",
                icon=":material/fact_check:",
            )
        _new(expanded=not parts.awaited())
        return
    _downloads(one)
    for sentence in one.audit.health:
        st.warning(parts.literal(sentence), icon=":material/warning:")
    for place, claim in enumerate(one.audit.claims):
        _claim(one, claim, f"claim_{place}")
    _league(one)
    _made(one.audit)
    _new(expanded=False)


def _downloads(one: Picked) -> None:
    name = f"audit-{one.audit.config_hash[:12] or one.found.path.parent.name}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{facts(one.audit)}  ·  intervals: 95%", width="stretch")
        st.download_button(
            "Report",
            data=lambda: report(one.audit).encode(),
            file_name=f"{name}.html",
            mime="text/html",
            key="audit_report",
            icon=":material/article:",
            type="tertiary",
            on_click="ignore",
            help="one HTML file with everything in it; it needs no network",
        )
        st.download_button(
            "JSON",
            data=lambda: one.found.path.read_bytes(),
            file_name=f"{name}.json",
            mime="application/json",
            key="audit_json",
            icon=":material/data_object:",
            type="tertiary",
            on_click="ignore",
            help="every number, as `ddm audit` wrote it",
        )


def _claim(one: Picked, claim: Claim, name: str) -> None:
    """A card: the claim, the verdict, the effect against zero; it opens into the evidence."""
    style = claims.VERDICTS[claim.verdict]
    info = claims.forest_info(claim)
    effect = info.effect
    numbers = claims.written(effect.value, effect.low, effect.high)
    with st.container(border=True, key=name, gap="xsmall"):
        left, right = st.columns([5, 6], gap="large")
        with left:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(style.word, icon=style.icon, color=_badge(claim.verdict))
                st.markdown(f"**{claim.claim}  ·  {parts.literal(claim.title)}**", width="stretch")
            st.caption(parts.literal(parts.minus(claim.sentence)))
        named = parts.literal(parts.capital(parts.minus(info.name)))
        with right:
            parts.exhibit(
                f"{name}_effect",
                f"{named} = {numbers}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{effect.n:,}",
                "",
                lambda: claims.effect_figure(info, state.look()),
                lambda: claims.table(info),
                key=one.key,
                alt=f"{info.name}: {numbers}, 95% interval, against 0",
            )
        count = len(claim.tests)
        more = st.expander(
            f"Evidence: {count} test{'s' * (count != 1)}, and what to keep in mind",
            type="compact",
            key=f"{name}_evidence",
            bind="query-params",
        )
        if more.open:
            with more:
                _evidence(one, claim, name)


def _badge(verdict: str) -> Literal["blue", "orange", "gray"]:
    """Streamlit's name of a verdict's colour."""
    match verdict:
        case "supported":
            return "blue"
        case "contradicted":
            return "orange"
        case _:
            return "gray"


def _evidence(one: Picked, claim: Claim, name: str) -> None:
    info = claims.forest_info(claim)
    if claim.statement:
        st.markdown(f"The paper says: *{parts.literal(claim.statement)}*")
    if info.tests:
        parts.exhibit(
            f"{name}_tests",
            "Every test against zero",
            "Each on a scale of its own, zero aligned; bold decides the verdict, the others stand "
            "beside it. Holm's correction counts all tests of the audit.",
            lambda: claims.forest_figure(info, state.look()),
            lambda: claims.table(info),
            key=one.key,
        )
        st.table(_rows(info), border="horizontal", hide_index=True, alt="the tests in numbers")
    for caveat in claim.caveats:
        st.markdown(f":material/info: {parts.literal(caveat)}")


def _rows(info: claims.ForestInfo) -> pd.DataFrame:
    """The tests as a table of Markdown."""
    return pd.DataFrame(
        [
            {
                "test": parts.literal(parts.minus(test.name)),
                "definition": parts.literal(test.definition),
                "estimate [95%]": claims.written(test.value, test.low, test.high),
                "n": f"{test.n:,}",
                "d_z": "" if math.isnan(test.effect_size) else claims.shown(test.effect_size),
                "p": claims.p_text(test.p).removeprefix("= "),
                "p (Holm)": claims.p_text(test.p_holm).removeprefix("= "),
                "says": claims.said(test),
            }
            for test in info.tests
        ]
    )


def _league(one: Picked) -> None:
    info = league.league_info(one.audit)
    if not info.places:
        return
    said = one.audit.league.sentence if one.audit.league is not None else ""
    st.subheader("Which diagnostic predicts quality?", anchor=False)
    if said:
        st.markdown(parts.literal(said))
    parts.exhibit(
        "league",
        f"Rank correlation of each diagnostic with {parts.literal(info.quality)}",
        f"Over the routes of this audit, the strongest first; {parts.literal(info.direction)}. "
        "Line: 95% interval; filled: it excludes 0; grey bar: any one route left out. "
        "A correlation over a dozen routes says what goes together, not what causes what.",
        lambda: league.figure(info, state.look()),
        lambda: league.table(info),
        key=one.key,
    )


def _made(audit: Audit) -> None:
    """How it was made, and what the budget did not allow."""
    st.subheader("How it was made", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        if audit.command:
            st.code(audit.command, language=None, wrap_lines=True)
        said = [audit.plan.quality_protocol, audit.plan.truth_source]
        st.caption(parts.sentence(*said))
        versions = ", ".join(f"{name} {number}" for name, number in audit.versions.items())
        st.caption(parts.literal(f"{versions}; system {audit.digest}, made {audit.created}"))
    with right:
        if audit.plan.given_up:
            st.markdown("**Given up for the budget**")
            for sentence in audit.plan.given_up:
                st.markdown(f":material/remove: {parts.literal(sentence)}")
        failed = [route for route in audit.routes if route.failed]
        for route in failed:
            says = f"{route.router}: {route.failed}"
            st.markdown(f":material/error: {parts.literal(says)}")


def _new(*, expanded: bool) -> None:
    """A new audit: of what, and how long it may take."""
    with st.expander("Run an audit", icon=":material/play_arrow:", expanded=expanded):
        names = [card.name for card in state.catalogue().systems if not card.error]
        left, right = st.columns(2, gap="large")
        with left:
            wanted = state.view("audited")
            system = st.selectbox(
                "System to audit",
                names,
                index=names.index(wanted) if wanted in names else 0,
                key="audit_system",
                accept_new_options=True,
                help="a name, with settings such as ring:experts=8:error=0.5, or a "
                "checkpoint folder",
            )
        with right:
            budget = st.segmented_control(
                "Budget",
                list(_BUDGETS),
                default="10m",
                required=True,
                format_func=lambda one: _WORDS[one],
                key="audit_budget",
                help="more time means more samples, more routes and narrower intervals",
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Audit it",
                type="primary",
                icon=":material/fact_check:",
                disabled=not system,
                on_click=_begin,
                args=(system, budget),
                key="audit_begin",
            )
            st.caption(
                "It runs in the background and can be cancelled. What does not fit into the "
                "budget is left out, and the audit says what."
            )


def _begin(system: str, budget: str) -> None:
    payload: dict[str, object] = {"system": system, "budget": _BUDGETS[budget]}
    title = f"audit of {system}, {_WORDS[budget]}"
    done = parts.told(lambda: _queued(payload, title))
    if done:
        # What it will make is the newest: nothing older shall stand in its place.
        state.forget("audited", "audit")


def _queued(payload: dict[str, object], title: str) -> None:
    state.show(job=state.jobs().enqueue("audit", payload, title=title, total=_UNITS))
