"""Features, statistics, numbers with intervals: how good samples are, and how sure that is."""

from __future__ import annotations

from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors import EXTRACTORS, Extractor, extract_features, load_extractor
from ddm_core.metrics.fid import paired_difference
from ddm_core.metrics.measure import gather, measure, measure_evidence
from ddm_core.metrics.reference import (
    Reference,
    load_reference,
    reference_from_features,
    reference_from_images,
    save_reference,
)

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "Evidence",
    "Extractor",
    "Measured",
    "Metric",
    "Reference",
    "extract_features",
    "gather",
    "load_extractor",
    "load_reference",
    "measure",
    "measure_evidence",
    "paired_difference",
    "reference_from_features",
    "reference_from_images",
    "save_reference",
]
