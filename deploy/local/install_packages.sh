#!/bin/sh
# Installs what is missing of the system's packages, all at once.
#   install_packages.sh [venv] [rabbitmq]
# venv: what .venv is made with, which Debian packs apart from Python itself.
# rabbitmq: the server, of which nodes of our own are run.
set -eu
cd "$(dirname "$0")/../.."

missing=
for wanted in "$@"; do
    case $wanted in
    venv)
        python=$(deploy/local/find_python.sh)
        if [ ! -x .venv/bin/python ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            missing="$missing $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        fi
        ;;
    rabbitmq)
        if [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && ! command -v rabbitmq-server >/dev/null; then
            missing="$missing rabbitmq-server"
        fi
        ;;
    *)
        echo "install_packages.sh knows venv and rabbitmq, not $wanted" >&2
        exit 2
        ;;
    esac
done
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of names
    deploy/local/apt_install.sh $missing
fi
