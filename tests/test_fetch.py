"""Data sets by name: where they go and what is fetched again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from faulty import DATA, MD5, QUICK, Answer, jets, served

from hepanom import fetch
from hepanom.errors import InputError
from hepanom_plugins.readers.files import match_files

pytestmark = pytest.mark.usefixtures("alone")


def test_data_go_where_recipes_look_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch.home() == tmp_path / "cache" / "hepanom" / "data"
    monkeypatch.setenv("HEPANOM_DATA", str(tmp_path / "data"))
    assert fetch.home() == tmp_path / "data"
    assert fetch.home(tmp_path / "there") == tmp_path / "there"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HEPANOM_DATA")
    assert fetch.home() == Path.home() / ".cache" / "hepanom" / "data"


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    with served({"/jets.h5": DATA}) as server:
        first = fetch.fetch(jets(server), tmp_path, patience=QUICK)
        second = fetch.fetch(jets(server), tmp_path, patience=QUICK)
        assert len(server.asked) == 1
    assert (first.new, second.new) == ((True,), (False,))
    assert (tmp_path / "jets" / "jets.h5").read_bytes() == DATA
    assert match_files(f"{tmp_path}/jets/*") == [f"{tmp_path}/jets/jets.h5"]  # a recipe sees the data alone


@pytest.mark.parametrize("spoilt", [DATA[::-1], DATA[:-1]])
def test_a_file_that_was_spoilt_is_found(tmp_path: Path, spoilt: bytes) -> None:
    with served({"/jets.h5": DATA}) as server:
        fetch.fetch(jets(server), tmp_path, patience=QUICK)
        place = tmp_path / "jets" / "jets.h5"
        place.write_bytes(spoilt)
        if len(spoilt) == len(DATA):
            assert fetch.fetch(jets(server), tmp_path, patience=QUICK).new == (False,)
        with pytest.raises(InputError, match=r"jets\.h5: found .*, expected .* \(record 1\); .* move it away"):
            fetch.fetch(jets(server), tmp_path, verify=True, patience=QUICK)
    assert place.read_bytes() == spoilt


def test_a_file_that_the_user_put_there_is_taken_or_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "jets" / "jets.h5"
    place.parent.mkdir()
    place.write_bytes(DATA)
    with served({}) as server:
        assert fetch.fetch(jets(server), tmp_path, patience=QUICK).new == (False,)
        shutil.rmtree(place.parent)
        place.parent.mkdir()
        place.write_bytes(b"mine")
        with pytest.raises(InputError, match="found 4 bytes, expected 10,240"):
            fetch.fetch(jets(server), tmp_path, patience=QUICK)
        assert server.asked == []
    assert place.read_bytes() == b"mine"


def test_a_download_that_was_killed_goes_on(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hepanom import fetch; from hepanom.catalogue import DataSet\n"
        "from hepanom.download import File\n"
        "known = File('jets.h5', sys.argv[1] + '/jets.h5', int(sys.argv[2]), sys.argv[3], 'record 1')\n"
        "fetch.fetch(DataSet('jets', '', 'zenodo:1', files=(known,)), Path(sys.argv[4]))"
    )
    part = tmp_path / "jets" / ".jets.h5.part"
    with served({"/jets.h5": DATA}, Answer(stall=5000)) as server:
        command = [sys.executable, "-c", code, server.address, str(len(DATA)), f"md5:{MD5}", str(tmp_path)]
        process = subprocess.Popen(command)
        while not (part.exists() and part.stat().st_size == 5000):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        fetch.fetch(jets(server), tmp_path, patience=QUICK)
        assert [wanted for _, wanted in server.asked] == ["", "bytes=5000-"]
    assert (tmp_path / "jets" / "jets.h5").read_bytes() == DATA


def test_two_at_once_fetch_once(tmp_path: Path) -> None:
    heard: list[tuple[bool, ...]] = []
    with served({"/jets.h5": DATA}, Answer(stall=5000)) as server:
        patience = replace(QUICK, stall=0.3)

        def one() -> None:
            heard.append(fetch.fetch(jets(server), tmp_path, patience=patience).new)

        threads = [Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.asked) == 2  # one download, broken once
    assert sorted(heard) == [(False,), (False,), (True,)]
    assert (tmp_path / "jets" / "jets.h5").read_bytes() == DATA


def test_a_disk_that_is_too_small_is_told_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with served({"/jets.h5": DATA}) as server:
        with pytest.raises(InputError, match=r"MB are still to come, 0 MB are free; make room or .* --to"):
            fetch.fetch(jets(server), tmp_path, patience=QUICK)
        assert server.asked == []
        (tmp_path / "jets" / ".jets.h5.part").write_bytes(DATA[:6000])
        fetch.fetch(jets(server), tmp_path, patience=QUICK)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "jets").write_text("")
    with served({}) as server, pytest.raises(InputError, match=r"jets: cannot be written: File exists; .* --to"):
        fetch.fetch(jets(server), tmp_path)
