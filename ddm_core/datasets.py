"""Images by name or from a folder: digits (bundled), mnist (IDX files), or anybody's pictures."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ddm_core.errors import RequestError

__all__ = ["ImageSet", "load_dataset"]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_MOST_PIXELS = 64 * 1024**2
_MOST_FILE_BYTES = 64 * 1024**2
_MOST_IMAGES = 1_000_000


class ImageSet(NamedTuple):
    """A part of a dataset.

    Arguments:
        name: of the dataset.
        images: uint8 [image, channel, height, width].
        labels: int64 [image], or None.
        label_names: one per label; empty without labels.
        skipped: number of files that could not be read.
    """

    name: str
    images: Tensor
    labels: Tensor | None
    label_names: tuple[str, ...]
    skipped: int = 0


def load_dataset(
    name: str | Path,
    *,
    split: str = "train",
    folder: Path | None = None,
    size: int | None = None,
    grey: bool | None = None,
    download: bool = True,
) -> ImageSet:
    """The images of a dataset, always in the same order.

    Arguments:
        name: "digits", "mnist", or the path of a folder or .zip of images.
        split: "train" or "test". Digits are split 80/20 and folders 90/10 by a fixed seed.
        folder: where mnist's IDX files are, directly or in MNIST/raw; default $DDM_DATA, else
            `data`.
        size: side in pixels of a folder's images after the square centre crop; default 32.
        grey: whether a folder's images become grey; default: they do where all are.
        download: whether mnist's files are fetched where they are missing.

    Raises:
        RequestError: an unknown name or split, missing or damaged files, no image at all.
    """
    if split not in ("train", "test"):
        raise RequestError(f"no split '{split}'; there are: train, test")
    if name == "digits":
        return _digits(split)
    if name == "mnist":
        return _mnist(split, folder or Path(os.environ.get("DDM_DATA") or "data"), download)
    path = Path(name)
    if not path.exists():
        raise RequestError(
            f"no dataset '{name}'; there are: digits, mnist, any folder or .zip of images"
        )
    return _pictures(path, split, size or 32, grey)


def _digits(split: str) -> ImageSet:
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    grey = (np.asarray(pixels) * (255 / 16)).round().astype(np.uint8)
    images = torch.from_numpy(grey).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(np.asarray(target).astype(np.int64))
    chosen = _split(len(images), split, test_share=0.2)
    return ImageSet("digits", images[chosen], labels[chosen], tuple(map(str, range(10))))


def _split(n: int, split: str, test_share: float) -> Tensor:
    order = torch.from_numpy(np.random.default_rng(0).permutation(n))
    held_out = max(1, int(n * test_share))
    return (order[:held_out] if split == "test" else order[held_out:]).sort().values


def _mnist(split: str, folder: Path, download: bool) -> ImageSet:
    stem = "train" if split == "train" else "t10k"
    files = [f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"]
    places = [folder, folder / "raw", folder / "MNIST" / "raw"]
    found = _mnist_files(files, places)
    if found is None and download:
        # Imported here: torchvision takes a second, and only this line needs it.
        from torchvision.datasets import MNIST

        try:
            MNIST(str(folder), download=True)
        except (OSError, RuntimeError) as error:
            looked = ", ".join(str(place) for place in places)
            raise RequestError(
                f"no MNIST files {files[0]}[.gz] in {looked}, and downloading them failed: {error}"
            ) from None
        found = _mnist_files(files, places)
    if found is None:
        looked = ", ".join(map(str, places))
        raise RequestError(f"no MNIST files {files[0]}[.gz] in {looked}")
    images = _read_idx(found[0])
    labels = _read_idx(found[1]).to(torch.int64)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise RequestError(
            f"{found[0].name} and {found[1].name} in {found[0].parent} do not match"
        )
    return ImageSet("mnist", images[:, None], labels, tuple(map(str, range(10))))


def _mnist_files(names: list[str], places: list[Path]) -> list[Path] | None:
    for place in places:
        found = [p for n in names for p in (place / n, place / f"{n}.gz") if p.is_file()]
        if len({p.name.removesuffix(".gz") for p in found}) == len(names):
            return [next(p for p in found if p.name.removesuffix(".gz") == n) for n in names]
    return None


def _read_idx(path: Path) -> Tensor:
    """An IDX file of bytes, gzipped or plain: uint8 [*]."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise RequestError(f"{path} is no IDX file of bytes")
    head = 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, head, 4)]
    if len(raw) != head + int(np.prod(shape)):
        raise RequestError(f"{path} is cut off: it should hold {shape} bytes after its header")
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=head).reshape(shape).copy())


def _pictures(path: Path, split: str, size: int, grey: bool | None) -> ImageSet:
    if size < 8 or size > 256 or size % 4:
        raise RequestError(f"size {size} must be a multiple of 4 between 8 and 256")
    names: list[PurePosixPath] = []
    pictures: list[Image.Image] = []
    skipped = 0
    for name, raw in _zip_files(path) if path.is_file() else _folder_files(path):
        picture = _decode(raw, size)
        if picture is None:
            skipped += 1
        else:
            names.append(name)
            pictures.append(picture)
    if not pictures:
        kinds = ", ".join(sorted(_SUFFIXES))
        raise RequestError(
            f"{path} holds no readable image ({kinds}); {skipped} could not be read"
        )
    if grey is None:
        grey = all(picture.mode == "L" for picture in pictures)
    arrays = [np.asarray(picture.convert("L" if grey else "RGB")) for picture in pictures]
    images = torch.from_numpy(np.stack(arrays))
    images = images[:, None] if grey else images.permute(0, 3, 1, 2).contiguous()
    parents = [name.parent.name for name in names]
    classes = tuple(sorted(set(parents))) if all(parents) else ()
    # One folder for everything says where the images lie, not what they show.
    labels = torch.tensor([classes.index(p) for p in parents]) if len(classes) > 1 else None
    chosen = _split(len(images), split, test_share=0.1)
    return ImageSet(
        path.stem,
        images[chosen],
        None if labels is None else labels[chosen],
        classes if labels is not None else (),
        skipped,
    )


def _folder_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    for file in files[:_MOST_IMAGES]:
        relative = PurePosixPath(file.relative_to(path).as_posix())
        yield (
            relative,
            file.read_bytes() if file.stat().st_size <= _MOST_FILE_BYTES else b"",
        )


def _zip_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Members are read in memory and never written, so that no name in the archive is a path."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise RequestError(f"{path} is neither a folder nor a .zip: {error}") from None
    with archive:
        members = sorted(archive.infolist(), key=lambda member: member.filename)
        members = [
            m
            for m in members
            if PurePosixPath(m.filename).suffix.lower() in _SUFFIXES
            and not m.filename.startswith("__MACOSX/")
        ]
        for member in members[:_MOST_IMAGES]:
            raw = b""
            if member.file_size <= _MOST_FILE_BYTES:
                try:
                    raw = archive.read(member)
                except (
                    zipfile.BadZipFile,
                    RuntimeError,
                    NotImplementedError,
                    zlib.error,
                ):
                    raw = b""  # counted as unreadable by the caller
            yield PurePosixPath(member.filename), raw


def _decode(raw: bytes, size: int) -> Image.Image | None:
    """The centre square of an image at size x size, grey or RGB; None where it cannot be read."""
    try:
        with Image.open(io.BytesIO(raw)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            grey = picture.mode in ("1", "L", "I", "I;16", "LA")
            upright = ImageOps.exif_transpose(picture)
            if picture.mode == "I;16":
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return ImageOps.fit(
                upright.convert("L" if grey else "RGB"),
                (size, size),
                Image.Resampling.LANCZOS,
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
