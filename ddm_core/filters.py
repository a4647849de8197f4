"""Which runs are meant: by a condition over their settings and numbers, or by plain words.

    router == "top_k" and fid < 30        a condition: see `ddm_core.expressions`
    mnist top_k tag:paper                 words: each must occur in the run's own words

A text is a condition if it compares something; anything else is words. A route answers to its
whole spec, to its router's and its strategy's, and to the names of both: `learned/top_k:k=2` is
`router == "top_k"`, `"top_k:k=2"`, `"learned"` and the whole. So do `strategy`, `system`,
`sampler`. Settings within follow behind a dot: `strategy.k == 2`, `router.temperature > 1`. A
number of a run is its value; `fid.low`, `fid.high` and `fid.n` are its interval and its n. `n` by
itself is the number of samples, as is `num`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ddm_core.comparisons import COMPARISONS, Kind, Spec, Value
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.expressions import Condition, read_condition, tokens
from ddm_core.records import RunRecord
from ddm_core.settings import settings_of, split_route, split_spec

__all__ = ["Filter", "kinds_of", "understand", "values_of"]

#: Numbers that a run may have although no run here has them: metrics, and those of
#: `ddm_core.summary`. A list, since the registry of metrics brings torch along.
_NUMBERS = (
    *("fid", "fd_infinity", "kid", "precision", "recall", "energy_distance"),
    *("selected_distance", "chance_distance", "selected_minus_chance"),
    *("selected_minus_chance_noised", "nearest_selected", "nearest_selected_chance"),
    *("disagreement", "entropy", "perturbation_growth", "perturbation_growth_median"),
    *("lyapunov", "growth_renormalised", "lyapunov_renormalised"),
    *("local_lipschitz", "local_lipschitz_max", "effective_lipschitz"),
    *("expert_calls", "network_calls", "flops", "seconds"),
)
#: Fields of a record that a condition sees as they are.
_TEXTS = ("id", "status", "created", "comparison", "parent", "note", "error")
_PARTS = ("low", "high", "n")


class Filter(NamedTuple):
    """What was typed, and how it was understood.

    Arguments:
        condition: None where it is plain words.
    """

    text: str
    condition: Condition | None

    def matches(self, record: RunRecord) -> bool:
        """Whether this run is meant."""
        if self.condition is not None:
            return self.condition.holds(values_of(record))
        return _has_words(record, self.text)


def understand(text: str, records: Iterable[RunRecord]) -> Filter:
    """How a text is understood; the names of a condition are those that these runs have.

    Raises:
        RequestError: a condition that cannot be read; where, and what could stand there.
    """
    text = text.strip()
    if not _compares(text):
        return Filter(text, None)
    return Filter(text, read_condition(text, kinds_of(records)))


def _compares(text: str) -> bool:
    """Whether a text compares something, so that it is meant as a condition."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "''", text)
    # "fid = 30" is meant as one too, and told how to write it; top_k:k=2 is a word.
    if any(sign in bare for sign in COMPARISONS) or re.search(r"\s=\s", bare):
        return True
    try:
        words = [*tokens(text)]
    except RequestError:
        return False
    # "in the paper" may be what somebody looks for; `"paper" in tags` is not.
    for index, one in enumerate(words[1:], 1):
        before = words[index - 1]
        if one == ("word", "is", one.at) and words[-1].text == "none":
            return True
        if one == ("word", "in", one.at) and (before.kind == "text" or "(" in bare or "[" in bare):
            return True
    return False


def _has_words(record: RunRecord, text: str) -> bool:
    whole = " ".join(
        [record.system, record.router, record.status, record.note, record.id, *record.tags]
    ).lower()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].lower() in whole
    for word in text.lower().split():
        kind, colon, name = word.partition(":")
        if kind == "tag" and colon:
            if name not in [tag.lower() for tag in record.tags]:
                return False
        elif word not in whole:
            return False
    return True


def kinds_of(records: Iterable[RunRecord]) -> dict[str, Kind]:
    """The names that a condition over these runs may use, and what they stand for."""
    kinds: dict[str, Kind] = {}
    for record in records:
        nested = (name for name in settings_of(record.config) if "." in name)
        # "fitted" may stand where a temperature does.
        kinds |= dict.fromkeys((n for n in nested if n.partition(".")[0] in _NESTED), "any")
        kinds |= dict.fromkeys(map(_name, (*record.metrics, *record.summary)), "number")
    kinds |= dict.fromkeys(_NUMBERS, "number")
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    kinds |= {f"{name}.{part}": "number" for name in numbers for part in _PARTS}
    kinds |= {name: _kind(field.annotation) for name, field in RunConfig.model_fields.items()}
    kinds |= dict.fromkeys((*_TEXTS, "strategy"), "text")
    kinds |= {"tags": "list", "n": "number"}
    return kinds


_NESTED = frozenset({"system", "router", "strategy", "sampler", "branch"})


def _kind(annotation: Any) -> Kind:
    said = str(annotation)
    if "tuple" in said:
        return "list"
    if "int" in said or "float" in said:
        return "number"
    return "text" if "str" in said else "any"


def _name(name: str) -> str:
    """A metric's name as a condition writes it: fid@inception is fid_inception."""
    return re.sub(r"\W", "_", name)


def values_of(record: RunRecord) -> dict[str, Value]:
    """What a condition sees of a run. Names of a record's own numbers hide none of the others."""
    out: dict[str, Value] = {}
    for name, one in (*record.summary.items(), *record.metrics.items()):
        out[_name(name)] = _number(one.get("value"))
        out |= {f"{_name(name)}.{part}": _number(one.get(part)) for part in _PARTS}
    config = record.config
    router, strategy = split_route(record.router)
    out |= {name: _plain(value) for name, value in config}
    nested = settings_of(config)
    out |= {name: _read(text) for name, text in nested.items() if "." in name}
    out |= {
        "system": _answering(record.system, record.system.rstrip("/").rpartition("/")[2]),
        "router": _answering(record.router, router, strategy),
        "strategy": _answering(strategy),
        "sampler": _answering(config.sampler),
        "seconds": record.seconds,
        "device": record.device or config.device,
        "tags": record.tags,
        "n": config.num,
    }
    return out | {name: getattr(record, name) for name in _TEXTS}


def _answering(whole: str, *parts: str) -> Spec:
    """A spec that equals itself, its parts, and the names of both without their settings."""
    named: Sequence[str] = (whole, *(part for part in parts if part))
    return Spec(whole, frozenset({*named, *(split_spec(one)[0] for one in named)}))


def _plain(value: object) -> Value:
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float | str | tuple) else None


def _number(value: object) -> float | None:
    """Records may come from elsewhere: what is no number is missing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None


def _read(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text
