"""The settings of a run one by one, nested ones taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddm_core.config import RunConfig

__all__ = ["Difference", "differences", "settings_of", "split_route", "split_spec"]

_SPECS = frozenset({"system", "sampler"})
_LISTS = frozenset({"probes", "metrics"})


class Difference(NamedTuple):
    """A setting, and what each config says of it; None where it says nothing."""

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the configs say different things."""
        return len(set(self.values)) > 1


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """A spec's name and its settings: top_k:k=2 -> top_k, {k: 2}."""
    name, *pairs = text.strip().split(":")
    parts = (pair.partition("=") for pair in pairs)
    # A folder's name may hold a colon too: then the whole text is its name.
    found = {key: value for key, equals, value in parts if equals}
    return (name, found) if len(found) == len(pairs) else (text.strip(), {})


def split_route(text: str) -> tuple[str, str]:
    """The specs of a route's router ("" is the system's own) and of its strategy."""
    router, _, strategy = text.strip().rpartition("/")
    return router, strategy


def settings_of(config: RunConfig) -> dict[str, str]:
    """All settings by dotted name, in the order of the config; what is not set is left out.

    `learned:temperature=4/top_k:k=2` becomes router, router.temperature, strategy, strategy.k; a
    probe becomes probes.NAME and its settings; a config within this one has its settings behind
    its name.
    """
    dumped: dict[str, Any] = config.model_dump(mode="json")
    return _flat(dumped)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in fields.items():
        if name == "router":
            router, strategy = split_route(str(value))
            out |= _spec(f"{prefix}router", router) | _spec(f"{prefix}strategy", strategy)
        elif name in _SPECS:
            out |= _spec(prefix + name, str(value))
        elif name in _LISTS:
            for one in value:
                base, own = split_spec(one)
                out[f"{prefix}{name}.{base}"] = "yes"
                out |= {f"{prefix}{name}.{base}.{key}": text for key, text in own.items()}
        elif isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            if value:
                out[prefix + name] = ", ".join(map(str, value))
        elif value is not None:
            out[prefix + name] = str(value)
    return out


def _spec(name: str, text: str) -> dict[str, str]:
    if not text:
        return {}
    base, own = split_spec(text)
    return {name: base} | {f"{name}.{key}": value for key, value in own.items()}


def differences(configs: Sequence[RunConfig]) -> list[Difference]:
    """Every setting that any of the configs has, with what each of them says of it.

    Settings stand in the order of the configs, nested ones behind what they belong to.
    """
    each = [settings_of(config) for config in configs]
    names = dict.fromkeys(name for one in each for name in one)
    first = list(RunConfig.model_fields)
    first.insert(first.index("router") + 1, "strategy")
    place = {name: index for index, name in enumerate(first)}
    ordered = sorted(names, key=lambda name: (place.get(name.partition(".")[0], 99), name))
    return [Difference(name, tuple(one.get(name) for one in each)) for name in ordered]
