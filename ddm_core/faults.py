"""A fault of a component of somebody's own, told in one sentence that names the component."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from ddm_core.errors import RequestError, WorkError, ran_out_of_memory

__all__ = ["Fault", "named", "require_function", "require_tensor"]

F = TypeVar("F", bound=Callable[..., object])


class Fault(WorkError):
    """A component raised something, or gave what nobody can use.

    Arguments:
        who: as in "router 'mine'".
        what: happened.
        step: at which, where there are steps.
    """

    def __init__(self, who: str, what: str, step: int | None = None) -> None:
        super().__init__(f"{who}{'' if step is None else f' at step {step}'}: {what}")
        self.who = who
        self.what = what
        self.step = step

    def __reduce__(self) -> tuple[type[Fault], tuple[str, str, int | None]]:
        """Exceptions are copied by their text alone, which these are not made from."""
        return Fault, (self.who, self.what, self.step)

    def at(self, step: int) -> Fault:
        """The same fault, its step named."""
        return Fault(self.who, self.what, step)


@contextmanager
def named(who: str) -> Generator[None]:
    """What is raised in here is a fault of `who`, unless it is a sentence already."""
    try:
        yield
    except (RequestError, WorkError):
        raise
    except SystemExit as error:
        raise Fault(who, f"it calls exit({error.code}) where it should answer") from error
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        said = " ".join(str(error).split())
        raise Fault(who, f"{type(error).__name__}: {said}") from error


def require_function(who: str, what: str, found: F) -> F:
    """What a component gave, if it can be called."""
    if not callable(found):
        raise Fault(who, f"{what} gave {_kind(found)}, which is no function")
    return found


def require_tensor(
    who: str, what: str, found: Tensor, sizes: Sequence[int | None], like: Tensor | None = None
) -> Tensor:
    """What a component gave, if it is a tensor of this shape. Asks nothing of the device.

    Arguments:
        sizes: of its dimensions; None where any will do.
        like: a tensor that it is to be calculated with.
    """
    wanted = f"[{', '.join('*' if size is None else str(size) for size in sizes)}]"
    # Hints of a component of somebody's own promise nothing.
    if not isinstance(found, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Fault(who, f"{what}: {_kind(found)}, not a tensor {wanted}")
    fits = len(found.shape) == len(sizes) and all(
        size in (None, real) for size, real in zip(sizes, found.shape, strict=True)
    )
    if not fits:
        raise Fault(who, f"{what} of shape {list(found.shape)}, not {wanted}")
    if like is not None and found.device != like.device:
        raise Fault(who, f"{what} on {found.device}, not on {like.device}")
    # Less precise numbers are taken as they are; more precise ones would not mix with the others.
    if like is not None and torch.promote_types(found.dtype, like.dtype) != like.dtype:
        raise Fault(who, f"{what} of {found.dtype}, not {like.dtype}")
    return found


def _kind(found: object) -> str:
    name = type(found).__name__
    return "nothing" if found is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
