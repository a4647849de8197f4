"""A small audit, as `ddm audit` writes it: two temperatures, three k, a paradox at one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from app.pictures import data_url

PICTURE = data_url(np.arange(64, dtype=np.uint8).reshape(8, 8))


def number(value: float | None, half: float = 0.5, n: int = 64) -> dict[str, Any]:
    """An estimate; without an interval where half is 0."""
    whole = value is not None and half > 0
    return {
        "value": value,
        "low": value - half if whole and value is not None else None,
        "high": value + half if whole and value is not None else None,
        "n": n,
        "method": "made up",
    }


def check(name: str, value: float, says: str, *, decides: bool = True) -> dict[str, Any]:
    """A test behind a claim."""
    return {
        "name": name,
        "definition": "a difference",
        "estimate": number(value),
        "effect_size": 0.4,
        "p": 0.001,
        "p_holm": 0.004,
        "says": says,
        "decides": decides,
    }


def claim(place: int, verdict: str, *tests: dict[str, Any]) -> dict[str, Any]:
    """A claim with its tests; the effect is the first one's."""
    first = tests[0]["estimate"] if tests else number(None)
    return {
        "claim": place,
        "title": f"claim {place}",
        "statement": "as published",
        "verdict": verdict,
        **{"effect": first["value"], "low": first["low"], "high": first["high"]},
        "n": first["n"],
        "effect_name": "FID(full) - FID(top_k:k=2)",
        "unit": "",
        "sentence": f"It is {verdict}.",
        "tests": list(tests),
        "caveats": ["one system"],
    }


def route(router: str, k: int | None, fid: float, delta: float, **changes: Any) -> dict[str, Any]:
    """A route with a quality and two sensitivities; lipschitz falls where delta rises."""
    return {
        "router": router,
        "run": None,
        "strategy": "top_k",
        "k": k,
        "temperature": 1.0,
        "kind": "strategy",
        "calls": float(k or 1),
        "seconds": 1.0,
        "failed": None,
        "numbers": {
            "fid": number(fid),
            "delta_refine": number(delta, delta / 10),
            "lipschitz": number(3 - 10 * delta, 0.1, 32),
        },
        "convergence": {"steps": [12, 25], "delta": [number(2 * delta, 0), number(delta, 0)]},
        "picture": PICTURE,
        **changes,
    }


def paradox_map() -> dict[str, Any]:
    """Top-2 is best; the full ensemble is the stablest, and at temperature 4 the worst."""
    fid = {(1, 1.0): 40.0, (2, 1.0): 20.0, (8, 1.0): 22.0}
    fid |= {(1, 4.0): 40.0, (2, 4.0): 24.0, (8, 4.0): 60.0}
    cells = [
        {
            "k": k,
            "temperature": t,
            "error": 0.0,
            "router": f"learned:temperature={t:g}/top_k:k={k}",
            "quality": number(value),
            "delta_refine": number(0.08 - 0.007 * k, 0.001),
            "lipschitz": number(2.0 - 0.1 * k, 0.01),
            "picture": PICTURE,
        }
        for (k, t), value in fid.items()
    ]
    first = {"temperature": 1.0, "error": 0.0, "best": 2, "worst": 1, "most_stable": 8}
    second = {"temperature": 4.0, "error": 0.0, "best": 2, "worst": 8, "most_stable": 8}
    return {
        "ks": [1, 2, 8],
        "temperatures": [1.0, 4.0],
        "errors": [0.0],
        "cells": cells,
        "orders": [
            {**first, "separated": True, "paradox": False},
            {**second, "separated": True, "paradox": True},
        ],
        "router_temperature": number(2.0, 0.2),
        "sentence": "in 1 of 2 columns",
    }


def small_audit(**changes: Any) -> dict[str, Any]:
    """All of it."""
    against = check("FID of full - top_k:k=2", -6.0, "contradicts")
    beside = check("growth", 0.1, "undecided", decides=False)
    rows = [
        {
            "name": name,
            "title": name,
            "definition": "",
            "spearman": number(rho, 0.2),
            "leave_one_out": [None, None] if rho is None else [rho - 0.1, rho + 0.1],
            "routes": 4,
        }
        for name, rho in (("delta_refine", -0.1), ("routed_loss", 0.7), ("entropy", None))
    ]
    return {
        "format": 1,
        "system": "mnist",
        "title": "mnist",
        "description": "made up",
        "digest": "00ff",
        "created": "2026-11-20T10:00:00+00:00",
        "command": "ddm audit mnist",
        "seconds": 60.0,
        "machine": "a machine",
        "versions": {"ddm": "0.1.0"},
        "config_hash": "abc",
        "plan": {
            "num": 64,
            "steps": 25,
            "sampler": "euler",
            "seed": 0,
            "stability_samples": 32,
            "truth_images": 10,
            "truth_source": "test",
            "times": [0.5],
            "budget_seconds": 60.0,
            "given_up": ["64 samples instead of 2000"],
            "quality": "fid",
            "quality_title": "FID",
            "quality_protocol": "a protocol",
            "experts": 8,
        },
        "health": [],
        "claims": [
            claim(1, "contradicted", against, beside),
            claim(2, "supported", check("distance", -1.0, "supports")),
            claim(3, "undecided", check("loss", 0.1, "undecided")),
            claim(4, "undecided"),
        ],
        "routes": [
            route("monolith", None, 21.0, 0.03, kind="reference", temperature=None),
            route("top_k:k=1", 1, 40.0, 0.07),
            route("top_k:k=2", 2, 20.0, 0.06),
            route("full", 8, 22.0, 0.02),
            route("learned:temperature=4/full", 8, 60.0, 0.01, kind="map", temperature=4.0),
            route("threshold", None, 1.0, 1.0, failed="no memory", numbers={}, convergence=None),
        ],
        "definitions": {
            "fid": {"title": "FID", "definition": "Frechet", "better": "lower"},
            "delta_refine": {"title": "Delta_refine", "definition": "", "better": "lower"},
        },
        "alignment": {"times": [1.0], "routes": [], "noising": None},
        "accuracy": None,
        "router": None,
        "disagreement": {"times": [1.0], "routes": [], "pixels": None, "across": None},
        "league": {"quality": "fid", "rows": rows, "sentence": "over 4 routes"},
        "map": paradox_map(),
        **changes,
    }


def write_audit(root: Path, name: str = "mnist-abc", **changes: Any) -> Path:
    """Put an audit into a store; its file."""
    path = root / "audits" / name / "audit.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(small_audit(**changes)))
    return path


def hostile(words: str) -> dict[str, Any]:
    """The audit with these words wherever text may stand, and a foreign picture."""

    def poisoned(part: Any, at: str = "") -> Any:
        if isinstance(part, dict):
            return {key: poisoned(value, key) for key, value in part.items()}
        if isinstance(part, list):
            return [poisoned(one, at) for one in part]
        if isinstance(part, str) and at not in _KEPT:
            return "data:text/html," + words if at == "picture" else f"{part} {words}"
        return part

    return poisoned(small_audit())


#: What is no text but says which of several things something is.
_KEPT = {"verdict", "says", "kind", "quality", "better", "run"}
