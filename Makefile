# make run           set up, serve the bundled models, explain the sample clip; Ctrl-C stops everything
# make run ONCE=1    the same, but stop after the sample clip
# make test          set up, check, and run all tests
# make endurance     hostile input for hours: a hundred times what `make test` tries, then guided by coverage
# PYTHON=... names the Python (3.11 or newer) to set up with
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The environment is made again when what it is made from changes.
KEY := $(shell cat pyproject.toml constraints.txt requirements/*.txt scripts/environment | cksum | tr ' ' -)
export PYTHON

.PHONY: help run test endurance lint protos clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/run-$(KEY): ; @scripts/environment $(VENV) && $(MAKE) --no-print-directory install && touch $@

$(VENV)/dev-$(KEY): ; @scripts/environment $(VENV) dev && $(MAKE) --no-print-directory install && touch $@ $(VENV)/run-$(KEY)

.PHONY: install
install:
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --no-deps --editable .

run: $(VENV)/run-$(KEY)
	@exec $(BIN)/actionlens serve --demo $(if $(ONCE),--once)

test: lint
	@$(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder -m "not alone"
	@$(BIN)/python -m pytest -m alone

endurance: $(VENV)/dev-$(KEY)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --constraint constraints.txt atheris
	@$(BIN)/python -m tests.hostile --scale 100 --seed $(or $(SEED),1)
	@$(BIN)/python -m tests.hostile --guided $(or $(SECONDS_EACH),600) --seed $(or $(SEED),1)

lint: $(VENV)/dev-$(KEY)
	@PYTHON=$(BIN)/python scripts/protos --check
	@$(BIN)/buf lint protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

protos: $(VENV)/dev-$(KEY)
	@PYTHON=$(BIN)/python scripts/protos

clean:
	@rm -rf $(VENV) out run build dist model_store/archives .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -name __pycache__ -prune -exec rm -rf {} +
