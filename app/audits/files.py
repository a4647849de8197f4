"""Audits at hand: those of this store, newest first, and those that ship with a system.

Nothing in such a file is trusted: it may come from anywhere. What does not fit the format is told
in one sentence, text is only ever shown as text, and a picture is a small PNG or it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from app.audits.file import Audit
from ddm_core.errors import WorkError

__all__ = ["FORMAT", "Found", "find", "read"]

FORMAT = 1
_MOST_BYTES = 64 * 2**20


class Found(NamedTuple):
    """A file that should hold an audit.

    Arguments:
        key: what the URL calls it.
        stamp: changes with the file.
    """

    key: str
    path: Path
    shipped: bool
    stamp: str


def find(root: Path, checkpoints: Path | None = None) -> list[Found]:
    """Audits of a store, newest first, then those that ship with the systems of a folder."""
    own = [_found(path, shipped=False) for path in root.glob("audits/[!.]*/audit.json")]
    shipped = [_found(path, shipped=True) for path in _shipped(checkpoints)]
    return [*sorted(own, key=lambda one: one.stamp, reverse=True), *shipped]


def _shipped(checkpoints: Path | None) -> Sequence[Path]:
    return sorted(checkpoints.glob("[!.]*/audit.json")) if checkpoints is not None else []


def _found(path: Path, *, shipped: bool) -> Found:
    name = path.parent.name
    stamp = f"{path.stat().st_mtime_ns:020d}"
    return Found(f"shipped:{name}" if shipped else name, path, shipped, stamp)


def read(path: Path) -> Audit:
    """An audit from its file.

    Raises:
        WorkError: it cannot be read, is no audit, is damaged, or is of another format.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise WorkError(f"{where} is larger than {_MOST_BYTES // 2**20} MiB: no audit")
        audit = Audit.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WorkError(f"{where} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole of it"
        raise WorkError(f"{where} is no audit or is damaged: {place}: {first['msg']}") from None
    if audit.format != FORMAT:
        raise WorkError(f"{where} has format {audit.format}; this version reads format {FORMAT}")
    return audit
