#!/bin/sh
# Writes the lock files anew from pyproject.toml: every package with its hashes, no address of an index.
set -eu
cd "$(dirname "$0")/.."
compile() { out=$1; shift; .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --prerelease if-necessary-or-explicit "$@" -o "requirements/$out" pyproject.toml; }
compile run.lock
compile dev.lock --extra local --extra test --extra check
compile bench.lock --extra bench
