# One word each; `make help` prints them. Everything here runs the same on a laptop and in CI.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Control planes that integration tests run on, side by side: most of the time they wait for controllers.
PLANES := 2

.PHONY: help setup fmt check lint unit test verify e2e demo cluster images generate bench lock clean

help: ## Print these words
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(STAMP) ## Prepare .venv with pinned dependencies

$(STAMP): requirements/dev.txt pyproject.toml hack/setup.sh
	@PYTHON=$(PYTHON) hack/setup.sh
	@touch $@

fmt: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

lint: setup ## Ruff, mypy strict, import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

unit: setup ## Unit tests: pure rules, no I/O
	@$(BIN)/pytest tests/unit -q -n auto

check: lint unit ## The inner loop: lint and unit tests

test: verify unit ## Everything that needs no root: verify, unit, contract and integration tests
	@$(BIN)/python -m hack.cluster binaries --control-plane-only
	@$(BIN)/python -m hack.browser
	@$(BIN)/pytest tests/contract tests/server -q -n auto
	@$(BIN)/pytest tests/integration -q -n $(PLANES) --dist worksteal

verify: lint ## Lint, generated files current, chart lints and validates
	@$(BIN)/python -m hack.generate --check
	@$(BIN)/python -m hack.verify_chart

generate: setup ## Write the CRDs, their copy in the chart, and docs/reference
	@$(BIN)/python -m hack.generate

cluster: setup ## A cluster alone: build/kubeconfig, build/bin; CONTROL_PLANE_ONLY=1 needs no root
	@$(BIN)/python -m hack.cluster up $(if $(CONTROL_PLANE_ONLY),--control-plane-only)

images: setup ## Build both images into the cluster
	@$(BIN)/python -m hack.cluster images

demo: setup ## From nothing to audio: cluster, images, chart, tenant, build/demo.wav
	@$(BIN)/python -m hack.demo

e2e: setup ## Stories on a real cluster with real pods
	@$(BIN)/python -m hack.cluster up
	@$(BIN)/python -m hack.cluster images
	@$(BIN)/pytest e2e -q

bench: setup ## Measure, and write bench/RESULTS.md and bench/plots
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.plots

lock: setup ## Resolve requirements/*.txt again
	@hack/lock.sh

clean: ## Take down the local cluster and remove what was built
	@if [ -d build ]; then $(MAKE) --silent --no-print-directory setup; fi
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m hack.cluster down; fi
	@rm -rf build
