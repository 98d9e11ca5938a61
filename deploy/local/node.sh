#!/bin/sh
# Runs a RabbitMQ node in the foreground, as the process that was started: whoever supervises it sees the node itself.
#   node.sh PATH/TO/rabbitmq-server
# The node needs epmd, a small name server that Erlang would otherwise start as a daemon and leave behind. Here it is a
# child of the node, on a port of its own (ERL_EPMD_PORT), and the kernel kills it when the node ends.
set -eu
setpriv --pdeathsig KILL epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
# With this the server's script becomes the node instead of staying in front of it as a shell of its own.
export RUNNING_UNDER_SYSTEMD=true
exec "$1"
