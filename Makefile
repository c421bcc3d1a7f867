# PYTHON is only what .venv is made with; everything else runs in it.
PYTHON ?= python3
ONCE ?=
ONLY ?=
# Each has a stack of its own; the tests mostly wait.
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/.installed
MACHINE := .venv/.machine
CYTHON := $(shell find trolleybus services -name '*.pyx' -o -name '*.pxi' -o -name '*.h')
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench chaos lint types imports lock sdk clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(MACHINE) ## make the environment in .venv (PYTHON=python3.12 chooses the Python)

$(STAMP): pyproject.toml requirements.lock tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py

$(MACHINE): $(STAMP) hatch_build.py $(CYTHON)
	@$(BIN)/python hatch_build.py
	@touch $@

demo: $(MACHINE) ## start everything with a simulated shop; Ctrl-C stops it (ONCE=1: play once, check, stop)
	@$(BIN)/trolleybus demo $(if $(ONCE),--once)

test: $(MACHINE) ## every test but chaos and benchmarks, on real servers
	@$(BIN)/pytest tests -m "not chaos and not bench" -n $(WORKERS) --dist loadfile

bench: $(MACHINE) ## measure speed and memory into build/bench.json (ONLY=name for one)
	@$(BIN)/python -m tests.bench $(ONLY)

chaos: $(MACHINE) ## random faults for minutes (ONLY=name for one)
	@$(BIN)/python -m tests.chaos $(ONLY)

lint: $(STAMP) ## style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP) ## types
	@$(BIN)/mypy trolleybus services tools tests hatch_build.py

imports: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports

lock: $(STAMP) ## pin the newest allowed packages: requirements.lock, and from it deploy/requirements/ for the images
	@$(COMPILE) --all-extras pyproject.toml requirements.build.in -o requirements.lock
	@$(COMPILE) -c requirements.lock requirements.build.in -o deploy/requirements/build.txt
	@for service in ingest abandonment campaigns messaging analytics; do \
		$(COMPILE) -c requirements.lock --extra $$service pyproject.toml -o deploy/requirements/$$service.txt || exit 1; \
	done

sdk: ## check and build the browser SDK from sdk/ (needs Node 18 or newer); what it writes is committed
	@cd sdk && npm ci --silent && npm run --silent build

clean: ## stop the local stack and delete all that was made here, .venv included
	@if [ -x $(BIN)/trolleybus ]; then $(BIN)/trolleybus stack reset; fi
	@rm -rf .venv .dev build dist sdk/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache trolleybus/avro/machine.*.so services/ingest/adapters/native_machine.*.so services/ingest/kafka/kafka_machine.*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
