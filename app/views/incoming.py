"""What is dropped onto the library: an archive of runs, or a picture that carries its recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from app import parts, state
from app.views.picking import pick
from ddm_core.config import RunConfig
from ddm_core.recipe import Recipe, read_recipe
from ddm_core.settings import settings_of
from ddm_core.shipped import ELSEWHERE

__all__ = ["drop_zone"]

_SEEN = "library_dropped"
_RECIPE = "library_recipe"
_USUAL = ("system", "router", "strategy", "num", "steps", "seed", "sampler", "label", "guidance")


def drop_zone(*, open_first: bool = False) -> None:
    """A place to drop an archive or samples.png of a run."""
    with st.expander(
        "Bring in runs, or a picture that says how it was made",
        icon=":material/upload:",
        expanded=open_first or _RECIPE in st.session_state,
    ):
        given = st.file_uploader(
            "A .zip of Export, or samples.png of a run",
            type=["zip", "png"],
            key="import",
            help="nothing in it is run; a picture opens its run, or offers to repeat it",
        )
        if given is None:
            st.session_state.pop(_RECIPE, None)
            return
        if st.session_state.get(_SEEN) != given.file_id:
            st.session_state[_SEEN] = given.file_id
            data = given.getvalue()
            # Not by its name: that is theirs.
            take = _picture if data.startswith(b"\x89PNG") else _archive
            if parts.told(lambda: take(data)) and _RECIPE not in st.session_state:
                st.rerun()
        if _RECIPE in st.session_state:
            _offer(st.session_state[_RECIPE])


def _archive(data: bytes) -> None:
    """Take in an archive; the name of the file never becomes a path."""
    store = state.store()
    before = {record.id for record in store.runs()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "import.zip"
        file.write_bytes(data)
        taken = store.import_archive(file)
    fresh = [record.id for record in taken if record.id not in before]
    pick([record.id for record in taken], alone=True)
    known = len(taken) - len(fresh)
    said = f"{len(fresh)} run{'s' * (len(fresh) != 1)} imported"
    st.toast(said + (f", {known} here already" if known else ""), icon=":material/check:")


def _picture(data: bytes) -> None:
    """Open the run that a picture is of, or keep its recipe for an offer."""
    recipe = read_recipe(data)
    found = state.store().alike(recipe.digests)
    if not found:
        st.session_state[_RECIPE] = recipe
        return
    st.session_state.pop(_RECIPE, None)
    pick([found[0].id], alone=True)
    st.toast("This picture is of a run that is here", icon=":material/check:")


def _offer(recipe: Recipe) -> None:
    """What the picture was made with, and a button that makes it again."""
    st.markdown("**No run here is of this picture.** It was made with")
    found = settings_of(recipe.config)
    st.markdown(
        "  ·  ".join(
            f":gray[{parts.literal(name)}] {parts.literal(value)}"
            for name, value in found.items()
            if name.partition(".")[0] in _USUAL
        )
    )
    if recipe.left_out:
        st.caption(parts.literal(f"Left out: {recipe.left_out}."))
    foreign = recipe.config.system.startswith(f"{ELSEWHERE}:")
    if foreign:
        st.caption("Its system is not here, so that it cannot be repeated.")
    st.button(
        "Make it again",
        type="primary",
        icon=":material/replay:",
        disabled=foreign,
        on_click=_repeat,
        args=(recipe.config,),
    )


def _repeat(config: RunConfig) -> None:
    def submit() -> None:
        state.show(job=state.jobs().submit([config]))
        st.session_state.pop(_RECIPE, None)

    parts.told(submit)
