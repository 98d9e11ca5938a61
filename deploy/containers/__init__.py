"""Mailrun in containers: what `make up`, `down`, `logs`, `smoke` and `test-containers` do.

    __main__.py     the command: `python -m deploy.containers up|down|logs|smoke|test`
    engine.py       the Docker engine and its compose command, whichever is there
    images.py       the public images, fetched where they are missing
    variables.py    what the environment and deploy/.env say; deploy/.env made at the first call
    stack.py        one compose project: build, start, look at, take down
    published.py    the ports that a stack publishes, free before it starts
    health.py       waiting until every container is healthy; which one is not, and its last words
    up.py           the product, started
    smoke.py        a mailing through the running containers
    suite.py        the tests over a stack of their own

The standard library alone: `up`, `down` and `logs` run before any package is installed.
"""
