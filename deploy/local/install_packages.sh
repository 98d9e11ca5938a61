#!/bin/sh
# Installs what the local run needs of the system's packages and is missing: RabbitMQ, of which nodes of our own are run.
set -eu
cd "$(dirname "$0")/../.."

if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; then
    exit 0
fi
deploy/local/apt_install.sh rabbitmq-server
