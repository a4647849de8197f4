"""What is imported: no page brings torch along, and no measurement torch's compiler."""

from __future__ import annotations

import subprocess
import sys

MEASURE = """
import numpy as np
from ddm_core.metrics.fidelity import feature_statistics, frechet_distance
one = feature_statistics(np.random.default_rng(0).standard_normal((64, 3)))
assert frechet_distance(one, one) < 1e-6
"""


PAGES = """
import importlib, pathlib, sys
import app.server.serve, streamlit
for room in ("views", "figures", "exhibits", "audits", "components"):
    folder = pathlib.Path(importlib.import_module(f"app.{room}").__path__[0])
    for file in sorted(folder.glob("*.py")):
        importlib.import_module(f"app.{room}.{file.stem}")
print(*(name for name in ("torch", "scipy", "sklearn", "umap") if name in sys.modules))
"""


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_measurement_imports_no_compiler_and_whoever_wants_it_gets_the_real_one() -> None:
    asked = """
import sys
from torchvision.ops import roi_align
print("torch._dynamo" in sys.modules)
late = sys.modules[roi_align.__module__].is_compile_supported("cpu")
import torch, torch._dynamo
from torch._dynamo.utils import is_compile_supported
print(late == is_compile_supported("cpu"), torch._dynamo.is_compiling())
print(torch._dynamo.__file__)
"""
    absent, *answers, file = run(f"{MEASURE}\n{asked}").split()
    assert absent == "False"
    assert answers == ["True", "False"]
    assert file.endswith("__init__.py")


def test_whoever_asks_meanwhile_gets_the_real_one() -> None:
    code = """
import sys, torch
from ddm_core.metrics.fidelity import lean
for name in lean._DEFERRED:
    sys.modules[name] = lean._Deferred(name)
import torch._dynamo
torch._dynamo.disable
print(type(sys.modules['torch._dynamo']).__name__, type(torch._dynamo).__name__)
"""
    assert run(code) == "module module"


def test_no_page_waits_for_torch_or_scipy() -> None:
    """They take longer to import than everything that draws a page."""
    assert run(PAGES) == ""
