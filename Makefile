# Everything there is to type: `make help` lists it. Works on a fresh Debian or Ubuntu with Python 3.11 to 3.13.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON := .venv/bin/python
# Ends what it starts when make itself is killed: a stop that make has no time to pass on.
BOUND := setpriv --pdeathsig TERM --
CODE := services shared deploy tests
# With a broker in the environment, only the tests need nodes of our own.
RABBITMQ := $(if $(AMQP_URL),,packages)
# The longest first, so that no worker is left alone with them at the end.
TESTS := tests/chaos tests/e2e tests/integration tests/unit
# What takes minutes each: `make proofs`; the crash points, an hour in all, are run by `make chaos`.
PROOFS := tests/e2e/test_mending.py tests/e2e/test_edits.py tests/e2e/test_self_pause.py \
	tests/integration/protocol/test_mistakes.py tests/integration/scheduler/test_walks_killed.py \
	tests/chaos/test_outage.py
LONG := $(PROOFS) tests/chaos/test_crash_points.py
# The tests wait more than they compute: three processes on two cores.
WORKERS ?= 3
PYTEST := $(BOUND) $(PYTHON) -m pytest
SEEDS ?= 100
EXAMPLES ?= 2000
ROUNDS ?= 3

.PHONY: help install packages check format test proofs model chaos chaos-cluster bench demo run lock clean

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## make or renew the virtual environment .venv, as requirements/dev.lock says
	@deploy/local/install_packages.sh venv
	@deploy/local/install_python.sh

packages: ## install what is missing of the system's packages: RabbitMQ, and what .venv is made with
	@deploy/local/install_packages.sh venv rabbitmq

check: install ## format, lint, types, import contracts
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

format: install ## write the code in the one format, repair what the linter can repair
	$(PYTHON) -m ruff format $(CODE)
	$(PYTHON) -m ruff check --fix $(CODE)

test: packages install ## all tests: units, against real servers, all services together, and in containers where there is Docker
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(LONG:%=--ignore=%) $(TESTS)
	@$(MAKE) --no-print-directory test-containers

proofs: packages install ## the long proofs that `make test` leaves out
	$(PYTEST) -n $(WORKERS) --dist load $(PROOFS)

model: packages install ## the protocol's random machine at length (EXAMPLES=2000)
	EXAMPLES=$(EXAMPLES) $(PYTEST) tests/integration/protocol/test_protocol.py

chaos: packages install ## the fault campaign: SEEDS=100 random runs, then crash points and provider faults
	@mkdir -p .local
	$(BOUND) $(PYTHON) -m tests.chaos --seeds $(SEEDS) --workers $(WORKERS) --results .local/chaos.jsonl
	$(BOUND) $(PYTHON) -m tests.chaos.crash_points --workers $(WORKERS) --results .local/chaos.jsonl
	$(BOUND) $(PYTHON) -m tests.chaos --provider-faults --workers $(WORKERS) --results .local/chaos.jsonl

chaos-cluster: install ## a cluster of three RabbitMQ nodes in containers: one killed, stopped, cut off
	$(BOUND) $(PYTHON) -m tests.chaos.cluster

bench: packages install ## benchmark tables: the machine's limits, Mailrun and its peers (ONLY=sender,fan-out ROUNDS=3)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/bench.lock
	$(BOUND) $(PYTHON) -m tests.bench --only "$(ONLY)" --rounds $(ROUNDS) --json .local/bench.json

demo: $(RABBITMQ) install ## a mailing to 1,000 sample clients, from nothing to the proof, in under 3 minutes
	@$(BOUND) $(PYTHON) -m deploy.local demo

run: $(RABBITMQ) install ## the whole system on this machine until Ctrl-C (SENDERS=3 SCHEDULERS=2 API_PORT=8000 ...)
	@$(BOUND) $(PYTHON) -m deploy.local run

lock: install ## write the lock files anew from pyproject.toml
	requirements/lock.sh

clean: ## remove the virtual environment and all caches; data under .local stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include deploy/containers.mk
