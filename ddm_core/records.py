"""What the store knows about a run, and the names that runs have."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddm_core.config import RunConfig
from ddm_core.errors import RequestError

__all__ = [
    "RUN_ID",
    "RunRecord",
    "new_id",
    "of_label",
    "read_record",
    "resolve",
    "stamped",
    "unique",
]

#: time - system - route - hash. No dot, slash or capital: a safe folder on every file system.
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}(?:-[a-z0-9_]+)+-[0-9a-f]{6}")
_MOST_RECORD_BYTES = 4 * 1024**2

Status = Literal["done", "interrupted"]


class RunRecord(BaseModel):
    """A run as run.json describes it.

    Arguments:
        id: of the run; the name of its folder.
        status: done, or interrupted where the process ended before it could finish.
        created: when it began, ISO 8601, UTC.
        system, router: as the config has them.
        config: everything that was asked for.
        seconds: that sampling took.
        device: that it ran on.
        versions: of this program, torch, numpy and Python.
        hashes: sha256 of x_T, of the samples, of the system.
        metrics: quality by name: value, low, high, n, protocol, extractor, method.
        summary: numbers of the trace by name: value, low, high, n, method.
        comparison: shared by the runs of one comparison, or None.
        parent: id of the run that a branch was made from, which may be gone; else None.
        departure: how a branch differs from its parent, by name; see
            `ddm_core.analysis.branches`.
        tags, note: the user's own words.
        error: why it is not done, or "".
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")

    id: Annotated[str, Field(max_length=200)]
    status: Status
    created: Annotated[str, Field(max_length=40)]
    system: Annotated[str, Field(max_length=1000)]
    router: Annotated[str, Field(max_length=300)]
    config: RunConfig
    seconds: float | None = None
    device: Annotated[str, Field(max_length=200)] = ""
    versions: dict[str, str] = {}
    hashes: dict[str, str] = {}
    metrics: dict[str, dict[str, Any]] = {}
    summary: dict[str, dict[str, Any]] = {}
    comparison: Annotated[str, Field(max_length=100)] | None = None
    parent: Annotated[str, Field(pattern=f"^{RUN_ID.pattern}$", max_length=200)] | None = None
    departure: dict[str, dict[str, Any]] = {}
    tags: tuple[Annotated[str, Field(min_length=1, max_length=60)], ...] = ()
    note: Annotated[str, Field(max_length=10_000)] = ""
    error: str = ""

    def to_json(self) -> bytes:
        """The bytes of run.json."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def of_label(
    metrics: Mapping[str, Mapping[str, Any]], label: int | None
) -> dict[str, dict[str, Any]]:
    """The metrics of samples of one label, whose protocols say so; None: of all labels.

    The real data of a system are of all its labels, and so such samples are far from them as a
    set, however good each one is.
    """
    if label is None:
        return {name: dict(one) for name, one in metrics.items()}
    said = f"samples of label {label} alone against real data of all labels"
    return {
        name: {**one, "protocol": "; ".join(filter(None, (said, one.get("protocol"))))}
        for name, one in metrics.items()
    }


def new_id(system: str, router: str) -> str:
    """An id for a run that begins now: time - system - route - hash."""
    when = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    words = [_slug(Path(system).name, "system"), _slug(router, "route")]
    return "-".join([when, *words, unique()])


def stamped() -> str:
    """An id for a job, or for runs that differ in the router and share x_T: when, and chance."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{unique()}"


def unique() -> str:
    """6 hex digits that nobody else has at this second."""
    seed = f"{time.time_ns()} {os.getpid()} {os.urandom(8).hex()}"
    return hashlib.sha256(seed.encode()).hexdigest()[:6]


def _slug(text: str, empty: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower())[:40].strip("-") or empty


def read_record(folder: Path) -> RunRecord:
    """The record in a run's folder.

    Raises:
        RequestError: run.json is missing, too large, damaged, or of another run.
    """
    path = folder / "run.json"
    try:
        if path.stat().st_size > _MOST_RECORD_BYTES:
            raise RequestError(f"{path} is too large to be a run's record")
        record = RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise RequestError(f"{path} is no run's record: {where}: {first['msg']}") from None
    return record


def resolve(text: str, ids: Iterable[str]) -> str:
    """The one id that starts with the text, or ends with it (the hash alone is enough).

    Raises:
        RequestError: none does, or several do; with the alternatives.
    """
    known = list(ids)
    if text in known:
        return text
    found = [one for one in known if text and (one.startswith(text) or one.endswith(f"-{text}"))]
    if len(found) == 1:
        return found[0]
    shown = text if len(text) <= 60 else text[:57] + "..."
    some = found or known
    there = ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")
    if found:
        raise RequestError(f"'{shown}' fits {len(found)} runs: {there}")
    raise RequestError(f"no run '{shown}'; there are: {there or 'none'}")
