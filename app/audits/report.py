"""An audit as one HTML file that needs no network: `python -m app.audits.report FILE OUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from app.audits.file import Audit, Claim
from app.audits.files import read
from app.audits.report_evidence import accuracy, alignment, disagreement
from app.audits.report_html import Figures, bullets, document, element, table, text
from app.figures import (
    claims,
    convergence,
    gallery,
    league,
    paradox,
    paradox_map,
    routes_scatter,
)
from app.figures.claims import finite, written
from ddm_core.errors import WorkError

__all__ = ["main", "report"]

_DECIDES = (
    *("effective_experts", "max_probability", "switches", "dwell", "rank", "nearest_selected"),
    *("disagreement", "disagreement_max", "disagreement_variance", "angle"),
)


def report(audit: Audit) -> str:
    """The report of an audit, as HTML."""
    figures = Figures()
    body = element(
        "main",
        _head(audit)
        + "".join(
            _claim(figures, claim, place) for place, claim in enumerate(audit.claims, start=1)
        )
        + alignment(figures, audit)
        + accuracy(figures, audit)
        + disagreement(figures, audit)
        + _league(figures, audit)
        + _stability(figures, audit)
        + _map(figures, audit)
        + _routes(audit)
        + _definitions(audit)
        + _made(audit),
    )
    return document(f"Audit of {audit.name}", body, figures)


def _head(audit: Audit) -> str:
    plan = audit.plan
    facts = [
        f"{plan.num:,} samples per route from seed {plan.seed}",
        f"{plan.steps} steps of {plan.sampler}",
        f"{plan.experts} experts",
        f"judged by {plan.quality_title or plan.quality}",
        f"{plan.truth_images:,} held-out data" if plan.truth_images else "",
        audit.created,
    ]
    rows = [
        element(
            "li",
            _badge(claim.verdict)
            + element("a", text(f"{claim.claim}. {claim.title}"), href=f"#claim-{place}")
            + element("span", text(claim.sentence), class_="small"),
        )
        for place, claim in enumerate(audit.claims, start=1)
    ]
    return (
        element("h1", f"Do the paper’s four claims hold for {text(audit.name)}?")
        + element("p", text("  ·  ".join(one for one in facts if one)), class_="facts")
        + (element("p", text(audit.description)) if audit.description else "")
        + element("ul", "".join(rows), class_="verdicts")
        + "<noscript><p>The figures need JavaScript; the tables do not.</p></noscript>"
        + (_section("Mind this first", bullets(audit.health)) if audit.health else "")
    )


def _section(title: str, *parts: str) -> str:
    return element("section", element("h2", text(title)) + "".join(parts))


def _badge(verdict: str) -> str:
    style = claims.VERDICTS[verdict]
    return element("span", f"{style.sign} {style.word}", class_=f"badge {verdict}")


def _claim(figures: Figures, claim: Claim, place: int) -> str:
    info = claims.forest_info(claim)
    effect = info.effect
    numbers = written(effect.value, effect.low, effect.high)
    said = element("h2", text(f"{claim.claim}. {claim.title}")) + _badge(claim.verdict)
    if claim.statement:
        said += element("blockquote", f"The paper says: {text(claim.statement)}")
    said += element("p", text(claim.sentence))
    said += figures.add(
        f"effect_{place}",
        info.name,
        f"= {numbers}, 95% interval, n = {effect.n:,}.",
        lambda look: claims.effect_figure(info, look),
        claims.table(info),
    )
    if info.tests:
        said += figures.add(
            f"tests_{place}",
            "Every test against zero,",
            "each on a scale of its own; bold decides the verdict, the others stand beside it. "
            "Holm's correction counts all tests of the audit.",
            lambda look: claims.forest_figure(info, look),
            claims.table(info),
        )
    return element("section", said + bullets(claim.caveats), class_="claim", id=f"claim-{place}")


def _league(figures: Figures, audit: Audit) -> str:
    info = league.league_info(audit)
    if audit.league is None or not info.places:
        return ""
    return _section(
        "Which diagnostic predicts quality?",
        element("p", text(audit.league.sentence)),
        figures.add(
            "league",
            f"Rank correlation of each diagnostic with {info.quality}",
            f"over the routes, the strongest first; {info.direction}. Line: 95% interval; filled: "
            "it excludes 0; grey bar: any one route left out. A correlation over a dozen routes "
            "says what goes together, not what causes what.",
            lambda look: league.figure(info, look),
            league.table(info),
        ),
    )


def _stability(figures: Figures, audit: Audit) -> str:
    names = routes_scatter.sensitivities(audit)
    options: list[str] = []
    panels: list[str] = []
    pictures = {route.router: route.picture for route in audit.routes}
    for name in names:
        info = routes_scatter.scatter_info(audit, name, grid=True)
        if not info.points:
            continue
        drawn = figures.add(
            f"scatter_{name}",
            f"{routes_scatter.finding(info)}.",
            f"{info.title}: {info.definition}. Whiskers: 95% intervals; colour: experts mixed; "
            "shape: router temperature. What goes together need not cause one another.",
            lambda look, info=info: routes_scatter.figure(info, look),
            routes_scatter.table(info),
            samples={info.most_stable: pictures.get(info.most_stable), **pictures},
        )
        hidden = " hidden" if panels else ""
        panels.append(f'<div data-option="{text(name)}"{hidden}>{drawn}</div>')
        options.append(element("option", text(info.title), value=name))
    if not panels:
        return ""
    choice = element("select", "".join(options), data_choice="sensitivities")
    label = element("label", f"Stability as {choice}", class_="small")
    curves = convergence.curves_info(audit)
    more = ""
    if curves.curves:
        more = figures.add(
            "convergence",
            "How fast the steps converge:",
            "relative L2 distance between the images of N and of 2N steps from the same noise; "
            "dotted: what a solver of first order would do. Low means that more steps change "
            "little, not that the images are good.",
            lambda look: convergence.figure(curves, look),
            convergence.table(curves),
        )
    title = "Is the most stable route the best one?"
    return _section(title, label, element("div", "".join(panels), id="sensitivities"), more)


def _map(figures: Figures, audit: Audit) -> str:
    info = paradox.map_info(audit)
    if info is None or audit.map is None:
        return ""
    frame = paradox.table(info)
    places = paradox.cells(info)
    # The one that is shown before anybody points comes first.
    names = dict.fromkeys([paradox.telling(info), *places])
    pictures = {name: paradox.picture(info, places[name]) for name in names}
    said = element("p", text(audit.map.sentence))
    said += figures.add(
        "map",
        "Quality and stability over experts mixed and router temperature.",
        "Darker is larger (lighter, on a dark page). Lines: equal values. Frame: the most stable "
        "cell is the worst one, beyond the intervals. Paris order: Top-2 best, full worst; DDM "
        "order: full beats the monolith; unclear: the intervals overlap.",
        lambda look: paradox_map.figure(info, look),
        frame,
        samples=pictures,
    )
    if any(pictures.values()):
        said += figures.add(
            "gallery",
            "What it looks like:",
            "the same 16 seeds in every cell. A few samples show what kind of fault there is, not "
            "how often.",
            lambda look: gallery.figure(info, look),
            frame.filter(items=["error", "temperature", "k", "router"]),
        )
    return _section("Where does the paradox hold?", said)


def _routes(audit: Audit) -> str:
    shown = [audit.plan.quality, "fd_infinity", "delta_refine", "lipschitz"]
    shown += ["selected_minus_chance"]
    shown = [name for name in shown if any(r.number(name).value is not None for r in audit.routes)]
    rows: list[dict[str, object]] = []
    for route in audit.routes:
        row: dict[str, object] = {"route": route.router}
        for name in shown:
            one = route.number(name)
            row[audit.definition(name).title] = (
                ""
                if one.value is None
                else f"{written(*map(finite, one[:3]))} (n\u00a0=\u00a0{one.n:,})"
            )
        row["calls per step"] = route.calls
        row["FLOPs per step"] = route.flops
        row["seconds"] = route.seconds
        row["failed"] = route.failed or ""
        rows.append(row)
    frame = pd.DataFrame(rows)
    if not any(route.flops for route in audit.routes):
        frame = frame.drop(columns="FLOPs per step", errors="ignore")
    if not any(route.failed for route in audit.routes):
        frame = frame.drop(columns="failed", errors="ignore")
    return _section("The routes", table(frame)) + _decisions(audit)


def _decisions(audit: Audit) -> str:
    """How every route decides, and by how much its experts differ, as one table."""
    names = [
        name
        for name in _DECIDES
        if any(route.number(name).value is not None for route in audit.routes)
    ]
    rows = [
        {"route": route.router}
        | {
            audit.definition(name).title: written(*map(finite, route.number(name)[:3]))
            for name in names
        }
        for route in audit.routes
        if any(route.number(name).value is not None for name in names)
    ]
    return _section("How the routes decide", table(pd.DataFrame(rows))) if rows else ""


def _definitions(audit: Audit) -> str:
    rows = [
        {"name": one.title, "definition": one.definition, "better": one.better or ""}
        for one in audit.definitions.values()
    ]
    return _section("What the numbers are", table(pd.DataFrame(rows))) if rows else ""


def _made(audit: Audit) -> str:
    plan = audit.plan
    versions = ", ".join(f"{name} {number}" for name, number in audit.versions.items())
    protocols = [plan.quality_protocol, plan.protocols.get("fd_infinity", "")]
    sentences = [
        *dict.fromkeys(protocols),
        f"held-out data: {plan.truth_source}" if plan.truth_source else "",
        f"{audit.machine}, {audit.seconds:,.0f} s" if audit.seconds is not None else audit.machine,
        f"{versions}; system {audit.digest}; settings {audit.config_hash}",
    ]
    parts = [element("pre", text(audit.command))] if audit.command else []
    parts.append(bullets([one for one in sentences if one]))
    if plan.given_up:
        parts += [element("h3", "Given up for the budget"), bullets(plan.given_up)]
    return _section("How it was made", *parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report of an audit's file.

    Raises:
        WorkError: the audit cannot be read, or the report not be written.
    """
    parser = argparse.ArgumentParser(prog="python -m app.audits.report", description=main.__doc__)
    parser.add_argument("audit", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args(arguments)
    whole = report(read(asked.audit))
    try:
        asked.out.write_text(whole, encoding="utf-8")
    except OSError as error:
        raise WorkError(f"cannot write {asked.out}: {error.strerror}") from None


if __name__ == "__main__":
    try:
        main()
    except WorkError as error:
        sys.exit(f"error: {error}")
