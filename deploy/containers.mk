# Mailrun in containers. Included by the Makefile, which says what PYTHON, BOUND and `install` are.
# The first three need nothing but Docker, compose and a Python of the system.

SYSTEM_PYTHON ?= python3
CONTAINERS = -m deploy.containers

.PHONY: up down logs smoke test-containers

up: ## start Mailrun in containers (SENDERS=3 SCHEDULERS=2 PROVIDER_URL=...), wait until all are healthy
	@$(SYSTEM_PYTHON) $(CONTAINERS) up

down: ## stop and remove the containers; VOLUMES=1 removes their data, too
	@$(SYSTEM_PYTHON) $(CONTAINERS) down

logs: ## follow the logs of the containers
	@$(SYSTEM_PYTHON) $(CONTAINERS) logs

smoke: install ## a mailing through the running containers, compared with the provider's ledger
	@$(BOUND) $(PYTHON) $(CONTAINERS) smoke

test-containers: install ## the tests over containers of their own, where there is a Docker engine
	@$(BOUND) $(PYTHON) $(CONTAINERS) test
