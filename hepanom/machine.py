"""The machine that a run uses: what it is called, and how busy it is."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch

DISK = os.sep


def device_name(device: torch.device, threads: int) -> str:
    """Return what a device is called: ``cuda: NVIDIA H200``, or ``cpu: 2 threads``."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {threads} thread{'s' * (threads != 1)}"


class Meters:
    """The meters of this machine, of this process, and of the GPUs that it may use.

    Names are those of MLflow's page of system metrics, below ``system/``; ``process_...`` are this process's own.
    Without the driver's library (``pip install hepanom[gpu]``) or its driver there are no GPUs.
    """

    def __init__(self, gpus: Any = None) -> None:
        self.process, self.gpus = psutil.Process(), gpus
        self.handles: dict[int, Any] = {}
        if gpus is not None:
            with suppress(gpus.NVMLError):
                self.handles = _handles(gpus)
        self.network = psutil.net_io_counters()
        for first in (psutil.cpu_percent, self.process.cpu_percent):
            first()  # counts from here on

    def read(self) -> dict[str, float]:
        """Return what every meter shows now; one that fails is left out."""
        return dict([*self._machine(), *(pair for index in self.handles for pair in self._gpu(index))])

    def _machine(self) -> Iterator[tuple[str, float]]:
        memory, disk, network = psutil.virtual_memory(), psutil.disk_usage(DISK), psutil.net_io_counters()
        yield "system/cpu_utilization_percentage", psutil.cpu_percent()
        yield "system/system_memory_usage_megabytes", memory.used / 1e6
        yield "system/system_memory_usage_percentage", 100 * memory.used / memory.total
        yield "system/disk_usage_percentage", disk.percent
        yield "system/disk_usage_megabytes", disk.used / 1e6
        yield "system/disk_available_megabytes", disk.free / 1e6
        if network is not None and self.network is not None:  # a container may have no network
            yield "system/network_receive_megabytes", (network.bytes_recv - self.network.bytes_recv) / 1e6
            yield "system/network_transmit_megabytes", (network.bytes_sent - self.network.bytes_sent) / 1e6
        yield "system/process_cpu_percentage", self.process.cpu_percent()
        yield "system/process_memory_megabytes", self.process.memory_info().rss / 1e6

    def _gpu(self, index: int) -> Iterator[tuple[str, float]]:
        """Yield what the driver tells of a GPU: some of them have no power meter, a virtual one may have none."""
        gpus, handle, name = self.gpus, self.handles[index], f"system/gpu_{index}"
        with suppress(gpus.NVMLError):
            memory = gpus.nvmlDeviceGetMemoryInfo(handle)
            yield f"{name}_memory_usage_megabytes", memory.used / 1e6
            yield f"{name}_memory_usage_percentage", 100 * memory.used / memory.total
        with suppress(gpus.NVMLError):
            yield f"{name}_utilization_percentage", float(gpus.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(gpus.NVMLError):
            power = gpus.nvmlDeviceGetPowerUsage(handle) / 1000
            yield f"{name}_power_usage_watts", power
            yield f"{name}_power_usage_percentage", 100e3 * power / gpus.nvmlDeviceGetEnforcedPowerLimit(handle)


@contextmanager
def meters() -> Iterator[Meters]:
    """Give the meters of this machine for the block."""
    with ExitStack() as stack:
        yield Meters(stack.enter_context(_driver()))


@contextmanager
def _driver() -> Iterator[Any]:
    """Give NVIDIA's management library, started; None where it, its driver or a GPU is not there."""
    try:
        pynvml: Any = importlib.import_module("pynvml")
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _handles(gpus: Any) -> dict[int, Any]:
    """Return the GPUs that this process may use, numbered as torch numbers them.

    The driver knows nothing of CUDA_VISIBLE_DEVICES, which lists them by number or by the beginning of a name.
    """
    count = gpus.nvmlDeviceGetCount()
    every = [gpus.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return dict(enumerate(every))
    found: list[Any] = []
    for name in filter(None, map(str.strip, chosen.split(","))):
        if name.isdigit():
            here = every[int(name) : int(name) + 1]
        else:
            here = [handle for handle in every if _uuid(gpus, handle).startswith(name)]
        if not here:  # as CUDA does: what stands behind a wrong name is not there either
            break
        found += here[:1]
    return dict(enumerate(found))


def _uuid(gpus: Any, handle: Any) -> str:
    name = gpus.nvmlDeviceGetUUID(handle)
    return name.decode() if isinstance(name, bytes) else str(name)
