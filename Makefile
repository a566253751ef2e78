# `make dev` runs the server, `make test` the tests; both set everything up first.
# A machine needs Python 3.11 or later, make, and a compiler only where no wheel fits.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2
ARGS   ?=

.PHONY: setup dev test check fix docs bench bench-cluster bench-sending bench-push bench-bridge bench-client demo fuzz fault lock lock-image clean help
.DEFAULT_GOAL := help

help:    ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment with exactly what the lock names

# Only when the lock changed: the editable install follows the sources by itself.
$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Veredus needs Python 3.11 or later; say make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

dev: setup ## the server on 127.0.0.1:8580 with demo accounts; ARGS='--ephemeral' and others go to it
	$(BIN)/veredus dev $(ARGS)

demo: setup ## server, nats-server, bridge and a consumer: mail as events; ARGS=--once ends by itself
	$(BIN)/python -m tools.demo $(ARGS)

cluster: setup ## PostgreSQL, S3, NATS, three nodes and haproxy on this machine; ARGS=--once ends by itself
	$(BIN)/python -m tools.cluster $(ARGS)

test: setup ## every test that needs no outside service; ARGS='-k name' and others go to pytest
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: setup ## format, lint, types, layers, spelling, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/house

fix: setup ## let the tools repair what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## write the reference parts of docs/cli.md, docs/configuration.md and docs/conformance.md
	$(BIN)/python -m tools.docs
	$(BIN)/python -m tools.conformance

bench: setup ## measure, and write the table of docs/benchmarks.md
	$(BIN)/python -m tools.bench $(ARGS)

bench-sending: setup ## the same for sending: submission, queue, relay
	$(BIN)/python -m tools.bench_sending $(ARGS)

bench-push: setup ## the same for push
	$(BIN)/python -m tools.bench_push $(ARGS)

bench-bridge: setup ## the same for the bridge into NATS
	$(BIN)/python -m tools.bench_bridge $(ARGS)

bench-cluster: setup ## a node on SQLite and on PostgreSQL, one node and three
	$(BIN)/python -m tools.bench_cluster $(ARGS)

bench-client: setup ## the same for the client library
	$(BIN)/python -m tools.bench_call
	$(BIN)/python -m tools.bench_watch $(ARGS)

fuzz: setup ## the fuzz targets, one minute each; ARGS='--seconds 600' for longer
	$(BIN)/python -m tools.fuzz $(ARGS)

fault: setup ## faults in a cluster, as root; ARGS='--seed 7 --minutes 10' for longer
	PYTHONPATH=.:tests $(BIN)/python -m cluster.run $(ARGS)

# Hashes of every platform's files, no address of any index: where packages come from is the machine's own choice.
UV_LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: setup ## the newest versions that pyproject.toml allows
	$(UV_LOCK) --upgrade --output-file requirements.lock
	$(UV_LOCK) --upgrade --constraint requirements.lock --group dev --output-file requirements-dev.lock
	$(MAKE) lock-image

# setuptools: nkeys comes as source alone.
lock-image: setup ## the same versions for the image: with the extras of a cluster, and what builds the wheel
	$(UV_LOCK) --constraint requirements-dev.lock --extra cluster --extra workers --extra bridge \
	  --output-file requirements-cluster.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "setuptools", sep="\n")' \
	  | $(subst pyproject.toml,-,$(UV_LOCK)) --constraint requirements-dev.lock --output-file requirements-build.lock

clean: ## what was built or cached, not your data
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
