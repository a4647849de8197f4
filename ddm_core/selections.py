"""A choice of samples as one short text: it fits into a URL, and a long one lies in the store.

The text is ranges of seeds and, after a space, why they were chosen: "0-5,9,17 lasso". What would
be longer than a URL should be is written once, under the hash of what it says, and the text is
that hash: "@3fa94c0b12de". Both come back from strangers, so both are checked when they are read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ddm_core import disk
from ddm_core.errors import RequestError

__all__ = ["MOST_SEEDS", "NOBODY", "Chosen", "parsed", "ranges", "read", "written"]

MOST_SEEDS = 100_000
MOST_SOURCE = 80
_MOST_TEXT = 120
_MOST_BYTES = 4 * 1024**2
_MOST_SEED = 2**63 - 1
_FOLDER = ".selections"
_KEPT = re.compile(r"@[0-9a-f]{12}")
_RANGE = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


class Chosen(NamedTuple):
    """Samples that somebody chose.

    Arguments:
        seeds: ascending, each once.
        source: why these, in words; "" where nobody said.
    """

    seeds: tuple[int, ...]
    source: str = ""


NOBODY = Chosen(())


def ranges(seeds: Iterable[int]) -> str:
    """Seeds as ranges: (0, 1, 2, 9) is "0-2,9"."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def parsed(text: str) -> tuple[int, ...]:
    """The seeds of ranges, ascending, each once.

    Raises:
        RequestError: it is no list of ranges, or of more than 100,000 seeds.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        low, high = (0, -1) if found is None else (int(found[1]), int(found[2] or found[1]))
        if not low <= high <= _MOST_SEED:
            raise RequestError(f"'{_short(part)}' is no seed and no range of seeds such as 0-5")
        if high - low >= MOST_SEEDS - len(seeds):
            raise RequestError(f"a selection takes at most {MOST_SEEDS:,} samples")
        seeds.update(range(low, high + 1))
    return tuple(sorted(seeds))


def written(chosen: Chosen, root: Path) -> str:
    """The text of a choice; a long one is laid down in the store under its hash.

    Arguments:
        root: the store.

    Raises:
        RequestError: a seed is negative, or they are too many.
        WorkError: the store is not writable.
    """
    if not chosen.seeds:
        return ""
    listed = ranges(chosen.seeds)
    seeds, source = parsed(listed), " ".join(chosen.source.split())[:MOST_SOURCE]
    text = f"{listed} {source}".rstrip()
    if len(text) <= _MOST_TEXT:
        return text
    data = json.dumps({"seeds": ranges(seeds), "source": source}, sort_keys=True).encode()
    name = hashlib.sha256(data).hexdigest()[:12]
    path = root / _FOLDER / f"{name}.json"
    if not path.is_file() or path.read_bytes() != data:
        disk.make_folder(path.parent)
        with disk.told("keep the selection", path.parent):
            disk.replace_file(path, data)
    return f"@{name}"


def read(text: str, root: Path) -> Chosen:
    """The choice that a text stands for.

    Raises:
        RequestError: the text is no choice, or names one that the store does not hold whole.
    """
    if not text:
        return NOBODY
    if not text.startswith("@"):
        listed, _, source = text.partition(" ")
        return Chosen(parsed(listed), " ".join(source.split())[:MOST_SOURCE])
    if not _KEPT.fullmatch(text):
        raise RequestError(f"'{_short(text)}' is no name of a kept selection")
    path = root / _FOLDER / f"{text[1:]}.json"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError:
        raise RequestError(f"this store keeps no selection '{text}'") from None
    if hashlib.sha256(data).hexdigest()[:12] != text[1:]:
        raise RequestError(f"the file of the selection '{text}' is damaged")
    try:
        held = json.loads(data)
        listed, source = held["seeds"], held["source"]
        if not (isinstance(listed, str) and isinstance(source, str)):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RequestError(f"the file of the selection '{text}' is no selection") from None
    return Chosen(parsed(listed), " ".join(source.split())[:MOST_SOURCE])


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
