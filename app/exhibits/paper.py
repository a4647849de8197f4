"""Figures for paper: light, on white, as wide as a column, drawn by a browser that nobody sees."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from app.exhibits.stamp import Stamp, in_pdf, in_png, in_svg
from ddm_core.errors import WorkError

__all__ = ["FORMATS", "NO_BROWSER", "WIDTHS", "find_browser", "on_paper", "rendered"]

#: Widths of journals' columns, in millimetres.
WIDTHS = {85: "one column, 85 mm", 170: "two columns, 170 mm"}
FORMATS = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}
NO_BROWSER = (
    "SVG, PDF and PNG are drawn by Chromium, which was not found: install it, or name its "
    "program in DDM_CHROMIUM"
)
#: Fonts that every viewer has or replaces by their equals; a PDF holds what it needs.
_FONT = "Arial, Helvetica, sans-serif"
_DOTS = 300.0  # per inch, of a PNG
_PIXEL = 96.0 / 25.4  # CSS pixels per millimetre
#: Narrower than this labels have no room; a narrow column gets it scaled down.
_LEAST = 428.0
_SECONDS = 90.0

#: A browser takes hundreds of megabytes: exports that come together wait for each other.
_one_browser = threading.Lock()


@functools.cache
def find_browser() -> str | None:
    """The browser's program: $DDM_CHROMIUM, else where Linux puts it, else what the PATH has."""
    named = os.environ.get("DDM_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "chrome")
    names += ("chromium-headless-shell",)
    return next((found for name in names if (found := shutil.which(name))), None)


def on_paper(figure: go.Figure, millimetres: float) -> tuple[go.Figure, float]:
    """A copy of a figure in the light look with white behind it, and its scale.

    Arguments:
        millimetres: width on paper; the height follows from the figure's own.

    Returns:
        The figure, laid out in CSS pixels, and by how much it is made smaller to fit.
    """
    wide = millimetres * _PIXEL
    width = max(wide, _LEAST)
    page = go.Figure(figure)
    page.update_layout(
        width=width,
        height=figure.layout.height or 300,
        paper_bgcolor="#FFFFFF",
        plot_bgcolor="#FFFFFF",
        font={"family": _FONT},
        meta=None,
    )
    return page, wide / width


def rendered(figure: go.Figure, format: str, millimetres: float, stamp: Stamp) -> bytes:
    """A figure as the bytes of a file: svg, pdf, or png at 300 dots per inch.

    Arguments:
        figure: in the light look, with its template; Streamlit changes the global one.
        millimetres: width on paper.
        stamp: what the file says of itself.

    Raises:
        WorkError: there is no browser, or it draws nothing.
    """
    browser = find_browser()
    if browser is None:
        raise WorkError(NO_BROWSER)
    page, scale = on_paper(figure, millimetres)
    dots = _DOTS / 96.0 if format == "png" else 1.0
    options: dict[str, Any] = {
        "format": format,
        "width": page.layout.width,
        "height": page.layout.height,
        "scale": scale * dots,
    }
    with _one_browser:
        data = _drawn(page, options, browser)
    if format == "svg":
        return in_svg(data, stamp)
    return in_pdf(data, stamp) if format == "pdf" else in_png(data, stamp, _DOTS)


def _drawn(page: go.Figure, options: dict[str, Any], browser: str) -> bytes:
    import kaleido  # Half a second, which no page waits for.

    # Plotly's script lies in its package; MathJax would be fetched from elsewhere.
    settings = {"path": browser, "mathjax": False, "timeout": _SECONDS}
    try:
        return bytes(kaleido.calc_fig_sync(page.to_dict(), options, kopts=settings))
    except Exception as error:
        # The browser can fail in many ways, each with its own class, deep inside kaleido.
        raise WorkError(f"the browser did not draw the figure: {error}") from error
