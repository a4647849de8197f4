"""The recipe in a picture: read back exactly, and never believed further than a name."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from made_up import made_up
from PIL import Image

from ddm_core import pictures
from ddm_core.branching import branch_config
from ddm_core.cli import run
from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.recipe import MOST_BYTES, read_recipe, read_recipe_file, recipe_text
from ddm_core.store import Store

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CONFIG = RunConfig(system="ring:experts=6", router="exact:temperature=4/top_k:k=2", num=6, seed=9)


def part(kind: bytes, data: bytes, check: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if check is None else check
    return len(data).to_bytes(4, "big") + kind + data + crc.to_bytes(4, "big")


def picture(*parts: bytes) -> bytes:
    return SIGNATURE + b"".join(parts) + part(b"IEND", b"")


def carrying(config: Any) -> bytes:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return picture(part(b"iTXt", b"config\0\0\0\0\0" + text))


SAMPLE = pictures.png(np.zeros((8, 8, 1), np.uint8), {"config": CONFIG.model_dump_json()})


def test_what_a_run_wrote_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.save(made_up(seed=4))
    found = read_recipe_file(store.folder(record.id) / "samples.png")
    assert found.config == record.config
    assert found.left_out == ""
    assert store.alike(found.digests) == [record]
    assert store.alike({found.config.model_copy(update={"seed": 1}).digest}) == []
    # How a run is computed is not what it is.
    assert store.alike({found.config.model_copy(update={"batch": 3}).digest}) == [record]


def test_a_run_of_a_folder_is_known_again_before_and_after_a_journey(tmp_path: Path) -> None:
    store = Store(tmp_path / "here")
    record = store.save(made_up(system="far/away/photos"))
    picture = (store.folder(record.id) / "samples.png").read_bytes()
    assert store.alike(read_recipe(picture).digests) == [record]
    other = Store(tmp_path / "there")
    taken = other.import_archive(store.export_archive([record.id], tmp_path / "one.zip"))
    assert other.alike(read_recipe(picture).digests) == taken


def test_another_program_may_write_the_text_in_the_older_way() -> None:
    old = picture(part(b"tEXt", b"config\0" + CONFIG.model_dump_json().encode()))
    assert read_recipe(old).config == CONFIG


def test_neither_plugins_nor_folders_of_others_are_taken(tmp_path: Path) -> None:
    found = read_recipe(carrying({"system": "/far/away/photos", "plugins": ["/tmp/evil.py"]}))
    assert found.config.plugins == ()
    assert found.config.system == "elsewhere:photos"
    assert (
        found.left_out == "its plug-in file and the system, which is a folder of another machine"
    )


def test_a_picture_tells_no_folder_of_a_plugin() -> None:
    parent = CONFIG.model_copy(update={"plugins": ("/far/somebody/mine.py",)})
    child = branch_config(parent, step=2, router="full")
    text = recipe_text(child.model_copy(update={"plugins": parent.plugins}))
    assert "mine.py" in text
    assert "somebody" not in text


WRONG = {
    "no picture": (b"GIF89a", "no PNG"),
    "nothing": (b"", "no PNG"),
    "the signature alone": (SIGNATURE, "damaged or cut off"),
    "no recipe": (picture(part(b"IHDR", bytes(13))), "carries no recipe"),
    "another text": (picture(part(b"iTXt", b"Config\0\0\0\0\0{}")), "carries no recipe"),
    "after the end": (picture() + part(b"tEXt", b"config\0{}"), "carries no recipe"),
    "a huge length": (SIGNATURE + b"\xff\xff\xff\xffIDAT", "damaged or cut off"),
    "a strange part": (SIGNATURE + part(b"\0\0\0\0", b""), "damaged or cut off"),
    "another checksum": (picture(part(b"tEXt", b"config\0{}", 7)), "checksum"),
    "a packed text": (
        picture(part(b"iTXt", b"config\0\1\0\0\0" + zlib.compress(b"{}"))),
        "packed",
    ),
    "a bomb": (picture(part(b"zTXt", b"config\0\0" + zlib.compress(bytes(10**7)))), "no recipe"),
    "a cut text": (picture(part(b"iTXt", b"config\0\0\0")), "packed"),
    "a long text": (carrying(b'"' + b"a" * 300_000), "longer than 256 KiB"),
    "no JSON": (carrying(b"{"), "no JSON"),
    "deep JSON": (carrying(b"[" * 100_000), "no JSON"),
    "no settings": (carrying([1, 2]), "no list of settings"),
    "an unknown setting": (
        carrying({"system": "ring", "__class__": "x"}),
        "no setting '__class__'",
    ),
    "no system": (carrying({}), "system"),
    "a million seeds": (carrying({"system": "ring", "num": 10**9}), "num = 1000000000"),
    "not finite": (carrying(b'{"system": "ring", "guidance": NaN}'), "guidance"),
    "not utf-8": (carrying(b'{"system": "\xff"}'), "no JSON"),
    "many parts": (SIGNATURE + part(b"IDAT", b"") * 100_001, "carries no recipe"),
    "too large": (SIGNATURE + bytes(MOST_BYTES), "larger than 64 MiB"),
}


@pytest.mark.parametrize("name", WRONG)
def test_hostile_pictures_are_refused_in_a_sentence(name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(RequestError, match=reason) as caught:
        read_recipe(data)
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(some.lists(some.tuples(some.integers(0, len(SAMPLE) - 1), some.integers(0, 255))))
def test_a_changed_picture_is_refused_or_says_the_same(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for place, byte in changes:
        data[place] = byte
    try:
        assert read_recipe(bytes(data)).config == CONFIG
    except RequestError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - most changes are refused


@settings(max_examples=100, deadline=None)
@given(some.binary(max_size=200))
def test_any_text_as_a_recipe_is_refused_in_a_sentence(text: bytes) -> None:
    with pytest.raises(RequestError):
        read_recipe(carrying(text))


def test_the_command_line_repeats_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DDM_RUNS", str(tmp_path / "runs"))
    store = Store(tmp_path / "runs")
    few = ["--num", "3", "--steps", "2", "--device", "cpu", "--workers", "1", "--seed", "5"]
    assert run(["sample", "ring", "--router", "top_k:k=1", *few]) == 0
    (first,) = store.runs()
    file = store.folder(first.id) / "samples.png"
    assert run(["sample", "--recipe", str(file)]) == 0
    assert run(["sample", "--recipe", str(file), "--seed", "6", "--router", "full"]) == 0
    again, other = (one for one in reversed(store.runs()) if one.id != first.id)
    assert again.config == first.config
    assert again.hashes["samples"] == first.hashes["samples"]
    changed = {"seed": 6, "router": "full"}
    assert other.config == first.config.model_copy(update=changed)

    marker = tmp_path / "loaded"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(marker)!r}, 'w')")
    (tmp_path / "evil.png").write_bytes(carrying({**dict(first.config), "plugins": [str(evil)]}))
    assert run(["sample", "--recipe", str(tmp_path / "evil.png")]) == 0
    assert "without its plug-in file; add --plugin FILE" in capsys.readouterr().err
    assert not marker.exists()
    mine = tmp_path / "mine.py"
    mine.write_text("")
    assert run(["sample", "--recipe", str(tmp_path / "evil.png"), "--plugin", str(mine)]) == 0
    assert "without" not in capsys.readouterr().err
    assert not marker.exists()
    for said in (["sample"], ["sample", "--recipe", str(evil)]):
        assert run(said) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_picture_itself_is_an_ordinary_one() -> None:
    import io

    with Image.open(io.BytesIO(SAMPLE)) as opened:
        assert opened.size == (8, 8)
