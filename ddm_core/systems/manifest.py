"""system.toml: what a checkpoint folder says about itself, for people and for the loader."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ddm_core.errors import RequestError

__all__ = ["MANIFEST", "Manifest", "Network", "file_digest", "read_manifest", "write_manifest"]

FORMAT = 1
MANIFEST = "system.toml"


class Network(BaseModel):
    """An architecture: a name from ddm_core.nets and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    settings: dict[str, int | list[int]]


class Networks(BaseModel):
    """The architectures of a system; None where it has no such part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expert: Network
    monolith: Network | None = None
    router: Network | None = None
    features: Network | None = None


class ClusterFacts(BaseModel):
    """What system.toml says about the clusters."""

    model_config = ConfigDict(frozen=True)

    features: Literal["pca", "pixels"]
    sizes: tuple[int, ...] = Field(min_length=1, max_length=1024)


Temperature = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]


class HeldOutFacts(BaseModel):
    """The temperatures of routers that fit held-out data, for `temperature=fitted`.

    The other figures beside them are for people.
    """

    model_config = ConfigDict(frozen=True)

    router_temperature: Temperature | None = None
    nearest_temperature: Temperature | None = None


class Manifest(BaseModel):
    """The part of system.toml that loading depends on; the rest is for people.

    Arguments:
        format: of the folder; this program reads 1.
        name, description: how the system is called and one sentence about it.
        shape: (channel, height, width) of x_0.
        schedule, prediction: the path and what the networks predict on it.
        mix: the prediction in which experts are mixed.
        labels: class names, empty for unconditional experts.
        extractor: name of the reference statistics in reference/, or "" without any.
        networks, clusters, held_out: see there.
        files: sha256 of every file, by its path in the folder.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    name: str = Field(min_length=1, max_length=100)
    description: str
    shape: tuple[int, int, int]
    schedule: str
    prediction: Literal["v", "x_0", "eps"]
    mix: Literal["v"]
    labels: tuple[str, ...] = ()
    extractor: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    networks: Networks
    clusters: ClusterFacts
    held_out: HeldOutFacts = HeldOutFacts()
    files: dict[str, str]

    @property
    def experts(self) -> int:
        """How many experts there are."""
        return len(self.clusters.sizes)

    @property
    def beside(self) -> list[str]:
        """The files that measure samples or show the data, and make no sample."""
        found = ["features.safetensors"] if self.networks.features else []
        if self.extractor:
            found.append(f"reference/{self.extractor}.safetensors")
        return [*found, "map.safetensors"] if "map.safetensors" in self.files else found

    @property
    def digest(self) -> str:
        """sha256 over what decides a sample: path, networks, clusters, fitted temperatures."""
        about = {"description", "name", "labels", "extractor", "files"}
        said = self.model_dump(mode="json", exclude=about)
        # A system without fitted temperatures is what it was before there were any.
        fitted = {name: t for name, t in said.pop("held_out").items() if t is not None}
        said |= {"held_out": fitted} if fitted else {}
        said["files"] = {n: d for n, d in self.files.items() if n not in self.beside}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file, as system.toml holds it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    """What system.toml says: the checked part, and everything.

    Raises:
        RequestError: no such file, no TOML, or not what this program understands.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RequestError(f"{folder} is no checkpoint: it has no {MANIFEST}")
    try:
        info = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(info), info
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RequestError(f"{path} is not understood: {where}: {first['msg']}") from None


def write_manifest(folder: Path, info: dict[str, Any]) -> None:
    """Write system.toml with the hashes of all safetensors files that lie in the folder.

    Raises:
        RequestError: `info` is no manifest.
    """
    paths = sorted(folder.rglob("*.safetensors"))
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
    info = {"format": FORMAT, **info, "files": files}
    # Rows of numbers on one line: a matrix is read as a matrix.
    rows = re.compile(r"\[\n\s+([^\[\]]*?),\n\s*\]")
    text = rows.sub(lambda row: "[" + re.sub(r",\n\s+", ", ", row[1]) + "]", tomli_w.dumps(info))
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    read_manifest(folder)
