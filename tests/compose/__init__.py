"""The whole system as containers. `make test-containers` brings a stack up, names it in the environment, runs these."""
