# Every verb that a developer or CI needs. `make help` lists them; nothing has to be installed before but Python and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
RUN := $(UV) run --frozen

.PHONY: help
help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.tools/uv/bin/uv:
	@python3 -m venv .tools/uv
	@.tools/uv/bin/pip install --quiet 'uv==$(UV_VERSION)'

.PHONY: install
install: $(if $(filter .tools/%,$(UV)),$(UV)) ## Install the locked environment into .venv
	@$(UV) sync --frozen --quiet

.PHONY: fmt
fmt: install ## Format the code and apply the safe fixes
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

.PHONY: lint
lint: install ## Check format, rules and the one-way layers
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) lint-imports

.PHONY: type
type: install ## Check the types
	@$(RUN) mypy api cli gateway runtime store bench examples tests/support
