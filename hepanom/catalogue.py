"""The public data sets that `hepanom fetch` knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hepanom.download import File
from hepanom.errors import InputError, did_you_mean


@dataclass(frozen=True)
class DataSet:
    """A data set by name, published as ``record`` of a portal.

    ``wanted`` are the names of its files; without any, all that the record has. ``files`` are those whose size and
    checksum are known here; without any, the record is asked. ``data`` is what a recipe says of the first file,
    without its path. Licence and citation may be left to the record, too.
    """

    name: str
    about: str
    record: str
    wanted: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    licence: str = ""
    citation: str = ""
    data: str = ""


LHCO = (
    "G. Kasieczka, B. Nachman, D. Shih, R&D Dataset for LHC Olympics 2020 Anomaly Detection Challenge, "
    "doi:10.5281/zenodo.4536377; The LHC Olympics 2020, Rep. Prog. Phys. 84 (2021) 124201, arXiv:2101.08320"
)
DATA_SETS = (
    DataSet(
        "higgsml",
        "ATLAS Higgs boson machine learning challenge 2014: 818,238 simulated H -> tau tau and background events",
        "cern:328",
        files=(
            File(
                "atlas-higgs-challenge-2014-v2.csv.gz",
                "https://opendata.cern.ch/record/328/files/atlas-higgs-challenge-2014-v2.csv.gz",
                65_630_848,
                "sha1:639b1dbd97a709a739122a9a5dcd99b49d55d86c",
                "CERN Open Data record 328",
            ),
        ),
        licence="CC0 1.0",
        citation="ATLAS collaboration, Dataset from the ATLAS Higgs Boson Machine Learning Challenge 2014, CERN Open "
        "Data Portal, 2014, doi:10.7483/OPENDATA.ATLAS.ZBP2.M5T8",
        data="use: higgsml",
    ),
    DataSet(
        "lhco",
        "LHC Olympics 2020, R&D: 1,000,000 dijet events and 100,000 W' -> X Y, momenta, masses and tau_N of two jets",
        "zenodo:4536377",
        wanted=("events_anomalydetection_v2.features.h5",),
        citation=LHCO,
        data="use: hdf5, label: label, classes: {background: [0], signal: [1]}",
    ),
    DataSet(
        "lhco-particles",
        "the same events as lhco, before clustering: up to 700 particles as one row of pt, eta, phi, and the label",
        "zenodo:4536377",
        wanted=("events_anomalydetection_v2.h5",),
        citation=LHCO,
        data="use: hdf5",
    ),
    DataSet(
        "lhco-box1",
        "LHC Olympics 2020, black box 1: 1,000,000 events as in lhco-particles; the labels are a text file beside",
        "zenodo:4536624",
        wanted=("events_LHCO2020_BlackBox1.h5", "events_LHCO2020_BlackBox1.masterkey"),
        citation="G. Kasieczka, B. Nachman, D. Shih, Official Datasets for LHC Olympics 2020 Anomaly Detection "
        "Challenge, doi:10.5281/zenodo.4536624",
        data="use: hdf5",
    ),
    DataSet(
        "cms-dimuon",
        "CMS 2012 open data, runs B and C of DoubleMuParked reduced to their muons: 61,540,413 events",
        "cern:12341",
        wanted=("Run2012BC_DoubleMuParked_Muons.root",),
        data='use: root, tree: Events, cut: "nMuon == 2", leading: {"Muon_{pt,eta,phi,mass}": 2}',
    ),
)
KNOWN: Mapping[str, DataSet] = {entry.name: entry for entry in DATA_SETS}


def data_set(name: str) -> DataSet:
    """Return a data set by its name, or by a record and maybe one of its files: ``zenodo:2603256/val.h5``.

    Raises InputError with the nearest names for one that is not known.
    """
    if name in KNOWN:
        return KNOWN[name]
    record, _, file = name.partition("/")
    portal, _, number = record.partition(":")
    if portal in ("zenodo", "cern") and number.isdecimal():
        return DataSet(f"{portal}-{number}", f"record {number}", record, (file,) if file else ())
    raise InputError(
        f"there is no data set {name!r} (those without a name go by their record: zenodo:NUMBER, cern:NUMBER, "
        f"zenodo:NUMBER/FILE); {did_you_mean(name, KNOWN)}"
    )
