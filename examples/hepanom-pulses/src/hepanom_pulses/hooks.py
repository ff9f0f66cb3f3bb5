"""What this package offers to hepanom."""

from __future__ import annotations

from hepanom.hookspecs import Offers, hookimpl


@hookimpl
def contract() -> int:
    """Say for which version of hepanom's contracts this was written."""
    return 1


@hookimpl
def readers() -> Offers:
    """Offer the reader."""
    return {"pulses": "hepanom_pulses.reader:Pulses"}
