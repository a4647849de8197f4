"""The part of Compare about two runs: which two, how one lies over the other, where they part."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.components.player import Pairing
from app.figures import parting
from app.figures.look import run_style
from app.figures.subjects import Subject
from ddm_core.records import RunRecord

__all__ = ["exhibit", "pairing"]

#: Relative distances above which two runs have parted; a third of the size of an image is seen.
_THRESHOLDS = ("0.1", "0.2", "0.3", "0.5")
_USUAL = "0.3"
_RULE = parts.explained(definition=parting.DEFINITION)


def pairing(records: Sequence[RunRecord], subjects: Sequence[Subject], key: str) -> Pairing | None:
    """How two of these runs are compared in the player of this key; None of fewer than two."""
    if len(subjects) < 2:
        return None
    info = _info(records, subjects)

    def chosen() -> None:
        state.show(pair=st.session_state[key]["pair"])

    return Pairing(
        state.view("mode"),
        ",".join(_letters(_pair(subjects))),
        state.view("sorted"),
        None if info is None else info.by_seed(),
        chosen,
    )


def exhibit(records: Sequence[RunRecord], subjects: Sequence[Subject]) -> None:
    """Where the two runs of the pair part, sample by sample."""
    if len(subjects) < 2 or _info(records, subjects) is None:
        return
    pair = _pair(subjects)
    first, second = _letters(pair)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Where do they part?**", width="stretch")
        parts.choice(
            "Parted above a relative distance of",
            "apart",
            _THRESHOLDS,
            default=_USUAL,
            segmented=True,
            hide_label=True,
            help=parting.DEFINITION,
        )
    # Once more: the threshold that was just chosen is in the view now.
    info = _info(records, subjects)
    assert info is not None
    parts.exhibit(
        "parting",
        f"{first} and {second}: " + " and ".join(parts.literal(one) for one in info.labels),
        " ".join(filter(None, (_says(info), _ends(records, pair, info.threshold), _RULE))),
        lambda: parting.figure(info, state.look()),
        lambda: parting.table(info),
        key=(records[pair[0]].id, records[pair[1]].id, info.threshold, info.axis),
    )


def _says(info: parting.PartingInfo) -> str:
    n = len(info.seeds)
    what = "predicted clean images" if info.what == "x0_hat" else "states"
    if n == 1:
        words = ["the sample parts" if info.parted else "the sample never parts"]
    else:
        words = [f"{info.parted:,} of {n:,} samples part"]
    if info.parted < n > 1:
        words.append(f"{n - info.parted} never {'does' if n - info.parted == 1 else 'do'}")
    if info.back:
        words.append(f"{info.back} {'comes' if info.back == 1 else 'come'} back by the end")
    sort = "order the samples above by earliest parting first" if info.what == "x0_hat" else ""
    return parts.explained(", ".join(words), f"distance of the {what} at each step", sort)


def _ends(records: Sequence[RunRecord], pair: tuple[int, int], threshold: float) -> str:
    """What is known of all samples, not only of those with pictures: how they end."""

    def ends() -> parting.ApartInfo | None:
        a, b = (state.store().samples(records[place].id) for place in pair)
        return parting.apart_info(a.images, b.images, (a.seeds, b.seeds), threshold=threshold)

    ids = [records[place].id for place in pair]
    apart = state.kept(ends, "apart", *ids, threshold)
    if apart is None or apart.n == 1:
        return ""
    return (
        f"Of all {apart.n:,} finished samples {apart.share:.0%} \\[{apart.low:.0%}, "
        f"{apart.high:.0%}\\] end that far apart; their median distance is {apart.median:.2f}."
    )


def _info(records: Sequence[RunRecord], subjects: Sequence[Subject]) -> parting.PartingInfo | None:
    a, b = _pair(subjects)
    asked = state.view("apart", _USUAL)
    threshold = float(asked if asked in _THRESHOLDS else _USUAL)
    axis = state.view("axis", "step")
    axis = axis if axis in subjects[a].trace.coords else "step"
    return state.kept(
        lambda: parting.parting_info(subjects[a], subjects[b], threshold=threshold, axis=axis),
        *("parting_info", records[a].id, records[b].id, subjects[a].label, subjects[b].label),
        *(threshold, axis),
    )


def _pair(subjects: Sequence[Subject]) -> tuple[int, int]:
    """Places of the two runs; the first two where the view says nothing that there is."""
    letters = [run_style(place, state.look()).letter for place in range(len(subjects))]
    asked = state.view("pair").split(",")
    if len(asked) == 2 and asked[0] != asked[1] and all(one in letters for one in asked):
        return letters.index(asked[0]), letters.index(asked[1])
    return 0, 1


def _letters(pair: tuple[int, int]) -> tuple[str, str]:
    look = state.look()
    return run_style(pair[0], look).letter, run_style(pair[1], look).letter
