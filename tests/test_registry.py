"""Components by name: specs, their errors, discovery, entry points."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st

import ddm_core.registry as registry
from ddm_core.errors import RequestError
from ddm_core.probes.base import PROBES
from ddm_core.registry import Registry, setting, settings, shortest, spec
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import parse_route, split_routes
from ddm_core.samplers.base import SAMPLERS
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import load_system, system_names

FAMILIES = (ROUTERS, STRATEGIES, SAMPLERS, PROBES)


@dataclasses.dataclass(frozen=True)
class Knobs:
    """A component with one setting of each kind."""

    name: ClassVar[str] = "knobs"

    count: int = setting(3, "how many", low=0, high=9)
    share: float = setting(0.5, "how much", low=-1.0, high=1.0)
    loud: bool = setting(False, "whether one hears it")
    shape: str = setting("round", "which form", choices=("round", "square"))


@pytest.fixture
def family() -> Registry[Any]:
    mine: Registry[Any] = Registry("router", "ddm_core.routers")
    mine.register(Knobs)
    return mine


def sentence(of: Any, *arguments: Any) -> str:
    """What a user is told."""
    with pytest.raises(RequestError) as caught:
        of(*arguments)
    return str(caught.value)


@given(
    st.builds(
        Knobs,
        count=st.integers(0, 9),
        share=st.floats(-1, 1),
        loud=st.booleans(),
        shape=st.sampled_from(("round", "square")),
    )
)
@run_with(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_spec_reads_back(knobs: Knobs) -> None:
    mine: Registry[Any] = Registry("router", "ddm_core.routers")
    mine.register(Knobs)
    assert mine.parse(spec(knobs)) == knobs


def test_a_spec_leaves_defaults_out() -> None:
    assert spec(Knobs()) == "knobs"
    assert spec(Knobs(share=1.0, loud=True)) == "knobs:share=1:loud=True"
    assert str(parse_route(" top_k ")) == "top_k:k=2"
    assert str(parse_route("learned:temperature=4.0/nucleus:p=0.90")) == (
        "learned:temperature=4/nucleus:p=0.9"
    )
    assert str(parse_route("monolith")) == "monolith"
    assert split_routes("top_k:k=1, exact/full,,monolith") == [
        "top_k:k=1",
        "exact/full",
        "monolith",
    ]


def test_numbers_keep_all_their_digits() -> None:
    assert shortest(0.1234567890123) == "0.1234567890123"
    assert shortest(4.0) == "4"
    assert float(shortest(1 / 3)) == 1 / 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("knubs", "no router 'knubs'; there are: knobs"),
        ("", "no router ''"),
        (
            "knobs:size=1",
            "no setting of router 'knobs' 'size'; there are: count, loud, shape, share",
        ),
        ("knobs:count", "'count' in 'knobs:count' is no setting: write name=value"),
        ("knobs:count=4.5", "count=4.5 in 'knobs:count=4.5' is no int"),
        ("knobs:count=", "is no int"),
        ("knobs:count=10", "must be at most 9"),
        ("knobs:count=-1", "must be at least 0"),
        ("knobs:count=" + "9" * 5000, "is no int"),
        ("knobs:share=two", "is no float"),
        ("knobs:share=nan", "must be a finite number"),
        ("knobs:share=-inf", "must be a finite number"),
        ("knobs:share=1e999", "must be a finite number"),
        ("knobs:share=1.01", "must be at most 1"),
        ("knobs:loud=perhaps", "is no bool"),
        ("knobs:shape=oval", "no shape 'oval'; there are: round, square"),
        ("knobs:count=1:count=2", "count is set twice in 'knobs:count=1:count=2'"),
    ],
)
def test_a_wrong_spec_is_told_in_a_sentence(family: Registry[Any], text: str, told: str) -> None:
    assert told in sentence(family.parse, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("neerest/full", "no router 'neerest'; there are: exact, fixed, interval, learned, near"),
        (
            "learned/fool",
            "no strategy 'fool'; there are: disagreement_aware, full, nucl",
        ),
        (
            "nearest",
            "'nearest' is a router; add a strategy, as in nearest/full (disagree",
        ),
        ("nearest:temperature=2", "add a strategy, as in nearest:temperature=2/full"),
        ("nearest/", "names no strategy; write STRATEGY or ROUTER/STRATEGY"),
        ("", "names no strategy"),
        ("monolith/full", "no router 'monolith'"),
        ("a/b/full", "no router 'a/b'"),
        ("top_k:k=0", "must be at least 1"),
        ("sticky:margin=2", "must be at most 1"),
        ("learned:temperature=0/full", "must be at least 0.001"),
        ("learned:temperature=1e9/full", "must be at most 1e+06"),
    ],
)
def test_a_wrong_route_is_told_in_a_sentence(text: str, told: str) -> None:
    assert told in sentence(parse_route, text)
    assert sentence(split_routes, " , ").startswith("no routes given")


def test_settings_are_what_a_form_needs() -> None:
    count, share, loud, shape = settings(Knobs)
    assert count == ("count", int, 3, "how many", 0, 9, (), ())
    assert (share.kind, loud.kind, shape.kind) == (float, bool, str)
    assert shape.choices == ("round", "square")
    assert settings(Knobs(count=9)) == settings(Knobs)


def test_families_list_their_members_in_order() -> None:
    for family in FAMILIES:
        assert list(family) == sorted(family)
        for name in family:
            assert family[name].name == name
            assert name in family
        assert "no such thing" not in family


def test_a_name_is_taken_once(family: Registry[Any]) -> None:
    @dataclasses.dataclass(frozen=True)
    class Stranger:
        name: ClassVar[str] = "knobs"

    assert "there are two routers named 'knobs'" in sentence(family.register, Stranger)
    assert family["knobs"] is Knobs
    # The same class once more: a cell of a notebook that is run again.
    assert family.register(Knobs) is Knobs


def test_a_second_thread_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up during the first import of a family must not find half of it."""
    slow: Registry[Any] = Registry("router", "ddm_core.routers")
    importing, release = threading.Event(), threading.Event()
    real = registry.importlib.import_module

    def import_slowly(name: str) -> Any:
        importing.set()
        assert release.wait(10)
        slow._members.setdefault("knobs", Knobs)
        return real(name)

    monkeypatch.setattr(registry.importlib, "import_module", import_slowly)
    found: list[Any] = []
    first = threading.Thread(target=lambda: found.append(slow["knobs"]))
    second = threading.Thread(target=lambda: found.append(slow["knobs"]))
    first.start()
    assert importing.wait(10)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    release.set()
    first.join(10)
    second.join(10)
    assert found == [Knobs, Knobs]


class Point:
    """An entry point of another package."""

    def __init__(self, name: str, value: str, thing: Any) -> None:
        self.name, self.value, self.thing = name, value, thing

    def load(self) -> Any:
        if isinstance(self.thing, Exception):
            raise self.thing
        return self.thing() if self.value.startswith("module") else self.thing


def test_other_packages_add_components(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: Registry[Any] = Registry("strategy", "ddm_core.strategies")
    asked: list[str] = []

    def points(group: str) -> list[Point]:
        asked.append(group)
        return [Point("knobs", "module.of.theirs", lambda: fresh.register(Knobs))]

    monkeypatch.setattr(registry, "entry_points", points)
    assert fresh["knobs"] is Knobs
    assert asked == ["ddm_core.strategies"]


def test_a_broken_package_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: Registry[Any] = Registry("probe", "ddm_core.probes")
    broken = Point("theirs", "their.module", ImportError("no module named 'cupy'"))
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    told = sentence(fresh.parse, "weights")
    assert "probe 'theirs'" in told
    assert "their.module" in told
    assert "cupy" in told
    # Nothing is half there afterwards: the next look says the same.
    assert sentence(fresh.parse, "weights") == told


def test_other_packages_add_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    import ddm_core.systems as systems

    ring = load_system("ring")
    theirs = Point("theirs", "their.systems:make", lambda: ring)
    monkeypatch.setattr(
        systems, "entry_points", lambda group: [theirs] if group == "ddm_core.systems" else []
    )
    assert "theirs" in system_names()
    assert load_system("theirs") is ring


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rink", "no system 'rink'; there are: "),
        ("ring:size=3", "no setting of system 'ring' 'size'; there are: error, experts, radius"),
        ("ring:experts", "'experts' in 'ring:experts' is no setting: write name=value"),
        ("ring:experts=two", "experts=two in 'ring:experts=two' is no int"),
        ("ring:experts=0", "ring:experts=0 is not possible; take 1 to 1024"),
        ("ring:experts=99999999999", "take 1 to 1024"),
        ("ring:experts=3:experts=4", "experts is set twice"),
        ("ring:radius=nan", "ring:radius=nan is not possible"),
        ("ring:spread=inf", "ring:spread=inf is not possible"),
        ("ring:spread=0", "ring:spread=0 is not possible"),
        ("ring:error=-1", "ring:error=-1 is not possible"),
        ("ring:error=inf", "ring:error=inf is not possible"),
        ("ring:schedule=straight", "no schedule 'straight'; there are: cosine, linear, vp"),
        ("no/such/folder", "there is no checkpoint folder no/such/folder"),
        ("x" * 900, "no system 'xxx"),
        ("nul\0byte", "no system 'nul"),
    ],
)
def test_a_wrong_system_is_told_in_a_sentence(name: str, told: str) -> None:
    assert told in sentence(load_system, name)


def test_a_system_is_named_as_it_was_asked_for() -> None:
    assert load_system("ring").name == "ring"
    system = load_system("ring:spread=0.20:experts=3")
    assert system.name == "ring:experts=3:spread=0.2"
    assert load_system(system.name).digest == system.digest
    assert system.digest != load_system("ring").digest
