"""Set a threshold of a trained detector on new background, beside those that it has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from hepanom import address, archive, cutting, origin, storage
from hepanom.detector import Detector, Scores, score_chunks
from hepanom.document import Document
from hepanom.efficiency import effective_number
from hepanom.errors import InputError, did_you_mean
from hepanom.events import Events, Schema
from hepanom.facts import called
from hepanom.options import check_options
from hepanom.origin import Origin
from hepanom.other_files import reader_of
from hepanom.provenance import fingerprints
from hepanom.result import Skipped
from hepanom.show_thresholds import plain
from hepanom.stream import is_background, read_parts, rule_weight, weighed, with_category
from hepanom.thresholds import RULES, Rule, rule_mistake

LEFT_OUT = {"others": "other classes", "unknown": "unknown class"}


def recut(folder: Path, rule: Rule, files: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Set the rule's cut of every scorer and category on the background of the files, and keep it in the folder.

    It is that of the number that decides, the score or the mean rank of several trainings, whose rank tables stay.
    Where labels are known background classes alone enter, otherwise all events. Returns what was set and on what.
    Raises InputError for a name that is taken and where a category has no background.
    """
    detector = storage.load(folder, overrides)
    reader = reader_of(detector, files)
    _refuse(detector, rule, reader.schema(), folder)
    parts, skipped, labels, met = reader.parts(), list[Skipped](), [np.zeros(0, np.int64)], Counter[str]()
    chunks = _candidates(detector, (events for _, events in read_parts(reader, parts, skipped)), labels, met)
    found = score_chunks(detector, chunks, [rule.per.column] if rule.per else [])
    found, background = _background(detector, found, np.concatenate(labels), met)
    weighted = rule_weight(detector.parts.recipe, rule)
    weight = weighed(found.weight, weighted)
    _refuse_empty(detector, found, files)
    if negative := int(np.count_nonzero(weight < 0)):
        raise InputError(
            f"{', '.join(files)}: {negative} of {len(weight)} background weights are negative, which have no "
            "quantiles; count events instead of weights by --unweighted"
        )
    cuts = [replace(each, title=rule.label) for each in cutting.thresholds(detector, rule, found, [detector.decides])]
    known = Origin(
        datetime.now(UTC).isoformat(timespec="seconds"),
        tuple(fingerprints(reader)),
        len(weight),
        effective_number(weight),
        background,
        weighted,
    )
    file = origin.keep(rule.label, known, cuts, folder)
    return {
        "status": "done",
        "detector": str(folder),
        "file": str(file),
        "name": rule.label,
        **asdict(known),
        "skipped": [asdict(entry) for entry in skipped],
        "thresholds": [plain(each) for each in cuts],
    }


def rule_of(text: str, **options: Any) -> Rule:
    """Return the rule that the command line describes: ``background_efficiency=1e-3``, ``median``, and its options.

    Raises InputError that names the option of the command line.
    """
    name, equals, value = text.partition("=")
    asked: dict[str, Any] = {"rule": name.strip()}
    if asked["rule"] not in RULES:
        raise InputError(f"--rule {text}: there is no rule {name!r}; {did_you_mean(name, RULES)}")
    if equals:
        try:
            asked["value"] = float(value)
        except ValueError:
            raise InputError(f"--rule {text}: {value!r} is no number; write it as --rule {name}=0.01") from None
    per = {key: options.pop(key) for key in ("method", "bins", "knots")}
    if options["per"] is None and (needless := [key for key, found in per.items() if found is not None]):
        raise InputError(f"--{needless[0]}: is for a cut that depends on a column; name it by --per")
    if (column := options.pop("per")) is not None:
        asked["per"] = {"column": column, **{key: found for key, found in per.items() if found is not None}}
        if "bins" in per and isinstance(per["bins"], str):
            asked["per"]["bins"] = _bins(per["bins"])
    asked |= {key: found for key, found in options.items() if found is not None}
    found, problems = check_options(Rule, asked, (), Document("--rule", {}, {}, {}))
    if problems:
        raise InputError("\n".join(problems))
    rule: Rule = found
    if mistake := rule_mistake(rule.rule, rule.value, rule.input_rate, rule.per):
        raise InputError(f"--rule {text}: {mistake[1]}")
    return rule


def _bins(text: str) -> int | list[float]:
    try:
        found = json.loads(f"[{text}]")
        return found[0] if len(found) == 1 else [float(edge) for edge in found]
    except (ValueError, TypeError, IndexError):
        raise InputError(f"--bins {text}: expected their number, or edges such as 80,100,150") from None


def folder_of(what: str, tracking: str | None) -> Path:
    """Return the folder of a detector in which something can be kept: ``what`` itself, or that of a finished run.

    Raises InputError where a server keeps it.
    """
    if archive.holds_detector(what):
        return Path(what)
    _, run = archive.recorded(what, tracking, finished=True)
    if address.local_folder(run["artifacts"]) is None:
        raise InputError(
            f"{called(run, what)} keeps its detector on a server, which takes no additions; copy it and name the copy: "
            f"mlflow artifacts download --run-id {run['run_id']} --artifact-path detector --dst-path ."
        )
    return archive.detector_folder(what, tracking)


def _refuse(detector: Detector, rule: Rule, schema: Schema, folder: Path) -> None:
    """Raise InputError, before any event is read, for a name that is taken and a column that is not there."""
    if rule.label in {entry.name for entry in detector.thresholds}:
        raise InputError(f"{folder}: has a threshold {rule.label!r} already; old ones stay, so choose another --name")
    if rule.rule == "value" and detector.replicas > 1:
        raise InputError("--rule value: cuts the score of one training, and several decide by their mean rank")
    tables = [column for entry in schema.inputs.values() if entry.kind == "table" for column in entry.columns]
    if rule.per and rule.per.column not in (known := (*schema.beside, *tables)):
        raise InputError(
            f"--per {rule.per.column}: there is no such column; {did_you_mean(rule.per.column, known)}; one that the "
            f"files have beside these is carried by data.keep in {folder / 'recipe.yaml'}"
        )


def _candidates(
    detector: Detector, chunks: Iterator[Events], labels: list[Int[np.ndarray, " event"]], met: Counter[str]
) -> Iterator[Events]:
    """Yield the events that are background or of unknown class; put down their labels, and how many there are."""
    recipe, schema = detector.parts.recipe, detector.parts.schema
    for events in chunks:
        background = is_background(events, schema.classes, recipe.background)
        unknown = ~background & (events.label < 0)
        kept = events.mask(background | unknown)
        met.update(background=int(background.sum()), unknown=int(unknown.sum()), others=len(events) - len(kept))
        labels.append(kept.label)
        if len(kept):
            yield with_category(kept, recipe.train.per, detector.categories, schema)


def _background(
    detector: Detector, found: Scores, label: Int[np.ndarray, " event"], met: Counter[str]
) -> tuple[Scores, str]:
    """Return the scores of what counts as background, and say what that is."""
    names = detector.parts.recipe.background
    if not names:
        return found, "all events, as for the training"
    if not met["background"] and not met["others"]:
        return found, "all events, as none has a label: anomalies among them are background too, and raise the cut"
    keep = label >= 0
    left = [f"{met[kind]:,} of {words}" for kind, words in LEFT_OUT.items() if met[kind]]
    told = f"events of class {' and '.join(names)}" + (f", without {' and '.join(left)}" if left else "")
    scores = {name: rows[:, keep] for name, rows in found.scores.items()}
    columns = {name: values[keep] for name, values in found.columns.items()}
    return Scores(scores, found.category[keep], found.weight[keep], columns), told


def _refuse_empty(detector: Detector, found: Scores, files: Sequence[str]) -> None:
    for index, label in enumerate(detector.categories):
        if not (found.category == index).any():
            per = detector.parts.recipe.train.per
            which = f" where {per} is {label}" if per else ""
            raise InputError(f"{', '.join(files)}: no background{which}, so there is nothing to cut; give more files")
