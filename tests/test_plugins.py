"""Plug-in files: what they register, how often they run, and what is said of broken ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ddm_core.errors import RequestError
from ddm_core.probes.base import PROBES
from ddm_core.registry import load_plugin, settings
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.strategies.base import STRATEGIES

FAMILIES = (ROUTERS, STRATEGIES, SAMPLERS, PROBES)

PLUGIN = '''
"""A router and a probe in a file of its own."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from ddm_core.probes.base import Probe, register as register_probe
from ddm_core.registry import setting
from ddm_core.routers.base import Router, register
from ddm_core.trace import Variable


@register
@dataclasses.dataclass(frozen=True)
class Alternating(Router):
    """Prefers one expert after another along the batch."""

    name: ClassVar[str] = "NAME_router"
    lead: float = setting(2.0, "logit of the preferred one", low=0.0)

    def bind(self, system):
        count = len(system.experts)
        which = torch.arange(count)
        return lambda state: self.lead * (which == 1).expand(len(state.t), -1).to(state.x_t)


@register_probe
@dataclasses.dataclass(frozen=True)
class Length(Probe):
    """Length of the state."""

    name: ClassVar[str] = "NAME_probe"
    variable = Variable(name, ("step", "sample"), "|x_t|")

    def begin(self, scene):
        return lambda step: step.x_t.flatten(1).norm(dim=1)
'''


def sentence(of: Any, *arguments: Any) -> str:
    """What a user is told."""
    with pytest.raises(RequestError) as caught:
        of(*arguments)
    return str(caught.value)


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def clean() -> Any:
    """What a plug-in registers is gone after the test."""
    before = [(family, dict(family._members)) for family in FAMILIES if list(family)]
    yield
    for family, members in before:
        family._members.clear()
        family._members.update(members)


@pytest.mark.usefixtures("clean")
def test_a_plugin_file_adds_components(tmp_path: Path) -> None:
    load_plugin(written(tmp_path, PLUGIN.replace("NAME", "mine")))
    assert "mine_router" in ROUTERS
    assert settings(ROUTERS["mine_router"])[1].help == "logit of the preferred one"
    assert str(parse_route("mine_router:lead=3/full")) == "mine_router:lead=3/full"
    assert "mine_probe" in list(PROBES)
    # Loaded again, after an edit.
    first = ROUTERS["mine_router"]
    load_plugin(written(tmp_path, PLUGIN.replace("NAME", "mine").replace("2.0", "5.0")))
    assert ROUTERS["mine_router"] is not first
    assert ROUTERS.parse("mine_router").lead == 5.0


def test_a_plugin_runs_once_until_it_is_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = written(tmp_path, "print('here')")
    for _ in range(3):
        load_plugin(plugin)
    # Beside the answer, not in it.
    assert capsys.readouterr() == ("", "here\n")
    load_plugin(written(tmp_path, "print('edited')"))
    assert capsys.readouterr() == ("", "edited\n")
    broken = written(tmp_path, "print('again'); 1 / 0")
    for _ in range(2):
        sentence(load_plugin, broken)
    assert capsys.readouterr().err == "again\nagain\n"


@pytest.mark.usefixtures("clean")
def test_two_plugin_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    load_plugin(written(tmp_path / "a", PLUGIN.replace("NAME", "a")))
    load_plugin(written(tmp_path / "b", PLUGIN.replace("NAME", "b")))
    assert {"a_router", "b_router"} <= set(ROUTERS)
    taken = written(tmp_path / "b", PLUGIN.replace("NAME", "a"))
    assert "there are two routers named 'a_router'" in sentence(load_plugin, taken)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "plug-in mine.py fails: ZeroDivisionError: division by zero"),
        ("def f(:", "plug-in mine.py fails: SyntaxError"),
        ("import sys; sys.exit(0)", "plug-in mine.py fails: it calls exit(0) where it should"),
        ("import no_such_thing", "No module named 'no_such_thing'"),
        (PLUGIN.replace('"NAME_router"', '"exact"'), "there are two routers named 'exact'"),
        (PLUGIN.replace('    name: ClassVar[str] = "NAME_router"\n', ""), "AttributeError"),
    ],
)
def test_a_broken_plugin_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    assert told in sentence(load_plugin, written(tmp_path, text))


@pytest.mark.usefixtures("clean")
def test_a_plugin_that_breaks_after_an_edit_leaves_its_components_usable(tmp_path: Path) -> None:
    good = PLUGIN.replace("NAME", "edited")
    load_plugin(written(tmp_path, good))
    sentence(load_plugin, written(tmp_path, good + "\n1 / 0\n"))
    assert [one.name for one in settings(ROUTERS["edited_router"])] == ["temperature", "lead"]


def test_a_missing_plugin_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert sentence(load_plugin, tmp_path / "gone.py").startswith("there is no plug-in file")
    assert sentence(load_plugin, tmp_path).startswith("there is no plug-in file")
    assert "is no Python file" in sentence(load_plugin, written(tmp_path, "", "mine.txt"))
    assert not any("gone" in name for name in sys.modules)
