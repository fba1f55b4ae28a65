# `make demo` shows tocsin at work; `make test` tests it. Both set up what they need, in .venv and with the system's
# package manager.

# Each interpreter that PYTHON names has an environment of its own.
VENV := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The images' Python is that of Debian 13; what is pinned is the same for every processor.
PINS := --quiet --generate-hashes --no-header --no-annotate --python-version 3.13 --python-platform linux

.PHONY: demo test chaos bench check format schemas reference manifests lock clean help

demo: $(READY) ## Show the whole path on this machine; ARGS=--stay goes on until Ctrl-C
	@$(BIN)/python -m tests.demo $(ARGS)

test: $(READY) ## Run all tests; ARGS goes to pytest
	@scripts/mosquitto
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

chaos: $(READY) ## Break everything at random and count what arrives; ROUNDS=200, SEED=… repeats a round
	@scripts/mosquitto
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),20) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## Measure what the documents quote, and write bench/RESULTS.md
	@scripts/mosquitto
	@$(BIN)/python -m bench

check: $(READY) ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/shellcheck mosquitto/setup scripts/mosquitto scripts/venv

format: $(READY) ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(READY) ## Write the JSON Schemas and the AsyncAPI document anew
	$(BIN)/python -m tocsin_schemas.generate

reference: $(READY) ## Write the reference of the configuration files and the table of hints anew
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.hints

manifests: $(READY) ## Write the manifests in deploy/ anew
	@$(BIN)/python -m tests.deploy.examples

lock: $(READY) ## Pin anew what the images install, which asks the package index
	@$(BIN)/python -m pip install --quiet 'uv>=0.9'
	@$(BIN)/uv pip compile $(PINS) --output-file producer/requirements.lock pyproject.toml
	@$(BIN)/uv pip compile $(PINS) --output-file consumer/requirements.lock --extra consumer pyproject.toml

$(READY): pyproject.toml scripts/venv
	@echo "setting up $(VENV), which takes a minute"
	@scripts/venv $(VENV)
	@touch $@

clean: ## Remove what the other targets have made
	rm -rf .venv .venv-* .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

help: ## Show this
	@sed -nE 's/^([a-z]+):[^#]*## /\1\t/p' Makefile | expand -t 10
