"""Which map of the data a page shows: of the checkpoint, of the store, or a first one at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from app import state
from app.catalogue import Catalogue, SystemCard
from app.figures.points import cloud_info
from ddm_core.analysis.data_map import About, DataMap, Space, plain_map
from ddm_core.analysis.map_file import MAP, kept_path, load_map
from ddm_core.errors import RequestError
from ddm_core.records import RunRecord

__all__ = ["FoundMap", "MapSystem", "find_map", "stamp", "systems_of"]


class MapSystem(NamedTuple):
    """A system whose data can be drawn.

    Arguments:
        name: as `load_system` takes it.
        card: of the catalogue, or None for a folder or for settings behind colons.
        digest: of the system, or "" where nobody told it.
        runs: done runs of exactly this system, newest first.
        others: done runs of the same name from another version of it.
    """

    name: str
    card: SystemCard | None
    digest: str
    runs: tuple[RunRecord, ...]
    others: int

    @property
    def folder(self) -> Path | None:
        """Of the checkpoint."""
        if self.card is not None:
            return Path(self.card.folder) if self.card.folder else None
        return Path(self.name) if (Path(self.name) / "system.toml").is_file() else None


class FoundMap(NamedTuple):
    """A map, and how it was come by.

    Arguments:
        data_map: None where there is none yet.
        key: of which file and which state of it.
        whole: whether a job would add nothing: all that can be computed is there.
        fault: why a map that is there cannot be shown, or "".
    """

    data_map: DataMap | None
    key: str
    whole: bool
    fault: str = ""


def systems_of(catalogue: Catalogue, records: Sequence[RunRecord]) -> list[MapSystem]:
    """Systems of the catalogue, and those that only runs know."""
    done = [record for record in records if record.status == "done"]
    cards = {card.name: card for card in catalogue.systems if not card.error}
    # A map shows pictures first: the systems of points stand behind those of images.
    named = sorted(cards, key=lambda name: (not cards[name].is_image, name != "mnist", name))
    found: list[MapSystem] = []
    for name in dict.fromkeys([*named, *(record.system for record in done)]):
        card = cards.get(name)
        mine = [record for record in done if record.system == name]
        digest = card.digest if card is not None else ""
        digest = digest or next((one.hashes.get("system", "") for one in mine), "")
        same = tuple(one for one in mine if one.hashes.get("system", "") in ("", digest))
        found.append(MapSystem(name, card, digest, same, len(mine) - len(same)))
    return found


def stamp(path: Path) -> str:
    """Changes whenever the file does; "" where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{path} {found.st_mtime_ns} {found.st_size}"


def find_map(system: MapSystem, root: Path) -> FoundMap:
    """The map of a system: shipped, else computed by a job, else what can be drawn at once.

    Arguments:
        root: the store's folder.
    """
    fault = ""
    for path in _places(system, root):
        if not (key := stamp(path)):
            continue
        try:
            loaded = state.kept(lambda path=path: load_map(path), "data_map", key)
        except RequestError as error:
            fault = str(error)
            continue
        if not system.digest or loaded.about.digest == system.digest:
            whole = "umap" in loaded.embeddings or "plane" in loaded.embeddings
            return FoundMap(loaded, key, whole, fault)
    try:
        first = state.kept(lambda: _first(system), "first_map", system.name, system.digest)
    except RequestError as error:
        first, fault = None, fault or str(error)
    drawn = first is not None and "plane" in first.embeddings
    return FoundMap(first, f"first {system.name} {system.digest}", drawn, fault)


def _places(system: MapSystem, root: Path) -> list[Path]:
    shipped = [system.folder / MAP] if system.folder is not None else []
    try:
        return [*shipped, kept_path(root, system.digest)]
    except RequestError:
        return shipped


def _first(system: MapSystem) -> DataMap | None:
    """Without dataset, torch or waiting: the images that a checkpoint keeps, or drawn points."""
    card = system.card
    about = About(
        system=system.name, digest=system.digest, source="", shape=(2,), reach=0, versions={}
    )
    if card is not None and card.centres:
        points = cloud_info(np.array(card.centres), card.spread, each=200).points
        source = f"{points[..., 0].size:,} points drawn from the {len(points)} clusters"
        clusters = np.repeat(np.arange(len(points)), points.shape[1])
        space = Space((2,), np.zeros(2, dtype=np.float32), None)
        said = about.model_copy(update={"source": source})
        return plain_map(said, space, points.reshape(-1, 2), clusters, np.full(len(clusters), -1))
    if system.folder is None:
        return None
    file = system.folder / "clusters.safetensors"
    try:
        tensors = load_file(file)
        examples = tensors["examples"]
        count, each, *shape = examples.shape
        channels, height, width = shape
        space = Space((channels, height, width), tensors["mean"], tensors.get("components"))
        pictures = np.moveaxis(examples.reshape(-1, *shape), 1, 3)
        clusters = np.repeat(np.arange(count), each)
        said = about.model_copy(
            update={
                "source": f"{each} training images of each cluster, which the system keeps",
                "shape": space.shape,
            }
        )
        return plain_map(said, space, pictures, clusters, np.full(len(clusters), -1))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RequestError(f"{file} shows no images of the clusters: {error}") from None
