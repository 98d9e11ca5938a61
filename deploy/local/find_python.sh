#!/bin/sh
# Prints the Python that .venv is made with: the system's own where it is new enough, else another that is.
set -eu

for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
echo "Python 3.11, 3.12 or 3.13 is needed and was not found: install it and start again" >&2
exit 1
