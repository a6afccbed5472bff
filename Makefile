# `make help` lists the targets. CI runs the same ones.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Contract and server tests wait for engines, stores and clients half of the time.
SERVER_WORKERS := 4
# Control planes that integration tests run on, side by side: most of the time they wait for controllers. A file stays
# on one of them, because some files start one of their own.
PLANES := 4
# Containers often set it. The tools and tests start hundreds of Python processes, and each of them would compile every
# module that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Those that fault tests run on: most of the time they wait for the operator to recover.
FAULT_PLANES ?= 4

.PHONY: help setup fmt check lint unit test verify faults e2e demo cluster images generate docs bench precision-table lock clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(STAMP) ## Prepare .venv with pinned dependencies

$(STAMP): requirements/dev.txt pyproject.toml hack/setup.sh
	@PYTHON=$(PYTHON) hack/setup.sh
	@touch $@

fmt: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

lint: setup ## Run ruff, mypy strict and import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

unit: setup ## Run the unit tests: pure rules, no I/O
	@$(BIN)/pytest tests/unit -q -n auto --dist worksteal

check: lint unit ## Run lint, unit and the tests of the repository itself: the inner loop
	@$(BIN)/pytest tests/repository -q -n auto --dist worksteal

test: verify unit ## Run verify and all tests that need no root
	@$(BIN)/python -m hack.cluster binaries --control-plane-only
	@$(BIN)/python -m hack.browser
	@$(BIN)/python -m hack.kokoro
	@$(BIN)/python -m hack.promtool
	@$(BIN)/python -m hack.nginx
	@$(BIN)/pytest tests/repository tests/programs tests/contract tests/server -q -n $(SERVER_WORKERS) --dist worksteal
	@$(BIN)/pytest tests/integration -q -n $(PLANES) --dist loadfile --no-loadscope-reorder

verify: lint ## Run lint; check that generated files are current and that the chart is valid
	@$(BIN)/python -m hack.generate --check
	@$(BIN)/python -m hack.verify_chart

faults: setup ## Run seeds of faults around the operator; FAULT_SEEDS=100 runs more, FAULT=hang FAULT_SEED=6 one alone
	@$(BIN)/python -m hack.cluster binaries --control-plane-only
	@$(BIN)/python -m hack.faketime
	@$(BIN)/pytest tests/faults -q -n $(FAULT_PLANES) --dist worksteal

generate: setup ## Write the CRDs, the chart's copy of them and its RBAC rules, and docs/reference
	@$(BIN)/python -m hack.generate

docs: setup ## Build the documentation as a site: build/site/html
	@$(BIN)/python -m hack.docs_site

cluster: setup ## Create only a cluster: build/kubeconfig, build/bin; CONTROL_PLANE_ONLY=1 needs no root
	@$(BIN)/python -m hack.cluster up $(if $(CONTROL_PLANE_ONLY),--control-plane-only)

images: setup ## Build both images and load them into the cluster
	@$(BIN)/python -m hack.cluster images

demo: setup ## Create a cluster, the images, the release and three tenants; synthesize build/demo*.wav
	@$(BIN)/python -m hack.demo

e2e: setup ## Run the stories on a real cluster with real pods
	@$(BIN)/python -m hack.cluster up
	@$(BIN)/python -m hack.cluster images
	@$(BIN)/pytest e2e -q

bench: setup ## Run the benchmarks; write bench/RESULTS.md and bench/plots
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.plots

precision-table: setup ## Measure the precisions of the neural voices; write docs/precisions.md
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench.precision_table

lock: setup ## Resolve requirements/*.txt again
	@hack/lock.sh

clean: ## Remove the local cluster and the build folder
	@if [ -d build ]; then $(MAKE) --silent --no-print-directory setup; fi
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m hack.cluster down; fi
	@rm -rf build
