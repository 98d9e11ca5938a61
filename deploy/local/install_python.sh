#!/bin/sh
# Makes the virtual environment .venv, and installs what requirements/dev.lock says.
# Does nothing while both are as they were.
set -eu
cd "$(dirname "$0")/../.."
lock=requirements/dev.lock
done_for=.venv/installed.lock # a copy of the lock that was installed last

if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(deploy/local/find_python.sh)
    echo "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi
if ! cmp -s "$lock" "$done_for"; then
    echo "installing what $lock says into .venv"
    rm -f "$done_for"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock"
    cp "$lock" "$done_for"
fi
