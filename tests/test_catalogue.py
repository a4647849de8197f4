"""The kept catalogue: it serves as long as it is of what there is now."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from page_runs import known

from app import catalogue
from app.catalogue import CatalogueSource, made_of


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], bool]:
    """Whether a server that finds this file asks its child process."""

    def start(file: Path) -> bool:
        told = threading.Event()

        def answer() -> str:
            told.set()
            return json.dumps(known())

        with monkeypatch.context() as patch:
            patch.setattr(catalogue, "_ask", answer)
            source = CatalogueSource(file)
            source.start()
            asked = told.wait(0.5)
            source.get()  # waits until the answer is kept
        return asked

    return start


def test_it_is_asked_for_once(tmp_path: Path, asked: Callable[[Path], bool]) -> None:
    file = tmp_path / ".catalogue.json"
    assert asked(file)
    assert not asked(file)


@pytest.mark.parametrize("kept", ["{}", "no json", "[]", json.dumps(known(made_of="else"))])
def test_another_program_or_a_damaged_file_is_asked_anew(
    kept: str, tmp_path: Path, asked: Callable[[Path], bool]
) -> None:
    file = tmp_path / ".catalogue.json"
    file.write_text(kept)
    assert asked(file)


def test_a_checkpoint_that_comes_or_changes_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDM_CHECKPOINTS", str(tmp_path))
    seen = {made_of()}
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "system.toml").write_text("")
    seen.add(made_of())
    os.utime(folder / "system.toml", ns=(1, 1))
    seen.add(made_of())
    assert len(seen) == 3


def test_what_other_packages_bring_is_always_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        catalogue, "entry_points", lambda group: ["one"] if group == "ddm_core.routers" else []
    )
    assert made_of() == ""


def test_a_server_that_starts_says_nothing_beside_its_address(tmp_path: Path) -> None:
    """Streamlit would warn on the terminal where the catalogue is made before any page asks."""
    code = "from app.state import catalogue_source; catalogue_source()"
    environment = {**os.environ, "DDM_RUNS": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
