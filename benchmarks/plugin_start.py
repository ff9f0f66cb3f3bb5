"""The start of the command line with fifty plugin packages installed, beside the same with none but our own.

Each package has an entry point, a hooks module that offers one plugin of each kind by name, and four modules behind it
that would import torch. Rounds are interleaved; the numbers are medians over whole processes, of their wall time and of
their processor time, which other work on the machine changes less.

    python benchmarks/plugin_start.py [rounds] [packages]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("reader", "transform", "model", "scorer")
COMMANDS = (("--help",), ("plugins",), ("plugins", "--json"))


def install(home: Path, number: int) -> None:
    """Write a package as pip would install it."""
    name = f"made_up_{number:02}"
    package, metadata = home / name, home / f"{name}-1.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").touch()
    hooks = ["from hepanom.hookspecs import hookimpl", "@hookimpl\ndef contract(): return 1"]
    for kind in KINDS:
        target = f"{name}.{kind}:Plugin"
        hooks.append(f"@hookimpl\ndef {kind}s(): return {{'{kind}_{number:02}': '{target}'}}")
        (package / f"{kind}.py").write_text(f'import torch\nclass Plugin:\n    """A {kind}."""\n')
    (package / "hooks.py").write_text("\n".join(hooks) + "\n")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[hepanom]\n{name} = {name}.hooks\n")


def seconds(command: tuple[str, ...], path: str) -> tuple[float, float]:
    """Return wall and processor time of a process."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "hepanom", *command]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int, packages: int) -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(packages):
            install(Path(folder), number)
        found: dict[tuple[tuple[str, ...], str], list[tuple[float, float]]] = {}
        for turn in range(rounds + 1):
            for command in COMMANDS:
                for path in ("", folder):
                    taken = seconds(command, path)
                    if turn:  # the first one compiles the modules
                        found.setdefault((command, path), []).append(taken)
        print(f"{'hepanom':18}{'packages':>8} {'wall':>8} {'processor':>10}  (ms, medians of {rounds})")
        for (command, path), times in found.items():
            wall, processor = (1000 * statistics.median(each) for each in zip(*times, strict=True))
            print(f"{' '.join(command):18}{packages if path else 0:8} {wall:8.0f} {processor:10.0f}")


if __name__ == "__main__":
    main(*(int(given) for given in [*sys.argv[1:], *("9", "50")[len(sys.argv) - 1 :]]))
