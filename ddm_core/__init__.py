"""An instrument for decentralized diffusion models: sample, route, record, measure.

import ddm_core as ddm
system = ddm.load_system("ring")
run = ddm.sample(system, router="top_k:k=2", seeds=range(64), steps=50)
run.trace["weights"].sel(expert=3).mean("sample")
run.plot.weights()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddm_core.branching import branch
    from ddm_core.opened import Comparison, OpenedRun, compare, open_comparison, open_run
    from ddm_core.run import Result, sample
    from ddm_core.systems import System, load_system

__all__ = [
    "Comparison",
    "OpenedRun",
    "Result",
    "System",
    "branch",
    "compare",
    "load_system",
    "open_comparison",
    "open_run",
    "sample",
]

_HOME = {
    "Comparison": "ddm_core.opened",
    "OpenedRun": "ddm_core.opened",
    "compare": "ddm_core.opened",
    "open_comparison": "ddm_core.opened",
    "open_run": "ddm_core.opened",
    "branch": "ddm_core.branching",
    "Result": "ddm_core.run",
    "sample": "ddm_core.run",
    "System": "ddm_core.systems",
    "load_system": "ddm_core.systems",
}


def __getattr__(name: str) -> Any:
    # Lazily: reading the store or printing help must not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"module 'ddm_core' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    # What is not loaded yet is offered, too, by the completion of an editor or a notebook.
    return sorted({*globals(), *__all__})
