"""The trace: labelled arrays of everything that was measured at every step.

A trace is an xarray.Dataset with dims step, sample, expert (and, for pictures, shown, height,
width, channel); the coordinate of sample is its seed, t stands along step, attrs say where it
comes from. A tidy table holds all variables that share the same dims.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ddm_core.errors import RequestError

__all__ = ["PICTURE_DIMS", "Variable", "join", "load_trace", "save_trace", "tables", "trace_bytes"]

#: Variables with one of these dims are pictures: drawn, not tabulated.
PICTURE_DIMS = ("height", "width", "channel")


class Variable(NamedTuple):
    """What a probe measures.

    Arguments:
        name: of the variable in the trace; snake_case.
        dims: its dimensions, "step" first.
        definition: one line, a formula where there is one; shown beside every number.
        units: "" for none.
    """

    name: str
    dims: tuple[str, ...]
    definition: str
    units: str = ""


def join(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Traces of different samples of one run as one, in the order given.

    A variable that a part lacks is missing (nan) there; on which samples it was measured is thus
    told by its own values. Variables without a sample dim are totals and add up over the parts
    that have them.
    """
    first = parts[0]
    totals = [str(n) for n, v in first.data_vars.items() if not {"sample", "shown"} & set(v.dims)]
    pictures = [str(n) for n, v in first.data_vars.items() if "shown" in v.dims]
    whole = xr.concat(
        [
            part.drop_vars(totals + pictures, errors="ignore").drop_dims("shown", errors="ignore")
            for part in parts
        ],
        dim="sample",
        join="exact",
        combine_attrs="override",
        coords="minimal",
        compat="override",
    )
    for name in totals:
        total = sum(part[name] for part in parts if name in part)
        whole[name] = xr.DataArray(total, attrs=first[name].attrs)
    shown = [part[pictures] for part in parts if all(name in part for name in pictures)]
    if pictures:
        whole = whole.merge(xr.concat(shown, dim="shown", join="exact", combine_attrs="override"))
    return whole[[str(n) for n in first.data_vars]]


def tables(trace: xr.Dataset) -> dict[str, pd.DataFrame]:
    """One tidy table per set of dims, named by them: "step", "step_sample", "step_sample_expert".

    Every table starts with its dims (sample is the seed) and t, then a column per variable.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, variable in trace.data_vars.items():
        dims = tuple(str(d) for d in variable.dims)
        if not set(dims) & set(PICTURE_DIMS):
            groups.setdefault(dims, []).append(str(name))
    out: dict[str, pd.DataFrame] = {}
    for dims, names in groups.items():
        frame = trace[names].to_dataframe(dim_order=list(dims)).reset_index()
        head = [*dims, *(["t"] if "step" in dims else [])]
        out["_".join(dims)] = frame.loc[:, [*head, *names]]
    return out


def trace_bytes(trace: xr.Dataset) -> bytes:
    """The bytes of trace.nc: NetCDF-4, compressed, as weights of sparse routes are mostly zeros.

    In memory, because the HDF5 library takes the process down when the disk fills up under it.
    """
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 1} for name, v in trace.data_vars.items() if v.ndim
    }
    buffer = io.BytesIO()
    trace.to_netcdf(buffer, engine="h5netcdf", encoding=encoding)
    return buffer.getvalue()


def save_trace(trace: xr.Dataset, path: Path) -> None:
    """Write trace.nc."""
    path.write_bytes(trace_bytes(trace))


def load_trace(path: Path) -> xr.Dataset:
    """Read a trace back whole; a damaged file is refused in one sentence."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as trace:
            return trace.load()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        # The library's sentences break over lines.
        said = " ".join(str(error).split())
        raise RequestError(f"{path} is no readable trace: {said}") from None


def as_array(variable: Variable, values: np.ndarray) -> xr.DataArray:
    """Values with the variable's dims and words."""
    attrs = {
        "long_name": variable.name.replace("_", " "),
        "definition": variable.definition,
    }
    return xr.DataArray(values, dims=variable.dims, attrs={**attrs, "units": variable.units})
