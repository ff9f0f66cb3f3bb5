"""One file over HTTP, from servers that do what they should not."""

from __future__ import annotations

import hashlib
import time
import zlib
from email.utils import formatdate
from pathlib import Path

import pytest
from faulty import DATA, Answer, Faulty, served

from hepanom import download
from hepanom.download import File, Patience, Watcher
from hepanom.errors import HepanomError

QUICK = Patience(attempts=3, pause=0.001, stall=0.3)
pytestmark = pytest.mark.usefixtures("alone")


class Heard(Watcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.sizes: list[int] = []

    def reached(self, size: int) -> None:
        self.sizes.append(size)

    def note(self, text: str) -> None:
        self.notes.append(text)


def file(server: Faulty, data: bytes = DATA, algorithm: str = "md5") -> File:
    digest = hashlib.new(algorithm, data).hexdigest()
    return File("jets.h5", f"{server.address}/jets.h5", len(data), f"{algorithm}:{digest}", "record 1")


def bring(server: Faulty, folder: Path, wanted: File | None = None, patience: Patience = QUICK) -> Heard:
    heard = Heard()
    download.download(wanted or file(server), folder / "jets.h5", patience, heard)
    return heard


def part(folder: Path) -> Path:
    return folder / ".jets.h5.part"


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_what_comes_is_what_was_published_and_nothing_else_is_left(tmp_path: Path, algorithm: str) -> None:
    with served({"/jets.h5": DATA}) as server:
        heard = bring(server, tmp_path, file(server, algorithm=algorithm))
    assert (tmp_path / "jets.h5").read_bytes() == DATA
    assert left(tmp_path) == {"jets.h5"}
    assert heard.sizes[-1] == len(DATA)


def test_the_checksum_of_the_open_data_portal_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    assert download.checksum(tmp_path / "file", "adler32:00000000") == f"adler32:{zlib.adler32(DATA):08x}"


@pytest.mark.parametrize("fault", [Answer(stop=5000), Answer(stall=5000)])
@pytest.mark.parametrize("tag", ['"one"', 'W/"weak"', ""])
def test_a_download_that_breaks_goes_on_where_it_broke(tmp_path: Path, fault: Answer, tag: str) -> None:
    with served({"/jets.h5": DATA}, fault, tag=tag) as server:
        heard = bring(server, tmp_path)
    assert (tmp_path / "jets.h5").read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == ["", "bytes=5000-"]
    why = "nothing came for 0.3 s" if fault.stall else "the server ended it"
    assert heard.notes[0].startswith(f"the connection broke after 5,000 of 10,240 bytes: {why}; again in ")


def test_a_server_without_ranges_is_asked_for_all_of_it_again(tmp_path: Path) -> None:
    with served({"/jets.h5": DATA}, Answer(stop=5000), ranges=False) as server:
        bring(server, tmp_path)
    assert (tmp_path / "jets.h5").read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == ["", "bytes=5000-"]


def test_a_file_that_changed_between_two_attempts_begins_anew(tmp_path: Path) -> None:
    other = DATA[::-1]
    with served({"/jets.h5": DATA}, *[Answer(stop=5000)] * 3) as server:
        with pytest.raises(HepanomError, match="3 attempts in a row"):
            bring(server, tmp_path, patience=Patience(attempts=3, pause=0.001))
        server.files["/jets.h5"], server.tag = other, '"two"'
        bring(server, tmp_path, file(server, other))
    assert (tmp_path / "jets.h5").read_bytes() == other


def test_wrong_bytes_are_deleted_and_said_to_be_wrong(tmp_path: Path) -> None:
    with served({"/jets.h5": DATA[::-1]}) as server:
        wanted = file(server)
        with pytest.raises(HepanomError) as caught:
            bring(server, tmp_path, wanted)
    found = hashlib.md5(DATA[::-1]).hexdigest()
    assert f"the checksum of what came is md5:{found}, expected {wanted.checksum} (record 1)" in str(caught.value)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("length", [100, 1_000_000])
def test_an_announced_length_that_is_not_the_published_one_is_no_reason_to_write(tmp_path: Path, length: int) -> None:
    with served({"/jets.h5": DATA}, *[Answer(length=length)] * 3) as server:
        part(tmp_path).write_bytes(DATA[:7])  # what came before must survive what is not the file
        server.ranges = False
        with pytest.raises(HepanomError, match=f"has {length:,} bytes under this name, expected 10,240 .record 1.; 3"):
            bring(server, tmp_path)
    assert part(tmp_path).read_bytes() == DATA[:7]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(tmp_path: Path, status: int) -> None:
    with (
        served({"/jets.h5": DATA}, Answer(status)) as server,
        pytest.raises(HepanomError, match=f"jets.h5: the server answers {status} .*still published"),
    ):
        bring(server, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(tmp_path: Path, status: int) -> None:
    with served({"/jets.h5": DATA}, Answer(status), Answer(status)) as server:
        heard = bring(server, tmp_path)
    assert len(heard.notes) == 2
    assert heard.notes[0].startswith(f"the server answers {status}")


def test_pauses_grow_and_the_end_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with (
        served({"/jets.h5": DATA}, *[Answer(500)] * 9) as server,
        pytest.raises(HepanomError, match=r"500 .*; 5 attempts in a row failed; the same command goes on"),
    ):
        bring(server, tmp_path, patience=Patience(attempts=5, pause=2.0))
    assert pauses == [2.0, 4.0, 8.0, 16.0]


def test_a_server_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    date = formatdate(time.time() + 60, usegmt=True)
    plan = [Answer(503, headers={"Retry-After": value}) for value in ("7", date, "no idea", "3600")]
    with (
        served({"/jets.h5": DATA}, *plan) as server,
        pytest.raises(HepanomError, match="asks to come again in 3600 s; the same command then goes on"),
    ):
        bring(server, tmp_path, patience=Patience(attempts=9, pause=0.5))
    assert pauses[0] == 7.0
    assert 50 < pauses[1] <= 60
    assert pauses[2] == 2.0


def test_an_attempt_that_brings_much_does_not_count_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHUNK", 1000)
    with served({"/jets.h5": DATA}, *[Answer(stop=end) for end in range(2000, 10_000, 2000)]) as server:
        bring(server, tmp_path, patience=Patience(attempts=2, pause=0.001))
    assert (tmp_path / "jets.h5").read_bytes() == DATA


@pytest.mark.parametrize("size", [9_000, 10_240, 20_000])
def test_a_part_of_another_file_does_not_get_into_this_one(tmp_path: Path, size: int) -> None:
    part(tmp_path).write_bytes(bytes(size))
    with served({"/jets.h5": DATA}) as server:
        if size > len(DATA):
            bring(server, tmp_path)
        else:
            with pytest.raises(HepanomError, match="expected md5"):
                bring(server, tmp_path)
            bring(server, tmp_path)
    assert (tmp_path / "jets.h5").read_bytes() == DATA


def test_a_range_that_the_server_refuses_is_given_up(tmp_path: Path) -> None:
    part(tmp_path).write_bytes(DATA[:100])
    with served({"/jets.h5": DATA}, Answer(416)) as server:
        bring(server, tmp_path)
    assert [wanted for _, wanted in server.asked] == ["bytes=100-", ""]


def test_nobody_who_answers_is_one_error(tmp_path: Path) -> None:
    with served({}) as server:
        wanted = file(server)
    with pytest.raises(HepanomError, match="there is no connection: Connection refused; 3 attempts"):
        bring(server, tmp_path, wanted)


def test_a_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served({"http://data.invalid/jets.h5": DATA}) as server:
        monkeypatch.setenv("http_proxy", server.address)
        wanted = File("jets.h5", "http://data.invalid/jets.h5", len(DATA), file(server).checksum, "record 1")
        bring(server, tmp_path, wanted)
    assert (tmp_path / "jets.h5").read_bytes() == DATA


def test_a_disk_that_is_full_is_named_and_the_part_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with (
        served({"/jets.h5": DATA}) as server,
        pytest.raises(HepanomError, match=r"\.jets\.h5\.part: cannot be written: No space left .*--to"),
    ):
        bring(server, tmp_path)
    assert part(tmp_path).exists()


def test_only_addresses_of_the_web_are_fetched(tmp_path: Path) -> None:
    wanted = File("jets.h5", "file:///etc/hostname", 1, "md5:" + "0" * 32, "record 1")
    with pytest.raises(HepanomError, match="expected https"):
        download.download(wanted, tmp_path / "jets.h5", QUICK, Watcher())
