"""Components by name: a router, a strategy, a sampler, a probe is one file that nobody mentions.

A component is a frozen dataclass with a class attribute `name`; its fields are its settings. A
family finds its members by importing every module of its package, every entry point of other
installed packages (group ``ddm_core.<family>s``) and every file given with ``--plugin``.

A *spec* is how a person writes a component: ``top_k:k=2``, ``learned:temperature=4``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import math
import pkgutil
import sys
import threading
import typing
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ddm_core.errors import RequestError, unknown

__all__ = [
    "Component",
    "Registry",
    "Setting",
    "load_plugin",
    "setting",
    "settings",
    "shortest",
    "spec",
]


class Component(Protocol):
    """What every registered class has."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


C = TypeVar("C", bound=Component)
T = TypeVar("T")


class Setting(typing.NamedTuple):
    """One field of a component, as a form or a help text needs it."""

    name: str
    kind: type
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    words: tuple[str, ...] = ()  # that may stand in place of a number


def setting(
    default: T,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    told: bool = False,
) -> T:
    """A dataclass field with a default, one sentence, and inclusive bounds or choices.

    `words` may stand in place of a number, as in temperature=fitted; the hint is then float | str.
    `told` keeps it in the spec at its default too: a Top-2 is called top_k:k=2.
    """
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "told": told}
    metadata["words"] = words
    return dataclasses.field(default=default, metadata=metadata)


def settings(component: Any) -> tuple[Setting, ...]:
    """The settings of a component (its class or an instance), in the order of its fields."""
    return _settings(component if isinstance(component, type) else type(component))


# Hints are text until somebody asks, and asking compiles each of them.
@functools.cache
def _settings(cls: Any) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        Setting(
            field.name,
            _plain(hints[field.name]),
            field.default,
            field.metadata.get("help", ""),
            field.metadata.get("low"),
            field.metadata.get("high"),
            field.metadata.get("choices", ()),
            field.metadata.get("words", ()),
        )
        for field in dataclasses.fields(cls)
    )


def shortest(value: Any) -> str:
    """The shortest text that reads back as this setting."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def spec(component: Any) -> str:
    """The spec that parses back to this component; defaults are left out unless always told."""
    parts = [component.name]
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        if value != field.default or field.metadata.get("told", False):
            parts.append(f"{field.name}={shortest(value)}")
    return ":".join(parts)


class Registry(Generic[C]):
    """All members of one family, by name.

    Arguments:
        family: the singular noun that error messages and entry points use, such as "router".
        package: the package whose modules hold the built-in members.
    """

    def __init__(self, family: str, package: str) -> None:
        self.family = family
        self.package = package
        self._members: dict[str, type[C]] = {}
        self._discovered = False
        # Held while members are imported: a second thread waits instead of finding half of them.
        # Re-entrant, since a member may look up another one while it is being imported.
        self._lock = threading.RLock()

    def register(self, cls: type[C]) -> type[C]:
        """Class decorator. A name that another class holds already is an error."""
        known = self._members.get(cls.name)
        # The same file loaded again (a plug-in, a reload) replaces itself; a stranger may not.
        if known is not None and (known.__qualname__, _file(known)) != (
            cls.__qualname__,
            _file(cls),
        ):
            raise RequestError(
                f"there are two {self.family}s named '{cls.name}': rename one of them"
            )
        self._members[cls.name] = cls
        return cls

    def discover(self) -> None:
        """Import all built-in modules and all entry points, once."""
        if self._discovered:
            return
        with self._lock:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            for point in entry_points(group=f"ddm_core.{_plural(self.family)}"):
                try:
                    point.load()
                except Exception as error:
                    raise RequestError(
                        f"{self.family} '{point.name}' of another package cannot be loaded from "
                        f"{point.value}: {type(error).__name__}: {error}"
                    ) from error
            self._discovered = True

    def __getitem__(self, name: str) -> type[C]:
        self.discover()
        if name not in self._members:
            raise unknown(self.family, name, self._members)
        return self._members[name]

    def __contains__(self, name: str) -> bool:
        self.discover()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        self.discover()
        return iter(sorted(self._members))

    def parse(self, text: str) -> C:
        """The component that a spec describes, its settings converted and checked."""
        name, *pairs = text.strip().split(":")
        cls = self[name]
        known = {one.name: one for one in settings(cls)}
        values: dict[str, Any] = {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals:
                raise RequestError(f"'{pair}' in '{text}' is no setting: write name=value")
            if key not in known:
                raise unknown(f"setting of {self.family} '{name}'", key, known)
            if key in values:
                raise RequestError(f"{key} is set twice in '{text}'")
            values[key] = _convert(known[key], value, text)
        try:
            return cls(**values)
        except ValueError as error:
            raise RequestError(f"{self.family} '{text}': {error}") from None


class _FromSource(SourceFileLoader):
    """Reads the file as it is now.

    Python takes kept bytecode for the file's own while second and size are the same; people write,
    run and change a plug-in faster than that.
    """

    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self.ran: bytes | None = None  # what the file said when it ran to its end

    def get_code(self, fullname: str) -> CodeType:
        """What the file says, compiled."""
        return self.source_to_code(self.get_data(self.path), self.path)


def load_plugin(path: str | Path) -> None:
    """Import a file of the user's own; what it registers is there from then on.

    It runs once per process, and again only after an edit. What it prints meanwhile goes to
    stderr: stdout is for an answer.

    Raises:
        RequestError: there is no such file, or it fails.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:  # a name that no file can have
        raise RequestError(f"plug-in {str(path)[:60]} cannot be read: {error.strerror}") from None
    if not there:
        raise RequestError(f"there is no plug-in file {path}")
    # Two files of one name in two folders are two modules.
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"ddm_plugin_{path.stem}_{place}"
    if path.suffix != ".py":
        raise RequestError(f"{path} is no Python file")
    loader = _FromSource(name, str(path))
    try:
        source = loader.get_data(loader.path)
    except OSError as error:
        raise RequestError(f"plug-in {path} cannot be read: {error.strerror}") from None
    earlier = getattr(sys.modules.get(name), "__loader__", None)
    if isinstance(earlier, _FromSource) and earlier.ran == source:
        return
    module_spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert module_spec is not None  # there is a loader
    module = importlib.util.module_from_spec(module_spec)
    # Dataclasses look their module up by name, also after a failure further down in the file.
    sys.modules[name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):
            loader.exec_module(module)
    except SystemExit as error:
        raise RequestError(
            f"plug-in {path.name} fails: it calls exit({error.code}) where it should only register"
        ) from error
    except Exception as error:
        raise RequestError(
            f"plug-in {path.name} fails: {type(error).__name__}: {error}"
        ) from error
    loader.ran = source


def _convert(one: Setting, text: str, whole: str) -> Any:
    if text in one.words:
        return text
    try:
        value: Any = _boolean(text) if one.kind is bool else one.kind(text)
    except ValueError:
        nor = f", nor {' or '.join(one.words)}" if one.words else ""
        raise RequestError(
            f"{one.name}={text} in '{whole}' is no {one.kind.__name__}{nor}"
        ) from None
    if one.choices and value not in one.choices:
        raise unknown(one.name, value, one.choices)
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{one.name}={text} in '{whole}' must be a finite number")
    if one.low is not None and value < one.low:
        raise RequestError(f"{one.name}={text} in '{whole}' must be at least {one.low:g}")
    if one.high is not None and value > one.high:
        raise RequestError(f"{one.name}={text} in '{whole}' must be at most {one.high:g}")
    return value


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "yes", "1"}:
        return True
    if text.lower() in {"false", "no", "0"}:
        return False
    raise ValueError(text)


def _plain(hint: Any) -> type:
    """The type of a setting; of one that takes words too, that of its numbers."""
    if isinstance(hint, type):
        return hint
    return next((kind for kind in typing.get_args(hint) if kind in (int, float)), str)


def _plural(family: str) -> str:
    return family[:-1] + "ies" if family.endswith("y") else family + "s"


def _file(cls: type) -> str | None:
    return getattr(sys.modules.get(cls.__module__), "__file__", None)
