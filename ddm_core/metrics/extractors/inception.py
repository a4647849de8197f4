"""torch-fidelity's Inception: the network behind published FIDs.

References:
    GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
        (Heusel et al., 2017)
    Rethinking the Inception Architecture for Computer Vision (Szegedy et al., 2015)
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics.extractors.base import EXTRACTORS, FeatureSource
from ddm_core.metrics.extractors.own import FidelityExtractor
from ddm_core.metrics.fidelity.lean import import_torchvision
from ddm_core.registry import setting

__all__ = ["SHA256", "VARIABLE", "InceptionSource"]

VARIABLE = "DDM_INCEPTION"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
REMEDY = f"give the file with {VARIABLE}=PATH, or measure with the system's own features"


@EXTRACTORS.register
@dataclass(frozen=True)
class InceptionSource(FeatureSource):
    """2,048 features of Inception v3, weights converted from the original TensorFlow graph."""

    name: ClassVar[str] = "inception"

    weights: str = setting(
        "", f"file of the weights; else ${VARIABLE}, else torch's cache, else downloaded"
    )

    def load(self, folder: Path | None, device: torch.device) -> FidelityExtractor:
        path = self._file()
        # The file is a pickle and the library unpickles it: only the published one may come near.
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != SHA256:
            raise RequestError(
                f"{path} is not torch-fidelity's Inception (sha256 {digest[:8]}, not {SHA256[:8]})"
            )
        import_torchvision()
        from torch_fidelity.utils import create_feature_extractor

        module = create_feature_extractor(
            "inception-v3-compat",
            ["2048"],
            cuda=False,
            verbose=False,
            feature_extractor_weights_path=path,
        )
        return FidelityExtractor(
            module.to(device),
            device,
            "inception",
            2048,
            digest,
            "images resized to 299 x 299 pixels as TensorFlow 1 does (bilinear)",
        )

    def _file(self) -> Path:
        given = self.weights or os.environ.get(VARIABLE, "")
        if given:
            path = Path(given)
            if not path.is_file():
                raise RequestError(f"there is no file {path} with Inception's weights")
            return path
        import_torchvision()
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rpartition("/")[2]
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(
                    URL_INCEPTION_V3, str(path), hash_prefix=SHA256[:8], progress=False
                )
            except (OSError, RuntimeError) as error:
                raise WorkError(
                    f"Inception's weights cannot be downloaded ({error}): {REMEDY}"
                ) from error
        return path
