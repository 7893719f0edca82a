# Fieldline. Everything runs in .venv; nothing is installed outside it (the real broker for the tests excepted).
#
#   make demo                              the demo plant, live on the screen; Ctrl-C ends it
#   make demo DURATION=30 REPORT=r.json    the same without a screen, with a report
#   make test                              install what the tests need, run them all
#   make lint                              format, lint, import rules, types, generated files
#   make bench NAME=hub QUICK=1 REPORT=o.json
#   make bench NAME=hub ONLY=latency       some rows of a bench: path, fan-out, replay, latency, streams, soak
#   make protos                            regenerate the stubs
#   make docs                              regenerate the reference pages and JSON schemas
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo setup test lint bench protos docs check clean

setup: $(VENV)/.dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fieldline needs Python 3.11 or newer; this is $$($(PYTHON) --version). Run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 cannot make a virtual environment; on Debian run: sudo apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

demo: $(VENV)/.demo
	@$(BIN)/fieldline demo $(if $(DURATION),--duration "$(DURATION)") $(if $(REPORT),--report "$(REPORT)")

test: $(VENV)/.dev
	@tools/test-parts.sh
	$(BIN)/pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks
	@tools/check-protos.sh

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks $(NAME) $(if $(ONLY),--only "$(ONLY)") $(if $(QUICK),--quick) $(if $(REPORT),--report "$(REPORT)") $(if $(DATA),--data "$(DATA)")

protos:
	tools/protos.sh

docs: $(VENV)/.dev
	$(BIN)/python tools/export_docs.py

check: lint test

clean:
	rm -rf $(VENV) .venv-protos .venv-autogen .mypy_cache .ruff_cache .pytest_cache .hypothesis
