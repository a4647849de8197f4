"""A run and its branches as a tree: strips that leave each other, or paths in the plane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

__all__ = ["tree"]

_HERE = Path(__file__).parent

_TREE = component(
    "ddm_tree",
    html=(_HERE / "tree.html").read_text(),
    css=(_HERE / "tree.css").read_text(),
    js=(_HERE / "cursor.js").read_text() + (_HERE / "tree.js").read_text(),
)


def tree(data: dict[str, Any], *, leaf: str, key: str, on_leaf: Callable[[], None]) -> None:
    """Show it; the session's value of the key holds `leaf`, the run that was clicked last.

    Arguments:
        data: of `app.branch_tree.tree_data`.
        leaf: id of the run in focus.
    """
    _TREE(data=data | {"leaf": leaf}, key=key, on_leaf_change=on_leaf)
