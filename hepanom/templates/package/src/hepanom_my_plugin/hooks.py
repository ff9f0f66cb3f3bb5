"""What this package offers: read whenever hepanom starts, so that nothing slow is imported here."""

from __future__ import annotations

from hepanom.hookspecs import Offers, hookimpl


@hookimpl
def contract() -> int:
    """Say for which version of hepanom's contracts this was written."""
    return 1


@hookimpl
def my_kinds() -> Offers:
    """Offer the my_kind under the name that recipes use."""
    return {"my_plugin": "hepanom_my_plugin.my_kind:MyPluginMyKind"}
