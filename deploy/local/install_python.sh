#!/bin/sh
# Makes the virtual environment .venv with a Python that is new enough, and installs what requirements/dev.lock says.
# Does nothing while both are as they were.
set -eu
cd "$(dirname "$0")/../.."
lock=requirements/dev.lock
done_for=.venv/installed.lock # a copy of the lock that was installed last

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

if usable .venv/bin/python && cmp -s "$lock" "$done_for"; then
    exit 0
fi

if ! usable .venv/bin/python; then
    python=
    for candidate in python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "Python 3.11, 3.12 or 3.13 is needed and was not found: install it and start again" >&2
        exit 1
    fi
    # Debian packs venv apart from Python itself.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        deploy/local/apt_install.sh "python$version-venv"
    fi
    echo "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "installing what $lock says into .venv"
rm -f "$done_for"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock"
cp "$lock" "$done_for"
