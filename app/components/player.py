"""Samples of several runs side by side under one time cursor, played in the browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import xarray as xr
from streamlit.components.v2 import component

from app import selection
from app.components.difference import difference_scale
from app.figures.look import Look, expert_colours, run_style
from app.figures.subjects import Subject
from app.pictures import data_url, packed, sprite, thinned

__all__ = ["Pairing", "PlayerData", "player", "player_data"]

_HERE = Path(__file__).parent
_MOST_IMAGES = 36
_MOST_POINTS = 1000
_BY_HAND = ", by hand"

_PLAYER = component(
    "ddm_player",
    html=(_HERE / "player.html").read_text(),
    css=(_HERE / "player.css").read_text(),
    js="".join(
        (_HERE / f"{name}.js").read_text()
        for name in ("cursor", "frames", "points", "pair", "choosing", "save", "player")
    ),
)


class Pairing(NamedTuple):
    """Which two runs are compared, and how; the browser changes it without asking.

    Arguments:
        mode: "" is side by side; ab, blink, difference.
        pair: letters of the two runs with a comma between; "" is the first two.
        order: of the samples: "" by seed, "parting" those first whose two runs part first.
        parting: step at which each sample parts, by seed; -1 is never. Of this pair.
        on_pair: called when another pair is chosen.
    """

    mode: str = ""
    pair: str = ""
    order: str = ""
    parting: dict[int, int] | None = None
    on_pair: Callable[[], None] = lambda: None


class PlayerData(NamedTuple):
    """What the browser gets, once: frames as one picture per run, or points as packed numbers.

    Arguments:
        content: JSON without the view (step, focus, theme), which changes more often.
        frames: which steps the frames are, int [frame].
    """

    content: dict[str, Any]
    frames: np.ndarray


def player_data(
    subjects: Sequence[Subject],
    notes: Sequence[str],
    *,
    centres: np.ndarray | None = None,
    spread: float = 0.0,
) -> PlayerData | None:
    """Frames of the runs that can be played, or None where no run holds any.

    Arguments:
        subjects: runs of one system; those of a comparison share their seeds.
        notes: a line under each run.
        centres, spread: of the clusters, for systems whose samples are points.
    """
    name = next((n for n in ("x0_hat", "state") if n in subjects[0].trace), None)
    if name is None:
        return None
    dim = "shown" if name == "x0_hat" else "sample"
    most = _MOST_IMAGES if name == "x0_hat" else _MOST_POINTS
    playable = [s.trace for s in subjects if name in s.trace]
    shared = set.intersection(*(set(trace[dim].values.tolist()) for trace in playable))
    seeds = sorted(shared)[:most]
    if not seeds:
        return None
    shortest = min(playable, key=lambda trace: trace.sizes["step"])
    steps = shortest.sizes["step"]
    frames = thinned(steps)
    experts = max(trace.sizes.get("expert", 1) for trace in playable)
    content: dict[str, Any] = {
        "seeds": seeds,
        "frames": frames.tolist(),
        "steps": steps,
        "t": np.asarray(shortest["t"].values, dtype=float)[frames].tolist(),
        "colours": expert_colours(experts),
        "columns": _columns(len(seeds)),
    }
    if "snr" in shortest.coords:
        content["snr"] = np.asarray(shortest["snr"].values, dtype=float)[frames].tolist()
    runs: list[dict[str, Any]] = []
    for index, (subject, note) in enumerate(zip(subjects, notes, strict=True)):
        if name not in subject.trace:
            continue
        # Runs of other lengths play at the same fraction of their own steps.
        own = np.round(frames / max(steps - 1, 1) * (subject.trace.sizes["step"] - 1)).astype(int)
        one = subject.trace.isel(step=own).sel({dim: seeds})
        run: dict[str, Any] = {"label": subject.label, "note": note, "index": index}
        run |= _pictures(one, seeds) if name == "x0_hat" else _points(one)
        run["alt"] = f"{len(seeds)} samples of {subject.label} at the step of the cursor: " + (
            "the predicted clean images" if name == "x0_hat" else "the states x_t"
        )
        runs.append(run)
    content["runs"] = runs
    if name == "x0_hat":
        content["tile"] = [shortest.sizes["height"], shortest.sizes["width"]]
        content["signed"] = shortest.sizes["channel"] == 1
    else:
        content |= _box(playable, centres)
        content["spread"] = spread
    content["id"] = _digest(content)
    return PlayerData(content, frames)


def player(
    data: PlayerData,
    look: Look,
    *,
    step: int | None,
    focus: int | None,
    key: str,
    on_focus: Callable[[], None],
    axis: str = "step",
    pairing: Pairing | None = None,
    name: str = "samples",
) -> int | None:
    """Show it; the seed of the sample that was clicked last, or None.

    Arguments:
        step: where the cursor starts; None is the last step.
        focus: seed of the framed sample.
        on_focus: called when another sample is clicked.
        axis: of time, as the charts of the page have it.
        pairing: how two of the runs are compared.
        name: of the file that the picture on show is saved to; the step is added.
    """
    content = dict(data.content)
    content["runs"] = [
        run
        | {
            "letter": run_style(run["index"], look).letter,
            "colour": run_style(run["index"], look).colour,
        }
        for run in content["runs"]
    ]
    pairing = pairing or Pairing()
    content |= {
        "step": step,
        "focus": focus,
        "axis": axis,
        "name": name,
        "accent": "#FFB000",
        "paper": look.paper,
        "chosen": list(selection.current().among(content["seeds"])),
        "mark": "#D81B9A",
    }
    content |= {"mode": pairing.mode, "pair": pairing.pair, "order": pairing.order}
    content["difference"] = difference_scale(
        look, signed=content.get("signed", True), points="tile" not in content
    )
    if pairing.parting is not None:
        content["parting"] = {"steps": [pairing.parting.get(s, -1) for s in content["seeds"]]}
    content["id"] = f"{content['id']}-{look.dark}"
    shown = _PLAYER(
        data=content,
        key=key,
        on_focus_change=on_focus,
        on_pair_change=pairing.on_pair,
        on_chosen_change=lambda: _chose(key, content["seeds"]),
    )
    value = shown.focus
    return None if value is None else int(value)


def _chose(key: str, seeds: Sequence[int]) -> None:
    """The reader has added a sample to the selection or taken one out of it."""
    clicked = {int(seed) for seed in st.session_state[key]["chosen"] or ()} & set(seeds)
    before = selection.current()
    others = set(before.chosen) - set(seeds)
    named = before.source if before.source.endswith(_BY_HAND) else f"{before.source}{_BY_HAND}"
    selection.choose(others | clicked, named.removeprefix(", "))


def _columns(count: int) -> int:
    return max(1, min(6, int(np.ceil(np.sqrt(count)))))


def _pictures(trace: xr.Dataset, seeds: list[int]) -> dict[str, Any]:
    images = trace["x0_hat"].transpose("step", "shown", "height", "width", "channel").values
    out: dict[str, Any] = {"sprite": data_url(sprite(images)), "experts": 0, "weights": ""}
    if "weights" in trace and trace.sizes["expert"] > 1:
        weights = trace["weights"].sel(sample=seeds).transpose("step", "sample", "expert").values
        out["experts"] = weights.shape[2]
        out["weights"] = packed(np.nan_to_num(weights * 255).round(), np.uint8)
    return out


def _points(trace: xr.Dataset) -> dict[str, Any]:
    state = trace["state"].transpose("step", "sample", "coordinate").values[..., :2]
    leader = np.full(state.shape[:2], -1)
    if "weights" in trace and trace.sizes["expert"] > 1:
        weights = trace["weights"].transpose("step", "sample", "expert").values
        leader = weights.argmax(axis=2)
    return {"points": packed(state, np.float32), "leader": packed(leader, np.int16)}


def _box(traces: Sequence[xr.Dataset], centres: np.ndarray | None) -> dict[str, Any]:
    """A square that holds the middle 99% of all states, and the clusters."""
    states = np.concatenate([t["state"].values[..., :2].reshape(-1, 2) for t in traces])
    low, high = np.nanquantile(states, (0.005, 0.995), axis=0)
    box = [float(low[0]), float(high[0]), float(low[1]), float(high[1])]
    return {"box": box, "centres": [] if centres is None else centres.tolist()}


def _digest(content: dict[str, Any]) -> str:
    """Tells one content from another, so that the browser rebuilds only what is new."""
    digest = hashlib.sha256()
    for run in content["runs"]:
        for part in ("label", "note", "sprite", "points"):
            digest.update(str(run.get(part, "")).encode())
    digest.update(str(content["frames"]).encode())
    return digest.hexdigest()[:16]
