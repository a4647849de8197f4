"""What all components promise: settings that explain themselves and a spec that reads back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from ddm_core.errors import RequestError
from ddm_core.registry import Registry, settings, spec

__all__ = ["Contract"]


class Contract:
    """Runs each of its tests for each spec.

    Attributes:
        specs: what is tested, with defaults and with settings.
        registry: the family.
    """

    specs: ClassVar[Sequence[str]] = ()
    registry: ClassVar[Registry[Any]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Called by pytest for every test of the class."""
        if "spec" in metafunc.fixturenames:
            metafunc.parametrize("spec", self.specs)

    def test_is_frozen_data(self, spec: str) -> None:
        component = self.registry.parse(spec)
        assert component == self.registry.parse(spec)
        assert hash(component) == hash(self.registry.parse(spec))
        with pytest.raises(dataclasses.FrozenInstanceError):
            component.name = "another"

    def test_explains_itself(self, spec: str) -> None:
        component = self.registry.parse(spec)
        first = (type(component).__doc__ or "").strip().split("\n")[0]
        assert len(first) > 10, "the first line of its docstring stands in every list"
        # dataclass writes a docstring of its own where there is none.
        assert not first.startswith(f"{type(component).__name__}(")
        for one in settings(component):
            assert len(one.help) > 3, f"setting {one.name} lacks its help"
            assert one.kind in (int, float, bool, str)
            assert isinstance(one.default, one.kind)

    def test_spec_reads_back(self, spec: str) -> None:
        component = self.registry.parse(spec)
        assert self.registry.parse(spec_of(component)) == component
        assert spec_of(self.registry.parse(spec_of(component))) == spec_of(component)

    def test_every_setting_is_checked(self, spec: str) -> None:
        name = spec.partition(":")[0]
        for one in settings(self.registry[name]):
            text = "nonsense" if one.kind is not str or one.choices else ""
            if text:
                with pytest.raises(RequestError, match=one.name):
                    self.registry.parse(f"{name}:{one.name}={text}")
            for beyond in (_below(one.low), _above(one.high)):
                if beyond is not None:
                    with pytest.raises(RequestError, match="must be at"):
                        self.registry.parse(f"{name}:{one.name}={one.kind(beyond)}")
            if one.kind is float:
                for endless in ("nan", "inf", "-inf", "1e999"):
                    with pytest.raises(RequestError, match="finite"):
                        self.registry.parse(f"{name}:{one.name}={endless}")


def spec_of(component: Any) -> str:
    """The component's spec; a name that no parameter of a test hides."""
    return spec(component)


def _below(low: float | None) -> float | None:
    return None if low is None else low - max(1.0, abs(low))


def _above(high: float | None) -> float | None:
    return None if high is None else high + max(1.0, abs(high))
