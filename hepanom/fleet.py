"""Workers of a search on this machine: processes of one command, each with a GPU of its own where there are any."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PATIENCE = 30.0  # seconds that a worker gets to end

log = logging.getLogger(__name__)


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (listed := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def environments(jobs: int, environment: Mapping[str, str], gpus: Sequence[str]) -> list[dict[str, str]]:
    """Return the environment of each worker: GPUs are dealt out in turns, one each."""
    own = [{"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]} if gpus else {} for job in range(jobs)]
    return [{**environment, **each} for each in own]


@contextmanager
def workers(jobs: int, arguments: Sequence[str]) -> Iterator[None]:
    """Run the block as the first of so many workers, the others as ``hepanom ARGUMENTS``; they do not outlive it."""
    own, *others = environments(jobs, os.environ, visible_gpus(os.environ))
    os.environ.update(own)
    command = [sys.executable, "-m", "hepanom", *arguments]
    started = [subprocess.Popen(command, env=each, stdout=subprocess.DEVNULL) for each in others]
    try:
        yield
    except BaseException:
        for process in started:
            process.terminate()
        _ended(started)
        raise
    for process in _ended(started):
        if process.returncode:
            log.warning("worker %d ended with %d; the others did its trials", process.pid, process.returncode)


def _ended(started: Sequence[subprocess.Popen[bytes]]) -> Sequence[subprocess.Popen[bytes]]:
    """Wait for processes, and kill those that take too long, or all, where somebody interrupts the waiting."""
    last = time.monotonic() + PATIENCE
    try:
        for process in started:
            process.wait(max(0.0, last - time.monotonic()))
    except subprocess.TimeoutExpired:
        log.debug("workers are killed: they did not end within %g s", PATIENCE)
    finally:
        for process in started:
            process.kill()  # does nothing where it has ended
            process.wait()
    return started
