"""The recipe in a picture: samples.png carries the config that it was made with, as text.

A picture comes from anywhere. Only the lengths of its parts and one text are read, never a pixel,
by a reader that cannot be made to unpack or to allocate more than it says here.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from ddm_core.config import RunConfig, make_config
from ddm_core.elsewhere import taken_in
from ddm_core.errors import RequestError

__all__ = ["KEY", "MOST_BYTES", "Recipe", "read_recipe", "read_recipe_file", "recipe_text"]

#: The name of the text in the picture.
KEY = "config"
MOST_BYTES = 64 * 1024**2
MOST_TEXT = 256 * 1024
_MOST_PARTS = 100_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PART = re.compile(rb"[A-Za-z]{4}")
_NONE = "it carries no recipe; samples.png of a run does, also after a copy by a file manager"


class Recipe(NamedTuple):
    """What a picture says it was made with.

    Arguments:
        config: as it may be repeated here: without plug-ins, and with no path as a system.
        digests: of the config as it is said, and as it may be repeated: of the runs alike.
        plugins: how many files of plug-ins it was made with.
        folder: whether its system is a folder of another machine.
    """

    config: RunConfig
    digests: frozenset[str]
    plugins: int
    folder: bool

    @property
    def left_out(self) -> str:
        """What the recipe asks for and does not get, in words; "" where that is nothing."""
        left = [_counted(self.plugins)] if self.plugins else []
        if self.folder:
            left.append("the system, which is a folder of another machine")
        return " and ".join(left)


def read_recipe_file(file: Path) -> Recipe:
    """The recipe in a picture on the disk; see `read_recipe`."""
    try:
        with file.open("rb") as picture:
            return read_recipe(picture.read(MOST_BYTES + 1))
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}") from None


def read_recipe(picture: bytes) -> Recipe:
    """The recipe in the bytes of a picture.

    Raises:
        RequestError: it is no PNG, carries no recipe, or one that is none; one sentence.
    """
    if len(picture) > MOST_BYTES:
        raise RequestError(f"the picture is larger than {MOST_BYTES >> 20} MiB")
    text = _text(picture)
    try:
        said: Any = from_json(text)
    except ValueError:
        raise RequestError("the picture's recipe is damaged: it is no JSON") from None
    if not isinstance(said, dict):
        raise RequestError("the picture's recipe is damaged: it is no list of settings")
    try:
        config = make_config(said)
    except RequestError as error:
        raise RequestError(f"the picture's recipe cannot be used: {error}") from None
    except (ValidationError, RecursionError):
        raise RequestError("the picture's recipe cannot be used") from None
    harmless = taken_in(config)
    digests = frozenset({config.digest, harmless.digest})
    return Recipe(harmless, digests, len(config.plugins), harmless.system != config.system)


def recipe_text(config: RunConfig) -> str:
    """What a picture carries: the config, of whose plug-ins nobody needs the folders."""
    return _without_folders(config).model_dump_json()


def _without_folders(config: RunConfig) -> RunConfig:
    branch = config.branch
    if branch is not None:
        branch = branch.model_copy(update={"of": _without_folders(branch.of)})
    plugins = tuple(Path(file).name for file in config.plugins)
    return config.model_copy(update={"plugins": plugins, "branch": branch})


def _text(picture: bytes) -> bytes:
    """The text named KEY of a PNG (ISO/IEC 15948, 11.3.4.5): iTXt, or tEXt of older writers."""
    if not picture.startswith(_SIGNATURE):
        raise RequestError("this is no PNG; samples.png of a run carries its recipe")
    place = len(_SIGNATURE)
    for _ in range(_MOST_PARTS):
        head = picture[place : place + 8]
        length, kind = int.from_bytes(head[:4]), head[4:]
        end = place + 8 + length
        if len(head) < 8 or not _PART.fullmatch(kind) or end + 4 > len(picture):
            raise RequestError("the picture is damaged or cut off")
        if kind in (b"iTXt", b"tEXt") and picture[place + 8 : end].startswith(
            KEY.encode() + b"\0"
        ):
            return _checked(picture[place + 4 : end], picture[end : end + 4])
        if kind == b"IEND":
            break
        place = end + 4
    raise RequestError(f"this picture is not of a run: {_NONE}")


def _checked(part: bytes, check: bytes) -> bytes:
    if len(part) > MOST_TEXT:
        raise RequestError(f"the picture's recipe is longer than {MOST_TEXT >> 10} KiB")
    if zlib.crc32(part) != int.from_bytes(check):
        raise RequestError("the picture's recipe is damaged: its checksum is another")
    kind, rest = part[:4], part[4 + len(KEY) + 1 :]
    if kind == b"tEXt":
        return rest
    packed, rest = rest[:1], rest[2:]
    # Ours are not packed: there is nothing to unpack, and nothing that could be too much.
    if packed != b"\0" or rest.count(b"\0") < 2:
        raise RequestError("the picture's recipe is packed, which this program never does")
    return rest.split(b"\0", 2)[2]


def _counted(plugins: int) -> str:
    return "its plug-in file" if plugins == 1 else f"its {plugins} plug-in files"
