"""Runs and a catalogue for the tests of pages: pictures with every variable, and points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from streamlit.testing.v1 import AppTest
from test_figures import EXPERTS, SAMPLES, STEPS, make_trace

from app.catalogue import made_of
from ddm_core.config import make_config
from ddm_core.estimate import registered_costs
from ddm_core.records import RunRecord
from ddm_core.run import Result, execute
from ddm_core.store import Store

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> [a](javascript:x)'


class Chart(NamedTuple):
    """A figure as the browser gets it."""

    spec: dict[str, Any]
    alt: str


def charts(app: AppTest) -> list[Chart]:
    """The figures of a page, in order."""
    found = [one.proto for one in app.get("bidi_component")]
    said = [json.loads(one.json) for one in found if one.component_name == "ddm_chart"]
    return [Chart(json.loads(one["spec"]), one["alt"]) for one in said]


def known(**changes: Any) -> dict[str, Any]:
    """A catalogue, as the child process prints it; a server that finds it asks no child."""
    image = {
        "name": "tiny",
        "description": "3 experts on nothing",
        "shape": [1, 4, 6],
        "experts": EXPERTS,
        "labels": ["zero", "one"],
        "router": "learned",
        "monolith": True,
        "sizes": [30, 20, 10],
        "label_counts": [[29, 1], [10, 10], [0, 10]],
        "folder": "",
        "quality": True,
    }
    ring = {
        "name": "ring",
        "description": "a ring",
        "shape": [2],
        "experts": 2,
        "router": "exact",
        "monolith": True,
        "centres": [[1.0, 0.0], [-1.0, 0.0]],
        "spread": 0.1,
    }
    broken = {"name": "broken", "error": "expert_0.safetensors is damaged"}
    k = {"name": "k", "kind": "int", "default": 2, "help": "how many", "low": 1, "high": None}
    soft = {"name": "temperature", "kind": "float", "default": 1.0, "help": "", "low": 0.001}
    top_k = {"name": "top_k", "help": "The k largest.", "fields": [k | {"choices": []}]}
    learned = {
        "name": "learned",
        "help": "Its network.",
        "fields": [soft | {"high": None, "choices": []}],
    }
    return {
        "systems": [image, ring, broken],
        "routers": [learned],
        "strategies": [{"name": "full", "help": "All.", "fields": []}, top_k],
        "samplers": [{"name": "euler", "help": "Euler.", "fields": []}],
        "probes": [],
        "folder": "",
        "costs": registered_costs().model_dump(mode="json"),
        "made_of": made_of(),
        **changes,
    }


def known_store(folder: Path) -> Store:
    """An empty store in this folder, whose server knows its systems and asks no child."""
    runs = folder / "runs"
    runs.mkdir()
    (runs / ".catalogue.json").write_text(json.dumps(known()))
    return Store(runs)


def image_run(
    store: Store, router: str, comparison: str | None = None, **settings: Any
) -> RunRecord:
    """A stored run of pictures, with every kind of variable."""
    trace = make_trace(route="full" if "full" in router else "top")
    usual = {"system": "tiny", "router": router, "seed": 10, "num": SAMPLES, "steps": STEPS}
    config = make_config(usual | settings)
    images = np.random.default_rng(0).integers(0, 256, (SAMPLES, 4, 6, 1), dtype=np.uint8)
    result = Result(
        config=config,
        samples=None,  # pyright: ignore[reportArgumentType]
        images=images,
        seeds=np.arange(10, 10 + SAMPLES),
        trace=trace,
        seconds=1.5,
        device="cpu",
        hashes={"x_T": "00aa" * 16, "samples": "", "system": ""},
        versions={},
    )
    fid = {"value": 50.0, "low": 45.0, "high": 55.0, "n": SAMPLES, "protocol": "a test"}
    return store.save(result, comparison=comparison, metrics={"fid": fid})


def point_runs(store: Store, comparison: str) -> list[RunRecord]:
    """Real runs of the ring, a monolith among them."""
    out: list[RunRecord] = []
    for router in ("monolith", "top_k:k=1", "full"):
        config = make_config({"system": "ring", "router": router, "num": 6, "steps": 4})
        out.append(store.save(execute(config), comparison=comparison))
    return out
