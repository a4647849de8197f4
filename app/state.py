"""What pages share: the store, the jobs, the catalogue, and the view, which lives in the URL."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar, cast

import streamlit as st
import xarray as xr

from app.catalogue import Catalogue, CatalogueSource
from app.figures.look import Look
from app.figures.subjects import Subject
from ddm_core.errors import RequestError
from ddm_core.jobs import Job, Jobs
from ddm_core.records import RunRecord
from ddm_core.store import Store

__all__ = [
    "active_jobs",
    "age",
    "catalogue",
    "catalogue_source",
    "forget",
    "in_light",
    "jobs",
    "kept",
    "label_of",
    "look",
    "publish",
    "runs_at",
    "show",
    "store",
    "subjects",
    "system_title",
    "trace",
    "view",
    "view_number",
]

T = TypeVar("T")

#: More than a queue holds: one that waits may be older than hundreds that have ended.
_ALL_JOBS = 100_000

_light: ContextVar[bool] = ContextVar("light", default=False)

#: Parts of the view. All are in the URL while they have a value, on every page.
VIEW = (
    *("comparison", "runs", "run", "sample", "chosen", "step", "axis", "job"),
    *("variable", "figures", "across", "up", "q", "system", "embedding"),
    *("group", "picked", "settings"),
    *("live", "temperature", "k", "noise", "tour"),
    *("routed", "order", "lead", "counted", "stages", "flow", "shown", "ground", "panels"),
    *("mode", "pair", "sorted", "apart", "second"),
)


@st.cache_resource
def store() -> Store:
    """The runs of this server."""
    return Store()


@st.cache_resource
def jobs() -> Jobs:
    """The queue of this server."""
    return Jobs(store().root)


def active_jobs() -> list[Job]:
    """The jobs that are not done: those at work first, then as they stand in the queue."""
    active = (job for job in jobs().jobs(limit=_ALL_JOBS) if job.active)
    return sorted(active, key=lambda job: job.position)  # 0 for those at work


@st.cache_resource(show_spinner=False)
def catalogue_source() -> CatalogueSource:
    """Where the catalogue comes from; one per server."""
    return CatalogueSource(store().root / ".catalogue.json")


def catalogue() -> Catalogue:
    """Systems, routers and the rest; waits a few seconds where the server has just started."""
    source = catalogue_source()
    if source.ready:
        return source.get()
    with st.spinner("Reading systems and routers …"):
        return source.get()


@st.cache_resource(max_entries=12)
def trace(run: str) -> xr.Dataset:
    """The trace of a run; a run never changes once it is there. Not to be written to."""
    return store().trace(run)


def kept(make: Callable[[], T], *key: Hashable) -> T:
    """What `make` gave when it was last asked for this key; figures of stored runs never change.

    Arguments:
        key: says what it is and of which runs; never an array, whose hash is of a sample of it.
    """
    return cast(T, _kept(key, make))


@st.cache_resource(max_entries=256, show_spinner=False)
def _kept(key: tuple[Hashable, ...], _make: Callable[[], object]) -> object:
    return _make()


def look() -> Look:
    """Light or dark, as the browser shows it now; always light inside `in_light`."""
    if _light.get():
        return Look()
    return Look(dark=st.context.theme.type == "dark")


@contextmanager
def in_light() -> Generator[None]:
    """What is drawn inside is for paper, whatever the browser shows."""
    before = _light.set(True)
    try:
        yield
    finally:
        _light.reset(before)


def view(name: str, default: str = "") -> str:
    """A part of the view: what the URL says, else what this session had last."""
    if name in st.query_params:
        st.session_state[f"view_{name}"] = st.query_params[name]
    return str(st.session_state.get(f"view_{name}", default))


def view_number(name: str) -> int | None:
    """A part of the view that is a whole number, or None."""
    text = view(name)
    return int(text) if text.isdigit() else None


def show(**parts: str | int | None) -> None:
    """Change parts of the view; "" and None take a part out of the URL."""
    for name, value in parts.items():
        text = "" if value is None else str(value)
        st.session_state[f"view_{name}"] = text
        if text:
            st.query_params[name] = text
        elif name in st.query_params:
            del st.query_params[name]


def publish(*names: str) -> None:
    """Put these parts of the view into the URL, where changing the page has left them out."""
    for name in names:
        value = view(name)
        if value and name not in st.query_params:
            st.query_params[name] = value


def forget(*names: str) -> None:
    """Take parts out of the view."""
    show(**dict.fromkeys(names))


def runs_at(ids: Sequence[str]) -> list[RunRecord]:
    """The records of these runs; those that are gone are left out."""
    found: list[RunRecord] = []
    for one in ids:
        try:
            found.append(store().run(one))
        except RequestError:
            continue
    return found


def label_of(record: RunRecord, others: Sequence[RunRecord] = ()) -> str:
    """What a run is called beside others: its router, and its system where they differ."""
    if len({other.system for other in others}) > 1:
        return f"{system_title(record)} {record.router}"
    return record.router


def system_title(record: RunRecord) -> str:
    """A system's name without the folder that it lies in."""
    return record.system.rstrip("/").rpartition("/")[2] or record.system


def subjects(records: Sequence[RunRecord]) -> list[Subject]:
    """Runs with their traces, as figures need them; equal labels get the run's hash."""
    names = [label_of(record, records) for record in records]
    out: list[Subject] = []
    for name, record in zip(names, records, strict=True):
        label = name if names.count(name) == 1 else f"{name} {record.id[-6:]}"
        out.append(Subject(label, trace(record.id)))
    return out


def age(created: str) -> str:
    """How long ago, in words."""
    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = (datetime.now(UTC) - then).total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if count > 1 and unit != "min" else ""
            return f"{count} {unit}{plural} ago"
    return "just now"
