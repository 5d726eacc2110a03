# Each target does its own set-up: on a fresh Debian machine python3, git and make are enough.
# Another interpreter: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/sh
SCRIPTS = .ci/run .ci/container tests/lab/lab tests/lab/setup-image

.DEFAULT_GOAL := help
.PHONY: help demo test lab lab-down bench check format picture wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/ready ## the whole story on this machine, in a folder of its own: no root, network or Docker
	@$(BIN)/reconcile demo

test: $(VENV)/ready ## the fast tests: no root, no Docker
	$(BIN)/pytest -n auto

lab: $(VENV)/ready ## the tests on real hosts: Debian with systemd in containers (needs root or a Docker engine)
	$(BIN)/pytest -m lab -n 2 tests/lab

lab-down: ## removes the lab's hosts and its network
	@tests/lab/lab down

bench: $(VENV)/ready ## speed on lab hosts, as ratios to the hand-written floor and to peers
	$(BIN)/python bench

check: $(VENV)/ready ## lint, format, types, layers, shell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/shellcheck $(SCRIPTS)
	$(BIN)/pytest -q tests/unit/test_scripts_shellcheck.py

format: $(VENV)/ready ## formats the code and mends what ruff can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

picture: $(VENV)/ready ## draws the README's picture anew from a real demo
	$(BIN)/reconcile demo --svg docs/demo.svg

wheel: $(VENV)/ready ## builds dist/reconciler-VERSION-py3-none-any.whl
	$(BIN)/python -m hatchling build --target wheel

lock: ## renews requirements.lock and requirements-dev.lock (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra operator pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra operator --group dev --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

clean: ## removes what was built here; lab hosts go with `make lab-down`
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is newer than what it was made from, or that step is done again. Editable: the code itself is never stale.
$(VENV)/ready: $(VENV)/locked pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable .
	@touch $@

$(VENV)/locked: requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "reconciler needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory python-venv
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# Debian keeps the module that makes virtual environments in a package of its own.
.PHONY: python-venv
python-venv:
	@package="$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	if ! command -v apt-get >/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments (no ensurepip): install that part of it and try again" >&2; exit 1; \
	elif [ "$$(id -u)" -ne 0 ]; then \
		echo "$(PYTHON) cannot make virtual environments yet. Once: sudo apt-get install $$package" >&2; exit 1; \
	fi; \
	echo "installing $$package"; \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$$package"; } >/dev/null
