"""The code of a detector in MLflow's model format: a copy of this file lies in every logged model.

It holds no more than the way to ``hepanom.served``, so that an old model goes on with a newer hepanom.
"""

from __future__ import annotations

from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from hepanom import served


class Served(PythonModel):
    """A detector that is given a table, or arrays by name, and returns a table of scores and flags."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the detector from the model's folder; ``model_config={"device": "cuda"}`` chooses a device."""
        device = (context.model_config or {}).get("device") or None
        self.detector = served.load(context.artifacts["detector"], context.artifacts.get("plugins"), device)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return scores and flags, a row per event."""
        return pd.DataFrame(served.scores(self.detector, dict(model_input)), index=getattr(model_input, "index", None))


set_model(Served())
