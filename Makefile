# Everything runs in a virtual environment that these targets make themselves: Python 3.11+ and make are enough.
# `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The demo and the tests log to stderr as they go.
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help install demo chaos executor quick test test-all test-others uvloop otp-diff torture check lint types \
	contracts bench bench-peers clean
# The interpreters of `test-all`, where they are installed.
PYTHONS := 3.11 3.12 3.13
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## make the virtual environment

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "greenroom needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12"; exit 1; }
	@echo "==> making $(VENV) and installing greenroom with its development tools (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -m pip install --quiet --editable . --group dev 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -c 'import greenroom, pytest, hypothesis'
	@touch $@

demo: $(STAMP) ## index the standard library, through kills and poison, and compare with a sequential pass
	@$(BIN)/python examples/indexer/demo.py

chaos: $(STAMP) ## transfer money while the node is killed 200 times
	@$(BIN)/python examples/bank --chaos --kills 200

quick: $(STAMP) ## the tests that start no process and sweep nothing long: about a minute, while you work
	@$(BIN)/python -m pytest -m "not process and not slow and not torture" -n auto -q

test: $(STAMP) ## the test suite, with a short version of each torture run
	@$(BIN)/python -m pytest -m "not torture" -n auto --durations=10

test-all: test test-others ## the test suite on every interpreter that is here, of CPython 3.11, 3.12 and 3.13

test-others: $(STAMP) ## the test suite on the interpreters other than that of .venv, each in an environment of its own
	@own=`$(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'`; \
	for version in $(PYTHONS); do \
		if [ $$version = $$own ]; then continue; fi; \
		found=; \
		for python in python$$version $(PYENV)/versions/$$version*/bin/python$$version; do \
			if $$python -c '' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then echo "==> no python$$version here: left out"; continue; fi; \
		echo "==> CPython $$version"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$found || exit 1; \
	done

uvloop: $(STAMP) ## the tests of actors and supervision on the event loop of uvloop
	@$(BIN)/python -m pytest --uvloop -m "not process and not slow and not torture" -n auto -q \
		tests/actors tests/supervision

executor: $(STAMP) ## the tests of actors and supervision without the fast path, which must not differ from the executor
	@$(BIN)/python -m pytest --no-fast-path -m "not process and not slow and not torture" -n auto -q \
		tests/actors tests/supervision tests/conformance/supervisor

otp-diff: $(STAMP) ## random scenarios on a real Erlang/OTP and on ours (apt install erlang-base); ARGS="--count 2000 --seed 0"
	@$(BIN)/python tests/support/otp/otp_diff.py $(ARGS)

torture: $(STAMP) ## the long runs that try to break a promise
	@$(BIN)/python -m pytest -m torture -v -n auto --timeout=3600

check: lint types contracts test executor uvloop ## what CI runs, and then `test-others`

lint: $(STAMP) ## ruff
	@echo "==> ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict and pyright
	@echo "==> mypy" && $(BIN)/mypy
	@echo "==> pyright" && $(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(STAMP) ## who may import whom
	@echo "==> import-linter" && $(BIN)/lint-imports

bench: $(STAMP) ## throughput beside floors measured in the same run; ARGS=--help lists what else there is
	@$(BIN)/python tests/benchmarks/bench.py $(ARGS)

bench-peers: $(STAMP) ## the same, beside other frameworks and queues, which it installs under .venv-peers
	@$(BIN)/python tests/benchmarks/bench.py --peers $(ARGS)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
