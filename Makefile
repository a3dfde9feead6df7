# Two commands: `make up` sets everything up and brings the lab to life, `make test` proves it.
# Nothing here needs more than macOS has: GNU make 3.81, bash 3.2, a BSD userland.
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

# Ansible starts in UTF-8 alone, and not in a locale that is set but not installed.
export LC_ALL := $(if $(filter Darwin,$(shell uname)),en_US.UTF-8,C.UTF-8)

.DEFAULT_GOAL := help
.PHONY: help setup up status down logs client artifact preview verify check-pipeline new-env reference check unit-tests test prove lock

help:
	@echo "make up        everything: tools, images, a one-node Kubernetes, Headscale, the gateway (cold: about 15 minutes)"
	@echo "make setup     the Python packages, into .venv: all that 'pulumi up' by hand needs besides Pulumi"
	@echo "make status    what the lab is made of, and how to use it"
	@echo "make client    a WireGuard config and its QR code for a device of your own"
	@echo "make artifact  the gateway as one file for a bare-metal host: dist/meshgate-gateway.tar.gz"
	@echo "make preview   what 'pulumi up' would change in the lab; STACK=dev,prod FORMAT=markdown: as a review"
	@echo "make verify    whether each way into a running stack works, and if not why; STACK=prod: into that one"
	@echo "make check-pipeline  whether GitHub holds what the workflows need for an environment (STACK=prod)"
	@echo "make new-env   an environment of your own: asks, checks, writes Pulumi.NAME.yaml, previews (NAME=… [ANSWERS=file])"
	@echo "make down      nothing of the lab is left (ALL=1: nor of its caches; says what stays)"
	@echo "make check     lint, types, unit tests: under a minute"
	@echo "make test      every test, in a lab of its own making"
	@echo "make prove     the long proofs and the benchmarks"
	@echo "make reference docs/reference.md and Pulumi.yaml anew, from the settings and the agent's API"

setup: .venv/ready
	@echo "The Python packages are in .venv."

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

# The lab's own stack is reviewed with what the lab keeps for it; all others need no lab.
comma := ,
PREVIEWED = $(or $(STACK),$(if $(FORMAT),lab))
preview: .venv/ready
	@$(BIN)/python -m $(if $(filter lab,$(or $(subst $(comma), ,$(PREVIEWED)),lab)),lab preview,review) $(PREVIEWED) \
	  $(FORMAT:%=--format=%) $(POLICY_PACK:%=--policy-pack=%) $(if $(REPLACE),--replace='$(REPLACE)')

verify: .venv/ready
	@$(BIN)/python -m $(if $(filter lab,$(or $(STACK),lab)),lab verify,verify $(STACK)) $(CONFIG_FILE:%=--config-file=%)

check-pipeline: .venv/ready
	@$(BIN)/python -m pipeline check $(STACK)

new-env: .venv/ready
	@$(BIN)/python -m environments new $(NAME) $(if $(ANSWERS),--answers $(ANSWERS))

reference: .venv/ready
	@$(BIN)/python -m environments reference

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --cache-dir $(CACHE)/mypy
	$(BIN)/lint-imports --no-logo
	@# Side by side; when one fails the other ends first, and the last line names the one.
	@$(MAKE) -j 2 unit-tests .venv/playbooks-linted

unit-tests: .venv/ready
	$(BIN)/pytest -q -n 2 tests/unit

# It takes longer than all other linters together, so playbooks that were found good are not read again. Their modules
# import the program's and the agent's. Directories are among what is watched, for files that are gone.
.venv/playbooks-linted: .venv/ready ansible.cfg $(shell find playbooks infra gateway -name __pycache__ -prune -o -print)
	$(BIN)/ansible-lint -q --offline --profile production playbooks
	@touch $@

# Their lab is of both families, whatever one was there before (lab/network/addresses.py).
test prove: export MESHGATE_LAB_IP = dual
test: check
	$(BIN)/python -m lab up --fresh
	@# Of three workers one has the lab, from the first test on, and one its machines; the third goes through the contract ring.
	$(BIN)/pytest -v -n 3 --dist loadfile --no-loadscope-reorder --durations=60 tests/e2e tests/contract

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

# One sentence, before anything is made. The Python of a fresh macOS is 3.9.
define require_python
@command -v $(PYTHON) >/dev/null || { echo "Meshgate needs Python 3.11 or newer, and there is no $(PYTHON) on PATH: install it (macOS: brew install python), or name another by PYTHON=…" >&2; exit 1; }
@$(PYTHON) -c 'import platform, sys; sys.exit(sys.version_info < (3, 11) and "Meshgate needs Python 3.11 or newer, and $(PYTHON) is " + platform.python_version() + ": install it (macOS: brew install python), or name another by PYTHON=…")'
endef

# Locked by hashes, without the addresses that a uv.lock would pin to one registry.
.venv/ready: requirements.lock | $(UV)
	$(require_python)
	@echo "Python packages: into .venv, from requirements.lock" >&2
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@# Ansible's modules and plugins import the same packages as the program does.
	@pwd > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/meshgate.pth"
	@touch $@

$(CACHE)/uv/bin/uv:
	$(require_python)
	@echo "uv: into $(CACHE)/uv" >&2
	@$(PYTHON) -m venv $(CACHE)/uv
	@$(CACHE)/uv/bin/pip install -q --no-cache-dir uv==0.13.9
