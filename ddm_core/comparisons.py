"""What the sides of a comparison are, and when it holds; what is missing compares false."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ddm_core.errors import RequestError

__all__ = [
    "COMPARISONS",
    "Kind",
    "Node",
    "Spec",
    "Token",
    "Value",
    "Values",
    "calculation",
    "constant",
    "link",
    "listed",
    "signed",
    "there",
    "wrong",
]

#: What a name stands for; "any" is known only when it is seen.
Kind = Literal["number", "text", "list", "any"]
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


class Spec(NamedTuple):
    """A text that answers to more than one name: top_k:k=2 equals top_k as well."""

    whole: str
    also: frozenset[str] = frozenset()


Value = int | float | str | Spec | tuple[Any, ...] | None
Values = Mapping[str, Value]


class Token(NamedTuple):
    """A word of a condition, and the character at which it begins, from 1."""

    kind: str
    text: str
    at: int


@dataclasses.dataclass(frozen=True)
class Node:
    """Part of a condition that was read.

    Arguments:
        kind: a Kind, or "condition", or "none".
        token: where it begins.
        of: its value, or whether it holds.
    """

    kind: str
    token: Token
    of: Callable[[Values], Any]


def wrong(token: Token, what: str, instead: str) -> RequestError:
    """The sentence for a word that cannot stand where it stands."""
    shown = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    return RequestError(f"the filter, character {token.at}: {shown} {what}; {instead}")


def there(value: Value) -> Value:
    """The value, or None where it is no number that can be compared."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def constant(token: Token) -> Node:
    """A number that was written."""
    value = int(token.text) if token.text.isdecimal() else float(token.text)
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(token, "is too large", "write a finite number")
    return Node("number", token, lambda v: value)


def listed(token: Token, parts: list[Node]) -> Node:
    """Values between brackets."""
    for one in parts:
        if one.kind not in ("number", "text", "any"):
            raise wrong(one.token, "cannot be in a list", "list numbers or texts")
    return Node("list", token, lambda v: tuple(one.of(v) for one in parts))


def _number(node: Node) -> Callable[[Values], int | float | None]:
    if node.kind not in ("number", "any"):
        raise wrong(node.token, "is no number", "calculate with numbers only")

    def value(values: Values) -> int | float | None:
        found = node.of(values)
        return found if isinstance(found, int | float) else None

    return value


def signed(token: Token, node: Node, minus: bool) -> Node:
    """A number with a sign in front."""
    of = _number(node)

    def value(values: Values) -> Value:
        found = of(values)
        return None if found is None else -found if minus else found

    return Node("number", token, value)


def calculation(first: Node, rest: Sequence[tuple[Token, Node]]) -> Node:
    """Numbers made one, from left to right; none where one is missing or there is no such number.

    A loop, since as many calls within each other as a text has signs would be too many.
    """
    begin = _number(first)
    steps = [(_ARITHMETIC[sign.text], _number(node)) for sign, node in rest]

    def value(values: Values) -> Value:
        made = begin(values)
        for calculate, of in steps:
            other = of(values)
            if made is None or other is None:
                return None
            try:
                made = calculate(made, other)
            except (ZeroDivisionError, OverflowError):
                return None
        return there(made)

    return Node("number", first.token, value)


def link(left: Node, sign: Token, right: Node) -> Callable[[Values], bool]:
    """One comparison, its sides checked as far as they are known beforehand.

    Raises:
        RequestError: sides that can never be compared.
    """
    one, other = left.of, right.of
    if "condition" in (left.kind, right.kind):
        raise wrong(sign, "compares a condition", "put values on both sides")
    if sign.text in ("is", "is not"):
        if right.kind != "none":
            raise wrong(sign, "asks for what is missing", "write is none, or == to compare")
        return lambda v: (one(v) is None) == (sign.text == "is")
    if "none" in (left.kind, right.kind):
        raise wrong(sign, "cannot ask for none", "write is none or is not none")
    if sign.text in ("in", "not in"):
        _check_in(left, sign, right)
        return lambda v: _holds_in(one(v), other(v), sign.text == "in")
    _check_sides(left, sign, right)
    if sign.text in _ORDER:
        return lambda v: _ordered(_ORDER[sign.text], one(v), other(v))
    return lambda v: _holds_equal(one(v), other(v), sign.text == "==")


def _check_in(left: Node, sign: Token, right: Node) -> None:
    if right.kind == "number":
        raise wrong(sign, "looks into a number", 'write num in (16, 64), or "paper" in tags')
    if left.kind == "list" or (left.kind == "number" and right.kind == "text"):
        raise wrong(sign, f"cannot look for a {left.kind}", 'write "paper" in tags')


def _check_sides(left: Node, sign: Token, right: Node) -> None:
    sides = {left.kind, right.kind}
    if "list" in sides:
        raise wrong(sign, "cannot compare a list", 'write "paper" in tags')
    if sides == {"number", "text"}:
        raise wrong(sign, "compares a number with a text", "texts stand in quotes, numbers do not")


def _equal(one: Value, other: Value) -> bool:
    if isinstance(other, Spec):
        one, other = other, one
    if not isinstance(one, Spec):
        return one == other
    if isinstance(other, Spec):
        return one.whole == other.whole
    return other == one.whole or other in one.also


def _holds_equal(one: Value, other: Value, wanted: bool) -> bool:
    return one is not None and other is not None and _equal(one, other) == wanted


def _plain(value: Value) -> int | float | str | tuple[Any, ...] | None:
    return value.whole if isinstance(value, Spec) else value


def _ordered(judge: Callable[[Any, Any], bool], one: Value, other: Value) -> bool:
    one, other = _plain(one), _plain(other)
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    texts = isinstance(one, str) and isinstance(other, str)
    return (numbers or texts) and judge(one, other)


def _holds_in(one: Value, other: Value, wanted: bool) -> bool:
    if one is None or other is None:
        return False
    # A Spec is a tuple as well: it is looked at first.
    where, what = _plain(other), _plain(one)
    if isinstance(where, tuple):
        return any(_equal(one, part) for part in where if part is not None) == wanted
    return isinstance(where, str) and isinstance(what, str) and (what in where) == wanted
