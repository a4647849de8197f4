"""Who can reach the server and what it says to browsers; and that nothing goes out by itself."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from made_up import made_up
from page_runs import EVIL, image_run, known
from typer.testing import CliRunner

from app.server import exposed
from app.server.headers import Headers, policy, scripts
from app.server.serve import options
from ddm_core.cli import dashboard
from ddm_core.store import Store

ROOT = Path(__file__).parents[1]


def answer(host: str, hosts: list[str] | None = None, **headers: str) -> dict[str, Any]:
    """What the server says to somebody who asks for it by this name."""
    sent: list[dict[str, Any]] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(b"host", host.encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
    scope = {"type": "http", "headers": given}
    middleware = Headers(inner, hosts or exposed.names_of("localhost"))
    asyncio.run(middleware(scope, None, send))  # pyright: ignore[reportArgumentType]
    return {**sent[0], "headers": dict(sent[0]["headers"])}


@pytest.mark.parametrize("host", ["localhost:8501", "LOCALHOST", "127.0.0.1:1", "[::1]:8501"])
def test_own_names_are_answered_with_all_headers(host: str) -> None:
    said = answer(host)
    assert said["status"] == 200
    assert said["headers"][b"x-frame-options"] == b"DENY"
    assert said["headers"][b"x-content-type-options"] == b"nosniff"
    assert said["headers"][b"x"] == b"y"
    rules = dict(
        rule.split(" ", 1)
        for rule in said["headers"][b"content-security-policy"].decode().split("; ")
    )
    assert rules["object-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self' data: blob:"
    assert "unsafe" not in rules["script-src"]
    assert not [value for value in rules.values() if "http" in value or "*" in value]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "localhost:x",
        "a@localhost",
        "[::1",
        "10.0.0.1",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert answer(host)["status"] == 403


def test_only_the_scripts_of_the_frame_page_may_run() -> None:
    page = "<script>\n one() </script><script src='x'></script><script>two()</script>"
    assert scripts(page) == ["\n one() ", "two()"]
    assert policy(page).count("'sha256-") == 2
    assert policy(page) != policy(page.replace("one", "evil"))


def test_a_server_for_others_still_knows_its_names() -> None:
    for local in ("localhost", "127.0.0.1", "127.1.2.3", "::1"):
        assert exposed.is_local(local)
    for open_to_others in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        assert not exposed.is_local(open_to_others)
    assert "192.168.1.5" in exposed.names_of("192.168.1.5")
    names = exposed.names_of("0.0.0.0", ["lab.example.org"])
    assert {"localhost", "lab.example.org"} <= set(names)
    assert "0.0.0.0" not in names
    said = options(8501, "0.0.0.0")
    assert said["server.allowedHosts"] == exposed.names_of("0.0.0.0")
    assert said["server.enableXsrfProtection"] is True
    assert said["server.enableCORS"] is True
    assert options(8501, "localhost")["server.address"] == "localhost"


def test_opening_it_to_others_is_said_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    started: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _, command, __: started.append(command))
    app = typer.Typer()
    dashboard.register(app)
    port = ["--port", "0", "--no-open"]
    found = CliRunner().invoke(app, ["dashboard", "--host", "0.0.0.0", "--name", "lab", *port])
    assert "everybody who can reach 0.0.0.0:0 can use and delete the runs" in found.output
    assert started[0][-2:] == ["--name", "lab"]
    assert "everybody" not in CliRunner().invoke(app, ["dashboard", *port]).output


PAGES = """
    import json, sys
    outside = []

    def hook(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            outside.append((event, str(arguments[-1])[:80]))

    sys.addaudithook(hook)
    from pathlib import Path
    from streamlit.testing.v1 import AppTest
    from ddm_core.config import make_config
    from ddm_core.run import execute
    from ddm_core.store import Store
    from ddm_core.jobs import Jobs

    Jobs._start = lambda *a, **k: None
    store, file = Store(), Path(sys.argv[1])
    store.import_archive(file)
    config = make_config({"system": "ring", "router": "full", "num": 4, "steps": 3})
    store.save(execute(config))
    id = store.runs()[-1].id
    raw = []
    for page in ("start", "compare", "trace", "ask", "library"):
        script = f'''
    import streamlit as st
    from app import parts
    from app.server import exposed
    from app.views import ask, compare, library, start, trace
    page = st.Page(start.page, url_path="start")
    names = ("start", "compare", "trace", "runs", "routing", "what-if", "tour", "audit", "map")
    st.session_state["pages"] = dict.fromkeys(names, page)
    exposed.notice()
    parts.progress_cards()
    {page}.page()
    '''.replace("\\n    ", "\\n")
        app = AppTest.from_string(script, default_timeout=300)
        app.query_params["run"], app.query_params["picked"] = id, id[-6:]
        app.run()
        assert not app.exception, (page, app.exception)
        shown = [*app.title, *app.markdown, *app.caption, *app.warning, *app.error]
        raw += [(page, str(one.value)[:200]) for one in shown if "<img" in str(one.value)]
        opened = [one for one in app.warning if "Open to the network" in str(one.value)]
        assert len(opened) == 1, page
    print(json.dumps({"outside": outside, "raw": raw}))
"""


def test_import_sampling_and_pages_open_no_connection_and_draw_no_markup(tmp_path: Path) -> None:
    sender = Store(tmp_path / "sender")
    run = image_run(sender, "full", "c")
    sender.label(run.id, tags=[EVIL[:60], "=1+1"], note=EVIL)
    file = sender.export_archive([run.id], tmp_path / "evil.zip")
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / ".catalogue.json").write_text(json.dumps(known()))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PAGES), str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "DDM_RUNS": str(runs),
            "DDM_HOST": "0.0.0.0",
            "OMP_NUM_THREADS": "1",
        },
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"outside": [], "raw": []}


NAMES = [
    EVIL[:60],
    "</script><script>alert(1)</script>",
    "[a](javascript:alert(1))",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-2+3",
    "\t=1",
    "../../etc/passwd",
    "CON",
    "\u202egnp.exe",
    "😀" * 20,
    "$x$ :material/home: `code`",
]


def test_no_name_becomes_a_formula_a_tag_or_a_path(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    records = []
    for index, name in enumerate(NAMES):
        record = store.save(made_up(index, num=2, steps=2, system=name, metrics=(name[:90],)))
        store.add_metrics(record.id, {name: {"value": 1.0, "method": name, "protocol": name}})
        records.append(store.label(record.id, tags=[name[:60]], note=name))
    out = tmp_path / "out"
    for record in records:
        store.export_tables(record.id, out / record.id[-6:])
    looked = 0
    for path in out.rglob("*.csv"):
        with path.open(newline="") as file:
            for cell in itertools.chain.from_iterable(csv.reader(file)):
                assert not cell.startswith(tuple("=+-@\t\r\n\0")) or is_number(cell), (path, cell)
                looked += "'" in cell[:1]
    assert looked > len(NAMES)
    outside = {path.name for path in tmp_path.iterdir()} - {"runs", "out"}
    assert outside == set()
    assert all(record.id.isascii() and set(record.id) <= set(ALLOWED) for record in records)
    taken = Store(tmp_path / "runs2").import_archive(
        store.export_archive([record.id for record in records], tmp_path / "out" / "all.zip")
    )
    assert [one.note for one in sorted(taken, key=lambda r: r.id)] == [
        one.note for one in sorted(records, key=lambda r: r.id)
    ]


def is_number(cell: str) -> bool:
    """Whether a spreadsheet takes it for a number: it begins with a minus and is no formula."""
    return re.fullmatch(r"-[0-9.]+(e[-+]?[0-9]+)?", cell) is not None


ALLOWED = "abcdefghijklmnopqrstuvwxyz0123456789_-"
