"""Stability and quality: is the most stable route the best one?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.audits.file import Audit, Route
from app.exhibits.clickable import Names, clickable, sample_picture
from app.figures import convergence, routes_scatter
from app.figures.claims import finite, written
from app.views.evidence import run_link
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]

#: How a route decides, beside how good and how stable it is.
_DECIDES = ("effective_experts", "max_probability", "switches", "dwell")
_SETS = {"strategies": "strategies", "all": "also of the map"}


def page() -> None:
    """Draw the page."""
    st.title("Is the most stable route the best one?", anchor=False)
    state.publish("sensitivity", "quality", "set", "route")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    _routes(one)
    _curves(one)


def _routes(one: Picked) -> None:
    audit = one.audit
    names = routes_scatter.sensitivities(audit)
    if not names:
        st.caption("This audit measured no sensitivity of any route.")
        return
    left, middle, right = st.columns([3, 2, 3], vertical_alignment="bottom")
    with left:
        name = parts.choice(
            "How stability is defined",
            "sensitivity",
            names,
            says=lambda one: audit.definition(one).title,
            help="there is no one sensitivity: by another definition the order may turn round",
        )
    with middle:
        quality = parts.choice(
            "Quality is",
            "quality",
            routes_scatter.qualities(audit),
            says=lambda one: audit.definition(one).title,
            help="FID falls with n by its bias; FD-infinity is extrapolated to where that is gone",
        )
    with right:
        shown = parts.choice(
            "Routes", "set", list(_SETS), segmented=True, says=lambda one: _SETS[one]
        )
    info = routes_scatter.scatter_info(audit, name, grid=shown == "all", quality=quality)
    if not info.points:
        st.caption("No route has both this number and a quality.")
        return
    routers = [point.router for point in info.points]
    default = info.most_stable or routers[0]
    clickable(
        "stability_quality",
        parts.literal(routes_scatter.finding(info)),
        f"{parts.sentence(f'{info.title}: {info.definition}')} Whiskers: 95% intervals. Colour: "
        "experts mixed; shape: router temperature. Where names would cover each other, point at "
        "a point for its own. What goes together need not cause one another. "
        f"{parts.sentence(audit.plan.protocols.get(quality, ''))}",
        lambda: routes_scatter.figure(info, state.look()),
        lambda: routes_scatter.table(info),
        Names("route", "Route", list(dict.fromkeys(routers)), default),
        lambda router: _route(audit, router, (quality, name)),
        key=(*one.key, name, shown, quality),
        alt=routes_scatter.finding(info),
    )


def _route(audit: Audit, router: str, drawn: Sequence[str]) -> None:
    """Samples and numbers of one route, those of the figure first, and the way into its run."""
    route = next(one for one in audit.routes if one.router == router)
    sample_picture(route.picture, f"samples of {router}")
    run_link(route)
    cost = [("calls per step", route.calls), ("FLOPs per sample and step", route.flops)]
    _numbers(audit, route, drawn, [(title, n) for title, n in cost if n is not None])
    every = [*routes_scatter.qualities(audit), *routes_scatter.sensitivities(audit), *_DECIDES]
    with st.expander("All of its numbers"):
        _numbers(audit, route, [name for name in every if name not in drawn], [])


def _numbers(
    audit: Audit, route: Route, names: Sequence[str], more: Sequence[tuple[str, float]]
) -> None:
    """A table of those that were measured, each with its interval, and of what has none."""
    rows = [
        {"": parts.literal(audit.definition(name).title), "value": written(*map(finite, one[:3]))}
        for name in names
        if (one := route.number(name)).value is not None
    ]
    rows += [{"": title, "value": f"{number:.3g}"} for title, number in more]
    st.table(rows, border="horizontal", hide_index=True, hide_header=True, alt="its numbers")


def _curves(one: Picked) -> None:
    info = convergence.curves_info(one.audit)
    if not info.curves:
        return
    st.subheader("How fast do the steps converge?", anchor=False)
    parts.exhibit(
        "convergence",
        "Relative L2 distance between the images of N and of 2N steps",
        "The same noise, taken with N and with twice as many steps, per route, with 95% "
        "intervals; dotted: what a solver of first order would do. Low means that more steps "
        "change little, not that the images are good.",
        lambda: convergence.figure(info, state.look()),
        lambda: convergence.table(info),
        key=one.key,
    )
