"""The evidence of a small audit: alignment, accuracy, router and disagreement, two experts."""

from __future__ import annotations

from typing import Any

from small_audit import PICTURE, number

TIMES = [0.9, 0.5, 0.1]


def curve(first: float, step: float = 0.1) -> list[dict[str, Any]]:
    """A number at every t."""
    return [number(first + step * i, 0.05) for i in range(len(TIMES))]


def evidence() -> dict[str, Any]:
    """The sections, as `small_audit(**evidence())` takes them."""
    route = {
        "router": "top_k:k=1",
        "chosen": curve(1.0),
        "not_chosen": curve(3.0),
        "hit": curve(0.6),
        "hit_chance": [0.5, 0.5, 0.5],
        "rank": curve(1.1),
        "rank_chance": 1.5,
        "definition": "|phi(x0_hat) - mu_k|",
    }
    everybody = {**route, "router": "full", "not_chosen": [number(None, 0)] * 3}
    none = [number(None, 0)] * 3
    loss = [
        # At the middle t the route saves 0.05 of what its best expert would lose.
        {
            "router": "top_k:k=1",
            "loss": curve(0.5),
            "over_oracle": curve(0.05, -0.1),
            "over_best": curve(0.2),
        },
        {"router": "full", "loss": curve(0.2), "over_oracle": curve(0.0), "over_best": none},
        {"router": "monolith", "loss": curve(0.6), "over_oracle": none, "over_best": none},
    ]
    buckets = [
        {
            "low": 0.1 * i,
            "high": 0.1 * i + 0.1,
            "n": 16,
            "quality": number(20.0 + 10 * i),
            "distance": number(4.0 + i),
            "picture": PICTURE,
        }
        for i in range(4)
    ]
    return {
        "alignment": {
            "times": TIMES,
            "routes": [route, everybody],
            "noising": {
                "times": TIMES[::-1],
                "router": "top_k:k=1",
                "hit": curve(0.5),
                "chance": [0.5, 0.5, 0.5],
            },
        },
        "accuracy": {
            "times": TIMES[::-1],
            "clusters_n": [30, 34],
            "matrix": [[[1.0, 3.0], [2.0, None]]] * 3,
            "routes": [
                {
                    "router": "top_k:k=1",
                    "chosen": curve(0.2),
                    "not_chosen": curve(0.5),
                    "difference": curve(-0.3),
                }
            ],
            "loss": loss,
            "source": "64 test images",
        },
        "router": {
            "name": "learned",
            "times": TIMES[::-1],
            "accuracy": curve(0.9, -0.2),
            "ece": [0.01, 0.02, 0.03],
            "entropy": curve(0.1),
            "chance": 0.53,
            "reliability": [
                {"low": 0.5, "high": 0.6, "confidence": 0.55, "accuracy": 0.5, "n": 10},
                {"low": 0.9, "high": 1.0, "confidence": 0.97, "accuracy": 0.96, "n": 182},
            ],
            "ece_all": 0.02,
            "temperature": number(1.17, 0.1),
            "nll": 0.6,
            "nll_fitted": 0.59,
        },
        "disagreement": {
            "times": TIMES,
            "routes": [
                {
                    "router": "top_k:k=1",
                    "by_t": curve(0.2),
                    "buckets": buckets,
                    "spearman": number(0.3, 0.1),
                    "p": 0.001,
                }
            ],
            "pixels": {"times": TIMES[::-1], "maps": [[[0.0, 0.1], [0.2, 0.3]]] * 3},
            "across": number(0.4, 0.2),
        },
    }
