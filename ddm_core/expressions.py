"""Conditions such as `router == "top_k" and fid < 30`: read and judged, never run as code.

    condition  = condition or condition | condition and condition | not condition | comparison
    comparison = value (== | != | < | <= | > | >= | in | not in | is none | is not none) value ...
    value      = name | number | text | (value, ...) | value (+ | - | * | / | %) value | - value

A reader of its own for these three lines, since what it does not name cannot happen: no call, no
attribute, no power, no text that grows. What is missing (not a number, divided by zero) compares
false, whatever it is compared with; `is none` asks for it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping

from ddm_core import comparisons
from ddm_core.comparisons import COMPARISONS, Kind, Node, Token, Values, wrong
from ddm_core.errors import RequestError

__all__ = ["Condition", "read_condition", "tokens"]

MOST_CHARACTERS = 1000
MOST_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
    |(?P<sign>[=!<>]=|[-+*/%<>(),\[\]]))""",
    re.VERBOSE,
)
_SOME = 6  # names of a kind, where there are too many to list
_WORDS = frozenset({"and", "or", "not", "in", "is", "none"})
_GRAMMAR = "use == != < <= > >= in, is none, and, or, not, + - * / % and brackets"
_ADVICE = {
    "=": "write == to compare",
    "!": "write not, or !=",
    "&": "write and",
    "|": "write or",
    '"': "close the quote",
    "'": "close the quote",
}


class Condition:
    """A condition that was read.

    Arguments:
        text: as it was written.
    """

    def __init__(self, text: str, node: Node) -> None:
        self.text = text
        self._of = node.of

    def holds(self, values: Values) -> bool:
        """Whether it holds for these values; a name that has none is missing."""
        return bool(self._of(values))


def read_condition(text: str, kinds: Mapping[str, Kind]) -> Condition:
    """Read a condition.

    Arguments:
        kinds: the names that may stand in it, and what they stand for.

    Raises:
        RequestError: what is not understood, where, and what could stand there.
    """
    if len(text) > MOST_CHARACTERS:
        raise RequestError(
            f"a filter takes at most {MOST_CHARACTERS} characters; this one has {len(text)}"
        )
    return Condition(text, _Reader([*tokens(text)], kinds, len(text)).whole())


def tokens(text: str) -> Iterator[Token]:
    """The words of a text.

    Raises:
        RequestError: a character that stands for nothing.
    """
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            place = end - len(text[place:end].lstrip())
            sign = Token("sign", text[place], place + 1)
            raise wrong(sign, "means nothing here", _ADVICE.get(sign.text, _GRAMMAR))
        kind, word = found.lastgroup, found.group(found.lastgroup)
        if kind == "name" and word.lower() in _WORDS:
            kind, word = "word", word.lower()
        yield Token(kind, word, found.start(found.lastgroup) + 1)
        place = found.end()


class _Reader:
    """Reads from left to right, one method per line of the grammar."""

    def __init__(self, words: list[Token], kinds: Mapping[str, Kind], length: int) -> None:
        self._ahead = [*words, Token("end", "the end", length + 1)][::-1]
        self._kinds = kinds
        self._depth = 0

    def whole(self) -> Node:
        node = _condition(self._any())
        if self._next.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _next(self) -> Token:
        return self._ahead[-1]

    def _take(self, *words: str) -> Token | None:
        if self._next.kind in ("sign", "word") and self._next.text in words:
            return self._ahead.pop()
        return None

    def _unexpected(self, instead: str = _GRAMMAR) -> RequestError:
        return wrong(self._next, "cannot stand here", instead)

    def _any(self) -> Node:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise wrong(self._next, "lies too deep", f"nest at most {MOST_DEPTH} brackets")
        node = self._joined("or", lambda: self._joined("and", self._negated))
        self._depth -= 1
        return node

    def _joined(self, word: str, part: Callable[[], Node]) -> Node:
        node = part()
        if not (self._next.kind == "word" and self._next.text == word):
            return node
        parts = [_condition(node).of]
        while self._take(word):
            parts.append(_condition(part()).of)
        judge = any if word == "or" else all
        return Node("condition", node.token, lambda v: judge(of(v) for of in parts))

    def _negated(self) -> Node:
        nots: list[Token] = []
        while token := self._take("not"):
            nots.append(token)
        node = self._comparison()
        if not nots:
            return node
        of, odd = _condition(node).of, len(nots) % 2 == 1
        return Node("condition", nots[0], lambda v: bool(of(v)) != odd)

    def _comparison(self) -> Node:
        first = left = self._sum()
        links: list[Callable[[Values], bool]] = []
        while (sign := self._comparing()) is not None:
            right = self._sum()
            links.append(comparisons.link(left, sign, right))
            left = right
        if not links:
            return first
        return Node("condition", first.token, lambda v: all(holds(v) for holds in links))

    def _comparing(self) -> Token | None:
        token = self._take(*COMPARISONS, "in", "not", "is")
        if token is None or token.text not in ("not", "is"):
            return token
        if token.text == "is":
            return token._replace(text="is not") if self._take("not") else token
        if self._take("in") is None:
            raise self._unexpected("write not in, or put not in front of the comparison")
        return token._replace(text="not in")

    def _sum(self) -> Node:
        return self._calculated(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._calculated(("*", "/", "%"), self._signed)

    def _calculated(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        first, rest = part(), list[tuple[Token, Node]]()
        while (sign := self._take(*signs)) is not None:
            rest.append((sign, part()))
        return comparisons.calculation(first, rest) if rest else first

    def _signed(self) -> Node:
        signs: list[Token] = []
        while token := self._take("-", "+"):
            signs.append(token)
        node = self._atom()
        if not signs:
            return node
        return comparisons.signed(signs[0], node, sum(s.text == "-" for s in signs) % 2 == 1)

    def _atom(self) -> Node:
        token = self._next
        if token.kind == "end":
            raise wrong(token, "comes too early", "a comparison has two sides, as in fid < 30")
        closing = {"(": ")", "[": "]"}.get(token.text) if token.kind == "sign" else None
        if token.kind in ("sign", "word") and closing is None and token.text != "none":
            raise self._unexpected()
        self._ahead.pop()
        if closing is not None:
            return self._bracket(token, closing)
        if token.kind == "number":
            return comparisons.constant(token)
        if token.kind == "text":
            return Node("text", token, lambda v: token.text[1:-1])
        if token.kind == "word":
            return Node("none", token, lambda v: None)
        return self._named(token)

    def _bracket(self, token: Token, closing: str) -> Node:
        parts = [] if self._next.text == closing else [self._any()]
        several = closing == "]" or not parts
        while self._take(","):
            several = True
            if self._next.text == closing:
                break
            parts.append(self._any())
        if self._take(closing) is None:
            raise self._unexpected(f"close the bracket of character {token.at} with {closing}")
        return comparisons.listed(token, parts) if several else parts[0]

    def _named(self, token: Token) -> Node:
        name = token.text
        if name not in self._kinds:
            near = difflib.get_close_matches(name, sorted(self._kinds), 3)
            meant = f"did you mean {' or '.join(near)}?" if near else _some_of(self._kinds)
            raise wrong(token, "is no name", meant)
        return Node(self._kinds[name], token, lambda v: comparisons.there(v.get(name)))


def _some_of(kinds: Mapping[str, Kind]) -> str:
    """The names that come first, by what they stand for: all of them would fill a page."""
    groups: list[str] = []
    for kind in ("number", "text", "list"):
        names = [name for name, its in kinds.items() if its == kind and "." not in name]
        more = ", ..." if len(names) > _SOME else ""
        if names:
            groups.append(f"{kind}s ({', '.join(names[:_SOME])}{more})")
    return f"there are {', '.join(groups)}, and what ddm show RUN lists"


def _condition(node: Node) -> Node:
    if node.kind != "condition":
        raise wrong(node.token, "alone says nothing", "compare it, as in fid < 30")
    return node
