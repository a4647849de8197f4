"""torchvision without torch's compiler, which it imports for one question about Apple's devices.

`torchvision.ops.roi_align` takes one function of `torch._dynamo.utils`, and with it all of dynamo,
inductor and sympy: seven seconds of a process that only wants features. While torchvision is
imported, placeholders stand for the two modules. They know that one function, and import the real
modules as soon as anybody asks them anything.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["import_torchvision"]

_DEFERRED = ("torch._dynamo", "torch._dynamo.utils")


def import_torchvision() -> None:
    """Import torchvision; call it before whatever imports torchvision itself."""
    if "torchvision" in sys.modules:
        return
    if any(name in sys.modules for name in _DEFERRED):
        importlib.import_module("torchvision")
        return
    for name in _DEFERRED:
        sys.modules[name] = _Deferred(name)
    try:
        importlib.import_module("torchvision")
    finally:
        _withdraw()


def _is_compile_supported(device_type: str) -> Any:
    return importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type)


class _Deferred(ModuleType):
    """Stands for a module until an attribute of it is wanted."""

    __path__ = []  # noqa: RUF012 (it passes for a package)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # import machinery asks; it does not need the real one
        if name == "is_compile_supported":
            return _is_compile_supported
        _withdraw()
        return getattr(importlib.import_module(self.__name__), name)


def _withdraw() -> None:
    for name in _DEFERRED:
        if isinstance(sys.modules.get(name), _Deferred):
            del sys.modules[name]
