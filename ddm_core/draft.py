"""A run in the making: the files are written and flushed, then the folder gets its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddm_core import disk
from ddm_core.records import RunRecord

if TYPE_CHECKING:
    from ddm_core.run import Result

__all__ = ["Draft"]


class Draft:
    """A run in the making; `Store.begin` gives it."""

    def __init__(self, root: Path, record: RunRecord, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self.record = record

    def save(
        self, result: Result, metrics: Mapping[str, Mapping[str, Any]] | None = None
    ) -> RunRecord:
        """Write the result and give the run its place in the store.

        Arguments:
            result: of `ddm_core.run.execute`.
            metrics: quality by name, as `Measured.to_json` has it.

        Raises:
            WorkError: the disk is full, the folder is not writable.
        """
        # Imported here: a list of runs must not wait for what only writing needs.
        from ddm_core.summary import summarize

        summary = summarize(result.trace, result.seconds)
        record = self.record.model_copy(
            update={
                "status": "done",
                "config": result.config,
                "system": result.config.system,
                "router": result.config.router,
                "seconds": result.seconds,
                "device": result.device,
                "versions": dict(result.versions),
                "hashes": dict(result.hashes),
                "metrics": {name: dict(one) for name, one in (metrics or {}).items()},
                "summary": {name: one.to_json() for name, one in summary.items()},
                "error": "",
            }
        )
        with disk.told("save the run", self._root):
            _write_result(self._folder, result)
            # Last: a folder whose record says done holds everything.
            disk.replace_file(self._folder / "run.json", record.to_json())
            self._folder.replace(self._root / record.id)
            disk.sync_folder(self._root)
        self.record = record
        return record


def _write_result(folder: Path, result: Result) -> None:
    from ddm_core import pictures
    from ddm_core.formats import Samples, samples_bytes
    from ddm_core.recipe import KEY, recipe_text
    from ddm_core.trace import trace_bytes

    disk.write_file(folder / "samples.npz", samples_bytes(Samples(result.images, result.seeds)))
    disk.write_file(folder / "trace.nc", trace_bytes(result.trace))
    picture, text = pictures.grid(result.images), recipe_text(result.config)
    disk.write_file(folder / "samples.png", pictures.png(picture, {KEY: text}))
    if "x0_hat" in result.trace and "height" in result.trace["x0_hat"].dims:
        frames = result.trace["x0_hat"].transpose("step", "shown", "height", "width", "channel")
        (folder / "steps").mkdir()
        sheet = pictures.png(pictures.sheet(frames.values))
        disk.write_file(folder / "steps" / "x0_hat.png", sheet)
        disk.sync_folder(folder / "steps")
