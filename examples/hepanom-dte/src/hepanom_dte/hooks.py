"""What this package offers to hepanom."""

from __future__ import annotations

from hepanom.hookspecs import Offers, hookimpl


@hookimpl
def contract() -> int:
    """Say for which version of hepanom's contracts this was written."""
    return 1


@hookimpl
def models() -> Offers:
    """Offer the model."""
    return {"dte": "hepanom_dte.model:DTE"}


@hookimpl
def scorers() -> Offers:
    """Offer the score."""
    return {"diffusion_time": "hepanom_dte.scorer:DiffusionTime"}
