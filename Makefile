# Every target sets itself up in .venv from a fresh clone: `make quickstart` is the first command to type.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
PIP := -m pip --disable-pip-version-check install --quiet
INSTALL := $(BIN)/python $(PIP) --constraint constraints.txt
LOWEST := .venv-lowest

export NO_MKDOCS_2_WARNING := 1

.PHONY: quickstart test check docs bench bench-quality lowest clean

quickstart: $(STAMP) ## train, score and report on simulated dijets
	$(BIN)/hepanom run recipes/quickstart.yaml

test: $(STAMP) ## run every test, in two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(STAMP) ## lint, format, types, layers, documentation, project review
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_layers.py tests/test_files.py
	$(BIN)/mkdocs build --strict --quiet
	$(BIN)/sp-repo-review .

docs: $(STAMP) ## build the documentation into site/
	$(BIN)/mkdocs build --strict

bench: .venv/.stamp-bench ## time hepanom against its peers
	set -e; for benchmark in benchmarks/*.py; do $(BIN)/python "$$benchmark"; done

bench-quality: .venv/.stamp-bench ## compare what hepanom and PyOD find in three data sets; finished numbers are kept
	OMP_NUM_THREADS=1 HEPANOM_DATA="$${HEPANOM_DATA:-../shared/data}" $(BIN)/python -m benchmarks.quality

lowest: ## test with the lowest versions that pyproject.toml allows, in an environment of its own
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python .ci/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python $(PIP) --constraint $(LOWEST)/constraints.txt torch
	$(LOWEST)/bin/python $(PIP) --constraint $(LOWEST)/constraints.txt --editable '.[test]'
	$(LOWEST)/bin/python -m pytest

clean: ## remove what make built; runs and their records stay
	rm -rf .venv $(LOWEST) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch comes first and alone: pip then settles the rest around a torch that is already there.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hepanom needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(INSTALL) torch
	$(INSTALL) --editable '.[dev,docs]'
	touch $@

.venv/.stamp-bench: $(STAMP)
	$(INSTALL) --editable '.[bench]'
	touch $@
