"""The laws of the house, read from the source: who may import whom, and what nobody may do.

An import counts wherever it stands: at the top, in a function, or under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# ddm_core from the ground up: each may import what stands before it. What is not named here finds
# its place between what it imports and what imports it.
ORDER = [
    *("errors", "registry", "schedules", "noise", "trace", "datasets", "nets", "denoise"),
    *("ensemble", "systems", "samplers", "routers", "strategies", "rollout", "probes", "record"),
    *("metrics", "config", "run", "store", "jobs", "training", "cli"),
]

TEXT = {".py", ".js", ".css", ".html", ".toml", ".md", ".txt", ".json", ".cfg", ".sh", ""}
CODE = {".py", ".js", ".css", ".html"}
MOST_LINES = 400

Graph = dict[str, set[str]]


def files() -> list[Path]:
    """Every text file of the project, relative to its root."""
    folders = ("ddm_core", "app", "tests", "checkpoints", ".ci", ".streamlit")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    paths += list(ROOT.iterdir())
    return sorted(
        path.relative_to(ROOT)
        for path in paths
        # In a second worktree .git is a file, and names a folder of this machine.
        if path.is_file() and path.suffix in TEXT and path.name != ".git"
    )


def module_name(path: Path) -> str:
    """The name under which a file is imported."""
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, ast.Module]:
    """The syntax tree of every module of ddm_core and app, by name."""
    mine = [
        path for path in files() if path.suffix == ".py" and path.parts[0] in {"ddm_core", "app"}
    ]
    return {module_name(path): ast.parse((ROOT / path).read_text()) for path in mine}


def imports(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The full names that a module imports, wherever in it that happens."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name` may name a module or something in the package itself.
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in names)


def import_graph(trees: dict[str, ast.Module]) -> Graph:
    """What each module imports."""
    return {name: set(imports(tree, set(trees))) for name, tree in trees.items()}


def within(name: str, package: str) -> bool:
    """Whether a module is the package or lies in it."""
    return name == package or name.startswith(package + ".")


def reach(graph: Graph, start: str) -> set[str]:
    """Everything that importing a module can import, through modules of the project."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for name in graph.get(ahead.pop(), set()) - seen:
            seen.add(name)
            ahead.append(name)
    return seen


def breaches(graph: Graph, package: str, banned: set[str], *, far: bool = False) -> list[str]:
    """Each import of something banned from a package; `far` follows the project's own modules."""
    return [
        f"{name} imports {other}"
        for name in sorted(graph)
        if within(name, package)
        for other in sorted(reach(graph, name) if far else graph[name])
        if other.split(".")[0] in banned
    ]


def circle(graph: Graph) -> list[str]:
    """One circle of imports, or nothing."""
    own = {name: {other for other in others if other in graph} for name, others in graph.items()}
    try:
        TopologicalSorter(own).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def rooms(graph: Graph) -> Graph:
    """The same graph between the files and folders directly in ddm_core."""
    merged: Graph = {}
    for name, others in graph.items():
        room = name.split(".")[1] if within(name, "ddm_core") and "." in name else None
        if room is not None:
            below = {other.split(".")[1] for other in others if other.startswith("ddm_core.")}
            merged[room] = merged.get(room, set()) | (below - {room})
    return merged


def climbs(graph: Graph, order: list[str]) -> list[str]:
    """Each import that points up in the order, also through rooms that the order leaves out."""
    rank = {room: index for index, room in enumerate(order)}
    return [
        f"{room} imports {other}, which stands above it"
        for room in order
        for other in sorted(reach(graph, room))
        if rank.get(other, -1) > rank[room]
    ]


@functools.cache
def graph() -> Graph:
    """Of the project, read when the first test asks for it."""
    return import_graph(sources())


def test_core_knows_nothing_of_the_app() -> None:
    assert len(graph()) > 20
    assert breaches(graph(), "ddm_core", {"streamlit", "plotly", "app"}) == []


def test_figures_know_nothing_of_streamlit() -> None:
    assert breaches(graph(), "app.figures", {"streamlit"}, far=True) == []


def test_views_neither_draw_nor_compute() -> None:
    assert breaches(graph(), "app.views", {"plotly", "torch"}) == []


def test_no_import_circle() -> None:
    # The front door names, lazily, what lies far inside; it is no part of any circle.
    inside = {name: others for name, others in graph().items() if name != "ddm_core"}
    assert circle(inside) == []


def test_front_door_is_not_used_from_inside() -> None:
    assert [name for name, others in graph().items() if "ddm_core" in others - {name}] == []


def test_imports_in_core_point_down() -> None:
    assert climbs(rooms(graph()), ORDER) == []


def test_order_names_what_is_there() -> None:
    """The design's order, kept honest: a room that was renamed has to be renamed there too."""
    there = {path.stem for path in (ROOT / "ddm_core").iterdir() if path.stem != "__pycache__"}
    assert [room for room in ORDER if room not in there] == []


def test_no_file_does_what_is_forbidden() -> None:
    found = {
        str(path): list(offences(ast.parse((ROOT / path).read_text())))
        for path in files()
        if path.suffix == ".py"
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def offences(tree: ast.Module) -> Iterator[str]:
    """What no file of this project may do, with its line."""
    unsafe_modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    unsafe_arguments = {
        "unsafe_allow_html=True",
        "unsafe_allow_javascript=True",
        "allow_pickle=True",
        "weights_only=False",
    }
    for node in ast.walk(tree):
        line = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{line}: a relative import"
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names]
            from_module = getattr(node, "module", None) or ""
            if unsafe_modules & {name.split(".")[0] for name in [*named, from_module]}:
                yield f"{line}: something that reads pickles"
            if from_module == "torch" and "load" in named:
                yield f"{line}: torch.load"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield f"{line}: torch.load"
        if isinstance(node, ast.keyword) and ast.unparse(node) in unsafe_arguments:
            yield f"{line}: {ast.unparse(node)}"


def test_files_are_rooms_not_halls() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text().splitlines())
        for path in files()
        if path.suffix in CODE
    }
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def documented(doc: str) -> list[str]:
    """The names that a docstring explains under Arguments."""
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(doc).splitlines():
        if line and not line.startswith(" "):
            inside = line == "Arguments:"
        elif inside and (found := re.match(r" {4}(\w+(?:, \w+)*): ", line)):
            names += found[1].split(", ")
    return names


def arguments(node: ast.ClassDef | ast.FunctionDef) -> set[str]:
    """The arguments of a function; of a class its fields, and those of its __init__."""
    if isinstance(node, ast.FunctionDef):
        return {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    fields = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
    names = {field.id for field in fields if isinstance(field, ast.Name)}
    makers = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    return names.union(*(arguments(one) for one in makers if one.name == "__init__"))


def stories(tree: ast.Module) -> Iterator[str]:
    """Every docstring that explains what is not there, or something twice, or calls it Errors."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        doc = ast.get_docstring(node) or ""
        names = documented(doc)
        if len(set(names)) < len(names) or not set(names) <= arguments(node):
            yield f"{node.name}: {', '.join(names)}"
        if re.search(r"^ *Errors:$", doc, re.MULTILINE):
            yield f"{node.name}: what is raised stands under Raises"


def test_docstrings_explain_what_is_there_once() -> None:
    told = {name: [*stories(tree)] for name, tree in sources().items()}
    assert {name: found for name, found in told.items() if found} == {}


def test_no_file_belongs_to_one_machine() -> None:
    homes = ("root", "home", "Users", "workspace")
    words = [*(f"/{home}/" for home in homes), "C:\\" + "Users", f"{ROOT}/"]
    words += ["pypi.org", "pythonhosted.org", "index-url", "registry.npmjs", "/simple/"]
    others = [path for path in files() if path.name != Path(__file__).name]
    found = {path: [w for w in words if w in (ROOT / path).read_text()] for path in others}
    assert {str(path): there for path, there in found.items() if there} == {}


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("from . import x", "a relative import"),
        ("def f():\n    import pickle", "something that reads pickles"),
        ("from joblib import load", "something that reads pickles"),
        ("import torch\ntorch.load('x')", "torch.load"),
        ("from torch import load", "torch.load"),
        ("st.html(x, unsafe_allow_html=True)", "unsafe_allow_html=True"),
        ("np.load(x, allow_pickle=True)", "allow_pickle=True"),
    ],
)
def test_an_offence_is_seen(source: str, offence: str) -> None:
    found = list(offences(ast.parse(source)))
    assert len(found) == 1
    assert found[0].endswith(offence)


def test_an_import_is_seen_wherever_it_stands() -> None:
    source = "if TYPE_CHECKING:\n    import a.b\ndef f():\n    from c import d, e"
    assert sorted(imports(ast.parse(source), {"c.d"})) == ["a.b", "c", "c.d"]


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b", "torch"}, "b": {"torch"}}) == []


def test_a_climb_is_seen_also_through_a_room_without_a_place() -> None:
    assert climbs({"low": {"helper"}, "helper": {"high"}}, ["low", "high"]) == [
        "low imports high, which stands above it"
    ]
    assert climbs({"high": {"helper"}, "helper": {"low"}}, ["low", "high"]) == []


def test_a_breach_is_seen_from_afar() -> None:
    graph = {
        "app.figures.a": {"app.b"},
        "app.b": {"streamlit.delta"},
        "app.figuresque": {"streamlit"},
    }
    assert breaches(graph, "app.figures", {"streamlit"}) == []
    assert breaches(graph, "app.figures", {"streamlit"}, far=True) == [
        "app.figures.a imports streamlit.delta"
    ]
