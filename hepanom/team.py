"""The processes that train together, started by torchrun; one process alone is a team of one.

Collectives are entered by every process in the same order. gloo carries them between CPUs, NCCL between GPUs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from hepanom.errors import HepanomError

Value = TypeVar("Value")


def launched() -> bool:
    """Return whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """Return this process's number; 0 writes what there is to write."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def neighbours() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if distributed.is_initialized() else 1


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the others for the block, where torchrun started this process; ``device`` is the recipe's ``train.device``.

    On a machine with GPUs each process takes the one of its local rank.
    """
    if not launched():
        yield
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    importlib.import_module("torch.distributed.nn")  # later, its functions' defaults would keep the group's threads
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def gather(value: Value) -> list[Value]:
    """Return every process's value, by rank."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    with _blamed():
        distributed.all_gather_object(found, value)
    return found


def add(tensor: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place; return it."""
    if size() > 1:
        with _blamed():
            distributed.all_reduce(tensor)
    return tensor


@contextmanager
def _blamed() -> Iterator[None]:
    """Turn the transport's error into a message."""
    try:
        yield
    except RuntimeError as error:
        raise HepanomError(f"another process of the training ended or cannot be reached ({error})") from error
