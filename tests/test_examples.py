"""The README is true: its plug-ins work as they stand there, its commands are commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer.main
from typer.exceptions import TyperException

import ddm_core
from ddm_core.cli import run
from ddm_core.cli.commands import app
from ddm_core.cli.components import FAMILIES
from ddm_core.errors import RequestError
from ddm_core.metrics import METRICS
from ddm_core.probes.base import PROBES
from ddm_core.registry import Registry, load_plugin
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import split_routes
from ddm_core.samplers.base import SAMPLERS
from ddm_core.store import Store
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import system_names

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
REGISTRIES: tuple[Registry[Any], ...] = (ROUTERS, STRATEGIES, SAMPLERS, PROBES, METRICS)
FAST = ("--num", "4", "--steps", "3", "--device", "cpu", "--workers", "1", "--json")


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of these languages."""
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def commands(text: str) -> Iterator[tuple[str, ...]]:
    """The words after `ddm` of every command line in blocks of a shell."""
    for block in blocks(text, "sh", "bash", "shell", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            command: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("|&;<>()"):
                    yield from ddm_words(command)
                    command = []
                else:
                    command.append(word)


def ddm_words(command: list[str]) -> Iterator[tuple[str, ...]]:
    """What follows `ddm`, where that is what the command runs."""
    while command and re.match(r"\w+=", command[0]):
        command = command[1:]
    line = " ".join(command)
    for start in (["ddm"], ["python3", ".ci/env", "ddm"], ["python", "-m", "ddm_core"]):
        if command[: len(start)] == start:
            yield tuple(command[len(start) :])
            return
    # Whoever writes it in a way that is not understood here shall hear of it.
    assert "ddm" not in command or command[0] in {"pip", "uv", "git", "cd"}, line


def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The sub-command and its parameters, as the command line itself reads them; runs nothing.

    Raises:
        TyperException: no such command or option, a missing or wrong value.
    """
    group: Any = typer.main.get_command(app)
    with group.make_context("ddm", list(words)) as context:
        _, command, rest = group.resolve_command(context, list(words))
        with command.make_context(command.name, rest, parent=context) as inner:
            return command.name, dict(inner.params)


class PlugIn(NamedTuple):
    """A block of Python that begins with the name of a file."""

    file: str
    text: str


PLUGINS = [
    PlugIn(marked[1], block)
    for block in blocks(README, "python", "py")
    if (marked := re.match(r"# (\w+\.py)\n", block))
]
COMMANDS = list(commands(README))


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plug-in registers is gone after the test."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_members", {name: registry[name] for name in registry})


def loaded(plugin: PlugIn, folder: Path) -> tuple[Path, list[tuple[Registry[Any], str]]]:
    """The plug-in as a file, and what it registers."""
    path = folder / plugin.file
    path.write_text(plugin.text, encoding="utf-8")
    before = {registry.family: set(registry) for registry in REGISTRIES}
    load_plugin(path)
    return path, [
        (registry, name)
        for registry in REGISTRIES
        for name in sorted(set(registry) - before[registry.family])
    ]


def test_there_is_something_to_test() -> None:
    assert {"my_router.py", "my_probe.py"} <= {plugin.file for plugin in PLUGINS}
    assert len(COMMANDS) >= 5
    assert {"sample", "compare", "train"} <= {words[0] for words in COMMANDS if words}


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.file)
def test_a_plugin_works_as_it_stands_there(
    plugin: PlugIn, tmp_path: Path, tmp_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(plugin.text.strip().splitlines()[1:]) < 10
    path, registered = loaded(plugin, tmp_path)
    assert registered
    for registry, name in registered:
        system, wanted = "ring", []
        if registry is ROUTERS:
            wanted = ["--router", f"{name}/top_k:k=1"]
        elif registry is PROBES:
            system = "digits" if PROBES[name].images_only else "ring"
            wanted = ["--probes", name]
        else:
            wanted = {
                "strategy": ["--router", name],
                "sampler": ["--sampler", name],
                "metric": ["--metrics", name],
            }[registry.family]
        code = run(["sample", system, *wanted, *FAST, "--plugin", str(path)])
        said = capsys.readouterr()
        assert code == 0, said.err
        trace = Store(tmp_store).trace(json.loads(said.out)["id"])
        assert trace.attrs["system"] == system
        if registry is ROUTERS:
            assert trace.attrs["router"].startswith(f"{name}/")
            np.testing.assert_allclose(trace.router_probability.sum("expert"), 1, atol=1e-6)
        if registry is PROBES:
            assert trace[name].dims == PROBES[name].variable.dims
            assert bool(np.isfinite(trace[name].values).all())


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_a_command(words: tuple[str, ...], tmp_path: Path) -> None:
    _, given = parsed(words)
    files = {plugin.file: plugin for plugin in PLUGINS}
    for file in given.get("plugin") or ():
        loaded(files[Path(file).name], tmp_path)
    # What an option names is there too.
    for option in ("router", "routers"):
        split_routes(given.get(option) or "full")
    for option, registry, sets in (
        ("probes", PROBES, {"standard", "all", "none"}),
        ("metrics", METRICS, {"none"}),
        ("sampler", SAMPLERS, set()),
    ):
        for name in (given.get(option) or "").split(","):
            assert name in {"", *sets} or registry.parse(name)
    assert given.get("family", "systems") in FAMILIES
    trained = {str(parsed(w)[1]["out"]) for w in COMMANDS if w[:1] == ("train",)}
    system = (given.get("system") or "ring").partition(":")[0]
    assert system in {*system_names(), *trained}


def test_commands_within_a_sentence_are_commands() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = re.findall(r"`ddm (\w+)", re.sub(r"^```.*?^```", "", README, flags=re.M | re.S))
    assert named
    assert set(named) <= known


def test_other_python_is_python_and_asks_for_what_is_there() -> None:
    for block in blocks(README, "python", "py"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ddm":
                assert hasattr(ddm_core, node.attr), ast.unparse(node)


SHELL = """
```sh
# ddm nonsense
$ ddm list routers   # ddm nonsense
DDM_RUNS=here ddm runs --json | head -3 && python -m ddm_core bench
python3 .ci/env ddm sample ring \\
    --router 'nearest/top_k:k=1' --num 4 > out.json
pip install ddm
```
```python
ddm nonsense
```
"""


def test_command_lines_are_found() -> None:
    assert list(commands(SHELL)) == [
        ("list", "routers"),
        ("runs", "--json"),
        ("bench",),
        ("sample", "ring", "--router", "nearest/top_k:k=1", "--num", "4"),
    ]
    with pytest.raises(AssertionError, match="nice ddm runs"):
        list(commands("```sh\nnice ddm runs\n```\n"))


@pytest.mark.parametrize(
    "words",
    ["sampel ring", "branch", "sample ring --stepz 3", "sample ring --num many", "show a b"],
)
def test_a_wrong_command_is_seen(words: str) -> None:
    with pytest.raises(TyperException):
        parsed(tuple(words.split()))


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("line", ["sample ring --router neerest/full", "compare ring --routers x"])
def test_a_wrong_route_is_seen(line: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no (router|strategy) "):
        test_a_command_is_a_command(tuple(line.split()), tmp_path)


def test_a_list_starts_its_words_at_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that begin with a number: "8 experts on clusters of digits"."""
    assert run(["list", "systems"]) == 0
    head, _, *rows = (row for row in capsys.readouterr().out.splitlines() if row.strip())
    column = head.index("what it is")
    assert len(rows) == len(system_names())
    for row in rows:
        assert row[column - 1] == " " != row[column]
