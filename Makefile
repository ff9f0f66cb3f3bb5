# Every target sets itself up in .venv from a fresh clone: `make quickstart` is the first command to type.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
PIP := -m pip --disable-pip-version-check install --quiet
INSTALL := $(BIN)/python $(PIP) --constraint constraints.txt
LOWEST := .venv-lowest
EXAMPLES := .venv-examples
WHEEL := .venv-wheel

export NO_MKDOCS_2_WARNING := 1

.PHONY: quickstart test check docs links bench bench-quality lowest examples wheel clean

quickstart: $(STAMP) ## train, score and report on simulated dijets
	$(BIN)/hepanom run recipes/quickstart.yaml

test: $(STAMP) ## run every test, in two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(STAMP) ## lint, format, types, layers, documentation, project review
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	set -e; for package in examples/*; do $(BIN)/mypy --config-file "$$package/pyproject.toml" "$$package/src"; done
	$(BIN)/python -m pytest --quiet tests/test_layers.py tests/test_files.py
	$(BIN)/mkdocs build --strict --quiet
	$(BIN)/sp-repo-review .

docs: $(STAMP) ## build the documentation into site/
	$(BIN)/mkdocs build --strict

links: ## ask every address that the documentation names for its status; needs the network
	grep -rhoE "https://[^] )>\"'\`|]+[^] )>\"'\`|.,;:]" README.md docs --include='*.md' | sort -u \
		| xargs -n 1 -P 8 curl --silent --location --head --max-time 30 --output /dev/null --write-out '%{http_code} %{url}\n'

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

examples: export OMP_NUM_THREADS := 1
examples: ## build, install, test and run the packages in examples/, in an environment of its own
	$(PYTHON) -m venv --clear $(EXAMPLES)
	$(EXAMPLES)/bin/python $(PIP) --constraint constraints.txt torch
	$(EXAMPLES)/bin/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir $(EXAMPLES)/wheels . ./examples/*
	$(EXAMPLES)/bin/python $(PIP) --constraint constraints.txt pytest $(EXAMPLES)/wheels/*.whl
	set -e; for package in examples/*; do \
		$(EXAMPLES)/bin/python -m pytest -p no:cacheprovider --config-file "$$package/pyproject.toml" "$$package/tests"; \
		$(EXAMPLES)/bin/hepanom plugins --check "$$(basename "$$package")"; done
	mkdir -p $(EXAMPLES)/work
	cd $(EXAMPLES)/work && ../bin/python -m hepanom_pulses.simulate samples
	set -e; cd $(EXAMPLES)/work; for package in ../../examples/*; do ../bin/hepanom run "$$package/recipe.yaml"; done

wheel: $(STAMP) ## build and check the wheel; run it in empty environments with the lowest and with the newest versions
	rm -rf dist $(WHEEL)
	$(BIN)/python -m build --wheel
	$(BIN)/twine check --strict dist/*.whl
	mkdir $(WHEEL)
	$(BIN)/python .ci/lowest.py > $(WHEEL)/lowest.txt
	grep '^torch==' constraints.txt > $(WHEEL)/newest.txt
	set -e; for versions in lowest newest; do \
		$(PYTHON) -m venv $(WHEEL)/$$versions; \
		$(WHEEL)/$$versions/bin/python $(PIP) --constraint $(WHEEL)/$$versions.txt torch; \
		$(WHEEL)/$$versions/bin/python $(PIP) --constraint $(WHEEL)/$$versions.txt "$$(echo dist/*.whl)[root,hdf5,parquet,flows]"; \
		$(WHEEL)/$$versions/bin/hepanom plugins --check; \
		$(WHEEL)/$$versions/bin/hepanom run recipes/quickstart.yaml --state $(WHEEL)/$$versions/mlruns; done

clean: ## remove what make built; runs and their records stay
	rm -rf .venv $(LOWEST) $(EXAMPLES) $(WHEEL) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

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
