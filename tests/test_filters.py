"""Filters: conditions mean what Python would make of them, and nothing else can be said."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ddm_core.comparisons import Kind, Spec
from ddm_core.config import RunConfig, make_config
from ddm_core.errors import RequestError
from ddm_core.expressions import read_condition
from ddm_core.filters import understand, values_of
from ddm_core.metrics import METRICS
from ddm_core.records import RunRecord
from ddm_core.run import execute
from ddm_core.settings import differences, settings_of
from ddm_core.summary import summarize

KINDS: dict[str, Kind] = {
    "fid": "number",
    "fid.low": "number",
    "num": "number",
    "name": "text",
    "tags": "list",
    "soft": "any",
}


def record(router: str = "top_k:k=2", **fields: Any) -> RunRecord:
    settings = set(RunConfig.model_fields) - {"metrics"}
    own = {name: fields.pop(name) for name in list(fields) if name in settings}
    config = RunConfig(**{"system": "digits", "router": router, **own})
    usual = {"id": "20260101-000000-a-b-abcdef", "status": "done", "created": "2026-01-01"}
    return RunRecord(
        **{**usual, "system": config.system, "router": router, **fields}, config=config
    )


def holds(text: str, **values: Any) -> bool:
    return read_condition(text, KINDS).holds(values)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("fid < 30", True),
        ("fid < 30 and num == 64", True),
        ("not fid < 30", False),
        ("20 <= fid < 25.5", True),
        ("20 <= fid < 25", False),
        ('name == "top_k" or fid > 100', True),
        ('"top" in name', True),
        ('"paper" in tags and "draft" not in tags', True),
        ("num in (16, 64)", True),
        ("num not in [16, 64]", False),
        ('name in ("full",)', False),
        ("num in ()", False),
        ("-fid + 2 * (num - 1) / 2 == 37.5", True),
        ("num % 2 == 0", True),
        ("soft > 1", False),  # a word here, a number elsewhere
        ("soft == 'fitted'", True),
        ("fid.low is none", True),
        ("fid is not none", True),
        ("NOT (fid IS NONE)", True),
        ("not not fid < 30", True),
    ],
)
def test_what_a_condition_says(text: str, right: bool) -> None:
    values = {"fid": 25.5, "num": 64, "name": "top_k", "tags": ("paper",), "soft": "fitted"}
    if text == "20 <= fid < 25.5":
        values["fid"] = 25.0
    assert holds(text, **values) is right


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_is_missing_compares_false(sign: str, missing: float | None) -> None:
    assert not holds(f"fid {sign} 30", fid=missing)
    assert not holds(f"30 {sign} fid", fid=missing)
    assert not holds(f"fid + 1 {sign} 30", fid=missing)
    assert not holds(f"num / 0 {sign} 30", num=1)
    assert not holds("fid in (1, 2)", fid=missing)
    assert not holds("fid not in (1, 2)", fid=missing)
    assert holds("fid is none", fid=missing)


WRONG = {
    "": "character 1: the end comes too early",
    "fid <": "character 6: the end comes too early",
    "fid": "character 1: fid alone says nothing; compare it",
    "fid < 30 and": "character 13: the end comes too early",
    "fid < 30 and num": "character 14: num alone says nothing",
    "fid = 30": "character 5: = means nothing here; write == to compare",
    "fdi < 30": "character 1: fdi is no name; did you mean fid",
    "fid < 'x'": "character 5: < compares a number with a text",
    "name < 3": "character 6: < compares a number with a text",
    "tags == 'paper'": 'cannot compare a list; write "paper" in tags',
    "3 in num": "looks into a number",
    "3 in name": "cannot look for a number",
    "fid == none": "write is none",
    "fid is 3": "asks for what is missing",
    "(fid < 3) < 3": "compares a condition",
    "fid < 3 & num < 3": "write and",
    "(fid < 3": "close the bracket of character 1 with )",
    "fid < 3)": "character 8: ) cannot stand here",
    "name + 1 == 2": "name is no number",
    "name == 'x": "close the quote",
    "__import__('os') == 1": "__import__ is no name",
    "fid.__class__ == 1": "fid.__class__ is no name",
    "num ** 9 == 1": "* cannot stand here",
    "num < 1e999": "is too large",
    "fid < 3 if num else 4": "if cannot stand here",
    "num == (fid < 3, 2)": "cannot be in a list",
    "[x for x in tags] == 1": "x is no name",
    "fid < 3; num < 3": "; means nothing here",
    "(" * 60 + "1": "lies too deep",
    "fid < 3 or " * 100 + "fid < 3": "at most 1000 characters",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_understood_is_one_sentence_with_its_place(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_condition(text, KINDS)
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


NUMBERS = some.sampled_from(["a", "b", "3", "0.5", "2"])
VALUES = some.recursive(
    NUMBERS,
    lambda inner: some.one_of(
        some.builds("({} {} {})".format, inner, some.sampled_from("+-*/%"), inner),
        some.builds("{} {} {}".format, inner, some.sampled_from("+-*/%"), inner),
        some.builds("-{}".format, inner),
    ),
    max_leaves=5,
)
SIGNS = some.sampled_from(["<", "<=", "==", "!=", ">", ">="])
COMPARED = some.one_of(
    some.builds("{} {} {}".format, VALUES, SIGNS, VALUES),
    some.builds("{} {} {} {} {}".format, VALUES, SIGNS, VALUES, SIGNS, VALUES),
    some.builds(
        "{} {} ({}, {})".format, VALUES, some.sampled_from(["in", "not in"]), VALUES, VALUES
    ),
    some.sampled_from(["'x' in t", "'y' not in t", "s == 'xy'", "'x' in s", "s < 'y'"]),
)
CONDITIONS = some.recursive(
    COMPARED,
    lambda inner: some.one_of(
        some.builds("{} and {}".format, inner, inner),
        some.builds("{} or {}".format, inner, inner),
        some.builds("not {}".format, inner),
        some.builds("({})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
# Thousandths: what Python makes infinite, as 1 / 1e-310, is missing here.
@given(CONDITIONS, some.integers(-3, 3), some.floats(-2, 2).map(lambda b: round(b, 3)))
def test_conditions_mean_what_python_makes_of_them(text: str, a: int, b: float) -> None:
    values = {"a": a, "b": b, "t": ("x", "z"), "s": "xy"}
    kinds: dict[str, Kind] = {"a": "number", "b": "number", "t": "list", "s": "text"}
    try:
        expected = bool(eval(text, {"__builtins__": {}}, dict(values)))
    except (ZeroDivisionError, OverflowError):
        return  # missing here: its own test
    assert read_condition(text, kinds).holds(values) is expected


SIGNIFICANT = some.text("()[]<>=!'\" aftidnor.0129eE+-*/%,", max_size=60)
RUN = record()


@settings(max_examples=150, deadline=None)
@given(some.one_of(some.text(max_size=60), SIGNIFICANT))
def test_any_text_is_understood_or_refused_in_a_sentence(text: str) -> None:
    try:
        understand(text, [RUN]).matches(RUN)
    except RequestError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - most texts are plain words


def test_the_longest_filter_is_judged_at_once() -> None:
    text = "9*" * 495 + "9 > 1"
    begin = time.process_time()
    assert holds(text)
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('router == "top_k"', True),
        ('router == "top_k:k=2"', True),
        ('router == "learned"', True),
        ('router == "learned:temperature=4"', True),
        ('router == "learned:temperature=4/top_k:k=2"', True),
        ('router == "full"', False),
        ('router != "full"', True),
        ('router in ("full", "top_k")', True),
        ('"top" in router', True),
        ('strategy == "top_k" and strategy.k == 2', True),
        ("router.temperature > 3", True),
        ('strategy == "learned"', False),
        ("fid < 30 and fid.low > 10 and fid.n == 64", True),
        ("kid < 1", False),
        ("fid_inception == 7", True),
        ("num == 64 and steps > 10 and seed == 0", True),
        ("n == 64 and fid.n <= n", True),
        ("label is none and guidance == 1", True),
        ('"paper" in tags', True),
        ('created > "2025" and created < "2027"', True),
        ('device == "cpu" and seconds < 10 and status == "done"', True),
        ('system == "digits"', True),
        ('"standard" in probes', True),
        ('parent is none and comparison == "c" and note == "" and error == ""', True),
        ('id > "2026" and "abcdef" in id', True),
    ],
)
def test_names_of_a_run(text: str, right: bool) -> None:
    run = record(
        "learned:temperature=4/top_k:k=2",
        num=64,
        seconds=3.0,
        device="cpu",
        comparison="c",
        tags=("paper",),
        metrics={"fid": {"value": 20, "low": 15, "n": 64}, "fid@inception": {"value": 7}},
    )
    assert understand(text, [run]).matches(run) is right


@pytest.mark.parametrize("name", ["x", "router.temperature", "wholly_else"])
def test_a_name_that_is_none_is_answered_in_a_line(name: str) -> None:
    run = record("top_k:k=2", metrics={f"metric_{i}": {"value": 1.0} for i in range(200)})
    with pytest.raises(RequestError) as caught:
        understand(f"{name} == 4", [run])
    assert len(str(caught.value)) < 300
    assert "did you mean " in str(caught.value) or "there are numbers (" in str(caught.value)


def test_every_number_that_a_run_can_have_is_known_before_one_has_it() -> None:
    asked = {"system": "ring", "router": "top_k:k=2", "num": 2, "steps": 2, "probes": ["all"]}
    trace = execute(make_config(asked)).trace.assign_attrs(flops_evaluation=1.0)
    for name in (*METRICS, *summarize(trace, 1.0)):
        found = understand(f"{name} < 3 and {name}.low < {name}.high", [record()])
        assert found.condition is not None


def test_a_system_answers_to_its_name() -> None:
    seen = values_of(record(system="ring:experts=6"))["system"]
    assert isinstance(seen, Spec)
    assert seen.also == {"ring:experts=6", "ring"}
    run = record(system="ring:experts=6")
    assert understand('system == "ring" and system.experts == 6', [run]).matches(run)
    run = record(system="some/where/photos")
    assert understand('system == "photos"', [run]).matches(run)


def test_numbers_of_others_hide_no_setting_and_are_numbers() -> None:
    run = record(metrics={"router": {"value": 1}, "evil": {"value": "9" * 9, "n": [1]}})
    assert understand('router == "top_k"', [run]).matches(run)
    assert not understand("evil > 0 or evil <= 0", [run]).matches(run)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("digits top_k tag:paper", True),
        ("in the paper", True),
        ("top_k:k=2", True),
        ("tag:other", False),
        ('"the paper"', True),
        ('"paper the"', False),
        ("", True),
        ("fid", False),
    ],
)
def test_plain_words_are_searched(text: str, right: bool) -> None:
    run = record(tags=("paper",), note="as in the paper")
    found = understand(text, [run])
    assert found.condition is None
    assert found.matches(run) is right


def test_settings_are_taken_apart() -> None:
    config = RunConfig(
        system="ring:experts=6",
        router="exact:temperature=4/top_k:k=2",
        probes=("standard", "perturbation_growth:radius=0.1"),
    )
    found = settings_of(config)
    assert found["router"] == "exact"
    assert found["router.temperature"] == "4"
    assert (found["strategy"], found["strategy.k"]) == ("top_k", "2")
    assert (found["system"], found["system.experts"]) == ("ring", "6")
    assert found["probes.standard"] == "yes"
    assert found["probes.perturbation_growth.radius"] == "0.1"
    assert "label" not in found


def test_differences_of_many() -> None:
    routers = ("top_k:k=1", "top_k:k=2", "learned/full")
    rows = differences([RunConfig(system="digits", router=one) for one in routers])
    differing = {row.name: row.values for row in rows if row.differs}
    assert differing == {
        "router": (None, None, "learned"),
        "strategy": ("top_k", "top_k", "full"),
        "strategy.k": ("1", "2", None),
    }
    assert [row.name for row in rows][:4] == ["system", "router", "strategy", "strategy.k"]
    assert not any(row.differs for row in differences([RunConfig(system="digits")] * 3))
