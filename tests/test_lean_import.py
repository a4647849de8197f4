"""torchvision comes without torch's compiler, and the compiler is there for whoever wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import numpy as np
from ddm_core.metrics.fidelity import feature_statistics, frechet_distance
one = feature_statistics(np.random.default_rng(0).standard_normal((64, 3)))
assert frechet_distance(one, one) < 1e-6
"""


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_measurement_does_not_import_the_compiler() -> None:
    assert run(f"{MEASURE}\nimport sys; print('torch._dynamo' in sys.modules)") == "False"


def test_the_compiler_is_the_real_one_afterwards() -> None:
    asked = (
        "import torch, torch._dynamo; print(torch._dynamo.is_compiling(), torch._dynamo.__file__)"
    )
    answer, file = run(f"{MEASURE}\n{asked}").split(maxsplit=1)
    assert answer == "False"
    assert file.endswith("__init__.py")


def test_torchvision_gets_the_real_answer_about_a_device() -> None:
    asked = """
from torchvision.ops import roi_align
import sys
print(sys.modules[roi_align.__module__].is_compile_supported("cpu"))
from torch._dynamo.utils import is_compile_supported
print(is_compile_supported("cpu"))
"""
    first, second = run(f"{MEASURE}\n{asked}").splitlines()
    assert first == second


@pytest.mark.parametrize("ask", ["import torch; torch._dynamo.disable", "torch._dynamo.config"])
def test_whoever_asks_meanwhile_gets_the_real_one(ask: str) -> None:
    code = f"""
import sys, torch
from ddm_core.metrics.fidelity import lean
for name in lean._DEFERRED:
    sys.modules[name] = lean._Deferred(name)
import torch._dynamo
{ask}
print(type(sys.modules['torch._dynamo']).__name__, type(torch._dynamo).__name__)
"""
    assert run(code) == "module module"
