"""`python -m app.measuring`: what `ddm bench --pages` runs; prints one JSON document."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from app.measuring.pages import one_reader
from app.measuring.readers import many_readers
from app.measuring.served import require_chromium, served


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m app.measuring", description=__doc__)
    parser.add_argument("--interactions", type=int, default=0)
    parser.add_argument("--readers", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=5.0)
    asked = parser.parse_args()
    try:
        require_chromium()
        with served(tell=_tell) as at:
            figures = one_reader(at, interactions=asked.interactions, tell=_tell)
            answer: dict[str, Any] = {
                "what": at.what,
                "figures": [{**one._asdict(), "median": one.median} for one in figures],
            }
            if asked.readers:
                many = many_readers(at, count=asked.readers, minutes=asked.minutes, tell=_tell)
                answer["readers"] = many._asdict()
    except RuntimeError as error:
        sys.exit(f"{error}")
    print(json.dumps(answer))


def _tell(line: str) -> None:
    print(f"measuring: {line}", file=sys.stderr, flush=True)


main()
