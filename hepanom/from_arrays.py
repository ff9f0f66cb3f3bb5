"""Events from arrays that are in memory: numpy, awkward, pandas, polars and histograms become a ``Sample``.

Numbers become float32, as they are in files. The event id, which alone decides who trains and who tests, is the hash of
what ``id`` gives; without it the hash of everything that the event holds, so that it never depends on the position:
events that are equal in everything share their id, and are counted in ``Events.tally``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32

from hepanom.errors import InputError, did_you_mean
from hepanom.events import Input, Jagged
from hepanom.sample import Columns, Inputs, Sample, sample_of

if TYPE_CHECKING:
    import awkward as ak  # type: ignore[import-untyped]
    import hist
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl


def from_numpy(
    values: Any,
    columns: Sequence[str] | None = None,
    *,
    units: Mapping[str, str] | None = None,
    weight: Any = None,
    label: Any = None,
    classes: Sequence[str] | None = None,
    id: Any = None,
    beside: Mapping[str, Any] | None = None,
    missing: Sequence[float] = (),
) -> Sample:
    """Return events from an array: (event, feature), or images (event, row, column), (event, channel, row, column).

    ``columns`` names the features or channels. ``label`` holds the name of each event's class, or its index in
    ``classes`` (-1: unknown). ``id`` is an array, or several, of what makes an event unique, such as run and event
    number. ``beside`` are columns that travel along, such as a mass on which a cut depends. ``missing`` are the values
    that mean missing and become NaN, as by a reader's option of that name. Raises InputError for arrays that do not fit
    together.

    >>> import numpy as np, hepanom
    >>> sample = hepanom.from_numpy(np.eye(3), columns=["pt", "eta", "mass"], label=["qcd", "top", "qcd"])
    >>> sample.schema.classes, sample.events.label
    (('qcd', 'top'), array([0, 1, 0]))
    """
    array = _float32("values", values)
    if array.ndim not in (2, 3, 4):
        raise InputError(f"values: found the shape {array.shape}; expected (event, feature), or images")
    array = array[:, None] if array.ndim == 3 else array
    kind: Literal["table", "image"] = "table" if array.ndim == 2 else "image"
    default = "x" if kind == "table" else "channel"
    names = tuple(columns) if columns is not None else tuple(f"{default}{index}" for index in range(array.shape[1]))
    if len(names) != array.shape[1] or len(set(names)) != len(names):
        raise InputError(
            f"columns: found {len(names)} names, {len(set(names))} of them different; {array.shape[1]} fit"
        )
    entry = Input(kind, names, _units(names, units), array.shape[2:])
    ids = None if id is None else [np.asarray(id)] if _flat(id) else [np.asarray(each) for each in id]
    inputs = {"features" if kind == "table" else "image": (entry, array)}
    carried = {name: np.asarray(column) for name, column in (beside or {}).items()}
    return sample_of(_blanked(inputs, missing), weight, label, classes, ids, carried)


def from_pandas(frame: pd.DataFrame, **roles: Any) -> Sample:
    """Return events from the columns of a pandas frame, an event a row; ``roles`` are those of ``from_columns``.

    >>> import pandas as pd, hepanom
    >>> frame = pd.DataFrame({"event": [1, 2], "pt": [30.0, 40.0], "kind": ["b", "s"]})
    >>> hepanom.from_pandas(frame, label="kind", id=["event"])
    Sample: 2 events, features (1), classes b, s
    """
    return from_columns({str(name): frame[name].to_numpy() for name in frame.columns}, **roles)


def from_polars(frame: pl.DataFrame, **roles: Any) -> Sample:
    """Return events from the columns of a polars frame, an event a row; ``roles`` are those of ``from_columns``."""
    return from_columns({name: frame[name].to_numpy() for name in frame.columns}, **roles)


def from_columns(
    columns: Mapping[str, Any],
    *,
    features: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    weight: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    id: Sequence[str] = (),
    keep: Sequence[str] = (),
    missing: Sequence[float] = (),
) -> Sample:
    """Return events from columns by name, which have the roles that a reader's options give them.

    ``features`` are by default all columns that have no other role. Columns of ``id`` and ``keep`` travel beside the
    events. Values of features that are among ``missing``, such as -999, become NaN. Raises InputError for a column that
    is not there, and for a feature that holds no numbers.

    >>> hepanom.from_columns({"run": [1, 1], "pt": [30.0, 40.0]}, id=["run"]).schema.beside
    ('run',)
    """
    return _from_columns(columns, {}, features, units, weight, label, classes, id, keep, missing)


def from_awkward(
    array: ak.Array,
    *,
    points: Mapping[str, Sequence[str]] | None = None,
    units: Mapping[str, str] | None = None,
    features: Sequence[str] | None = None,
    weight: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    id: Sequence[str] = (),
    keep: Sequence[str] = (),
    missing: Sequence[float] = (),
) -> Sample:
    """Return events from an awkward array of records.

    Fields of one number per event are columns of a table, with the roles of ``from_columns``. A field that is a list of
    records, such as ``{"hits": [{"x": 1.0, "y": 2.0}, ...]}``, is an input of points; ``points`` makes one of several
    lists of numbers: ``{"jets": ["jet_pt", "jet_eta"]}``. Raises InputError for other fields.

    >>> import awkward as ak, hepanom
    >>> hepanom.from_awkward(ak.Array([{"met": 1.0, "hits": [{"x": 1, "y": 2}]}, {"met": 2.0, "hits": []}]))
    Sample: 2 events, features (1), hits (2), no labels
    """
    import awkward as ak

    for field in (field for fields in (points or {}).values() for field in fields):
        if field not in ak.fields(array):
            raise InputError(f"points: field {field!r} is not there; {did_you_mean(field, ak.fields(array))}")
    lists = {name: {field: array[field] for field in fields} for name, fields in (points or {}).items()}
    flat: dict[str, np.ndarray] = {}
    for name in ak.fields(array):
        values = array[name]
        if values.ndim == 1 and not ak.fields(values):
            flat[name] = ak.to_numpy(ak.fill_none(values, np.nan) if "?" in str(values.type) else values)
        elif values.ndim == 2 and ak.fields(values):
            lists[name] = {field: values[field] for field in ak.fields(values)}
        elif not any(name in fields for fields in lists.values()):
            raise InputError(f"field {name!r}: found {values.type}; `points` joins lists of numbers to points")
    named = units or {}
    clouds = {
        name: _cloud(name, fields, {field: unit for field, unit in named.items() if field in fields})
        for name, fields in lists.items()
    }
    rest = {field: unit for field, unit in named.items() if field in flat}
    return _from_columns(flat, clouds, features, rest, weight, label, classes, id, keep, missing)


def from_hist(
    histograms: hist.Hist[Any] | Sequence[hist.Hist[Any]] | Mapping[str, Sequence[hist.Hist[Any]]], **given: Any
) -> Sample:
    """Return events from histograms of one binning, an event each, such as a map of a detector's occupancy.

    x are the columns of the image and y its rows; a histogram of one axis has one row. With several channels it is a
    table of them: ``{"inner": [h1, h2], "outer": [h3, h4]}``. What lies in underflow and overflow is left out.
    ``given`` are weight, label, classes, id, beside and missing of ``from_numpy``.

    >>> import hist, hepanom
    >>> maps = [hist.Hist.new.Reg(4, 0, 1).Reg(2, 0, 1).Double().fill([0.1], [0.6]) for _ in range(3)]
    >>> hepanom.from_hist(maps, id=[1, 2, 3])
    Sample: 3 events, image (1 x 2 x 4), no labels
    """
    channels = histograms if isinstance(histograms, Mapping) else {"counts": histograms}
    images = {}
    for name, found in channels.items():
        listed: list[Any] = [found] if hasattr(found, "axes") else list(found)
        if not listed:
            raise InputError(f"channel {name!r}: there is no histogram")
        if len(listed[0].axes) > 2 or any(each.axes != listed[0].axes for each in listed):
            raise InputError(f"channel {name!r}: the histograms have other axes than the first, or more than two")
        images[name] = np.stack([np.atleast_2d(np.asarray(each.values(), np.float64).T) for each in listed])
    if len({image.shape for image in images.values()}) != 1:
        raise InputError(f"the channels differ: {', '.join(f'{name} {image.shape}' for name, image in images.items())}")
    return from_numpy(np.stack(list(images.values()), axis=1), list(images), **given)


def _from_columns(
    columns: Mapping[str, Any],
    clouds: Inputs,
    features: Sequence[str] | None,
    units: Mapping[str, str] | None,
    weight: str | None,
    label: str | None,
    classes: Sequence[str] | None,
    id: Sequence[str],
    keep: Sequence[str],
    missing: Sequence[float],
) -> Sample:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    used = [name for name in (weight, label, *id, *keep) if name is not None]
    for name in [*used, *(features or ())]:
        if name not in arrays:
            raise InputError(f"column {name!r} is not there; {did_you_mean(name, arrays)}")
    chosen = [name for name in arrays if name not in used] if features is None else list(features)
    table = _table({name: arrays[name] for name in chosen}, units)
    weights, labels = (None if name is None else arrays[name] for name in (weight, label))
    told = {name: arrays[name] for name in dict.fromkeys([*id, *keep])}
    inputs = _blanked({**table, **clouds}, missing)
    return sample_of(inputs, weights, labels, classes, [arrays[name] for name in id] or None, told)


def _blanked(inputs: Inputs, missing: Sequence[float]) -> Inputs:
    """Return the inputs with NaN where a value means missing."""
    if not missing:
        return inputs
    absent = np.array(missing, np.float32)

    def blank(values: Float32[np.ndarray, ...]) -> Float32[np.ndarray, ...]:
        return np.where(np.isin(values, absent), np.float32(np.nan), values)

    return {
        name: (entry, Jagged(blank(found.values), found.offsets) if isinstance(found, Jagged) else blank(found))
        for name, (entry, found) in inputs.items()
    }


def _table(columns: Columns, units: Mapping[str, str] | None) -> Inputs:
    if not columns:
        return {}
    entry = Input("table", tuple(columns), _units(tuple(columns), units))
    return {"features": (entry, np.stack([_float32(name, values) for name, values in columns.items()], axis=1))}


def _cloud(name: str, lists: Mapping[str, Any], units: Mapping[str, str] | None) -> tuple[Input, Jagged]:
    """Return an input of points from the lists of its coordinates."""
    import awkward as ak

    counts = [ak.to_numpy(ak.num(values)) for values in lists.values()]
    if any((each != counts[0]).any() for each in counts):
        raise InputError(f"points {name!r}: {', '.join(lists)} have lists of different lengths")
    flat = [_float32(f"{name}.{field}", ak.to_numpy(ak.flatten(values))) for field, values in lists.items()]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[0], dtype=np.int64)])
    return Input("points", tuple(lists), _units(tuple(lists), units)), Jagged(np.stack(flat, axis=1), offsets)


def _units(names: tuple[str, ...], units: Mapping[str, str] | None) -> tuple[str, ...]:
    for name in units or ():
        if name not in names:
            raise InputError(f"units: column {name!r} is not there; {did_you_mean(name, names)}")
    return tuple((units or {}).get(name, "") for name in names)


def _float32(name: str, values: Any) -> Float32[np.ndarray, "event ..."]:
    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(np.asarray(values), np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: holds something else than numbers ({error}); choose `features`, or give the column another role"
        ) from error


def _flat(values: Any) -> bool:
    return all(np.ndim(each) == 0 for each in values)
