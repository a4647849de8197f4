"""The files of a run: samples.npz and trace.nc, written through memory and read with limits.

Nothing is unpickled. Sizes are checked against what a file declares before anything is allocated,
because a file of 200 bytes can ask for terabytes.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ddm_core.errors import RequestError
from ddm_core.plain_zip import require_plain_zip

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Samples",
    "check_samples",
    "check_trace",
    "read_samples",
    "read_trace",
    "samples_bytes",
]

_MOST_BYTES = 8 * 1024**3
_MOST_ARRAYS = 500
_SMALL_BYTES = 32 * 1024**2
_MOST_RATIO = 200
_DTYPES = {"samples": ("uint8", "float32"), "seeds": ("int64",)}
#: HDF5 filters that need no plug-in: gzip, shuffle, fletcher32.
_FILTERS = frozenset({1, 2, 3})
#: What reading a damaged .zip raises.
_BAD_ZIP = (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Samples(NamedTuple):
    """What a run made.

    Arguments:
        images: uint8 [sample, height, width, channel], or points float32 [sample, 2].
        seeds: int64 [sample].
    """

    images: np.ndarray
    seeds: np.ndarray


def samples_bytes(samples: Samples) -> bytes:
    """The bytes of samples.npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, samples=samples.images, seeds=samples.seeds)
    return buffer.getvalue()


def read_samples(path: Path) -> Samples:
    """The samples of a run.

    Raises:
        RequestError: the file is damaged, too large, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {f"{name}.npy": name for name in _DTYPES}
            if sorted(archive.namelist()) != sorted(names):
                raise RequestError(f"{path.name} must hold {' and '.join(_DTYPES)}")
            arrays: dict[str, np.ndarray] = {}
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    name = names[entry.filename]
                    arrays[name] = _read_array(file, entry.file_size, _DTYPES[name])
    except _BAD_ZIP as error:
        raise RequestError(f"{path.name} holds no readable samples: {str(error)[:200]}") from None
    images, seeds = arrays["samples"], arrays["seeds"]
    shaped = images.ndim == (4 if images.dtype == np.uint8 else 2)
    if not shaped or seeds.shape != images.shape[:1]:
        raise RequestError(
            f"{path.name} holds samples {images.shape} and seeds {seeds.shape}, which do not match"
        )
    return Samples(images, seeds)


def _read_array(file: IO[bytes], size: int, dtypes: tuple[str, ...]) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"array format {version} is not supported")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.name not in dtypes or by_column:
        raise ValueError(f"an array of {dtype} is not what a run has")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or file.tell() + count * dtype.itemsize != size:
        raise ValueError(f"an array declares shape {shape}, which does not fit its size")
    if size > _MOST_BYTES:
        raise ValueError(f"an array of {size} bytes is too large")
    array = np.empty(shape, dtype)
    rest = array.reshape(-1).view(np.uint8).data
    while len(rest):
        done = cast(io.BufferedIOBase, file).readinto(rest)
        if not done:
            raise ValueError("an array is cut off")
        rest = rest[done:]
    return array


def read_trace(path: Path) -> xr.Dataset:
    """The trace of a run, whole.

    Raises:
        RequestError: the file is damaged.
    """
    from ddm_core.trace import load_trace

    return load_trace(path)


def check_samples(path: Path) -> None:
    """Refuse samples from elsewhere that would fill the memory from a small file.

    Raises:
        RequestError: what was found.
    """
    require_plain_zip(path, most_files=len(_DTYPES))
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _BAD_ZIP as error:
        raise RequestError(f"{path.name} holds no readable samples: {str(error)[:200]}") from None
    if {info.compress_type for info in infos} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise RequestError(f"{path.name} is packed in a way that is not used here")
    total = sum(info.file_size for info in infos)
    if total > _MOST_BYTES or _implausible(total, path):
        raise RequestError(f"{path.name} declares {total} bytes, which is more than it can hold")


def _implausible(total: int, path: Path) -> bool:
    """Whether so many bytes are no measured numbers: those do not pack that small."""
    return total > _SMALL_BYTES and total > _MOST_RATIO * path.stat().st_size


def check_trace(path: Path) -> None:
    """Refuse a trace from elsewhere that could do more than hold numbers.

    HDF5 files can point into other files, load filters as code and declare sizes that are not
    there.

    Raises:
        RequestError: what was found.
    """
    import h5py

    total = 0
    try:
        with h5py.File(path, "r") as file:
            if len(file) > _MOST_ARRAYS:
                raise ValueError(f"{len(file)} arrays are more than {_MOST_ARRAYS}")
            for name in file:
                if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"'{name}' points elsewhere")
                array = file[name]
                if not isinstance(array, h5py.Dataset):
                    raise ValueError(f"'{name}' is no array")
                if array.dtype.kind not in "biuf" or len(array.attrs) > _MOST_ARRAYS:
                    raise ValueError(f"'{name}' holds something other than numbers")
                plist = array.id.get_create_plist()
                filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
                if array.external or array.is_virtual or not filters <= _FILTERS:
                    raise ValueError(f"'{name}' is kept in a way that is not allowed here")
                total += array.size * array.dtype.itemsize
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise RequestError(f"{path.name} is no trace that can be trusted: {error}") from None
    if total > _MOST_BYTES or _implausible(total, path):
        raise RequestError(f"{path.name} declares {total} bytes, which is more than it can hold")
