# `make run` shows the service at work on this machine; `make test` checks everything. See docs/operations.md.

# PYTHON=... chooses another interpreter; it has to be a Python 3.13.
version = $(shell $(1) -c 'import platform; print(platform.python_version())' 2>/dev/null)
PYTHON ?= $(firstword $(foreach name,python3.13 python3 python,$(if $(filter 3.13.%,$(call version,$(name))),$(name))) python3)
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/installed
BENCHMARK_STAMP = $(VENV)/installed-benchmarks
# The layers and functions are built with this environment's Python, so it comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY = 0
export PORT STACK_DIR PARTITIONS

.DEFAULT_GOAL = help
.PHONY: help venv run stop reset test lint unit e2e size validate bench openapi format requirements

help:  ## Show what can be made
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

venv: $(STAMP)  ## Create .venv from the pinned requirements

$(STAMP): requirements/dev.txt layers/libraries/libraries.txt layers/libraries/data.txt
	@$(if $(filter 3.13.%,$(call version,$(PYTHON))),true,echo "$(PYTHON) is $(or $(addprefix Python ,$(call version,$(PYTHON))),not there), and Python 3.13 is needed: install it or name it with PYTHON=." >&2; exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

$(BENCHMARK_STAMP): $(STAMP) requirements/benchmarks.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/benchmarks.txt
	@touch $@

run: $(STAMP)  ## Start the local stack, do the main job, stay until Ctrl-C (DETACH=1 returns; PORT=, STACK_DIR= choose where)
	@$(BIN)/python -m dev.stack run $(if $(DETACH),--detach)

stop: $(STAMP)  ## End the local stack and keep its state
	@$(BIN)/python -m dev.stack stop

reset: $(STAMP)  ## End the local stack and forget its state
	@$(BIN)/python -m dev.stack reset

test: lint validate unit size e2e  ## Check everything

lint: $(STAMP)  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

validate: $(STAMP)  ## Check the template
	$(BIN)/sam validate --lint --region us-east-1

unit: $(STAMP)  ## Unit, property and integration tests, and what the documents promise
	$(BIN)/pytest tests -m "not e2e" -n auto --dist loadfile

size: $(STAMP)  ## Build the layers for both architectures, weigh them, and import them in a bare process
	$(BIN)/python -m dev.size

e2e: $(STAMP)  ## The real template on a local stack of its own
	$(BIN)/pytest tests/e2e -m e2e

openapi: $(STAMP)  ## Write docs/openapi.json from the code
	$(BIN)/python -m dev.openapi

bench: $(BENCHMARK_STAMP)  ## Run the benchmarks side by side with their peers
	$(BIN)/python -m benchmarks

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE = $(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --annotation-style=line

requirements: $(STAMP)  ## Pin all requirements again after a change of an .in file
	$(COMPILE) layers/libraries/libraries.in -o layers/libraries/libraries.txt
	$(COMPILE) layers/libraries/data.in -o layers/libraries/data.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.txt
	$(COMPILE) requirements/benchmarks.in -o requirements/benchmarks.txt
