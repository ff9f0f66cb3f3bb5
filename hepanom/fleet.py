"""Workers of a search on this machine: processes of one command, each with a GPU of its own where there are any."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
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
        raise
    finally:
        for process in started:
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code:
                log.warning("worker %d ended with %d; what it left undone was done by the others", process.pid, code)
