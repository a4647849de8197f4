"""Systems and what they are measured with, kept between jobs.

Loading a system takes longer than a what-if of one sample. A kept one is as it is on the disk, or
it is loaded again: files that were written since are seen by their sizes and times.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from ddm_core.devices import pick_device
from ddm_core.quality import Yardstick, yardstick
from ddm_core.stamps import Stamp, folder_of, stamp
from ddm_core.systems import load_system
from ddm_core.systems.base import System

__all__ = ["Kept"]

MOST = 2  # a job compares one system, and a person goes back and forth between two

K = TypeVar("K")
T = TypeVar("T")


class _Loaded(NamedTuple):
    files: Stamp
    system: System


class Kept:
    """The systems and yardsticks that were asked for last.

    Arguments:
        most: how many of each.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._systems: OrderedDict[str, _Loaded] = OrderedDict()
        self._yardsticks: OrderedDict[tuple[str, str], tuple[System, Yardstick]] = OrderedDict()

    def system(self, name: str) -> System:
        """As `load_system` gives it.

        Raises:
            RequestError: no such system, a damaged checkpoint.
        """
        found = self._systems.get(name)
        # Before it is loaded: what is written meanwhile must not pass for what was read. A folder
        # that is elsewhere than the name says is known only now, and loaded once more.
        files = stamp(folder_of(name) if found is None else found.system.folder)
        if found is None or found.files != files:
            found = _Loaded(files, load_system(name))
        self._keep(self._systems, name, found)
        return found.system

    def yardstick(self, name: str, device: str = "auto") -> Yardstick:
        """The system's own, as `quality.yardstick` makes it.

        Raises:
            RequestError: the system has nothing to be measured with; says what is missing.
        """
        system, key = self.system(name), (name, str(pick_device(device)))
        found = self._yardsticks.get(key)
        if found is None or found[0] is not system:
            found = (system, yardstick(system, device=device))
        self._keep(self._yardsticks, key, found)
        return found[1]

    def yardstick_or_none(self, name: str, device: str = "auto") -> Yardstick | None:
        """The same, or None for a system that has nothing to be measured with."""
        return None if self.system(name).extractor is None else self.yardstick(name, device)

    def _keep(self, where: OrderedDict[K, T], key: K, value: T) -> None:
        where[key] = value
        where.move_to_end(key)
        while len(where) > self._most:
            where.popitem(last=False)
