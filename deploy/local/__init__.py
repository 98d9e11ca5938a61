"""The local run: the whole system on one machine without containers.

__main__.py         the command: `python -m deploy.local run|demo`
run.py, demo.py     what the two do, from start to stop
choices.py          what the environment may choose
plan.py             which programs are started, with what environment and ports
program.py          a program: its command, its environment, how it is stopped
announcement.py     where its parts are, told as soon as they answer
rabbit.py, node.sh  a private RabbitMQ node
store.py            the embedded store
supervisor.py       programs under supervisord: started, started again when they die, stopped
server.py           one server outside the supervisor, for tests: start, kill, start again
ports.py            free ports, and who needs one that is taken
leftovers.py        processes that an earlier run left behind, and one run at a time
interrupts.py       Ctrl-C, SIGTERM, a closed terminal
follow.py           the logs of the services, line by line
readiness.py        waiting for a server to answer
install_*.sh        what the Makefile installs, by apt_install.sh and find_python.sh
"""
