"""What is promised about installing: exact pins, two commands, and a door for other packages."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ddm_core
from ddm_core import registry
from ddm_core.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / ".ci" / "constraints.txt").read_text()
RUNS = "python3 .ci/env"


def pins() -> dict[str, list[tuple[Requirement, list[str]]]]:
    """Each pinned package: its requirement and its hashes, one for each fork of the resolver."""
    found: dict[str, list[tuple[Requirement, list[str]]]] = {}
    logical = re.sub(r"^#.*\n", "", CONSTRAINTS, flags=re.MULTILINE).replace("\\\n", " ")
    for line in logical.splitlines():
        text, *hashes = line.split("--hash=")
        requirement = Requirement(text)
        one = (requirement, [h.strip() for h in hashes])
        found.setdefault(canonicalize_name(requirement.name), []).append(one)
    return found


def direct_requirements() -> list[Requirement]:
    """All that pyproject.toml asks for: to run, to develop, to build."""
    names = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["dependency-groups"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    return [Requirement(name) for name in names]


def test_every_pin_is_exact_and_hashed() -> None:
    assert len(pins()) > 100
    for requirement, hashes in (one for forks in pins().values() for one in forks):
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_pins_name_no_address_and_no_path() -> None:
    requirement = r"[a-z0-9._-]+==[A-Za-z0-9.+!_-]+(?: ; [a-zA-Z0-9_ '.<>=!()-]+)? \\"
    a_hash = r"    --hash=sha256:[0-9a-f]{64}(?: \\)?"
    comment = r"#[^/:]*(?:via the following command:|\.ci/lock)"
    line = re.compile(f"(?:{requirement}|{a_hash}|{comment})")
    assert [text for text in CONSTRAINTS.splitlines() if not line.fullmatch(text)] == []


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda r: r.name)
def test_what_the_project_asks_for_is_pinned(requirement: Requirement) -> None:
    forks = pins()[canonicalize_name(requirement.name)]
    versions = [str(pin.specifier).removeprefix("==") for pin, _ in forks]
    assert all(requirement.specifier.contains(version) for version in versions)


def test_runtime_dependencies_have_a_lower_bound() -> None:
    operators = {
        requirement.name: {one.operator for one in requirement.specifier}
        for requirement in map(Requirement, PROJECT["project"]["dependencies"])
    }
    assert {name for name, there in operators.items() if not there & {">=", "=="}} == set()


def test_the_installer_itself_is_pinned() -> None:
    # .ci/env cuts uv's own lines out of the file, to install the rest with it.
    pin = re.search(r"^uv==(?:.*\\\n)*.*$", CONSTRAINTS, re.MULTILINE)
    assert pin is not None
    assert all("--hash" in line for line in pin[0].splitlines()[1:])


def test_readme_and_ci_run_the_same_test_command() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    ci = (ROOT / ".ci" / "run").read_text()
    assert f"{RUNS} ddm dashboard" in [line.strip() for line in readme]
    assert f"{RUNS} pytest" in [line.strip() for line in readme]
    assert re.search(rf"\b{re.escape(RUNS)} pytest$", ci, re.MULTILINE)


def env(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run .ci/env with another folder for the environment."""
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "env"), *arguments],
        env={**os.environ, "DDM_VENV": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_env_touches_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = env("pytest", folder=tmp_path)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert "DDM_VENV" in done.stderr
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_env_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = env("pytest", folder=tmp_path / "file")
    assert done.returncode == 1
    assert "is a file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_env_keeps_bytecode_where_nothing_is_written_beside_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda program, words, env: told.append(env))
    become = runpy.run_path(str(ROOT / ".ci" / "env"))["become"]
    for said in ("1", ""):
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", said)
        monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
        become([sys.executable], tmp_path)
    told_not_to, free = told
    assert "PYTHONDONTWRITEBYTECODE" not in told_not_to
    assert told_not_to["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode")
    assert "PYTHONPYCACHEPREFIX" not in free


def documented_groups() -> set[str]:
    """The groups of entry points that pyproject.toml's comment promises."""
    text = (ROOT / "pyproject.toml").read_text()
    promised = re.search(r"# Groups: (.*?)\n\n", text, re.DOTALL)
    assert promised is not None
    return set(re.findall(r"ddm_core\.\w+", promised[1]))


def registries() -> list[Registry]:
    """Every registry of ddm_core, wherever it stands."""
    names = [
        module.name
        for module in pkgutil.walk_packages(ddm_core.__path__, "ddm_core.")
        if not module.name.endswith("__main__")
    ]
    found = {
        id(value): value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Registry)
    }
    return list(found.values())


def test_every_family_has_its_group_of_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"ddm_core.systems"}  # not components with settings, so they have no registry

    def entry_points(group: str) -> list[object]:
        asked.add(group)
        return []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    for one in registries():
        Registry(one.family, one.package).discover()
    assert asked == documented_groups()


def test_another_package_brings_a_router_and_a_system(tmp_path: Path) -> None:
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[ddm_core.routers]\nstranger = stranger\n[ddm_core.systems]\nfar = stranger:far\n"
    )
    (tmp_path / "stranger.py").write_text(
        "from dataclasses import dataclass\n"
        "from ddm_core.routers.base import ROUTERS\n"
        "from ddm_core.routers.uniform import Uniform\n"
        "from ddm_core.systems import load_system\n"
        "@ROUTERS.register\n"
        "@dataclass(frozen=True)\n"
        "class Stranger(Uniform):\n"
        "    name = 'stranger'\n"
        "def far():\n"
        "    return load_system('ring:radius=9')\n"
    )
    asks = (
        "from ddm_core.routers.base import ROUTERS\n"
        "from ddm_core.systems import load_system, system_names\n"
        "print(type(ROUTERS.parse('stranger')).__name__)\n"
        "print('far' in system_names(), load_system('far').name)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", asks],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[:1] == ["Stranger"], done.stderr
    assert done.stdout.splitlines()[1].startswith("True ")


def test_app_and_figures_share_the_experts_colours() -> None:
    from app.figures.look import expert_colours

    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["theme"]["chartCategoricalColors"] == expert_colours(8)
    for look in ("light", "dark"):
        for scale in ("chartSequentialColors", "chartDivergingColors"):
            assert len(settings["theme"][look][scale]) == 10


def test_every_setting_of_the_app_is_one_that_streamlit_knows() -> None:
    from streamlit import config

    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())

    def keys(table: dict[str, object], prefix: str) -> list[str]:
        return [
            key
            for name, value in table.items()
            for key in (
                keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
            )
        ]

    known = set(config.get_config_options())
    assert [key for key in keys(settings, "") if key not in known] == []
