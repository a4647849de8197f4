"""Parts that pages share: exhibits, pickers, progress cards, text that stays text."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from safetensors import SafetensorError
from safetensors.numpy import load_file

from app import state
from app.catalogue import SystemCard
from app.exhibits.exhibits import csv_button, exhibit
from app.pictures import png, strip
from ddm_core.errors import RequestError, WorkError

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from ddm_core.jobs import Job

__all__ = [
    "awaited",
    "capital",
    "choice",
    "choices",
    "cluster_strip",
    "counted",
    "csv_button",
    "empty",
    "exhibit",
    "explained",
    "literal",
    "minus",
    "pairs",
    "progress_cards",
    "seconds",
    "sentence",
    "told",
]

_MOST_CARDS = 3
_NOTHING = "none"  # in the URL, where a choice of several was emptied


def literal(text: object) -> str:
    """Text that Streamlit's Markdown shows as it is: names, notes and errors are not ours."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", str(text))


def minus(text: str) -> str:
    """The text with the sign where a hyphen stands for a minus: FID(a) - FID(b) = -0.2."""
    return re.sub(r"(?<!\w)-(?=[\d.]|\s)", "−", text)


def sentence(*words: str) -> str:
    """What is said, literally, with semicolons between and a full stop; "" of nothing."""
    said = [literal(one) for one in words if one]
    return "; ".join(said) + "." if said else ""


def explained(*words: str, definition: str = "") -> str:
    """What one sees, as a sentence, then its formula in italics."""
    formula = literal(" ".join(definition.split()))
    said = (capital(sentence(*words)), formula and f"*{formula}*")
    return " ".join(part for part in said if part)


def capital(text: str) -> str:
    """The text with a capital in front; `str.capitalize` would change the rest."""
    return text[:1].upper() + text[1:]


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 sample, 2,000 samples."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def seconds(value: float | None) -> str:
    """A duration in words: 0.8 s, 14 s, 3 min 20 s."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    if value < 90:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def empty(says: str, *, icon: str = ":material/science:", page: str = "", label: str = "") -> None:
    """An empty state that says what to do.

    Arguments:
        page, label: where to do it, and what the link there is called.
    """
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.markdown(icon, text_alignment="center")
        st.markdown(says, text_alignment="center")
        if page:
            st.page_link(st.session_state["pages"][page], label=label, icon=":material/add:")
        st.space("small")


def cluster_strip(card: SystemCard) -> bool:
    """Training images of every cluster, a block per expert; False where the system keeps none."""
    picture = _strip(card.folder) if card.folder else None
    if picture is not None:
        st.image(
            picture,
            width="stretch",
            alt=f"training images of each of the {card.experts} clusters of {card.name}, "
            "one block per expert",
        )
    return picture is not None


@st.cache_data(max_entries=8, show_spinner=False)
def _strip(folder: str) -> bytes | None:
    try:
        examples = load_file(Path(folder) / "clusters.safetensors").get("examples")
    except (OSError, SafetensorError):
        return None
    if examples is None or examples.ndim != 5 or not examples.size:
        return None
    return png(strip(examples[:12]))


def told(action: Callable[[], Any]) -> bool:
    """Do something; where it is refused, show the sentence. True if it was done."""
    try:
        action()
    except (RequestError, WorkError) as error:
        st.error(literal(error), icon=":material/error:")
        return False
    return True


def choice(
    label: str,
    name: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    says: Callable[[str], str] = str,
    segmented: bool = False,
    pills: bool = False,
    hide_label: bool = False,
    help: str | None = None,
) -> str:
    """A choice that is part of the view: the URL sets it, and it sets the URL.

    Arguments:
        name: of the part of the view; see `state.VIEW`.
        default: taken where the view says nothing that there is.
        segmented: buttons side by side instead of a list; few and short ones.
        pills: the same for many or long ones, in several lines where they need them.
    """
    first = default if default is not None else options[0]
    wanted = state.view(name, first)
    key = f"choice_{name}"
    st.session_state[key] = wanted if wanted in options else first
    visibility = "collapsed" if hide_label else "visible"
    called = _told_apart(options, says)

    def chosen() -> None:
        picked = st.session_state[key] or first
        # The browser answers with an option's words. Where they have changed since it got them
        # ("just now", "1 min ago"), they name nothing, and nobody has chosen anything.
        if picked in options:
            state.show(**{name: picked})

    if segmented or pills:
        (st.pills if pills else st.segmented_control)(
            label,
            options,
            format_func=called,
            key=key,
            on_change=chosen,
            label_visibility=visibility,
            help=help,
            required=True,
            wrap=True,
        )
    else:
        st.selectbox(
            label,
            options,
            format_func=called,
            key=key,
            on_change=chosen,
            label_visibility=visibility,
            help=help,
        )
    return st.session_state[key] or first


def _told_apart(options: Sequence[str], says: Callable[[str], str]) -> Callable[[str], str]:
    """Says what an option is called; two that would be called the same say their last six letters.

    A list knows its options by their words alone: of two alike, one could never be chosen.
    """
    words = {one: says(one) for one in options}
    often = Counter(words.values())

    def called(one: str) -> str:
        said = words.get(one, one)
        return f"{said} · {one[-6:]}" if often[said] > 1 else said

    return called


def choices(
    label: str,
    name: str,
    options: Sequence[str],
    *,
    default: Sequence[str],
    says: Callable[[str], str] = str,
    most: int | None = None,
) -> list[str]:
    """Several of the options, in their order; part of the view as `choice` is.

    Arguments:
        default: taken where the view says nothing that there is, and then not in the URL.
        most: how many may be taken, from a list that says so; None for all.
    """
    said = state.view(name).split(",")
    wanted = [one for one in options if one in said][:most]
    if not wanted and _NOTHING not in said:
        wanted = list(default)
    key = f"choices_{name}"
    st.session_state[key] = wanted
    called = _told_apart(options, says)

    def chosen() -> None:
        picked = [one for one in options if one in st.session_state[key]]
        text = ",".join(picked) or _NOTHING
        state.show(**{name: None if picked == list(default) else text})

    if most is None:
        st.pills(
            label,
            options,
            selection_mode="multi",
            format_func=called,
            key=key,
            on_change=chosen,
            label_visibility="collapsed",
        )
    else:
        st.multiselect(
            label,
            options,
            max_selections=most,
            format_func=called,
            key=key,
            on_change=chosen,
            label_visibility="collapsed",
            select_all=False,
        )
    return [one for one in options if one in st.session_state[key]]


def pairs(count: int) -> Iterator[DeltaGenerator]:
    """Places for exhibits, two side by side; each row begins at one height."""
    for first in range(0, count, 2):
        yield from st.columns(2, gap="large")[: count - first]


def progress_cards() -> None:
    """What is being computed, on every page; asks for nothing while nothing runs."""
    watched = state.view("job")
    active = state.active_jobs()
    if watched and watched not in [job.id for job in active]:
        _finished(watched)
    if active:
        _cards()


def awaited() -> bool:
    """Whether the job of this page is still at work."""
    try:
        return state.jobs().job(state.view("job")).active
    except RequestError:
        return False


def _finished(id: str) -> None:
    """The job of this page has ended: show what it made, or why it made nothing."""
    try:
        job = state.jobs().job(id)
    except RequestError:
        state.forget("job")
        return
    if job.state == "done":
        if job.comparison:
            state.show(comparison=job.comparison, runs=None)
        elif job.runs:
            state.show(run=job.runs[0])
        if job.kind != "branch":  # which is looked at where it leaves its parent
            state.show(step=None, sample=None)
        state.forget("job")
        st.toast(f"{literal(job.title)}: done in {seconds(job.seconds)}", icon=":material/check:")
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        words = {
            "failed": "failed",
            "cancelled": "was cancelled",
            "interrupted": "was interrupted: its process ended before it was finished",
        }
        st.markdown(
            f":material/error: **{literal(job.title)}** {words.get(job.state, job.state)}"
            + (f": {literal(job.message)}" if job.message else "."),
            width="stretch",
        )
        st.button("Try again", key=f"retry_{id}", on_click=_retry, args=(id,))
        st.button("Dismiss", key=f"dismiss_{id}", on_click=state.forget, args=("job",))


def _retry(id: str) -> None:
    state.show(job=state.jobs().retry(id))


@st.fragment(run_every=0.5)
def _cards() -> None:
    active = state.active_jobs()
    before = st.session_state.get("active_jobs", set())
    now = {job.id for job in active}
    st.session_state["active_jobs"] = now
    if before - now:
        # Something ended: one rerun of the page, which shows the result.
        st.rerun()
    for job in active[:_MOST_CARDS]:
        _card(job)
    if len(active) > _MOST_CARDS:
        st.caption(f"and {len(active) - _MOST_CARDS:,} more in the queue")


def _card(job: Job) -> None:
    with st.container(border=True, key=f"job_{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{literal(job.title)}**", width="stretch")
            st.button(
                "Cancel",
                key=f"cancel_{job.id}",
                icon=":material/stop_circle:",
                on_click=_cancel,
                args=(job.id,),
            )
        share = min(job.done / job.total, 1.0) if job.total else 0.0
        st.progress(share, text=_stage(job, share))
        if job.preview is not None and job.preview.is_file():
            # It may be replaced while it is read; the next look is in half a second.
            with contextlib.suppress(OSError):
                st.image(job.preview.read_bytes(), alt="samples as predicted right now", width=280)


def _stage(job: Job, share: float) -> str:
    if job.state == "queued":
        return "about to begin" if job.position <= 1 else f"number {job.position} in the queue"
    parts = [f"{share:.0%}"]
    if job.message:
        parts.append(literal(job.message))
    parts.append(f"{seconds(job.seconds)} so far")
    if job.eta is not None:
        parts.append(f"about {seconds(job.eta)} to go")
    return "  ·  ".join(parts)


def _cancel(id: str) -> None:
    state.jobs().cancel(id)
