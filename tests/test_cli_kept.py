"""What is kept, and told of, where a command ends early: by a fault, by Ctrl-C, unread."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal
from unittest.mock import Mock

import pytest
from command_line import FAST, Cli
from made_up import made_up

import ddm_core.make as make
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric


@pytest.fixture
def ddm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    return Cli(tmp_path / "runs", capsys, monkeypatch)


@dataclasses.dataclass(frozen=True)
class Failing(Metric):
    """Never a number."""

    name: ClassVar[str] = "failing"
    title: ClassVar[str] = "failing"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, evidence: Evidence) -> Measured:
        raise ArithmeticError("no number")


def test_a_metric_that_fails_costs_neither_the_run_nor_what_was_measured(
    ddm: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forgotten again: it would be a metric in every later test.
    monkeypatch.setattr(METRICS, "_members", {name: METRICS[name] for name in METRICS})
    METRICS.register(Failing)
    code, out, err = ddm("sample", "ring", *FAST, "--metrics", "fid,failing,kid", "--json")
    (record,) = ddm.store.runs()
    assert (code, out) == (1, "")
    assert list(record.metrics) == ["fid"]
    assert err.splitlines()[1:] == [
        f"1 run is kept: {record.id}",
        "error: the program failed: ArithmeticError: no number "
        "(set DDM_TRACEBACK=1 for the whole story)",
    ]


@pytest.mark.parametrize("finished", [0, 1, 2])
def test_ctrl_c_says_how_many_runs_are_kept(
    ddm: Cli, monkeypatch: pytest.MonkeyPatch, finished: int
) -> None:
    execute, made = make.execute, 0

    def interrupted(*arguments: object, **named: object) -> object:
        nonlocal made
        made += 1
        if made > finished:
            raise KeyboardInterrupt
        return execute(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(make, "execute", interrupted)
    code, out, err = ddm(
        "compare", "ring", *FAST, "--metrics", "none", "--routers", "full,top_k,nearest/full"
    )
    assert (code, out) == (130, "")
    ids = [run.id for run in reversed(ddm.store.runs())]
    assert len(ids) == finished
    kept = (
        "nothing was kept",
        f"1 run is kept: {', '.join(ids)}",
        f"2 runs are kept: {', '.join(ids)}",
    )[finished]
    assert err.splitlines()[-1] == f"error: stopped by Ctrl-C; {kept}"


@pytest.mark.parametrize(
    ("words", "work", "told"),
    [
        (
            ("train", "digits", "--out", "x"),
            "ddm_core.training.train_system",
            "the same command goes on with it",
        ),
        (
            ("audit", "ring"),
            "ddm_core.analysis.audit.audit",
            "what was measured is kept: the same command goes on with it",
        ),
        (("metrics", "RUN"), "ddm_core.make.measure_run", "what was measured is kept"),
    ],
)
def test_ctrl_c_says_what_comes_of_the_work(
    ddm: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], work: str, told: str
) -> None:
    record = ddm.store.save(made_up(system="ring"))
    monkeypatch.setattr(work, Mock(side_effect=KeyboardInterrupt))
    found = ddm(*(record.id if word == "RUN" else word for word in words))
    assert found == (130, "", f"error: stopped by Ctrl-C; {told}\n")


def test_a_component_that_exits_is_a_fault(ddm: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "execute", Mock(side_effect=SystemExit(0)))
    code, out, err = ddm("sample", "ring", *FAST)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: something within the work called exit(0)")


def test_samples_of_one_label_are_told_to_be_measured_against_all(ddm: Cli) -> None:
    words = ("--num", "4", "--steps", "2", "--probes", "none", "--workers", "1")
    told = "warning: samples of label 3 alone are measured against real data of all labels"
    code, _, err = ddm("compare", "digits", "--routers", "full,sample", "--label", "3", *words)
    assert code == 0
    assert err.count(told) == 1
    first = ddm.store.runs()[0].id
    assert told in ddm("metrics", first, "--metrics", "kid")[2]
    code, _, err = ddm("sample", "digits", *words, "--label", "3")
    assert (code, told in err) == (0, False)  # nothing is measured
