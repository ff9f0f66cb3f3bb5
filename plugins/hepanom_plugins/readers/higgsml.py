"""The reader for the table of the ATLAS Higgs challenge of 2014."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom_plugins.readers.csv import Csv
from hepanom_plugins.readers.delimited import read_header
from hepanom_plugins.readers.files import match_files

UNITS = {
    "DER_mass_MMC": "GeV",
    "DER_mass_transverse_met_lep": "GeV",
    "DER_mass_vis": "GeV",
    "DER_pt_h": "GeV",
    "DER_deltaeta_jet_jet": "",
    "DER_mass_jet_jet": "GeV",
    "DER_prodeta_jet_jet": "",
    "DER_deltar_tau_lep": "",
    "DER_pt_tot": "GeV",
    "DER_sum_pt": "GeV",
    "DER_pt_ratio_lep_tau": "",
    "DER_met_phi_centrality": "",
    "DER_lep_eta_centrality": "",
    "PRI_tau_pt": "GeV",
    "PRI_tau_eta": "",
    "PRI_tau_phi": "rad",
    "PRI_lep_pt": "GeV",
    "PRI_lep_eta": "",
    "PRI_lep_phi": "rad",
    "PRI_met": "GeV",
    "PRI_met_phi": "rad",
    "PRI_met_sumet": "GeV",
    "PRI_jet_num": "",
    "PRI_jet_leading_pt": "GeV",
    "PRI_jet_leading_eta": "",
    "PRI_jet_leading_phi": "rad",
    "PRI_jet_subleading_pt": "GeV",
    "PRI_jet_subleading_eta": "",
    "PRI_jet_subleading_phi": "rad",
    "PRI_jet_all_pt": "GeV",
}


@dataclass(frozen=True)
class HiggsML(Reader):
    """Reads simulated H -> tau tau events and their background: 30 features, classes ``b`` and ``s``.

    Takes the open-data file of 818,238 events (CERN Open Data record 328) or a part of it, and Kaggle's
    ``training.csv`` (without KaggleSet) and ``test.csv`` (without weight and label). -999.0 means missing. EventId, and
    KaggleSet where there is one, travel beside. Masses, momenta and energies are in GeV, azimuths in rad.

    References:
        ATLAS Collaboration, Dataset from the ATLAS Higgs Boson Machine Learning Challenge 2014, CERN Open Data Portal,
        2014, doi:10.7483/OPENDATA.ATLAS.ZBP2.M5T8.
        C. Adam-Bourdarios, G. Cowan, C. Germain, I. Guyon, B. Kegl, D. Rousseau, The Higgs boson machine learning
        challenge, JMLR Workshop and Conference Proceedings 42 (2015) 19.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several; all have the same header")]
    weight: Annotated[
        Literal["KaggleWeight", "Weight"] | None,
        Field(description="weight column; by default KaggleWeight where there is one, else Weight, else ones"),
    ] = None

    before: ClassVar[tuple[str, ...]] = ("csv",)

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is delimited text with the columns of the challenge."""
        try:
            return Csv.reads(file) and {"EventId", *UNITS} <= {*read_header(match_files(file)[0], ",")}
        except InputError:
            return False

    def schema(self) -> Schema:
        """Describe the events from the headers."""
        return self._csv().schema()

    def parts(self) -> Sequence[Part]:
        """List the files."""
        return self._csv().parts()

    def read(self, part: Part) -> Iterator[Events]:
        """Yield a file's events block by block; raises InputError as the csv reader does."""
        return self._csv().read(part)

    def on(self, files: Sequence[str]) -> Reader:
        """Return a reader for other files, in which weight and label may be missing."""
        return replace(self, path=tuple(files))._csv().on(files)

    def unread(self) -> Sequence[Unread]:
        """List the other columns."""
        return self._csv().unread()

    def _csv(self) -> Csv:
        names = read_header(match_files(self.path)[0], ",")
        weights = [self.weight] if self.weight else [name for name in ("KaggleWeight", "Weight") if name in names]
        return Csv(
            path=self.path,
            features=tuple(UNITS),
            label="Label" if "Label" in names else None,
            classes={"b": ("b",), "s": ("s",)},
            weight=next(iter(weights), None),
            id=("EventId",),
            keep=("KaggleSet",) if "KaggleSet" in names else (),
            missing=(-999.0,),
            units=UNITS,
        )
