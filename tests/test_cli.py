"""The command line: its JSON, its exit codes, and one sentence for every error."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from command_line import FAST, Cli
from made_up import made_up

from ddm_core.routers.base import ROUTERS
from ddm_core.store import Store


@pytest.fixture
def ddm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    return Cli(tmp_path / "runs", capsys, monkeypatch)


def test_sample_keeps_a_run_and_prints_its_json(ddm: Cli) -> None:
    found = ddm.json("sample", "ring", "--router", "top_k:k=1", *FAST, "--seed", 5)
    assert found["status"] == "done"
    assert (found["system"], found["router"]) == ("ring", "top_k:k=1")
    assert found["config"]["num"] == 4
    assert found["summary"]["expert_calls"]["value"] == 1.0
    images, seeds = ddm.store.samples(found["id"])
    assert images.shape == (4, 2)
    assert seeds.tolist() == [5, 6, 7, 8]
    assert "weights" in ddm.store.trace(found["id"])


def test_compare_shares_the_noise_and_measures(ddm: Cli) -> None:
    fast = ("--num", 8, "--steps", 3, "--device", "cpu", "--workers", 1)
    found = ddm.json("compare", "ring", "--routers", "full,top_k:k=1", *fast)
    assert [one["router"] for one in found["runs"]] == ["full", "top_k:k=1"]
    assert {one["hashes"]["x_T"] for one in found["runs"]} == {found["x_T"]}
    for one in found["runs"]:
        fid = one["metrics"]["fid"]
        assert fid["low"] <= fid["value"] <= fid["high"]
        assert fid["n"] == 8
        assert "protocol" in fid
        chance = one["summary"]["chance_distance"]["value"]
        assert one["summary"]["selected_distance"]["value"] < chance
    assert len(ddm.store.comparison(found["comparison"])) == 2
    code, out, _ = ddm("compare", "ring", "--routers", "full", *FAST, "--metrics", "none")
    assert code == 0
    assert "selected distance" in out
    assert "fid" not in out


def test_a_plugin_is_a_router(ddm: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The plug-in is forgotten again: it would be a router in every later test.
    monkeypatch.setattr(ROUTERS, "_members", {name: ROUTERS[name] for name in ROUTERS})
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        textwrap.dedent("""
            import dataclasses
            from ddm_core.routers.base import Router, register

            print("loaded")

            @register
            @dataclasses.dataclass(frozen=True)
            class Last(Router):
                \"\"\"Always the last expert.\"\"\"
                name = "last_of_cli_test"

                def bind(self, system):
                    print("bound")

                    def logits(state):
                        print("asked")
                        out = state.x_t.new_zeros(len(state.x_t), len(system.experts))
                        out[:, -1] = 9
                        return out
                    return logits
        """)
    )
    router = "last_of_cli_test/top_k:k=1"
    code, _, err = ddm("sample", "ring", "--router", router, *FAST)
    assert code == 2
    assert "no router 'last_of_cli_test'" in err
    # What it prints is beside the one document, and it is loaded once for two runs.
    words = ("compare", "ring", "--routers", f"{router},full", *FAST, "--plugin", plugin, "--json")
    code, out, err = ddm(*words)
    assert (code, err.count("loaded\n")) == (0, 1)
    assert {"bound", "asked"} <= set(err.splitlines())
    found = json.loads(out)["runs"][0]
    weights = ddm.store.trace(found["id"])["weights"]
    assert bool((weights.isel(expert=-1) == 1).all())


HERE = str(Path(__file__).resolve())
WRONG = {
    "unknown system": ("sample", "rign"),
    "unknown router": ("sample", "ring", "--router", "neerest/full"),
    "unknown strategy": ("compare", "ring", "--routers", "full,topk"),
    "unknown sampler": ("sample", "ring", "--sampler", "eular"),
    "unknown probe": ("sample", "ring", "--probes", "wieghts"),
    "unknown metric": ("sample", "ring", "--metrics", "fido"),
    "unknown setting": ("sample", "ring", "--router", "top_k:q=2"),
    "unknown command": ("sampel", "ring"),
    "unknown option": ("sample", "ring", "--stepz", "3"),
    "unknown family": ("list", "experts"),
    "unknown device": ("sample", "ring", "--device", "tpu"),
    "unknown dtype": ("sample", "ring", "--dtype", "int8"),
    "unknown format": ("export", "nothing", "--out", "x", "--format", "xls"),
    "a route twice": ("compare", "ring", "--routers", "full,top_k,top_k:k=2"),
    "no rounds": ("bench", "--rounds", "0"),
    "no time": ("audit", "ring", "--budget", "0s"),
    "an empty store": ("runs", "--runs", ""),
    "an empty place": ("train", "digits", "--out", ""),
    "a file as a place": ("export", "nothing", "--out", HERE),
    "a file as a folder": ("export", "nothing", "--out", f"{HERE}/x.zip", "--format", "zip"),
    "a file for an audit": ("audit", "ring", "--out", HERE),
    "a file for a training": ("train", "digits", "--out", f"{HERE}/x"),
    "unknown run": ("show", "nothing"),
    "unknown run to delete": ("delete", "nothing"),
    "no run to measure": ("metrics", "nothing"),
    "no samples": ("sample", "ring", "--num", "0"),
    "negative steps": ("sample", "ring", "--steps", "-3"),
    "huge steps": ("sample", "ring", "--steps", "1000000000"),
    "no number": ("sample", "ring", "--num", "many"),
    "label of an unconditional system": ("sample", "ring", "--label", "3"),
    "guidance without label": ("sample", "ring", "--guidance", "2"),
    "infinite guidance": ("sample", "ring", "--guidance", "inf"),
    "no routers": ("compare", "ring", "--routers", ","),
    "missing option": ("compare", "ring"),
    "missing argument": ("sample",),
    "missing folder": ("sample", "/no/such/folder"),
    "missing plug-in": ("sample", "ring", "--plugin", "/no/such/file.py"),
    "missing archive": ("import", "/no/such/file.zip"),
    "one expert": ("train", "digits", "--experts", "1"),
    "no dataset": ("train", "/no/such/folder"),
    "no number of experts": ("train", "digits", "--experts", "some"),
    "too few samples to measure": ("sample", "ring", "--num", "1", "--metrics", "fid"),
    "too few to extrapolate": ("sample", "ring", "--num", "7", "--metrics", "fid,fd_infinity"),
    "too few neighbours": ("sample", "ring", "--num", "5", "--metrics", "recall:neighbours=5"),
    "port": ("dashboard", "--port", "99999"),
    "host": ("dashboard", "--host", "no.such.host.invalid"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_line_and_exit_code_2(ddm: Cli, name: str) -> None:
    code, out, err = ddm(*WRONG[name])
    assert code == 2, err
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "Traceback" not in err
    assert ddm.store.runs() == []


def test_a_cut_off_checkpoint_is_named(ddm: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "system.toml").write_text("[system")
    code, _, err = ddm("sample", tmp_path / "broken")
    assert code == 2
    assert err.count("\n") == 1
    assert "broken" in err


def test_a_store_that_cannot_be_written_is_exit_code_1(ddm: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = ddm("sample", "ring", *FAST, "--runs", tmp_path / "file" / "runs")
    assert code == 1
    assert err.startswith("error: cannot make a folder in ")
    assert err.count("\n") == 1


def test_runs_show_delete(ddm: Cli) -> None:
    records = [ddm.store.save(made_up(i), metrics={"fid": {"value": 1.0}}) for i in range(2)]
    listed = ddm.json("runs")
    assert [one["id"] for one in listed] == [records[1].id, records[0].id]
    shown = ddm.json("show", records[0].id[-6:])
    assert shown["id"] == records[0].id
    assert shown["bytes"] > 1000
    assert {"system", "router", "status", "config", "metrics"} <= set(shown)
    code, out, _ = ddm("show", records[0].id)
    assert code == 0
    assert "selected distance" in out
    code, out, _ = ddm("runs")
    assert records[1].id in out
    assert "2 runs" in out
    assert ddm("delete", records[0].id, "nothing")[0] == 2
    assert len(ddm.store.runs()) == 2
    assert ddm("delete", records[0].id)[0] == 0
    assert [run.id for run in ddm.store.runs()] == [records[1].id]


def test_words_of_users_are_never_markup(ddm: Cli) -> None:
    record = ddm.store.save(made_up())
    ddm.store.label(record.id, tags=["[red]x[/red]"], note="[link=x]")
    _, out, _ = ddm("runs")
    assert "[red]x[/red]" in out
    _, out, _ = ddm("show", record.id)
    assert "[link=x]" in out


def test_export_and_import(ddm: Cli, tmp_path: Path) -> None:
    records = [ddm.store.save(made_up(i)) for i in range(2)]
    ids = [record.id for record in records]
    code, out, _ = ddm("export", ids[0], "--out", tmp_path / "one")
    assert code == 0
    assert (tmp_path / "one" / "step_sample_expert.csv").is_file()
    assert str(tmp_path / "one" / "schema.json") in out
    assert ddm("export", *ids, "--out", tmp_path / "two", "--format", "parquet")[0] == 0
    assert (tmp_path / "two" / ids[1] / "step.parquet").is_file()
    assert ddm("export", ids[0], "--out", tmp_path / "x", "--format", "xls")[0] == 2
    code, out, _ = ddm("export", *ids, "--out", tmp_path, "--format", "zip")
    assert out.strip() == str(tmp_path / "runs.zip")
    other = tmp_path / "other"
    taken = ddm.json("import", tmp_path / "runs.zip", "--runs", other)
    assert {one["id"] for one in taken} == set(ids)
    code, out, _ = ddm("import", tmp_path / "runs.zip", "--runs", other)
    assert out.count("is here already") == 2


def test_metrics_are_noted_in_the_run(ddm: Cli) -> None:
    fast = ("--num", 16, "--steps", 3, "--device", "cpu", "--workers", 1, "--probes", "none")
    id = ddm.json("sample", "ring", *fast)["id"]
    found = ddm.json("metrics", id, "--metrics", "fid", "--device", "cpu")
    assert found["runs"][0]["metrics"]["fid"]["n"] == 16
    assert ddm.store.run(id).metrics["fid"]["n"] == 16


@pytest.mark.parametrize(
    ("family", "member"),
    [
        ("systems", "ring"),
        ("routers", "nearest"),
        ("strategies", "top_k"),
        ("probes", "weights"),
        ("samplers", "heun"),
        ("metrics", "fid"),
    ],
)
def test_lists_name_and_describe(ddm: Cli, family: str, member: str) -> None:
    found = {one["name"]: one for one in ddm.json("list", family)}
    assert found[member]["description"]
    code, out, _ = ddm("list", family)
    assert code == 0
    assert member in out


@pytest.mark.parametrize("option", ["--label", "--guidance", "--num"])
def test_a_value_of_the_wrong_kind_names_its_option(ddm: Cli, option: str) -> None:
    code, out, err = ddm("sample", "ring", option, "three")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {option}: ")


def test_a_taken_port_is_a_sentence(ddm: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = ddm("dashboard", "--host", "127.0.0.1", "--port", port)
    assert code == 2
    assert f"port {port}" in err


def test_the_dashboard_becomes_the_server(ddm: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda path, command, env: calls.append((command, env)))
    code, _, err = ddm("dashboard", "--port", 0, "--host", "0.0.0.0", "--runs", "some")
    assert code == 0
    assert err.startswith("warning: everybody")
    ((command, environment),) = calls
    assert command[1:3] == ["-m", "app.server.serve"]
    assert environment["DDM_RUNS"] == str(Path("some").absolute())


def test_help_and_the_library_never_wait_for_torch(ddm: Cli) -> None:
    record = ddm.store.save(made_up())
    script = f"""
        import sys
        from ddm_core.cli import run
        for line in (["--help"], ["runs"], ["show", "{record.id}"], ["delete", "{record.id}"]):
            assert run(line) == 0
        assert not {{"torch", "xarray", "pandas", "streamlit"}} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_ctrl_c_is_a_sentence_and_leaves_nothing(ddm: Cli) -> None:
    command = [sys.executable, "-m", "ddm_core", "sample", "ring", "--num", "2000"]
    command += ["--steps", "9000", "--probes", "none", "--device", "cpu"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where tests run in the background the signal is ignored, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as it:
        end = time.monotonic() + 150
        while not (ddm.root.is_dir() and any(ddm.root.glob(".tmp-*"))):
            assert it.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        it.send_signal(signal.SIGINT)
        out, err = it.communicate(timeout=30)
    assert it.returncode == 130
    assert out == ""
    said = err.splitlines()
    assert said[0].startswith("expected: about 36,000,000 expert evaluations, ")
    assert said[-1] == "error: stopped by Ctrl-C; nothing was kept"
    assert not any("Traceback" in line for line in said)
    assert ddm.store.runs() == []


def test_a_fault_of_the_program_is_one_line_too(ddm: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Store) -> None:
        raise KeyError("no\nsuch")

    monkeypatch.setattr(Store, "runs", fails)
    code, _, err = ddm("runs")
    assert code == 1
    assert err.startswith("error: the program failed: KeyError")
    assert err.count("\n") == 1
