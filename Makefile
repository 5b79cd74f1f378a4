# Every command sets itself up: a virtual environment in .venv, locked packages with hashes.
# --no-deps: the locks are complete. Without it pip resolves anew, looks at the newest release of a
# package that another asks for with an extra, finds no hash of it, and stops.
# Needed beforehand: Python 3.11 or newer and make. After the first run no network is used.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps
ARGS ?=

.PHONY: help demo up test check bench docs lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: .venv/.runtime ## Watch Tidegauge notice three real things in live traffic (ARGS="--minutes 3 --keep")
	@$(BIN)/tidegauge demo $(ARGS)

up: .venv/.runtime ## Run Tidegauge for real, with an empty database in your data folder
	@$(BIN)/tidegauge up $(ARGS)

test: .venv/.dev ## Run all tests: SQLite, PostgreSQL, real exporters, a real browser (ARGS="-k word")
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev ## Lint, types, layering
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/.dev ## Measure: ingest, kill -9, queries, detection, the corpus of payloads (minutes)
	@$(BIN)/python -m bench

docs: .venv/.dev ## Write the generated pages again: docs/settings.md, docs/map.md, the README's map
	@$(BIN)/python -m tests.pages

lock: .venv/.dev ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --quiet -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 -c requirements.lock \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --quiet -o requirements-dev.lock

clean: ## Remove the virtual environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist

.venv/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tidegauge needs Python 3.11 or newer; name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up .venv (once, a minute or two) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	@echo "Adding what the tests need: linters, PostgreSQL, a browser (once) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m tests.browser
	@touch $@
