"""The flow of a run as a file beside the runs: found again by what it was computed from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import xarray as xr

from ddm_core import disk
from ddm_core.errors import RequestError
from ddm_core.formats import read_trace
from ddm_core.records import RunRecord
from ddm_core.trace import trace_bytes

__all__ = ["field_path", "load_field", "save_field"]

#: Of what a file holds; another one makes a file of its own.
_FORMAT = 2
_DIMS = {
    "velocity": ("step", "y", "x", "coordinate"),
    "lipschitz": ("step", "y", "x"),
    "disagreement": ("step", "y", "x"),
    "weights": ("step", "y", "x", "expert"),
    "expert_velocity": ("step", "y", "x", "own", "coordinate"),
    "state": ("step", "sample", "coordinate"),
    "twin": ("step", "sample", "coordinate"),
    "leader": ("step", "sample"),
    "path_lipschitz": ("step", "sample"),
}


def field_path(root: Path, run: RunRecord) -> Path:
    """Where the store in this folder keeps the flow of a run; runs of equal samples share it."""
    text = f"{_FORMAT} {run.config.digest} {run.hashes.get('system', '')}"
    return root / ".fields" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.nc"


def save_field(path: Path, flow: xr.Dataset) -> None:
    """Write a flow; a reader sees the old one or the new one.

    Raises:
        WorkError: the disk is full, the folder is not writable.
    """
    disk.make_folder(path.parent)
    with disk.told("keep the flow", path.parent):
        disk.replace_file(path, trace_bytes(flow))


def load_field(path: Path) -> xr.Dataset:
    """Read a flow back; see `field.field_of`.

    Raises:
        RequestError: there is none, it is damaged, or it holds something else.
    """
    flow = read_trace(path)
    for name, dims in _DIMS.items():
        if name not in flow or flow[name].dims != dims:
            raise RequestError(f"{path} is no flow: '{name}' is missing or of another shape")
    if flow.sizes["coordinate"] != 2 or not {"t", "x", "y", "sample"} <= set(flow.coords):
        raise RequestError(f"{path} is no flow of the plane")
    return flow
