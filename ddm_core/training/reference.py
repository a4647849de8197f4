"""Reference statistics: the training images in feature space, so that FID needs no dataset.

References:
    GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
    (Heusel et al., 2017)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ddm_core.metrics.fidelity import feature_statistics
from ddm_core.nets import ConvClassifier, build
from ddm_core.systems.manifest import file_digest
from ddm_core.training.clusters import as_float, project
from ddm_core.training.loop import write_tensors
from ddm_core.training.parts import part_path
from ddm_core.training.plan import Plan

__all__ = ["extractor_name", "write_reference"]

_MOST_KEPT = 10_000
_BATCH = 1000


def extractor_name(plan: Plan) -> str:
    """Of the system's own feature space: its classifier's, or its principal components."""
    return f"{plan.name}-{'convnet' if 'features' in plan.parts else 'pca'}"


def write_reference(plan: Plan, folder: Path) -> None:
    """Write reference/<extractor>.safetensors from the training images.

    It holds mu [feature] and sigma [feature, feature] over all images as torch-fidelity computes
    them, and for KID and precision / recall the features of up to 10,000 images, float32
    [image, feature], with their cluster, int64 [image]: a seeded choice in the images' order.
    """
    name = extractor_name(plan)
    path = folder / "reference" / f"{name}.safetensors"
    if path.is_file():
        return
    images = load_file(folder / "data.safetensors")["train_images"]
    features = torch.cat([_extract(plan, folder, rows) for rows in images.split(_BATCH)])
    mu, sigma = feature_statistics(features.numpy())
    order = np.random.default_rng(plan.seed).permutation(len(images))[:_MOST_KEPT]
    # In the order of the images: KID's subsets are drawn by row.
    kept = torch.from_numpy(np.sort(order))
    clusters = load_file(folder / "assignment.safetensors")["train"]
    tensors = {
        "mu": torch.from_numpy(mu),
        "sigma": torch.from_numpy(sigma),
        "features": features[kept],
        "clusters": clusters[kept],
    }
    weights = part_path(folder, "features" if "features" in plan.parts else "clusters")
    facts = {
        "extractor": name,
        "weights": file_digest(weights),
        "split": f"{plan.dataset} train",
        "n": str(len(images)),
    }
    write_tensors(path, tensors, facts)


@torch.no_grad()
def _extract(plan: Plan, folder: Path, images: Tensor) -> Tensor:
    x = as_float(images)
    if "features" not in plan.parts:
        clusters = load_file(folder / "clusters.safetensors")
        return project(x, clusters["mean"], clusters["components"])
    part = plan.parts["features"]
    net = build(part.backbone, part.settings)
    assert isinstance(net, ConvClassifier)
    net.load_state_dict(load_file(part_path(folder, "features")))
    return net.eval().features(x)
