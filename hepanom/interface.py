"""The Python interface, as small as the story: read a recipe, run it, load a detector, score events.

Everything here takes the way of the command line; what differs is that events may come from memory, and that results
are values that show themselves in a notebook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Shaped

from hepanom import archive, document, notebook, output, show, show_thresholds, storage
from hepanom import detector as core
from hepanom.document import Document
from hepanom.errors import InputError, did_you_mean
from hepanom.evaluate import Number
from hepanom.events import Events
from hepanom.other_files import reader_of
from hepanom.progress import progress
from hepanom.run import Outcome as Recorded
from hepanom.run import run as run_recipe
from hepanom.sample import Sample, recipe_data
from hepanom.stream import read_parts, with_category

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped]

QUANTILES = (0.5, 0.9, 0.99)
Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True, repr=False)
class Scores:
    """The scores of events as a table, a row per event in the order of the events.

    Its columns are those that ``hepanom score`` writes: ``event_id``, what travels beside, ``category``, ``label``,
    ``weight``, ``score/SCORER`` and ``flag/SCORER/RULE``.

    >>> scores["reconstruction"], scores.flags["reconstruction/median"]  # doctest: +SKIP
    (array([0.21, 3.5 ]), array([False,  True]))
    """

    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, scorer: str) -> Shaped[np.ndarray, " event"]:
        """Return a scorer's score of each event. Raises InputError for another name."""
        return _named(self.scores, scorer, "scorer")

    @property
    def scores(self) -> dict[str, Shaped[np.ndarray, " event"]]:
        """Return every score by scorer: the score itself, or the mean background rank of several replicas."""
        return self._columns("score/")

    @property
    def flags(self) -> dict[str, Bool[np.ndarray, " event"]]:
        """Return which events each threshold flags, by SCORER/RULE."""
        return self._columns("flag/")

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a pandas frame."""
        return self.table.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the table as a polars frame."""
        import polars as pl

        found = pl.from_arrow(self.table)
        assert isinstance(found, pl.DataFrame)
        return found

    def _columns(self, prefix: str) -> dict[str, np.ndarray]:
        names = [name for name in self.table.column_names if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.table[name].to_numpy() for name in names}

    def __repr__(self) -> str:
        flags = len(self.flags)
        return f"Scores: {len(self):,} events, {', '.join(self.scores)}, {flags} threshold{'s' * (flags != 1)}"

    def _repr_html_(self) -> str:
        """Return how the scores are distributed, and how many events each threshold flags."""
        head = ["score", *(f"{100 * share:g} % below" for share in QUANTILES), "largest"]
        rows = [
            [name, *(f"{value:.4g}" for value in np.quantile(values, [*QUANTILES, 1.0]))]
            for name, values in self.scores.items()
            if len(values)
        ]
        flagged = [[name, f"{int(found.sum()):,} of {len(found):,}"] for name, found in self.flags.items()]
        flags = notebook.table("", ["threshold", "flagged"], flagged) if flagged else ""
        return notebook.table(f"{len(self):,} events", head, rows) + flags


@dataclass(frozen=True, repr=False)
class Detector(core.Detector):
    """A trained detector that scores events from memory or from files."""

    def score(self, events: Sample | Events | Files) -> Scores:
        """Return scores and flags of events in memory, or of those in files, which the recipe's reader reads.

        Columns are found by their names, in any order; ``Events`` without a schema are taken as they are. Raises
        InputError for events whose inputs the detector does not know.

        >>> detector = hepanom.load("mlruns/artifacts/1/models/detector")  # doctest: +SKIP
        >>> detector.score(hepanom.from_pandas(frame)).to_pandas()  # doctest: +SKIP
        """
        import pyarrow as pa

        per, schema = self.parts.recipe.train.per, self.parts.schema
        tables = []
        for chunk in self._chunks(events):
            known = with_category(chunk, per, self.categories, schema)
            values = core.decision(self, core.score(self, known), known.category)
            tables.append(output.to_table(self, known, values))
        if not tables:
            raise InputError("there are no events to score")
        return Scores(pa.concat_tables(tables, promote_options="permissive"))

    def _chunks(self, events: Sample | Events | Files) -> Iterator[Events]:
        if isinstance(events, Sample):
            yield events.fitted(self.parts.schema)
        elif isinstance(events, Events):
            yield events
        elif isinstance(events, str | Path | Sequence):
            files = [str(file) for file in ([events] if isinstance(events, str | Path) else events)]
            reader = reader_of(self, files)
            yield from (chunk for _, chunk in read_parts(reader, reader.parts()))
        else:
            raise InputError(
                f"found {type(events).__name__}; hepanom.from_numpy, from_pandas and their like make events of arrays"
            )

    def save(self, folder: Path | str) -> Path:
        """Write the detector as a folder that ``hepanom.load`` and ``hepanom score`` read; return its path."""
        storage.save(self, Path(folder))
        return Path(folder)

    def __repr__(self) -> str:
        recipe = self.parts.recipe
        cuts = len({(entry.scorer, entry.name) for entry in self.thresholds})
        scores = ", ".join(self.parts.scorers)
        return f"Detector {recipe.name}: {recipe.model.use}, scores {scores}, {cuts} threshold{'s' * (cuts != 1)}"

    def _repr_html_(self) -> str:
        """Return what it is made of, and its thresholds with their background efficiency."""
        found = {
            "model": self.parts.recipe.model.use,
            "scores": ", ".join(self.parts.scorers),
            "categories": ", ".join(self.categories) if len(self.categories) > 1 else "",
            "replicas": self.replicas if self.replicas > 1 else "",
            "inputs": self.parts.schema.told(),
            "created": self.provenance.get("created"),
        }
        tables = show_thresholds.tables("thresholds", show_thresholds.of_detector(self))
        return notebook.facts(self.parts.recipe.name, found) + notebook.page(*tables)


@dataclass(frozen=True, repr=False)
class Outcome(Recorded):
    """What a run leaves behind, and the way to its detector."""

    @property
    def numbers(self) -> Mapping[str, Number]:
        """Return the numbers of the test share by name, such as ``reconstruction/auc``, with their intervals."""
        return self.result.numbers

    @property
    def detector(self) -> Detector:
        """Read the trained detector. Raises InputError where its files are on a server; load the run's id then."""
        return load(f"{self.artifacts}/detector")

    def __repr__(self) -> str:
        first = next(iter(self.result.scored.scores))
        auc = self.numbers.get(f"{first}/auc")
        told = "" if auc is None else f", {first} auc {auc.value:.3g}"
        return f"Outcome {self.result.name}: run {self.run_id}{told}"

    def _repr_html_(self) -> str:
        """Return the tables that ``hepanom run`` prints."""
        return notebook.page(self.result.name, *show.outcome_tables(show.outcome(self)))


def read_recipe(recipe: str | Path | Mapping[str, Any] | Document, *changes: str) -> Document:
    """Return a recipe as a value, from a file or from plain values, with changes as ``--set`` makes them.

    Mistakes in it come when it is run. Raises InputError for a file that is no recipe.

    >>> hepanom.read_recipe("recipes/quickstart.yaml", "train.epochs=3")
    Recipe quickstart: vae on toy, scores elbo, reconstruction, latent_mu2 (recipes/quickstart.yaml)
    """
    if isinstance(recipe, Document):
        return recipe.changed(*changes)
    if isinstance(recipe, str | Path):
        return document.read(recipe, changes)
    try:
        plain = json.loads(json.dumps(dict(recipe)))
    except TypeError as error:
        raise InputError(f"recipe: a recipe holds texts, numbers, lists and tables: {error}") from error
    return Document("recipe", plain, {}, {}).changed(*changes)


def run(
    recipe: str | Path | Mapping[str, Any] | Document,
    events: Sample | None = None,
    *,
    state: Path | str = "mlruns",
    tracking: str | None = None,
    resume: bool = False,
    quiet: bool = True,
) -> Outcome:
    """Run a recipe from events to a recorded result, as ``hepanom run`` does.

    ``events`` take the place of the recipe's ``data``: they are saved below ``state``, under the hash of what they
    hold, so that the record says what was trained on, and ``hepanom run`` on the recorded recipe gives the same again.
    Unless ``quiet`` progress is shown on stderr. Raises RecipeError before any event is read, InputError for data that
    cannot be used, HepanomError for a run that failed.

    >>> outcome = hepanom.run("recipes/quickstart.yaml")  # doctest: +SKIP
    >>> outcome.numbers["reconstruction/auc"].value  # doctest: +SKIP
    0.83
    """
    wanted = read_recipe(recipe)
    if events is not None:
        data = recipe_data(events, Path(state) / "events")
        wanted = wanted.changed(f"data={json.dumps(data)}")
    with progress(quiet) as watcher:
        found = run_recipe(wanted, tracking=tracking, state=Path(state), resume=resume, watcher=watcher)
    if found is None:
        raise InputError("hepanom.run trains in one process; `torchrun ... hepanom run` trains in several")
    return Outcome(**whole(found))


def load(detector: str | Path, *changes: str, tracking: str | None = None) -> Detector:
    """Return a trained detector, from its folder or by the id or name of a run; ``changes`` are those of ``--set``.

    >>> hepanom.load("quickstart", "train.device=cpu")  # doctest: +SKIP
    Detector quickstart: vae, scores elbo, reconstruction, latent_mu2, 6 thresholds
    """
    return Detector(**whole(storage.load(archive.detector_folder(str(detector), tracking), changes)))


def whole(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, as they are."""
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _named(found: Mapping[str, np.ndarray], name: str, what: str) -> np.ndarray:
    if name not in found:
        raise InputError(f"there is no {what} {name!r}; {did_you_mean(name, found)}")
    return found[name]
