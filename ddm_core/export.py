"""A run as tables for other programs: one tidy table per set of dims, a schema beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ddm_core import disk
from ddm_core.errors import unknown
from ddm_core.trace import PICTURE_DIMS, tables, trace_bytes

if TYPE_CHECKING:
    import xarray as xr

    from ddm_core.formats import Samples
    from ddm_core.records import RunRecord

__all__ = [
    "FORMATS",
    "Column",
    "Table",
    "csv_bytes",
    "harmless",
    "parquet_bytes",
    "run_tables",
    "write_tables",
]

FORMATS = ("csv", "parquet", "netcdf")

#: What a spreadsheet takes for a formula when a text cell starts with it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")

_DIMS = {
    "step": ("index of the sampling step, 0 is the noisiest", ""),
    "sample": ("seed of the sample", ""),
    "expert": ("index of the expert", ""),
    "t": ("time at the start of the step: 1 is noise, 0 is data", ""),
    "coordinate": ("axis of the plane: 0 is x, 1 is y", ""),
}
_METRIC_COLUMNS = {
    "metric": "name of the number",
    "kind": "quality (samples against real data) or trace (mean of a recorded variable)",
    "value": "the number",
    "low": "lower end of the 95% interval",
    "high": "upper end of the 95% interval",
    "n": "samples it rests on",
    "protocol": "how it was computed",
    "extractor": "features it was computed in",
    "method": "how the interval was made",
}
_METRIC_NUMBERS = ("value", "low", "high", "n")


class Column(NamedTuple):
    """What one column means."""

    name: str
    definition: str
    units: str


class Table(NamedTuple):
    """A tidy table with the meaning of its columns."""

    dims: tuple[str, ...]
    frame: pd.DataFrame
    columns: tuple[Column, ...]


def run_tables(record: RunRecord, trace: xr.Dataset, samples: Samples) -> dict[str, Table]:
    """All tables of a run by name: step, step_sample, step_sample_expert, samples, metrics."""
    out: dict[str, Table] = {}
    for name, frame in tables(trace).items():
        dims = tuple(name.split("_"))
        columns = [_column(trace, str(column)) for column in frame.columns]
        out[name] = Table(dims, frame, tuple(columns))
    out["samples"] = _samples_table(samples)
    out["metrics"] = _metrics_table(record)
    return out


def _column(trace: xr.Dataset, name: str) -> Column:
    if name in trace.data_vars:
        attrs = trace[name].attrs
        return Column(name, str(attrs.get("definition", "")), str(attrs.get("units", "")))
    return Column(name, *_DIMS.get(name, ("", "")))


def _samples_table(samples: Samples) -> Table:
    columns = [Column("sample", *_DIMS["sample"]), Column("index", "row in samples.npz", "")]
    data: dict[str, Any] = {"sample": samples.seeds, "index": np.arange(len(samples.seeds))}
    if samples.images.ndim == 2:
        for axis, name in enumerate(("x", "y")):
            data[name] = samples.images[:, axis]
            columns.append(Column(name, f"{name} of the sampled point", ""))
    else:
        data["mean"] = samples.images.reshape(len(samples.seeds), -1).mean(axis=1)
        columns.append(Column("mean", "mean over pixels and channels, 0 to 255", ""))
    return Table(("sample",), pd.DataFrame(data), tuple(columns))


def _metrics_table(record: RunRecord) -> Table:
    rows = [
        {**{key: one.get(key) for key in _METRIC_COLUMNS}, "metric": name, "kind": kind}
        for kind, numbers in (("quality", record.metrics), ("trace", record.summary))
        for name, one in numbers.items()
    ]
    frame = pd.DataFrame(rows, columns=list(_METRIC_COLUMNS))
    for name in frame.columns:
        kind = float if name in _METRIC_NUMBERS else "string"
        frame[name] = frame[name].astype(kind)
    columns = tuple(Column(name, text, "") for name, text in _METRIC_COLUMNS.items())
    return Table(("metric",), frame, columns)


def harmless(text: str) -> str:
    """The text of a cell, with an apostrophe in front where a spreadsheet would run it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV, UTF-8; missing numbers are empty, text that looks like a formula is not run.

    Numbers keep all their digits: what is read back is what was measured.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            cells = [
                text if text is None else harmless(text)
                for text in table.column(index).to_pylist()
            ]
            table = table.set_column(index, field.name, pa.array(cells, pa.string()))
    buffer = io.BytesIO()
    buffer.write((",".join(harmless(str(name)) for name in frame.columns) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(table, buffer, options)
    return buffer.getvalue()


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A table as Parquet, compressed with zstd."""
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def write_tables(
    record: RunRecord, trace: xr.Dataset, samples: Samples, folder: Path, format: str = "csv"
) -> list[Path]:
    """Write a run's tables and schema.json into a folder; files of the same name are replaced.

    Arguments:
        format: csv or parquet (a file per table), or netcdf (the labelled arrays, pictures
            included, and the metrics as CSV).

    Returns:
        The files written.

    Raises:
        RequestError: no such format.
        WorkError: the disk is full, the folder is not writable.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    disk.make_folder(folder)
    whole = run_tables(record, trace, samples)
    files: dict[str, bytes] = {}
    if format == "netcdf":
        files["trace.nc"] = trace_bytes(trace)
        files["metrics.csv"] = csv_bytes(whole["metrics"].frame)
    else:
        write: Callable[[pd.DataFrame], bytes] = csv_bytes if format == "csv" else parquet_bytes
        files = {f"{name}.{format}": write(table.frame) for name, table in whole.items()}
    files["schema.json"] = _schema(record, trace, whole, format)
    with disk.told("write the tables", folder):
        for name, data in files.items():
            disk.replace_file(folder / name, data)
    return [folder / name for name in files]


def _schema(
    record: RunRecord, trace: xr.Dataset, whole: Mapping[str, Table], format: str
) -> bytes:
    pictures = {
        str(name): {
            "dims": [str(dim) for dim in v.dims],
            "dtype": str(v.dtype),
            "definition": str(v.attrs.get("definition", "")),
        }
        for name, v in trace.data_vars.items()
        if set(v.dims) & set(PICTURE_DIMS)
    }
    schema = {
        "run": record.id,
        "system": record.system,
        "router": record.router,
        "config": record.config.model_dump(mode="json"),
        "hashes": record.hashes,
        "versions": record.versions,
        "format": format,
        "tables": {
            name: {
                "dims": list(table.dims),
                "rows": len(table.frame),
                "columns": [
                    {**one._asdict(), "dtype": str(table.frame[one.name].dtype)}
                    for one in table.columns
                ],
            }
            for name, table in whole.items()
        },
        "pictures, in the trace alone": pictures,
    }
    return json.dumps(schema, indent=1, allow_nan=False).encode() + b"\n"
