# One set of recipes for people and for CI. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix services services-down lock bench eval clean
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed
DATA ?=
PYTHON ?=
PYTEST_ARGS ?=
WORKERS ?= 2

help: ## List the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(RUNTIME) $(DEV) ## Make .venv and install everything to work on Lookalike

demo: $(RUNTIME) ## Install what running needs, index the samples and search them
	$(BIN)/python demo/run.py

test: $(RUNTIME) $(DEV) ## Run the tests (PYTEST_ARGS=… chooses, WORKERS=n runs so many at once)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not outage" $(PYTEST_ARGS) || test $$? = 5
	$(BIN)/python -m pytest -m outage $(PYTEST_ARGS) || test $$? = 5

check: $(RUNTIME) $(DEV) ## Lint, format, types, floors, dependencies, sizes, docs, help
	@$(BIN)/python -m tools.check_all

fix: $(RUNTIME) $(DEV) ## Apply the automatic fixes, and write the generated documents anew
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m tools.attribution --write
	$(BIN)/python -m tools.cli_help --write
	$(BIN)/python -m tools.decisions --write
	$(BIN)/python -m tools.figures --write

services: | $(BIN)/python ## Install and start the servers that the adapters' tests talk to
	$(BIN)/python services/run.py up

services-down: | $(BIN)/python ## Stop those servers; their data stays
	$(BIN)/python services/run.py down

bench: $(RUNTIME) $(DEV) $(BENCH) ## Measure speed beside the peers (writes bench/results)
	$(BIN)/python bench/run.py

eval: $(RUNTIME) $(DEV) ## Measure quality on the datasets in DATA=folder (writes eval)
	@test -n "$(DATA)" || { echo "Say where the datasets are: make eval DATA=folder (docs/evaluation.md)"; exit 2; }
	$(BIN)/lookalike eval "$(DATA)/flickr8k" --split dev --out eval/flickr8k-dev.json
	$(BIN)/lookalike eval "$(DATA)/coco" --out eval/coco.json
	$(BIN)/lookalike eval "$(DATA)/imagenet-sample" --out eval/imagenet-sample.json
	$(BIN)/python -m tools.figures --write

lock: $(BIN)/uv ## Resolve requirements/*.txt anew from pyproject.toml
	tools/lock.sh

clean: ## Remove what the recipes made, the environment too
	test ! -d .services || python3 services/run.py down
	rm -rf $(VENV) .services .demo dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools training bench demo eval -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@PYTHON="$(PYTHON)" sh tools/make_venv.sh $(VENV)

$(UV): requirements/bootstrap.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $(UV)

$(RUNTIME): pyproject.toml requirements/runtime.txt $(UV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/runtime.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

$(BENCH): requirements/bench.txt $(RUNTIME)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@
