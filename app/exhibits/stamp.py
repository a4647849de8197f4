"""Says inside a picture's file what it shows and of which run: a file loses its name, not this."""

from __future__ import annotations

import io
import re
from html import escape
from typing import NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["Stamp", "in_pdf", "in_png", "in_svg"]

_INFO = re.compile(rb"/Info (\d+) 0 R")
_ROOT = re.compile(rb"/Root (\d+ 0 R)")
_SIZE = re.compile(rb"/Size (\d+)")


class Stamp(NamedTuple):
    """What a picture's file says of itself.

    Arguments:
        title: what is shown.
        about: what one sees, the runs that it is of, and the program.
    """

    title: str
    about: str


def in_svg(data: bytes, stamp: Stamp) -> bytes:
    """The SVG with a title and a description, which screen readers and editors show."""
    head = f"<title>{escape(stamp.title)}</title><desc>{escape(stamp.about)}</desc>"
    end = data.index(b">", data.index(b"<svg")) + 1
    return data[:end] + head.encode() + data[end:]


def in_png(data: bytes, stamp: Stamp, dpi: float) -> bytes:
    """The PNG with a title, a description and its size on paper."""
    notes = PngInfo()
    notes.add_itxt("Title", stamp.title)
    notes.add_itxt("Description", stamp.about)
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(out, "PNG", pnginfo=notes, dpi=(dpi, dpi))
    return out.getvalue()


def in_pdf(data: bytes, stamp: Stamp) -> bytes:
    """The PDF with a title and a subject, appended as an update of its information dictionary.

    A file whose end does not look as the browser writes it is returned as it was.

    References:
        ISO 32000-1, 7.5.6: Incremental updates
    """
    at = data.rfind(b"trailer")
    before = re.search(rb"startxref\s+(\d+)\s+%%EOF\s*$", data)
    trailer = data[at:] if at >= 0 else b""
    info, root, size = (one.search(trailer) for one in (_INFO, _ROOT, _SIZE))
    if not (before and info and root and size):
        return data
    out = data if data.endswith(b"\n") else data + b"\n"
    place = len(out)
    out += b"%s 0 obj\n<</Title %s\n/Subject %s\n/Creator (ddm)>>\nendobj\n" % (
        info[1],
        _pdf_text(stamp.title),
        _pdf_text(stamp.about),
    )
    table = len(out)
    out += b"xref\n%s 1\n%010d 00000 n \n" % (info[1], place)
    out += b"trailer\n<</Size %s\n/Root %s\n/Info %s 0 R\n/Prev %s>>\n" % (
        size[1],
        root[1],
        info[1],
        before[1],
    )
    return out + b"startxref\n%d\n%%%%EOF\n" % table


def _pdf_text(text: str) -> bytes:
    """A text string in hexadecimal: no character in it can end it."""
    return b"<" + b"FEFF" + text.encode("utf-16-be").hex().upper().encode() + b">"
