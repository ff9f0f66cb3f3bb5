"""What a data portal publishes of a record, and what becomes of an answer that is none."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from faulty import DATA, MD5, QUICK, Faulty, served

from hepanom import fetch, published
from hepanom.catalogue import data_set
from hepanom.errors import HepanomError

pytestmark = pytest.mark.usefixtures("alone")

ZENODO = {
    "id": 1,
    "metadata": {
        "title": "Jets",
        "doi": "10.5281/zenodo.1",
        "publication_date": "2021-02-13",
        "creators": [{"name": "Curie, M."}],
        "license": {"id": "cc-by-4.0"},
    },
    "files": [{"key": "jets.h5", "size": len(DATA), "checksum": f"md5:{MD5}", "links": {"self": "elsewhere"}}],
}
CERN = {
    "metadata": {
        "title": "Muons",
        "doi": "10.7483/OPENDATA.CMS.1",
        "date_published": "2019",
        "collaboration": {"name": "CMS collaboration"},
        "license": {"attribution": "CC0"},
        "files": [
            {
                "uri": f"{published.STORE}/open/muons.root",
                "size": len(DATA),
                "checksum": f"adler32:{zlib.adler32(DATA):08x}",
            }
        ],
    }
}


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve both portals, each with one record."""
    files = {
        "/api/records/1": json.dumps(ZENODO).encode(),
        "/api/records/1/files/jets.h5/content": DATA,
        "/api/records/2": json.dumps(CERN).encode(),
        "/open/muons.root": DATA,
        "/api/records/3": b"<html>We are moving</html>",
    }
    with served(files) as server:
        monkeypatch.setattr(published, "PORTALS", {"zenodo": server.address, "cern": server.address})
        yield server


def test_a_record_says_what_is_right_and_is_not_asked_again(portal: Faulty, tmp_path: Path) -> None:
    found = fetch.fetch(data_set("zenodo:1"), tmp_path, patience=QUICK)
    assert (found.data_set.about, found.data_set.licence) == ("Jets", "cc-by-4.0")
    assert found.data_set.citation == "Curie, M., Jets, 2021, doi:10.5281/zenodo.1"
    assert (tmp_path / "zenodo-1" / "jets.h5").read_bytes() == DATA
    asked = len(portal.asked)
    assert fetch.fetch(data_set("zenodo:1/jets.h5"), tmp_path, patience=QUICK).new == (False,)
    assert len(portal.asked) == asked
    portal.files["/api/records/1/files/jets.h5/content"] = DATA[::-1]
    with pytest.raises(HepanomError, match=f"expected md5:{MD5} .zenodo:1."):
        fetch.fetch(data_set("zenodo:1"), tmp_path / "other", patience=QUICK)


@pytest.mark.usefixtures("portal")
def test_the_open_data_portal_is_asked_in_its_own_way(tmp_path: Path) -> None:
    found = fetch.fetch(data_set("cern:2"), tmp_path, patience=QUICK)
    assert found.data_set.citation == "CMS collaboration, Muons, 2019, doi:10.7483/OPENDATA.CMS.1"
    assert (tmp_path / "cern-2" / "muons.root").read_bytes() == DATA


@pytest.mark.usefixtures("portal")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zenodo:1/jet.h5", r"zenodo:1 has no file 'jet\.h5'; did you mean 'jets\.h5'"),
        ("zenodo:3", "expected a record with files, sizes and checksums, found '<html>We are moving"),
        ("cern:4", "records/4: the server answers 404 Not Found"),
    ],
)
def test_a_record_that_is_none_is_said_to_be_none(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(HepanomError, match=message):
        fetch.fetch(data_set(name), tmp_path, patience=QUICK)


@pytest.mark.parametrize(
    "change", [{"key": "../../.bashrc"}, {"key": ".lock"}, {"size": "many"}, {"checksum": "crc:1"}, {"checksum": ""}]
)
def test_a_record_cannot_name_places_outside_the_folder_or_leave_out_a_checksum(
    portal: Faulty, tmp_path: Path, change: dict[str, Any]
) -> None:
    portal.files["/api/records/1"] = json.dumps({**ZENODO, "files": [{**ZENODO["files"][0], **change}]}).encode()  # type: ignore[index]
    with pytest.raises(HepanomError, match="expected a record"):
        fetch.fetch(data_set("zenodo:1"), tmp_path, patience=QUICK)
