"""What there is to choose from, learned from a child process, so that no page imports torch.

`python -m app.catalogue` prints every registered component with its settings, and every system,
as JSON; `Catalogue` is the same in this process. It is asked again when a checkpoint changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from ddm_core import shipped
from ddm_core.errors import WorkError
from ddm_core.estimate import Costs, registered_costs

__all__ = ["Catalogue", "CatalogueSource", "Component", "Field", "SystemCard", "made_of"]

_SECONDS = 120
#: Families that other packages can add to.
_OPEN = ("systems", "routers", "strategies", "samplers", "probes", "metrics")


class Field(NamedTuple):
    """One setting of a component; kind is int, float, bool or str.

    `words` may stand in place of a number; `told` keeps it in the spec at its default too.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    words: tuple[str, ...] = ()
    told: bool = False


class Component(NamedTuple):
    """One router, strategy, sampler or probe."""

    name: str
    help: str
    fields: tuple[Field, ...]


class SystemCard(NamedTuple):
    """A system as a page shows it.

    Arguments:
        shape: of one sample; (2,) for points.
        labels: class names, () where it is unconditional.
        sizes: training images per expert, () where the data are a density.
        label_counts: training images per expert and label, () where nobody counted.
        centres, spread: of the clusters, for points only.
        folder: of the checkpoint, or "".
        digest: of what defines the system; see `System.digest`.
        error: why it cannot be used, or "".
    """

    name: str
    description: str = ""
    shape: tuple[int, ...] = ()
    experts: int = 0
    labels: tuple[str, ...] = ()
    router: str = ""
    monolith: bool = False
    sizes: tuple[int, ...] = ()
    label_counts: tuple[tuple[int, ...], ...] = ()
    centres: tuple[tuple[float, float], ...] = ()
    spread: float = 0.0
    folder: str = ""
    digest: str = ""
    quality: bool = False
    error: str = ""

    @property
    def is_image(self) -> bool:
        """Whether samples are pictures rather than points."""
        return len(self.shape) == 3


class Catalogue(NamedTuple):
    """Everything at hand.

    Arguments:
        checkpoints: the folder that holds the shipped ones.
        costs: of every component, for what a run will cost.
    """

    systems: tuple[SystemCard, ...]
    routers: tuple[Component, ...]
    strategies: tuple[Component, ...]
    samplers: tuple[Component, ...]
    probes: tuple[Component, ...]
    checkpoints: str
    costs: Costs

    @property
    def usable(self) -> tuple[SystemCard, ...]:
        """The systems that can be sampled: the largest images first, points last."""
        cards = (card for card in self.systems if not card.error)
        return tuple(sorted(cards, key=lambda card: (-math.prod(card.shape), card.name)))

    def system(self, name: str) -> SystemCard | None:
        """The system of this name; settings behind colons are not part of it."""
        base = name.partition(":")[0]
        return next((card for card in self.systems if card.name in (name, base)), None)


class CatalogueSource:
    """Holds the catalogue; one per server. Safe to ask from several sessions at once.

    Arguments:
        file: where the last answer is kept, so that the next start of the server need not wait.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._held, self._of = _recall(file)

    def start(self) -> None:
        """Ask anew in the background, unless the kept answer is of what there is now."""
        if not self._of or self._of != made_of():
            threading.Thread(target=self.refresh, daemon=True).start()

    def get(self) -> Catalogue:
        """The catalogue; waits for the child process only where nothing is known yet.

        After a checkpoint came or went the old answer serves until the new one is there.

        Raises:
            WorkError: the child process failed; its last words.
        """
        held = self._held
        if held is None:
            with self._lock:
                # Somebody else may have asked while this one waited.
                return self._held[1] if self._held is not None else self._ask()
        if held[0] != _stamp(held[1].checkpoints) and not self._lock.locked():
            threading.Thread(target=self.refresh, daemon=True).start()
        return held[1]

    def refresh(self) -> None:
        """Ask anew; whoever asks meanwhile gets the old answer. What fails keeps it."""
        with self._lock:
            try:
                self._ask()
            except (WorkError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                # Where nothing is known, the page that needs it asks again and shows the reason.
                print(f"ddm: {error}", file=sys.stderr, flush=True)

    @property
    def ready(self) -> bool:
        """Whether `get` answers at once."""
        return self._held is not None

    @property
    def asking(self) -> bool:
        """Whether somebody waits for the child process; if nobody does, `get` asks."""
        return self._lock.locked()

    def _ask(self) -> Catalogue:
        text = _ask()
        found = _parse(json.loads(text))
        self._held = (_stamp(found.checkpoints), found)
        if self._file.parent.is_dir():
            fresh = self._file.with_suffix(f".{os.getpid()}")
            fresh.write_text(text)
            fresh.replace(self._file)
        return found


def _recall(file: Path) -> tuple[tuple[str, Catalogue] | None, str]:
    """What another server of these runs was told, and what that was made of."""
    try:
        said = json.loads(file.read_text())
        found = _parse(said)
        return (_stamp(found.checkpoints), found), str(said.get("made_of", ""))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None, ""


def made_of() -> str:
    """Changes with the program's files and the checkpoints; "" where nobody can tell.

    What other packages bring is theirs to change, without our noticing.
    """
    if any(entry_points(group=f"ddm_core.{family}") for family in _OPEN):
        return ""
    files = sorted(Path(shipped.__file__).parent.rglob("*.py"))
    times = [path.stat().st_mtime_ns for path in (*files, Path(__file__))]
    folder = str(shipped.checkpoints_folder())
    parts = (str(len(times)), str(max(times)), folder, _stamp(folder))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _stamp(folder: str) -> str:
    """Changes whenever a checkpoint comes, goes or is made anew."""
    found = sorted(Path(folder).glob("*/system.toml"))
    return " ".join(f"{path.parent.name}@{path.stat().st_mtime_ns}" for path in found)


def _ask() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app.catalogue"],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WorkError(f"the list of systems and routers could not be read: {last}")
    return done.stdout


def _field(said: dict[str, Any]) -> Field:
    lists: dict[str, Any] = {name: tuple(said.get(name, ())) for name in ("choices", "words")}
    return Field(**said | lists)


def _parse(said: dict[str, Any]) -> Catalogue:
    families = {
        family: tuple(
            Component(
                one["name"],
                one["help"],
                tuple(_field(f) for f in one["fields"]),
            )
            for one in said[family]
        )
        for family in ("routers", "strategies", "samplers", "probes")
    }
    systems = tuple(
        SystemCard(
            **one
            | {
                name: tuple(tuple(x) if isinstance(x, list) else x for x in one[name])
                for name in ("shape", "labels", "sizes", "label_counts", "centres")
                if name in one
            }
        )
        for one in said["systems"]
    )
    return Catalogue(
        systems,
        **families,
        checkpoints=said["folder"],
        costs=Costs.model_validate(said["costs"]),
    )


def _components(registry: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "help": (registry[name].__doc__ or "").strip().partition("\n")[0],
            "fields": _fields(registry[name]),
        }
        for name in registry
    ]


def _fields(component: Any) -> list[dict[str, Any]]:
    from ddm_core.registry import settings

    told = {one.name for one in dataclasses.fields(component) if one.metadata.get("told")}
    return [
        one._asdict() | {"kind": one.kind.__name__, "told": one.name in told}
        for one in settings(component)
    ]


def _system(name: str) -> dict[str, Any]:
    from ddm_core.errors import RequestError
    from ddm_core.systems import load_system

    try:
        system = load_system(name)
    except RequestError as error:
        return {"name": name, "error": str(error)}
    card: dict[str, Any] = {
        "name": name,
        "description": system.description,
        "shape": list(system.shape),
        "experts": len(system.experts),
        "labels": list(system.labels),
        "router": system.default_router,
        "monolith": system.monolith is not None,
        "sizes": list(system.clusters.sizes),
        "folder": str(system.folder or ""),
        "digest": system.digest,
        "quality": system.extractor is not None,
    }
    facts: Any = system.info.get("clusters", {})
    if isinstance(facts, dict) and "label_counts" in facts:
        card["label_counts"] = facts["label_counts"]
    if not system.is_image:
        card["centres"] = system.clusters.centroids.tolist()
        card["spread"] = float(system.clusters.spread)
    return card


def main() -> None:
    """Print the catalogue as JSON."""
    from ddm_core.probes.base import PROBES
    from ddm_core.routers.base import ROUTERS
    from ddm_core.samplers.base import SAMPLERS
    from ddm_core.strategies.base import STRATEGIES
    from ddm_core.systems import system_names

    said = {
        "systems": [_system(name) for name in system_names()],
        "routers": _components(ROUTERS),
        "strategies": _components(STRATEGIES),
        "samplers": _components(SAMPLERS),
        "probes": _components(PROBES),
        "folder": str(shipped.checkpoints_folder()),
        "costs": registered_costs().model_dump(mode="json"),
        "made_of": made_of(),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
