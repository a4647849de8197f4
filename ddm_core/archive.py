"""Runs as one .zip, to hand to somebody else; and the way back, which trusts nothing.

An archive holds manifest.json (format, and sha256 and size of every file) and, per run, exactly
the files that a run has. Everything is checked in a folder of its own before it enters the store.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from ddm_core import disk
from ddm_core.elsewhere import taken_in
from ddm_core.errors import RequestError
from ddm_core.formats import check_samples, check_trace, read_samples, read_trace
from ddm_core.plain_zip import require_plain_zip
from ddm_core.records import RUN_ID, RunRecord, read_record

__all__ = ["pack", "same_run", "unpack"]

_NAME = re.compile(
    rf"({RUN_ID.pattern})/(run\.json|trace\.nc|samples\.npz|samples\.png|steps/[a-z0-9_]+\.png)"
)
_MANIFEST = "manifest.json"
_MOST_FILES = 20_000
_MOST_MANIFEST_BYTES = 16 * 1024**2
_MOST_BYTES = 32 * 1024**3
_MOST_RATIO = 200
_MOST_PIXELS = 128 * 1024**2
_CHUNK = 1024**2


class _File(BaseModel):
    size: Annotated[int, Field(ge=0, le=_MOST_BYTES)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    format: Literal["ddm runs"]
    version: Literal[1]
    files: dict[str, _File]


def pack(folders: Sequence[Path], file: Path) -> None:
    """Write the runs in these folders as one archive, which appears whole or not at all.

    Raises:
        RequestError: there are none.
        WorkError: the disk is full, the place is not writable.
    """
    if not folders:
        raise RequestError("no runs to export")
    fresh = file.with_name(disk.owned("new", file.name))
    files: dict[str, dict[str, int | str]] = {}
    disk.make_folder(file.parent)
    try:
        with disk.told("write the archive", file.parent):
            with zipfile.ZipFile(fresh, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for path in _files(folders):
                    name = f"{path.parent.name}/{path.name}"
                    if path.parent.name == "steps":
                        name = f"{path.parent.parent.name}/{name}"
                    data = path.read_bytes()
                    archive.writestr(name, data)
                    files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                manifest = {"format": "ddm runs", "version": 1, "files": files}
                archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
            fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _files(folders: Sequence[Path]) -> list[Path]:
    return [
        path
        for folder in dict.fromkeys(folders)
        for path in sorted([*folder.glob("*"), *folder.glob("steps/*.png")])
        if path.is_file() and not path.name.startswith(".")
    ]


def same_run(one: Path, other: Path) -> bool:
    """Whether two folders hold the same samples and the same trace, whatever was noted since."""
    return all(
        _digest(one / name) == _digest(other / name) for name in ("samples.npz", "trace.nc")
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def unpack(file: Path, into: Path) -> list[RunRecord]:
    """Check an archive and unpack it into a new folder, one folder per run.

    Plug-ins that a config names are dropped: they are files of the sender's machine, and a file of
    the same name here must not be run because an archive says so.

    Raises:
        RequestError: the first thing that is wrong, in one sentence.
    """
    if not file.is_file():
        raise RequestError(f"there is no file {file}")
    require_plain_zip(file, most_files=_MOST_FILES)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked_entries(archive, file)
            manifest = _read_manifest(archive, entries, file)
            into.mkdir()
            _require_room(entries.values(), into, file)
            for name, entry in entries.items():
                _extract(archive, entry, into / name, manifest.files[name], file)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{file.name} is no readable archive: {str(error)[:200]}") from None
    except OSError as error:
        # A file that is said to begin before the archive does.
        if error.errno != errno.EINVAL:
            raise
        raise RequestError(f"{file.name} is no readable archive: its list is damaged") from None
    return [_checked_run(folder, file) for folder in sorted(into.iterdir())]


def _require_room(entries: Iterable[zipfile.ZipInfo], place: Path, file: Path) -> None:
    needed = sum(entry.file_size for entry in entries)
    free = shutil.disk_usage(place).free
    if needed > 0.9 * free:
        sizes = f"{needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB are free"
        raise RequestError(f"{file.name} would unpack to {sizes}")


def _checked_entries(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """All entries but the manifest, by name."""
    infos = archive.infolist()
    if len(infos) > _MOST_FILES:
        raise RequestError(f"{file.name} holds {len(infos)} files; at most {_MOST_FILES}")
    if sum(info.file_size for info in infos) > _MOST_BYTES:
        raise RequestError(f"{file.name} would unpack to more than {_MOST_BYTES >> 30} GiB")
    out: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        shown = repr(info.filename[:80])
        if info.filename != _MANIFEST and not _NAME.fullmatch(info.filename):
            raise RequestError(f"{file.name} holds {shown}, which is no file of a run")
        if info.filename in out:
            raise RequestError(f"{file.name} holds {shown} twice")
        if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
            raise RequestError(f"{file.name} holds {shown} as a link or encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RequestError(f"{file.name} holds {shown} packed in a way that is not used here")
        if info.file_size > 65_536 and info.file_size > _MOST_RATIO * info.compress_size:
            raise RequestError(f"{file.name} holds {shown}, which is packed implausibly small")
        out[info.filename] = info
    if sum(info.compress_size for info in infos) > file.stat().st_size:
        raise RequestError(f"{file.name} holds files that share their bytes")
    if _MANIFEST not in out:
        raise RequestError(f"{file.name} is no archive of runs: it has no {_MANIFEST}")
    return out


def _read_manifest(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], file: Path
) -> _Manifest:
    info = entries.pop(_MANIFEST)
    if info.file_size > _MOST_MANIFEST_BYTES:
        raise RequestError(f"{file.name} has a {_MANIFEST} that is too large")
    try:
        manifest = _Manifest.model_validate_json(archive.read(info))
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise RequestError(f"{file.name} has a {_MANIFEST} that is damaged: {first}") from None
    if not entries or set(manifest.files) != set(entries):
        raise RequestError(f"{file.name} does not hold the files that its {_MANIFEST} lists")
    return manifest


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, promised: _File, file: Path
) -> None:
    digest, size = hashlib.sha256(), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > promised.size:
                break
            digest.update(chunk)
            target.write(chunk)
        disk.sync_file(target)
    if size != promised.size or digest.hexdigest() != promised.sha256:
        raise RequestError(f"{file.name} is damaged: {entry.filename} is not what was packed")


def _checked_run(folder: Path, file: Path) -> RunRecord:
    record = read_record(folder)
    if record.id != folder.name:
        raise RequestError(f"{file.name} holds {folder.name} with the record of another run")
    if record.status == "done":
        check_samples(folder / "samples.npz")
        count = len(read_samples(folder / "samples.npz").seeds)
        check_trace(folder / "trace.nc")
        if count != record.config.num:
            raise RequestError(f"{file.name}: {folder.name} does not hold the samples it names")
        if read_trace(folder / "trace.nc").sizes.get("sample", count) != count:
            raise RequestError(f"{file.name}: trace and samples of {folder.name} do not match")
    for picture in folder.rglob("*.png"):
        _check_picture(picture, file)
    config = taken_in(record.config)
    # The system and the route that pages show are those that the config names.
    named = {"config": config, "system": config.system, "router": config.router}
    return record.model_copy(update=named)


def _check_picture(path: Path, file: Path) -> None:
    """Read the header alone: a small PNG can declare a picture that fills the memory."""
    with path.open("rb") as picture:
        head = picture.read(24)
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    if head[:8] != b"\x89PNG\r\n\x1a\n" or not 0 < width * height <= _MOST_PIXELS:
        raise RequestError(f"{file.name}: {path.name} is no picture of a run")
