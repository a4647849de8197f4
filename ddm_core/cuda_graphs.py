"""Small networks on a GPU as CUDA graphs, experts side by side.

A pass of a small network costs what launching its kernels one by one costs, some 2 ms, whether the
batch is 1 or 256, and eight experts cost eight times that. Captured once per batch size, a pass is
one launch, and passes of different networks run at the same time.

Only mixing asks for it (`replaying`): a network that somebody calls by hand is the plain network.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["evaluate", "replaying", "side_by_side"]

# Batches are filled up to the next of these. Beyond the largest, computing outlasts launching.
SIZES = (8, 16, 32, 64, 128, 256)

Others = Sequence[Tensor | None]


class _Asked(threading.local):
    """Whether this thread wants captured passes."""

    on = False


_asked = _Asked()


@contextlib.contextmanager
def replaying() -> Generator[None]:
    """In here, networks that can be captured are, where that is possible and pays."""
    before, _asked.on = _asked.on, True
    try:
        yield
    finally:
        _asked.on = before


def _fits(x: Tensor) -> bool:
    """Whether this batch may go through a graph; derivatives and large batches may not."""
    return (
        _asked.on
        and x.is_cuda
        and len(x) <= SIZES[-1]
        and not torch.is_grad_enabled()
        and forward_ad._current_level < 0  # pyright: ignore[reportPrivateUsage]
    )


class _Pass(NamedTuple):
    """A captured pass: it reads and writes these very tensors."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    others: Others
    output: Tensor

    def __call__(self, x: Tensor, others: Others) -> Tensor:
        self.x[: len(x)].copy_(x)
        for own, given in zip(self.others, others, strict=True):
            if own is not None and given is not None:
                own[: len(given)].copy_(given)
        self.graph.replay()
        return self.output[: len(x)].clone()


class _Passes:
    """The captured passes of one network.

    They have a stream of their own and are replayed on that alone: libraries keep scratch memory
    per stream, which two passes at the same time must not share.
    """

    def __init__(self, device: torch.device) -> None:
        self.lane = torch.cuda.Stream(device)
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.known: dict[tuple[object, ...], _Pass | None] = {}

    def __call__(self, net: nn.Module, x: Tensor, others: Others) -> Tensor:
        rows = next(size for size in SIZES if size >= len(x))
        key = (
            rows,
            *(None if one is None else (one.dtype, one.shape[1:]) for one in (x, *others)),
            # What decides which kernels were captured, and from where they read.
            torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None,
            torch.backends.cudnn.allow_tf32,
            torch.get_float32_matmul_precision(),
            next(net.parameters()).data_ptr(),
        )
        with _turn, _on(self.lane):
            if key not in self.known:
                # The first time plainly: many sizes never come again. Of the same size, so that
                # the same kernels run, and nobody can tell the first time from the others.
                filled = [None if one is None else _filled(one, rows) for one in others]
                answer = net(_filled(x, rows), *filled)
                self.known[key] = None
                return answer[: len(x)]
            found = self.known[key] or self._capture(net, rows, x, others)
            self.known[key] = found
            return found(x, others)

    def _capture(self, net: nn.Module, rows: int, x: Tensor, others: Others) -> _Pass:
        def like(given: Tensor) -> Tensor:
            return given.new_zeros(rows, *given.shape[1:])

        # What is made in inference mode could not be written to outside of it.
        with torch.inference_mode(False), torch.no_grad():
            own, own_others = like(x), [None if one is None else like(one) for one in others]
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph, pool=self.pool, stream=self.lane, capture_error_mode="thread_local"
            ):
                output = net(own, *own_others)
        return _Pass(graph, own, own_others, output)


def _filled(given: Tensor, rows: int) -> Tensor:
    """given [sample, *] with zeros up to so many rows."""
    return torch.cat((given, given.new_zeros(rows - len(given), *given.shape[1:])))


#: A capture takes in whatever is put on its stream, by whichever thread: one at a time.
_turn = threading.RLock()
#: They go when their network goes.
_passes: WeakKeyDictionary[nn.Module, _Passes] = WeakKeyDictionary()


def _passes_of(net: nn.Module, device: torch.device) -> _Passes:
    with _turn:
        if net not in _passes:
            _passes[net] = _Passes(device)
        return _passes[net]


def _capturable(net: nn.Module) -> bool:
    return getattr(net, "capturable", False) is True


@contextlib.contextmanager
def _on(lane: torch.cuda.Stream) -> Generator[None]:
    """Work on a lane, after what is under way here, and before what comes here next."""
    here = torch.cuda.current_stream(lane.device)
    lane.wait_stream(here)
    try:
        with torch.cuda.stream(lane):
            yield
    finally:
        here.wait_stream(lane)


def evaluate(net: nn.Module, x: Tensor, *others: Tensor | None) -> Tensor:
    """net(x, *others), all [sample, *] or None; captured if that is asked for and possible.

    It is possible where the class of the network says `capturable = True`: its samples do not see
    each other, nothing in it waits for the host, and no shape depends on a value. Hooks of a
    network run only when it is captured.
    """
    if not (_capturable(net) and _fits(x)):
        return net(x, *others)
    return _passes_of(net, x.device)(net, x, others)


def side_by_side(
    calls: Iterable[tuple[nn.Module, tuple[Tensor, *tuple[Tensor | None, ...]]]],
) -> Iterator[Tensor]:
    """The answer of each module to its x [sample, *] and what else it is given, in order.

    One after another, as they are asked for; on a GPU, those that can be captured at the same
    time.
    """
    # With what was given: its memory must not be used again before the lane has read it.
    waiting: list[tuple[Tensor, object]] = []
    with contextlib.ExitStack() as lanes:
        for module, given in calls:
            x = given[0]
            net = next(filter(_capturable, module.modules()), None) if _fits(x) else None
            if net is not None:
                if not waiting:
                    lanes.enter_context(_turn)
                lane, here = _passes_of(net, x.device).lane, torch.cuda.current_stream(x.device)
                lane.wait_stream(here)
                # Also when one of them fails: the others go on reading what they were given.
                lanes.callback(here.wait_stream, lane)
                with torch.cuda.stream(lane):
                    waiting.append((module(*given), given))
            elif waiting:
                waiting.append((module(*given), given))
            else:
                yield module(*given)
    for answer, _ in waiting:
        yield answer
