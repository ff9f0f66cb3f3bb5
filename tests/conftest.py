"""What every test stands on: where the data are, one thread, no window, no tracking server but its own."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Set while this file is imported: before any test imports torch or matplotlib, and for the processes that tests start.
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # two threads on shared cores slow a small network down, and change its last bits
for _name in [name for name in os.environ if name.startswith("MLFLOW_")]:
    del os.environ[_name]  # a developer's own server must not fill up with the runs of tests
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
if "HEPANOM_DATA" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
    os.environ["HEPANOM_DATA"] = str(ROOT.parent / "shared" / "data")

# A busy machine is no failure: no test has a time limit. What was drawn once is drawn again, so that a change is to
# blame for what it breaks; `HYPOTHESIS_PROFILE=explore` draws more, and anew each time.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("hepanom", QUIET, derandomize=True, max_examples=50)
settings.register_profile("explore", QUIET, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "hepanom"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of measured data that HEPANOM_DATA names; skip where it is not set."""
    if "HEPANOM_DATA" not in os.environ:
        pytest.skip("HEPANOM_DATA is not set: the measured data are not here")
    folder = Path(os.environ["HEPANOM_DATA"])
    assert folder.is_dir(), f"HEPANOM_DATA is {folder}, which is not a folder"
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give torch its one thread back after a test that ran with more."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Let the logger speak again after a test whose command was quiet."""
    yield
    logging.getLogger("hepanom").setLevel(logging.NOTSET)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep proxies, data and cache of the developer out."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HEPANOM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder with an empty tracking database, to be copied; making one takes MLflow seconds."""
    from hepanom import track

    folder = tmp_path_factory.mktemp("migrated")
    track.open_store(str(folder))
    return folder


@pytest.fixture
def state(migrated: Path, tmp_path: Path) -> Path:
    """Return a state folder of the test's own, in place of ``mlruns``."""
    return shutil.copytree(migrated, tmp_path / "mlruns")
