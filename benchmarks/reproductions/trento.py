"""Print Tables 4.3 and 4.5 of Nardelli's thesis (Trento 2016) from the two HiggsML recipes, ten replicas each.

AMS is weighted and scaled to the expected yields of the challenge, the other columns count events, as in the thesis.
Arguments are --set values for both recipes; the first 16,000 events, all of set t, need a split by hash:

    python benchmarks/reproductions/trento.py 'split={train: 0.5, valid: 0.1, calibrate: 0, test: 0.4}'
"""

from __future__ import annotations

import sys
from pathlib import Path

from hepanom import document
from hepanom.evaluate import Number
from hepanom.run import run

RECIPES = Path(__file__).parents[2] / "recipes"
COLUMNS = ("ams", "accuracy", "precision", "recall", "f1", "mcc")
RULES = ("quantile_0.4", "median", "mean")


def main(overrides: list[str]) -> None:
    """Run both recipes and print a table for each score."""
    for name in ("higgsml_ae", "higgsml_vae"):
        recipe = document.read(RECIPES / f"{name}.yaml", ["train.replicas=10", *overrides])
        result = run(recipe).result
        for scorer in result.scored.scores:
            print(f"\n{name}, {scorer}\n\n| threshold | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
            for rule in RULES:
                places = [f"{scorer}/{'' if column == 'ams' else 'unweighted/'}{rule}/{column}" for column in COLUMNS]
                print(f"| {rule} | {' | '.join(_cell(result.numbers[place]) for place in places)} |", flush=True)


def _cell(number: Number) -> str:
    return f"{number.value:.3f} ± {number.spread:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
