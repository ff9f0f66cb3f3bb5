"""A detector as a folder in MLflow's model format, for `mlflow models predict` and the model registry; no pickle.

The code in it is ``hepanom.pyfunc``, the rest the detector's own folder, its plugin files, and texts that say what goes
in, what comes out, and what must be installed.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from hepanom import plugins, served
from hepanom.detector import Detector
from hepanom.events import Events, Input
from hepanom.shares import Shares

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LATER = "mlflow; python_version < '0'"  # to compare a real one with what is installed takes MLflow two seconds
log = logging.getLogger(__name__)
SHOWN = 5  # events of the example
CODE = Path(__file__).with_name("pyfunc.py")


def made(detector: Detector, stored: Path, events: Shares, folder: Path) -> Path | None:
    """Write the model folder with an example from the training share; None, and a warning, where that is impossible."""
    try:
        save(detector, stored, next(iter(events.chunks("train"))), folder)
    except Exception as error:  # a run of hours must not fail for what others may never load
        log.warning("the detector is not logged as a model for MLflow's registry: %r", error)
        return None
    return folder


def save(detector: Detector, stored: Path, events: Events, folder: Path) -> None:
    """Write the model folder; ``stored`` is the detector's folder, ``events`` some that its reader gave.

    A column in which all of them hold whole numbers is taken as integers and as decimals, since a table often holds
    integers there, which MLflow refuses for a column of decimals.
    """
    import pandas as pd  # type: ignore[import-untyped]

    with warnings.catch_warnings(), TemporaryDirectory() as temporary:
        warnings.simplefilter("ignore")  # MLflow's own code breaks its own rules, and pandas'
        import mlflow.pyfunc

        columns = served.to_columns(detector, events)
        shown = SHOWN if served.form(detector).table else 1  # points of one event need no padding
        first = served.to_columns(detector, events.mask(np.arange(len(events)) < shown))
        artifacts = {"detector": str(stored)}
        local = plugins.local_folder(detector.parts.document)
        if local is not None:
            artifacts["plugins"] = str(_plugin_files(local, Path(temporary) / "plugins"))
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(CODE),
            artifacts=artifacts,
            signature=_signature(detector, columns),
            input_example=pd.DataFrame(first) if served.form(detector).table else first,
            pip_requirements=[LATER],
            model_config={"device": ""},  # what is not named here cannot be chosen later
        )
    _require(folder, requirements(detector.parts.versions))


def requirements(versions: Mapping[str, str]) -> list[str]:
    """Return what must be installed for the same scores; ``versions`` are those of the plugins' packages."""
    packages = {"mlflow": version("mlflow"), "hepanom": version("hepanom"), "torch": version("torch")}
    packages |= {name: found for name, found in versions.items() if found not in {"local", "unknown"}}
    return [f"{name}=={found.partition('+')[0]}" for name, found in packages.items()]


def _require(folder: Path, wanted: list[str]) -> None:
    (folder / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
    python = f"python={platform.python_version()}"
    conda = {"name": "hepanom", "channels": ["conda-forge"], "dependencies": [python, "pip", {"pip": wanted}]}
    (folder / "conda.yaml").write_text(json.dumps(conda, indent=1) + "\n", encoding="utf-8")  # JSON is YAML


def _plugin_files(local: Path, target: Path) -> Path:
    """Copy what hepanom loads from a plugin folder: its Python files."""
    target.mkdir()
    for file in local.glob("*.py"):
        shutil.copy(file, target)
    return target


def _signature(detector: Detector, columns: Mapping[str, np.ndarray]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    form, either = served.form(detector), AnyType()  # type: ignore[no-untyped-call]
    if form.table:
        found: list[Any] = [ColSpec(either if _whole(values) else "double", name) for name, values in columns.items()]
    else:
        found = [TensorSpec(np.dtype(np.float32), _shape(entry), name) for name, entry in form.inputs.items()]
        found += [TensorSpec(_type(columns[name]), (-1,), name) for name in form.beside]
    rules = dict.fromkeys((entry.scorer, entry.name) for entry in detector.thresholds)
    scores = [ColSpec(DataType.double, f"score/{label}") for label in detector.parts.scorers]
    flags = [ColSpec(DataType.boolean, f"flag/{scorer}/{rule}") for scorer, rule in rules]
    return ModelSignature(Schema(found), Schema([*scores, *flags]))


def _whole(values: np.ndarray) -> bool:
    """Return whether no value has decimals."""
    if values.dtype.kind != "f":
        return True
    known = values[np.isfinite(values)]
    return bool((known == np.rint(known)).all())


def _type(values: np.ndarray) -> np.dtype[Any]:
    return np.dtype(np.float64) if values.dtype.kind in "iuf" else np.dtype(str)


def _shape(entry: Input) -> tuple[int, ...]:
    return (-1, -1, len(entry.columns)) if entry.kind == "points" else (-1, *entry.extent)
