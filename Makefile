# Two commands: `make up` sets everything up and brings the lab to life, `make test` proves it.
SHELL := /bin/bash -euo pipefail
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/meshgate
UV := $(or $(shell command -v uv),$(CACHE)/uv/bin/uv)
PYTHON ?= python3
BIN := .venv/bin
# What is printed is the recipes' own alone, also where a test runs make.
MAKEFLAGS += --no-print-directory
# The packages of .venv come by the CAs that this machine trusts, and are cached where `make down ALL=1` looks.
export UV_SYSTEM_CERTS := true
export UV_CACHE_DIR := $(CACHE)/uv/cache
# Of what the caller has set for Python, pip and uv only mirrors count.
unexport $(filter-out UV_SYSTEM_CERTS UV_CACHE_DIR UV_INDEX UV_DEFAULT_INDEX %_INDEX_URL %_FIND_LINKS %_CERT, \
  $(filter PYTHON% PIP_% UV_%,$(.VARIABLES)))

.DEFAULT_GOAL := help
.PHONY: help up status down logs client artifact preview new-env reference check test prove lock

help:
	@echo "make up        everything: tools, images, a one-node Kubernetes, Headscale, the gateway (cold: about 25 minutes)"
	@echo "make status    what the lab is made of, and how to use it"
	@echo "make client    a WireGuard config and its QR code for a device of your own"
	@echo "make artifact  the gateway as one file for a bare-metal host: dist/meshgate-gateway.tar.gz"
	@echo "make preview   what 'pulumi up' would change in the lab; STACK=dev,prod FORMAT=markdown: as a review"
	@echo "make new-env   an environment of your own: asks, checks, writes Pulumi.NAME.yaml, previews (NAME=… [ANSWERS=file])"
	@echo "make down      nothing of the lab is left (ALL=1: nor of its caches; says what stays)"
	@echo "make check     lint, types, unit tests: under a minute"
	@echo "make test      every test, in a lab of its own making"
	@echo "make prove     the long proofs and the benchmarks"
	@echo "make reference docs/reference.md anew, from the settings and the agent's API"

up: .venv/ready
	@$(BIN)/python -m lab up

status: .venv/ready
	@$(BIN)/python -m lab status

down: .venv/ready
	@$(BIN)/python -m lab down $(if $(ALL),--all)

logs: .venv/ready
	@$(BIN)/python -m lab logs $(NAME)

client lab-client: .venv/ready
	@$(BIN)/python -m lab client $(NAME)

artifact: .venv/ready
	@$(BIN)/python -m lab artifact

preview: .venv/ready
	@$(BIN)/python -m $(if $(STACK)$(FORMAT),review $(or $(STACK),lab) --format=$(or $(FORMAT),text) \
	  $(POLICY_PACK:%=--policy-pack=%) $(if $(REPLACE),--replace='$(REPLACE)'),lab preview)

new-env: .venv/ready
	@$(BIN)/python -m environments new $(NAME) $(if $(ANSWERS),--answers $(ANSWERS))

reference: .venv/ready
	@$(BIN)/python -m environments reference

# Ansible starts in UTF-8 alone, and not in a locale that is set but not installed.
check test prove: export LC_ALL := C.UTF-8

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/ansible-lint -q --offline --profile production playbooks
	$(BIN)/pytest -q tests/unit

test: check
	$(BIN)/python -m lab up --fresh
	$(BIN)/pytest -v --durations=20 tests/contract tests/e2e

prove: .venv/ready
	$(BIN)/python -m lab up
	$(BIN)/pytest -v tests/prove

lock: $(UV)
	$(UV) pip compile -q pyproject.toml --all-extras --universal --generate-hashes --python-version 3.11 \
	  --no-header -o requirements.lock
	$(UV) pip compile -q gateway/requirements.in -c requirements.lock --universal --generate-hashes \
	  --python-version 3.11 --no-header -o gateway/requirements.lock
	$(UV) pip compile -q examples/orchestrator/requirements.in -c requirements.lock --universal --generate-hashes \
	  --python-version 3.11 --no-header -o examples/orchestrator/requirements.lock

# Locked by hashes, without the addresses that a uv.lock would pin to one registry.
.venv/ready: requirements.lock | $(UV)
	@echo "Python packages: into .venv, from requirements.lock" >&2
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@# Ansible's modules and plugins import the same packages as the program does.
	@pwd > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/meshgate.pth"
	@touch $@

$(CACHE)/uv/bin/uv:
	@echo "uv: into $(CACHE)/uv" >&2
	@$(PYTHON) -m venv $(CACHE)/uv
	@$(CACHE)/uv/bin/pip install -q --no-cache-dir uv==0.13.9
