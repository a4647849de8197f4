"""The trace: parts become one, a dataset becomes tables, a file gives back what it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ddm_core.errors import RequestError
from ddm_core.trace import Variable, as_array, join, load_trace, save_trace, tables

STEPS, EXPERTS = 3, 2

#: name: dims, kind. What every batch has, and what only the observed ones have.
EVERYWHERE = {
    "weights": (("step", "sample", "expert"), "float32"),
    "nearest_selected": (("step", "sample"), "bool"),
    "rank": (("step", "sample"), "int64"),
    "expert_calls": (("step",), "int64"),
    "usage": (("step", "expert"), "float32"),
}
OBSERVED = {
    "growth": (("step", "sample"), "float64"),
    "jumped": (("step", "sample"), "bool"),
    "twin_calls": (("step",), "int64"),
    "x0_hat": (("step", "shown", "height", "width", "channel"), "uint8"),
}


def part(seeds: Sequence[int], *, observed: bool, shown: int = 0) -> xr.Dataset:
    """A batch's trace; every value tells its seed, step and expert."""
    sizes = {"step": STEPS, "sample": len(seeds), "expert": EXPERTS, "shown": shown}
    sizes |= {"height": 2, "width": 2, "channel": 1}
    coords = {
        "step": ("step", np.arange(STEPS)),
        "t": ("step", np.linspace(1, 0.1, STEPS)),
        "sample": ("sample", np.array(seeds, dtype=np.int64)),
        "expert": ("expert", np.arange(EXPERTS)),
    }
    if shown:
        coords["shown"] = ("shown", np.array(seeds[:shown], dtype=np.int64))
    data: dict[str, xr.DataArray] = {}
    for name, (dims, kind) in {**EVERYWHERE, **(OBSERVED if observed else {})}.items():
        if "shown" in dims and not shown:
            continue
        value = np.zeros([sizes[dim] for dim in dims])
        index = np.indices(value.shape)
        for axis, dim in enumerate(dims):
            if dim in ("sample", "shown"):
                value += np.array(seeds)[index[axis]] % 7
            else:
                value += 10 * index[axis]
        value = value % 2 if kind == "bool" else value
        variable = Variable(name, dims, f"what {name} means", "rad")
        data[name] = as_array(variable, value.astype(kind))
    return xr.Dataset(data, coords)


def joined() -> xr.Dataset:
    return join(
        [
            part(range(10, 14), observed=True, shown=2),
            part(range(14, 16), observed=True),
            part(range(16, 21), observed=False),
        ]
    ).drop_attrs(deep=False)


def test_values_land_at_their_seeds() -> None:
    trace = joined()
    alone = part(range(10, 21), observed=True, shown=2)
    assert trace.sample.values.tolist() == list(range(10, 21))
    for name in ("weights", "nearest_selected", "rank"):
        xr.testing.assert_identical(trace[name], alone[name])
        assert trace[name].dtype == EVERYWHERE[name][1]
    np.testing.assert_array_equal(trace.t, alone.t)
    assert list(trace.data_vars) == [*EVERYWHERE, *OBSERVED]


def test_what_was_not_observed_is_missing() -> None:
    trace = joined()
    alone = part(range(10, 16), observed=True)
    seen = trace.sel(sample=slice(10, 15))
    for name in ("growth", "jumped"):
        np.testing.assert_array_equal(seen[name], alone[name])
        assert bool(trace[name].sel(sample=slice(16, None)).isnull().all())
        assert trace[name].dtype.kind == "f"
        assert trace[name].attrs == alone[name].attrs


def test_totals_add_up_over_those_who_counted() -> None:
    trace = joined()
    one = part([0], observed=True)
    np.testing.assert_array_equal(trace.expert_calls, 3 * one.expert_calls)
    np.testing.assert_array_equal(trace.usage, 3 * one.usage)
    np.testing.assert_array_equal(trace.twin_calls, 2 * one.twin_calls)
    assert trace.expert_calls.dtype == np.int64
    assert trace.expert_calls.attrs["definition"] == "what expert_calls means"


def test_pictures_are_of_the_shown() -> None:
    trace = joined()
    assert trace.shown.values.tolist() == [10, 11]
    assert trace.x0_hat.dtype == np.uint8
    split = join([part(range(10, 12), observed=True, shown=2), part([12], observed=True, shown=1)])
    assert split.shown.values.tolist() == [10, 11, 12]
    np.testing.assert_array_equal(split.x0_hat, part(range(10, 13), observed=True, shown=3).x0_hat)


def test_one_part_stays_as_it_is() -> None:
    alone = part(range(3), observed=True, shown=2)
    xr.testing.assert_identical(join([alone]), alone)


def test_a_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    trace = joined().assign_attrs(router="top_k:k=1", config='{"steps": 3}', system="ring")
    save_trace(trace, tmp_path / "trace.nc")
    back = load_trace(tmp_path / "trace.nc")
    xr.testing.assert_identical(back, trace)
    for name in trace.data_vars:
        assert back[name].dtype == trace[name].dtype
    # Nothing of the file is needed any more.
    (tmp_path / "trace.nc").unlink()
    assert float(back.weights.sum()) == float(trace.weights.sum())


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "folder"])
def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trace.nc"
    save_trace(joined(), path)
    whole = path.read_bytes()
    if damage in ("missing", "folder"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    else:
        path.write_bytes({"empty": b"", "text": b"not a trace", "cut": whole[:-500]}[damage])
    with pytest.raises(RequestError, match=r"trace\.nc is no readable trace") as caught:
        load_trace(path)
    assert "\n" not in str(caught.value)


# The library's own destructor complains about what it could not close.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_are_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    """Whatever a bad disk does: a sentence or a dataset, never another exception."""
    path = tmp_path / "trace.nc"
    save_trace(joined(), path)
    raw = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for where in random.integers(len(raw), size=40):
        raw[where] ^= int(random.integers(1, 256))
    path.write_bytes(raw)
    with contextlib.suppress(RequestError):
        assert isinstance(load_trace(path), xr.Dataset)


def test_tables_hold_every_value_once() -> None:
    trace = joined()
    made = tables(trace)
    assert set(made) == {"step_sample_expert", "step_sample", "step", "step_expert"}
    assert list(made["step_sample_expert"]) == ["step", "sample", "expert", "t", "weights"]
    assert list(made["step_sample"])[:3] == ["step", "sample", "t"]
    assert len(made["step_sample_expert"]) == STEPS * 11 * EXPERTS
    for name, frame in made.items():
        dims = [d for d in ("step", "sample", "expert") if d in frame.columns]
        back = frame.set_index(dims).to_xarray()
        for column in frame.columns.drop([*dims, "t"]):
            np.testing.assert_array_equal(back[column], trace[column], err_msg=f"{name} {column}")
    whole = made["step_sample"]
    assert whole["nearest_selected"].dtype == bool
    assert whole["growth"].isna().sum() == 5 * STEPS
    np.testing.assert_array_equal(whole["t"], trace.t.values[whole["step"]])


def test_tables_leave_pictures_out() -> None:
    trace = joined()
    assert "x0_hat" in trace
    made = tables(trace)
    assert "step_sample" in made
    assert not any("x0_hat" in frame.columns for frame in made.values())
