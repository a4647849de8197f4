"""Tables for other programs: tidy, complete, harmless, fast."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_up import made_up

from ddm_core.errors import RequestError
from ddm_core.export import csv_bytes, harmless, run_tables
from ddm_core.formats import Samples
from ddm_core.records import RunRecord
from ddm_core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


TABLES = {"step", "step_sample", "step_sample_expert", "samples", "metrics"}


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_one_tidy_table_per_set_of_dims(store: Store, tmp_path: Path, format: str) -> None:
    result = made_up()
    record = store.save(result, metrics={"fid": {"value": 2.0, "n": 6, "protocol": "=cmd()"}})
    files = store.export_tables(record.id, tmp_path / "out", format)
    assert {f.name for f in files} == {f"{name}.{format}" for name in TABLES} | {"schema.json"}
    read = pd.read_csv if format == "csv" else pd.read_parquet
    cells = read(tmp_path / "out" / f"step_sample_expert.{format}")
    assert len(cells) == 5 * 6 * 3
    assert list(cells.columns[:4]) == ["step", "sample", "expert", "t"]
    back = cells.set_index(["step", "sample", "expert"])["weights"].to_xarray()
    assert (back.values.astype("f4") == result.trace["weights"].values).all()
    samples = read(tmp_path / "out" / f"step_sample.{format}")
    growth = samples["perturbation_growth"]
    assert growth.isna().sum() == 5 * 3  # not observed is empty, not zero


def test_the_schema_names_every_column(store: Store, tmp_path: Path) -> None:
    record = store.save(made_up())
    store.export_tables(record.id, tmp_path)
    schema = json.loads((tmp_path / "schema.json").read_text())
    assert schema["run"] == record.id
    assert schema["config"]["system"] == "digits"
    for name, table in schema["tables"].items():
        frame = pd.read_csv(tmp_path / f"{name}.csv")
        assert [one["name"] for one in table["columns"]] == list(frame.columns)
        assert table["rows"] == len(frame)
    columns = {one["name"]: one for one in schema["tables"]["step_sample_expert"]["columns"]}
    assert columns["weights"]["definition"] == "w"
    assert columns["weights"]["dtype"] == "float32"
    assert schema["tables"]["step_sample"]["dims"] == ["step", "sample"]


def test_netcdf_is_the_trace(store: Store, tmp_path: Path) -> None:
    result = made_up()
    record = store.save(result)
    store.export_tables(record.id, tmp_path, "netcdf")
    with xr.open_dataset(tmp_path / "trace.nc", engine="h5netcdf") as trace:
        assert trace.load().identical(result.trace)


def test_points_have_coordinates(store: Store, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 2)).astype("f4")
    record = store.save(made_up()._replace(images=points))
    store.export_tables(record.id, tmp_path)
    assert pd.read_csv(tmp_path / "samples.csv")[["x", "y"]].to_numpy("f4").tolist() == (
        points.tolist()
    )


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("x","y")']
)
def test_no_cell_is_a_formula(text: str) -> None:
    frame = pd.DataFrame({"text": [text, "plain", None], "number": [-1.5, np.nan, -2.0]})
    rows = list(csv.reader(io.StringIO(csv_bytes(frame).decode(), newline="")))
    assert rows == [["text", "number"], ["'" + text, "-1.5"], ["plain", ""], ["", "-2"]]
    assert harmless("-") == "'-"
    assert harmless("a=b") == "a=b"


def test_a_hostile_protocol_is_text(store: Store, tmp_path: Path) -> None:
    record = store.save(made_up(), metrics={"=evil()": {"value": -1.0, "protocol": "@x"}})
    store.export_tables(record.id, tmp_path)
    first = (tmp_path / "metrics.csv").read_text().splitlines()[1]
    assert first.startswith('"\'=evil()","quality",-1,')
    assert '"\'@x"' in first


def test_an_unknown_format_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path
) -> None:
    record = store.save(made_up())
    with pytest.raises(RequestError, match="no format 'xls'; there are: csv, netcdf, parquet"):
        store.export_tables(record.id, tmp_path / "out", "xls")
    assert not (tmp_path / "out").exists()


def test_a_full_run_is_a_table_in_about_a_second() -> None:
    result = made_up(num=256, steps=50, experts=8)
    record = RunRecord(
        id="x", status="done", created="", system="digits", router="full", config=result.config
    )
    begun = time.process_time()
    tables = run_tables(record, result.trace, Samples(result.images, result.seeds))
    text = csv_bytes(tables["step_sample_expert"].frame)
    assert time.process_time() - begun < 2.0
    assert text.count(b"\n") == 256 * 50 * 8 + 1
