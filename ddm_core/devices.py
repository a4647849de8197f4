"""Which device, and how many workers on it."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ddm_core.errors import RequestError

__all__ = ["batch_on", "device_name", "pick_device", "place", "start_worker", "workers_on"]


def pick_device(name: str) -> torch.device:
    """auto (a GPU where there is one), cpu, cuda or cuda:N.

    A GPU always comes with its number: torch makes no device without one the current one.

    Raises:
        RequestError: no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = kind == "cuda" and (number == "" or number.isdecimal())
    if not known or int(number or 0) >= count:
        here = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(count))])
        raise RequestError(f"no device '{name}' on this machine; there are: {here}")
    return torch.device("cuda", int(number) if number else torch.cuda.current_device())


def start_worker(device: torch.device) -> None:
    """Make this thread a worker of a device: one thread on a CPU, float32 as such on a GPU."""
    if device.type == "cpu":
        torch.set_num_threads(1)
        return
    torch.cuda.set_device(device)
    # Convolutions would cut float32 to 10 bits, and a sample would be another one than on a CPU.
    torch.backends.cudnn.allow_tf32 = False


def place(host: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without waiting for what the device is doing."""
    if device.type == "cuda":
        # Only from pinned memory does a copy not wait.
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def workers_on(device: torch.device, asked: int, *, points: bool = False) -> int:
    """Batches at a time: on a CPU one per core, each of one thread; on a GPU one.

    Threads within one operation wait for each other by spinning, which collapses as soon as
    another process takes a core; batches side by side never wait. Points cost only overhead, which
    is Python's: two workers would take the interpreter from each other and both be slower.
    """
    if device.type != "cpu":
        return 1
    if asked or points:
        return asked or 1
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0] * _cores())


def batch_on(device: torch.device, asked: int, *, points: bool = False) -> int:
    """Most samples in one batch; points are so small that overhead is all they cost."""
    return asked or (128 if device.type == "cpu" and not points else 1024)


def device_name(device: torch.device) -> str:
    """The device as a person would name it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_cores()} cores)"


def _cores() -> int:
    return os.cpu_count() or 1
