"""A dask cluster of two processes: the same events, the same scores, whoever made them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from toys import arrays, build, same

from hepanom import cluster, output, storage
from hepanom.errors import HepanomError, InputError
from hepanom.fit import fit
from hepanom.shares import read

LARGE = "data={use: toy, events: 400000, chunk: 30000, signal_share: 0.02}"
FILES = ("toy:5:400000",)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalCluster]:
    """Return two workers in processes of their own."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        yield found


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a detector."""
    folder = tmp_path_factory.mktemp("detector") / "toys"
    storage.save(fit(read(build("data.events=3000"), 10**9), {})[0], folder)
    return folder


def test_the_cluster_scores_as_one_process_does(local: LocalCluster, detector: Path, tmp_path: Path) -> None:
    found = storage.load(detector)
    alone = output.score_files(found, FILES, tmp_path / "alone.parquet")
    with cluster.scorer(local.scheduler_address, str(detector), (), FILES) as by:
        together = output.score_files(found, FILES, tmp_path / "together.parquet", by=by)
    assert together == alone
    assert pq.read_table(tmp_path / "together.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))


def test_a_detector_that_was_saved_again_is_what_the_same_cluster_scores_by(
    local: LocalCluster, tmp_path: Path
) -> None:
    folder, files, tables = tmp_path / "detector", ("toy:5:3000",), []
    for name, other in (("first", build("data.events=3000")), ("second", build("data.events=3000", "seed=77"))):
        storage.save(fit(read(other, 10**9), {})[0], folder)
        with cluster.scorer(local.scheduler_address, str(folder), (), files) as by:
            output.score_files(storage.load(folder), files, tmp_path / f"{name}.parquet", by=by)
        output.score_files(storage.load(folder), files, tmp_path / "alone.parquet")
        tables.append(pq.read_table(tmp_path / f"{name}.parquet"))
        assert tables[-1].equals(pq.read_table(tmp_path / "alone.parquet"))
        shutil.rmtree(folder)
        (tmp_path / "alone.parquet").unlink()
    assert not tables[0].equals(tables[1])


def test_a_worker_that_is_killed_costs_its_part_alone(local: LocalCluster, detector: Path, tmp_path: Path) -> None:
    found = storage.load(detector)
    alone = output.score_files(found, FILES, tmp_path / "alone.parquet")
    with Client(local.scheduler_address) as client:
        victim = next(iter(client.run(os.getpid).values()))
    with cluster.scorer(local.scheduler_address, str(detector), (), FILES) as by:

        def deadly(*arguments: object) -> Iterator[object]:
            for number, scored in enumerate(by(*arguments)):
                if number == 0:
                    os.kill(victim, signal.SIGKILL)
                yield scored

        together = output.score_files(found, FILES, tmp_path / "together.parquet", by=deadly)
    assert together == alone
    assert pq.read_table(tmp_path / "together.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))


def test_transforms_are_fitted_as_in_one_process(local: LocalCluster) -> None:
    parts = build(LARGE, "train.per=n_jets", "train.epochs=1", "train.batch=4096")
    shares = read(parts, 10**10)
    alone, _ = fit(shares, {})
    with cluster.measurer(local.scheduler_address) as measure:
        together, _ = fit(shares, {}, measure=measure)
    for label, model in alone.models.items():
        for left, right in zip(model.states, together.models[label].states, strict=True):
            for key, value in left.items():
                np.testing.assert_array_equal(right[key], value, err_msg=key)
    assert same(arrays(alone), arrays(together))


def test_a_worker_works_in_the_folder_of_each_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()

    def seen(number: int) -> bool:
        folder = folders[number % 2]
        with cluster._at(str(folder)):
            time.sleep(0.01)
            return Path.cwd() == folder

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(seen, range(20)))
    with pytest.raises(InputError, match=r"does not see .*/c \(No such file"), cluster._at(f"{tmp_path}/c"):
        pass


def test_an_address_without_a_cluster_is_one_message() -> None:
    with pytest.raises(HepanomError, match=r"--dask nowhere: no cluster answers there"), cluster.measurer("nowhere"):
        pass
