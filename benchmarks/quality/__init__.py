"""How well hepanom and PyOD find anomalies in three measured or simulated data sets, on the same events."""

from __future__ import annotations
