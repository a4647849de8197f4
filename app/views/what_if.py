"""What if: what would another expert have made of this sample, from this very state?"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app import branch_tree, parts, state
from app.branch_tree import Node
from app.components.picks import picks, picks_data
from app.components.tree import tree
from app.views.change import change
from ddm_core.records import RunRecord

__all__ = ["link", "page"]

_MOST_PICKS = 48
#: Of a branch over many samples, with their intervals.
_SAID = (
    ("image_difference", "image", ""),
    ("cluster_distance", "distance to the nearest cluster", "+"),
    ("selected_distance", "distance to the chosen experts' data", "+"),
    ("real_distance", "distance to the nearest real data", "+"),
)


def page() -> None:
    """Draw the page."""
    st.title("What if another expert had been asked?", anchor=False)
    state.publish("run", "sample", "step", "job")
    records = [one for one in state.store().runs() if one.status == "done"]
    if not records:
        parts.empty(
            "There is no run to branch from. Start a comparison; any step of any of its samples "
            "can then go another way.",
            page="compare",
            label="New comparison",
        )
        return
    # The first branch must not wait for torch.
    state.jobs().warm()
    record, seed = _picked(records)
    nodes = branch_tree.family(records, record.id, seed)
    _tree(nodes, record, seed)
    _links(nodes, record, seed)
    st.subheader("Go another way", anchor=False)
    change(record, seed)


def link(
    run: str, sample: int | None, step: int | None, *, label: str = "", help: str | None = None
) -> None:
    """The way here from another page; run, sample and step go with it in the URL."""
    view = {"run": run, "sample": sample, "step": step}
    st.page_link(
        st.session_state["pages"]["what-if"],
        label=label or "What if another expert had been asked here?",
        icon=":material/fork_right:",
        query_params={name: str(value) for name, value in view.items() if value is not None},
        help=help,
    )


def _picked(records: list[RunRecord]) -> tuple[RunRecord, int]:
    """The run and the sample in view."""
    ids = {one.id: one for one in records}
    wanted = state.view("run")
    first = wanted if wanted in ids else _telling(records)
    left, right = st.columns([5, 2])
    with left:
        id = parts.choice("Run", "run", list(ids), default=first, says=lambda one: _says(ids[one]))
    if id != wanted:
        state.show(run=id)
    record = ids[id]
    seeds = [str(seed) for seed in _seeds(record)]
    with right:
        sample = parts.choice("Sample", "sample", seeds, default=seeds[0])
    if sample != state.view("sample"):
        state.show(sample=sample)
    _thumbnails(record, int(sample))
    return record, int(sample)


def _thumbnails(record: RunRecord, seed: int) -> None:
    """The images of a run of several samples: a click on one puts it in focus."""
    if record.config.num == 1:
        return

    def data() -> dict[str, Any] | None:
        samples = state.store().samples(record.id)
        if samples.images.ndim != 4:
            return None
        return picks_data(samples.images[:_MOST_PICKS], samples.seeds[:_MOST_PICKS].tolist())

    found = state.kept(data, "picks", record.id)
    if found is not None:
        picks(found, focus=seed, key="picks", on_sample=_chosen)


def _chosen() -> None:
    state.show(sample=int(st.session_state["picks"]["sample"]))


def _telling(records: list[RunRecord]) -> str:
    """A run of pictures that chooses between experts; else the newest."""
    roots = [one for one in records if one.config.branch is None] or records
    routed = [one for one in roots if one.router != "monolith"] or roots
    for one in routed[:20]:
        card = state.catalogue().system(one.system)
        if card is None or card.is_image:
            return one.id
    return routed[0].id


def _seeds(record: RunRecord) -> list[int]:
    """Samples to choose from: those with pictures first; 200 at most."""
    trace = state.trace(record.id)
    pictured = trace["shown"].values.tolist() if "shown" in trace.coords else []
    return list(dict.fromkeys([*pictured, *record.config.seeds[:200]]))[:200]


def _says(record: RunRecord) -> str:
    count = parts.counted(record.config.num, "sample")
    words = [f"{state.system_title(record)}: {record.router}", count]
    if record.config.branch is not None:
        words.append(f"branch from step {record.config.branch.step}")
    return " · ".join((*words, state.age(record.created), record.id[-6:]))


def _tree(nodes: list[Node], record: RunRecord, seed: int) -> None:
    ids = tuple(node.record.id for node in nodes)
    data = state.kept(lambda: _data(nodes, seed), "branches", ids, seed)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        count = len(nodes) - 1
        told = f"{count} branch{'es' if count != 1 else ''} of sample {seed}"
        st.markdown(f"**{told}**", width="stretch")
        as_table = st.toggle("Table", key="table_branches")
        parts.csv_button("branches", lambda: branch_tree.table(nodes, seed))
    if as_table:
        st.dataframe(branch_tree.table(nodes, seed), hide_index=True, placeholder="–")
    else:
        tree(data, leaf=record.id, key="tree", on_leaf=_leaf)
    st.caption(_legend(data["points"], len(nodes) > 1))


def _legend(points: bool, branched: bool) -> str:
    if not branched:
        return (
            "The path of this sample as it was. Choose a step and a change below: the branch "
            "leaves it there."
        )
    where = (
        "A line is a path through the plane, a dot where it leaves its parent. "
        if points
        else "Difference to the parent: orange where the branch is brighter, blue where the "
        "parent is, white where both are equal; full colour is 255 grey levels. "
    )
    name = "place" if points else "image"
    return (
        f"{where}**{name}**: |a − b| / |b|.  **to its cluster**, **to real data**: change of the "
        "distance, in the system's features; minus is nearer. Click on a branch to go on from it."
    )


def _data(nodes: list[Node], seed: int) -> dict[str, Any]:
    traces = {node.record.id: state.trace(node.record.id) for node in nodes}
    images: dict[str, np.ndarray] = {}
    for node in nodes:
        samples = state.store().samples(node.record.id)
        images[node.record.id] = samples.images[seed - int(samples.seeds[0])]
    card = state.catalogue().system(nodes[0].record.system)
    centres = np.array(card.centres) if card is not None and card.centres else None
    return branch_tree.tree_data(nodes, traces, images, seed, centres=centres)


def _leaf() -> None:
    state.show(run=st.session_state["tree"]["leaf"])


def _links(nodes: list[Node], record: RunRecord, seed: int) -> None:
    """Where else to look at the branch in focus, and its numbers over all its samples."""
    here = next((node for node in nodes if node.record.id == record.id), nodes[0])
    step = state.view_number("step")
    with st.container(horizontal=True, gap="medium"):
        pages = st.session_state["pages"]
        view = {
            name: str(one) for name, one in (("sample", seed), ("step", step)) if one is not None
        }
        st.page_link(
            pages["trace"],
            label="Its trace",
            icon=":material/timeline:",
            query_params={"run": record.id, **view},
        )
        if here.parent is not None and st.button(
            "Parent and branch side by side",
            icon=":material/compare:",
            key="side_by_side",
            type="tertiary",
        ):
            # No link: a comparison that is in view would come before the two runs.
            state.forget("comparison")
            both = f"{nodes[here.parent].record.id},{record.id}"
            st.switch_page(pages["compare"], query_params={"runs": both, **view})
    if here.parent is not None and record.config.num > 1:
        st.caption(f"Over all {record.config.num:,} samples of this branch: {_over_all(record)}.")


def _over_all(record: RunRecord) -> str:
    said: list[str] = []
    for name, words, sign in _SAID:
        one = record.departure.get(name, {})
        value, low, high = (one.get(part) for part in ("value", "low", "high"))
        if not isinstance(value, int | float):
            continue
        span = ""
        if isinstance(low, int | float) and isinstance(high, int | float):
            span = f" [{low:{sign}.2f}, {high:{sign}.2f}]"
        said.append(f"{words} {value:{sign}.2f}{span}")
    return parts.literal("; ".join(said).replace("-", "−") + " (mean, 95% interval)")
