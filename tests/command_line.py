"""`ddm` in the process of a test, with a store of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ddm_core.cli import run
from ddm_core.store import Store

FAST = ("--num", 4, "--steps", 3, "--device", "cpu", "--workers", 1)


class Cli:
    """Call it with the words of a command line: exit code, stdout, stderr."""

    def __init__(
        self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DDM_RUNS", str(root))
        self.root = root
        self.store = Store(root)
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *arguments: object) -> Any:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=pytest.fail)
