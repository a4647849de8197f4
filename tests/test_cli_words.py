"""What the command line says of a value that cannot be, of a number of things, and as help."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main
from command_line import Cli

from ddm_core.cli.commands import app


@pytest.fixture
def ddm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    return Cli(tmp_path / "runs", capsys, monkeypatch)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("export", "x", "--out", "y", "--format", "xls"), "are: csv, netcdf, parquet, zip"),
        (("sample", "ring", "--dtype", "float16"), "there are: bfloat16, float32, float64"),
        (("sample", "ring", "--num", "1e9"), "--num: '1e9' is no whole number"),
        (("sample", "ring", "--guidance", "x"), "--guidance: 'x' is no number"),
        (("bench", "--rounds", "0"), "--rounds 0 is not possible; take 1 to 1000"),
        (
            ("audit", "ring", "--budget", "0s"),
            "--budget 0s is no time; write more than 0",
        ),
        (("runs", "--runs", ""), "--runs: it is empty; name a folder"),
        (("compare", "ring", "--routers", "full,full"), "the route full is there twice"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_do(
    ddm: Cli, words: tuple[str, ...], told: str
) -> None:
    assert told in ddm(*words)[2]


def test_only_devices_that_are_there_are_offered(
    ddm: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for words in (("sample", "ring"), ("train", "digits", "--out", ddm.root / "x")):
        for device in ("gpu", "cuda"):
            _, _, err = ddm(*words, "--device", device)
            told = f"error: no device '{device}' on this machine; there are: auto, cpu\n"
            assert err == told


def test_one_is_not_many(ddm: Cli) -> None:
    fast = ("--num", 1, "--steps", 1, "--device", "cpu", "--probes", "none")
    _, out, err = ddm("sample", "ring", "--router", "top_k:k=1", *fast)
    assert ": 1 sample in " in out
    assert "about 1 expert evaluation, " in err
    _, out, err = ddm("compare", "ring", "--routers", "full", *fast)
    assert ": 1 run from the same noise " in out
    assert "no quality is measured: it takes 2 samples at least, not 1\n" in err
    ddm("delete", ddm.store.runs()[0].id)
    assert "\n1 run in " in ddm("runs")[1]
    assert "\n1 run, " in ddm("trash")[1]


def test_every_option_says_what_it_is(ddm: Cli) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    silent = [
        f"{name} {option.opts[-1]}"
        for name, command in commands.items()
        for option in command.params
        if not command.hidden and option.opts[-1].startswith("--") and not option.help
    ]
    assert silent == []
    assert "energy_distance" in " ".join(ddm("compare", "--help")[1].split())
