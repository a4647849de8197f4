"""A system in a folder: system.toml says what it is, safetensors files hold its numbers.

Nothing in such a folder is trusted: architectures come from a closed list, every file that is read
is hashed first, its tensors must be exactly those that the architecture asks for, and finite. What
is not so is refused in one sentence that names the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from ddm_core.denoise import Denoiser, NetworkDenoiser
from ddm_core.errors import RequestError
from ddm_core.nets import build
from ddm_core.schedules import schedule_named
from ddm_core.systems.base import Clusters, Features, System
from ddm_core.systems.manifest import MANIFEST, Manifest, Network, read_manifest

__all__ = ["load_checkpoint"]


def load_checkpoint(folder: Path) -> System:
    """A system from its folder, on the CPU, in float32, ready for inference.

    Raises:
        RequestError: a file is missing, damaged, of another system, or not understood.
    """
    manifest, info = read_manifest(folder)
    try:
        schedule = schedule_named(manifest.schedule)
    except RequestError as error:
        raise RequestError(f"{folder / MANIFEST}: {error}") from None
    start = schedule.alpha_sigma(torch.tensor(schedule.t_max))
    if manifest.prediction == "eps" and float(start[0]) == 0:
        raise RequestError(
            f"{folder / MANIFEST}: the path '{manifest.schedule}' begins with nothing but noise, "
            "where prediction 'eps' tells nothing of the image; there are: v, x_0"
        )

    def denoiser(name: str, network: Network) -> Denoiser:
        net = _load_network(folder, manifest, name, network)
        return NetworkDenoiser(net, schedule, manifest.prediction)

    nets = manifest.networks
    # What only the metrics read is checked here too: a system is whole or it is refused.
    for name in manifest.beside:
        _bytes(folder, manifest, name)
    experts = [denoiser(f"expert_{k}.safetensors", nets.expert) for k in range(manifest.experts)]
    return System(
        name=manifest.name,
        description=manifest.description,
        shape=manifest.shape,
        schedule=schedule,
        experts=tuple(experts),
        clusters=_load_clusters(folder, manifest),
        router=_load_network(folder, manifest, "router.safetensors", nets.router)
        if nets.router
        else None,
        monolith=denoiser("monolith.safetensors", nets.monolith) if nets.monolith else None,
        labels=manifest.labels,
        folder=folder,
        extractor=manifest.extractor or None,
        digest=manifest.digest,
        info=info,
    )


def _load_network(folder: Path, manifest: Manifest, name: str, network: Network) -> nn.Module:
    tensors = _read(folder, manifest, name)
    try:
        _limit(network, sum(tensor.numel() for tensor in tensors.values()))
        net = build(network.backbone, network.settings)
    except RequestError as error:
        raise RequestError(f"{folder / MANIFEST}: {error}") from None
    expected = {key: (tuple(t.shape), t.dtype) for key, t in net.state_dict().items()}
    _check(folder / name, tensors, expected)
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)


def _limit(network: Network, numbers: int) -> None:
    """Refuse absurd settings before they meet the memory: a unit of width has many weights."""
    values = [v if isinstance(v, list) else [v] for v in network.settings.values()]
    needed = sum(value * min(value, 16) for row in values for value in row)
    if needed > numbers:
        raise RequestError(
            f"backbone '{network.backbone}' with these settings is larger than its file"
        )


def _load_clusters(folder: Path, manifest: Manifest) -> Clusters:
    tensors = _read(folder, manifest, "clusters.safetensors")
    experts, shape = manifest.experts, manifest.shape
    dimension = shape[0] * shape[1] * shape[2]
    features = len(tensors["components"]) if "components" in tensors else dimension
    examples = (
        tensors["examples"].shape[1] if tensors.get("examples", torch.zeros(())).ndim > 1 else 0
    )
    expected = {
        "mean": ((dimension,), torch.float32),
        "feature_centroids": ((experts, features), torch.float32),
        "centroids": ((experts, *shape), torch.float32),
        "sizes": ((experts,), torch.int64),
        "spread": ((), torch.float32),
        "feature_spread": ((), torch.float32),
        "examples": ((experts, examples, *shape), torch.uint8),
    }
    if "spread" in tensors and "feature_spread" not in tensors:
        raise RequestError(
            f"{folder / 'clusters.safetensors'} is of an earlier version, which did not keep "
            "'feature_spread': train it again"
        )
    if manifest.clusters.features == "pca":
        expected["components"] = ((features, dimension), torch.float32)
    _check(folder / "clusters.safetensors", tensors, expected)
    sizes = tensors["sizes"]
    if tuple(sizes.tolist()) != manifest.clusters.sizes or int(sizes.min()) < 1:
        raise RequestError(
            f"{folder / 'clusters.safetensors'} does not have the sizes in {MANIFEST}"
        )
    return Clusters(
        centroids=tensors["centroids"],
        proportions=sizes.float() / sizes.sum(),
        spread=float(tensors["spread"]),
        features=Features(manifest.clusters.features, tensors["mean"], tensors.get("components")),
        feature_centroids=tensors["feature_centroids"],
        feature_spread=float(tensors["feature_spread"]),
        sizes=manifest.clusters.sizes,
        examples=tensors["examples"],
    )


def _bytes(folder: Path, manifest: Manifest, name: str) -> bytes:
    """A file whose hash is the one in system.toml."""
    path = folder / name
    try:
        raw = path.read_bytes()
    except OSError:
        raise RequestError(f"{path} is missing or cannot be read") from None
    if name not in manifest.files:
        raise RequestError(f"{path} is not listed in {MANIFEST}")
    if hashlib.sha256(raw).hexdigest() != manifest.files[name]:
        raise RequestError(f"{path} is damaged or foreign: {MANIFEST} has another sha256")
    return raw


def _read(folder: Path, manifest: Manifest, name: str) -> dict[str, Tensor]:
    path = folder / name
    # The bytes that were hashed are the bytes that are loaded.
    raw = _bytes(folder, manifest, name)
    try:
        return load(raw)
    except (SafetensorError, KeyError, ValueError) as error:
        raise RequestError(f"{path} is no safetensors file: {error}") from None


def _check(
    path: Path,
    tensors: dict[str, Tensor],
    expected: dict[str, tuple[tuple[int, ...], torch.dtype]],
) -> None:
    """Exactly these names, shapes and types, and every number finite."""
    for key in sorted(expected.keys() - tensors.keys()):
        raise RequestError(f"{path} lacks the tensor '{key}'")
    for key in sorted(tensors.keys() - expected.keys()):
        raise RequestError(f"{path} holds a foreign tensor '{key}'")
    for key, (shape, dtype) in expected.items():
        tensor = tensors[key]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise RequestError(
                f"{path}: tensor '{key}' is {tensor.dtype} {list(tensor.shape)}, "
                f"not {dtype} {list(shape)}"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise RequestError(f"{path}: tensor '{key}' holds numbers that are not finite")
