"""The meters of a machine, with GPUs that are made up and without."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from hepanom import machine


class Driver(ModuleType):
    """NVIDIA's management library with two GPUs; what ``silent`` names, it refuses to tell."""

    class NVMLError(Exception):
        pass

    def __init__(self, *silent: str, text: bool = True) -> None:
        super().__init__("pynvml")
        self.silent, self.text, self.started = silent, text, 0

    def __getattribute__(self, name: str) -> Any:
        if name in ModuleType.__getattribute__(self, "__dict__").get("silent", ()):
            raise self.NVMLError(f"{name}: not supported")
        return ModuleType.__getattribute__(self, name)

    def nvmlInit(self) -> None:
        self.started += 1

    def nvmlShutdown(self) -> None:
        self.started -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str | bytes:
        return f"GPU-{handle}a" if self.text else f"GPU-{handle}a".encode()

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=30_000_000 * (handle + 1), total=120_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=50 + handle)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 350_000

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return 700_000


@pytest.fixture(autouse=True)
def all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def gpu(found: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("system/gpu_"): value for name, value in found.items() if name.startswith("system/gpu")}


def read(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> dict[str, float]:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    with machine.meters() as meters:
        return meters.read()


def test_meters_have_the_names_of_mlflows_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor

    found = read(monkeypatch, None)
    for monitor in (CPUMonitor(), DiskMonitor()):
        monitor.collect_metrics()
        assert {f"system/{name}" for name in monitor.metrics} <= found.keys()
    assert gpu(found) == {}
    assert 0 < found["system/process_memory_megabytes"] < found["system/system_memory_usage_megabytes"] * 10


def test_gpus_tell_memory_utilization_and_power(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    assert gpu(read(monkeypatch, driver)) == {
        "0_memory_usage_megabytes": 30.0,
        "0_memory_usage_percentage": 25.0,
        "0_utilization_percentage": 50.0,
        "0_power_usage_watts": 350.0,
        "0_power_usage_percentage": 50.0,
        "1_memory_usage_megabytes": 60.0,
        "1_memory_usage_percentage": 50.0,
        "1_utilization_percentage": 51.0,
        "1_power_usage_watts": 350.0,
        "1_power_usage_percentage": 50.0,
    }
    assert driver.started == 0


def test_a_gpu_without_a_power_meter_tells_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu(read(monkeypatch, Driver("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetUtilizationRates")))
    assert set(found) == {
        f"{index}_{what}"
        for index in (0, 1)
        for what in ("memory_usage_megabytes", "memory_usage_percentage", "power_usage_watts")
    }


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"])
def test_a_machine_whose_driver_does_not_answer_has_no_gpu(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, Driver(call))
    assert gpu(found) == {}
    assert "system/cpu_utilization_percentage" in found


def test_a_driver_that_cannot_be_ended_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(gpu(read(monkeypatch, Driver("nvmlShutdown")))) == 10


@pytest.mark.parametrize(
    ("visible", "used"),
    [
        ("1", [60.0]),
        ("1,0", [60.0, 30.0]),
        ("GPU-1", [60.0]),
        ("GPU-0a, 1", [30.0, 60.0]),
        ("", []),
        ("7,0", []),
        ("1,x,0", [60.0]),
    ],
)
@pytest.mark.parametrize("text", [True, False])
def test_gpus_are_those_that_the_process_may_use_numbered_as_torch_does(
    visible: str, used: list[float], text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpu(read(monkeypatch, Driver(text=text)))
    assert [found[f"{index}_memory_usage_megabytes"] for index in range(len(used))] == used
    assert len(found) == 5 * len(used)


def test_a_machine_without_network_counters_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    found = read(monkeypatch, None)
    assert "system/network_receive_megabytes" not in found
    assert "system/cpu_utilization_percentage" in found


def test_a_gpu_is_told_from_a_cpu_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H{device.index or 0}00")
    assert machine.device_name(torch.device("cuda:2"), 1) == "cuda: NVIDIA H200"
    assert machine.device_name(torch.device("cpu"), 1) == "cpu: 1 thread"
    assert machine.device_name(torch.device("cpu"), 2) == "cpu: 2 threads"
