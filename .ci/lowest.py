"""Print the lowest version of every dependency that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

LOWER_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?>=(?P<version>[^,;]+)")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for dependency in [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]:
    if dependency.startswith(f"{project['name']}["):
        continue  # other extras of this one
    bound = LOWER_BOUND.match(dependency)
    if not bound:
        sys.exit(f"pyproject.toml: {dependency!r} has no lower bound; write name>=version")
    sys.stdout.write(f"{bound['name']}=={bound['version']}\n")
