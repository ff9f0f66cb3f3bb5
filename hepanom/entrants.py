"""From what the user names to the runs that are compared: ids, names, experiments, filters and folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from hepanom import address, document, facts
from hepanom.archive import Query, fetch, local_artifacts, search
from hepanom.compare import Entrant, background_of
from hepanom.errors import HepanomError, InputError, did_you_mean
from hepanom.paired import Sample, sample
from hepanom.track import Store, open_store

EXPERIMENT, FILTER = "experiment:", "filter:"
SCORES = "scores.parquet"
NO_SCORES = "the scores of its test events are not there ({}); hepanom run records them"


def entrants(wanted: Sequence[str], tracking: str | None = None, score: str | None = None) -> list[Entrant]:
    """Return the runs that texts name, each once, in their order.

    A text is a run's id, the beginning of one or a name (the newest finished run), ``experiment:NAME`` or
    ``filter:FILTER`` (all finished runs, the oldest first), or a folder: a run's artifacts or the detector in them.
    ``score`` is the scorer to compare by, the first of each run by default. Raises InputError for what is not there.
    """
    found: dict[str, Entrant] = {}
    store: Store | None = None
    for text in wanted:
        if Path(text).is_dir():
            entrant = _of_folder(Path(text), score)
            found.setdefault(entrant.key, entrant)
            continue
        store = store or open_store(address.existing(tracking))
        for run in _runs(store, text):
            if run["run_id"] not in found:
                found[run["run_id"]] = _of_run(store, run, score)
    return list(found.values())


def _runs(store: Store, text: str) -> list[dict[str, Any]]:
    """Return the runs of a store that a text names; never none."""
    if not text.startswith((EXPERIMENT, FILTER)):
        return [fetch(store, text, finished=True)]
    kind, _, rest = text.partition(":")
    query = Query(experiment=rest, status="finished") if kind == "experiment" else Query(where=rest, status="finished")
    if not (runs := search(store, query)):
        raise InputError(f"{text}: there is no finished run like that; `hepanom runs` lists them all")
    return runs[::-1]


def _of_run(store: Store, run: Mapping[str, Any], score: str | None) -> Entrant:
    tags, params = run["tags"], run["params"]
    told = {
        "run": run["run_id"],
        "started": moment(since_1970(run["start"])),
        "duration": duration(run["start"], run["end"]),
        "model": tags.get("model", ""),
        "data": ", ".join(entry["name"] for entry in run["data"]),
        "fingerprint": ", ".join(entry["digest"] for entry in run["data"]),
        "device": tags.get("device", ""),
        "git": tags.get("git", ""),
        "versions": _listed({key.removeprefix("version."): tags[key] for key in tags if key.startswith("version.")}),
        "training": run["training"] or "",
    }
    place: Path | None = None
    why = ""
    try:
        place = local_artifacts(store, run["run_id"], SCORES)
    except HepanomError as error:
        why = NO_SCORES.format(error)
    return _entrant(run["name"], run["run_id"], told, params, run["metrics"], place, why, score)


def _of_folder(folder: Path, score: str | None) -> Entrant:
    """Return the run whose artifacts, or whose detector, lie in a folder."""
    home = folder if (folder / SCORES).exists() or (folder / "detector").is_dir() else folder.resolve().parent
    recipe = home / "recipe.yaml"
    if not (recipe.is_file() and (home / "detector" / "schema.json").is_file()):
        detector = (folder / "schema.json").is_file()
        what = "a detector without its run's artifacts beside it" if detector else "no folder of a run's artifacts"
        raise InputError(f"{folder}: is {what} (recipe.yaml, {SCORES}, detector/); give the id of the run")
    params = facts.flatten(document.read(recipe).plain)
    provenance = _json(home / "detector" / "provenance.json")
    listed = provenance.get("data")
    files = [str(entry["path"]) for entry in listed] if isinstance(listed, list) else []
    told = {
        "run": str(home),
        "started": moment(datetime.fromisoformat(provenance["created"])) if "created" in provenance else "",
        "model": params.get("model.use", ""),
        "data": ", ".join(Path(file).name for file in files[:1]) + (f" and {len(files) - 1} more" if files[1:] else ""),
        "fingerprint": facts.digest(listed),
        "device": str(provenance.get("device", "")),
        "git": str(provenance.get("git")),
        "versions": _listed({**provenance.get("packages", {}), **provenance.get("plugins", {})}),
    }
    metrics = _json(home / "metrics.json") if (home / "metrics.json").is_file() else {}
    scores = home / SCORES
    why = "" if scores.is_file() else NO_SCORES.format(scores)
    return _entrant(
        params.get("name", home.name),
        str(home.resolve()),
        told,
        params,
        metrics,
        scores if not why else None,
        why,
        score,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}; copy the run's artifacts again") from error
    return dict(found)


def _entrant(
    name: str,
    key: str,
    told: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    scores: Path | None,
    why: str,
    score: str | None,
) -> Entrant:
    """Return a run with its test events; the scorer is the wanted one, or the first."""
    scorers = _scorers(scores, params)
    if score is not None and score not in scorers:
        raise InputError(f"--score {score!r} is no score of run {name}; {did_you_mean(score, scorers)}")
    scorer = score or next(iter(scorers), "")
    found = read(scores, scorer, background_of(params)) if scores is not None else None
    known = {fact: text for fact, text in told.items() if text not in ("", "None")}
    return Entrant(name, key, known, params, metrics, scorers, scorer, found, why)


def _scorers(scores: Path | None, params: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of a run's scores: as its file has them, else as its recipe does."""
    if scores is not None:
        return tuple(name.removeprefix("score/") for name in _columns(scores) if name.startswith("score/"))
    places = sorted({int(key.split(".")[1]) for key in params if key.startswith("scores.")})
    used = {place: params.get(f"scores.{place}.use", "").rpartition(":")[2] for place in places}
    return tuple(params.get(f"scores.{place}.name", use) for place, use in used.items())


def _columns(path: Path) -> list[str]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: is no sound Parquet file: {error}; copy the run's artifacts again") from error


def read(path: Path, scorer: str, background: tuple[str, ...]) -> Sample:
    """Read the test events of a run with one of its scores.

    Raises InputError where a column is missing, as in files of other programs, or the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ["event_id", "category", "label", "weight", f"score/{scorer}"]
    if missing := [name for name in wanted if name not in _columns(path)]:
        raise InputError(f"{path}: has no column {missing[0]!r}, which `hepanom run` writes; was it made elsewhere?")
    try:
        table = pq.read_table(path, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: is no sound Parquet file: {error}; copy the run's artifacts again") from error
    category, _ = _codes(table["category"])
    label, classes = _codes(table["label"])
    return sample(
        table["event_id"].to_numpy(),
        table[f"score/{scorer}"].to_numpy(),
        category,
        label,
        table["weight"].to_numpy(),
        classes=classes,
        background=background,
    )


def _codes(column: Any) -> tuple[Int[np.ndarray, " event"], tuple[str, ...]]:
    """Return a column of texts as places in its list of different ones, -1 for a missing one."""
    coded = column.combine_chunks().dictionary_encode()
    codes: Shaped[np.ndarray, " event"] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), tuple(map(str, coded.dictionary.to_pylist()))


def _listed(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def since_1970(milliseconds: int) -> datetime:
    """Return the moment so many milliseconds after 1970 began."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def moment(when: datetime) -> str:
    """Return a time as the user's clock showed it: ``2026-01-31 12:00``."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def duration(start: int | None, end: int | None) -> str:
    """Return how long a run took, from milliseconds: ``42 s``, ``3:07 min``, ``2:05 h``; "" while it goes on."""
    if start is None or end is None:
        return ""
    seconds = round((end - start) / 1000)
    if seconds < 60:
        return f"{seconds} s"
    small, unit = (seconds, "min") if seconds < 3600 else (seconds // 60, "h")
    return f"{small // 60}:{small % 60:02d} {unit}"
