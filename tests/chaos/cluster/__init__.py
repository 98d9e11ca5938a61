"""Three RabbitMQ nodes in containers, one of which is lost in the middle of a mailing; `python -m tests.chaos.cluster`.

Needs a Docker engine with compose. The way of a run through the files:

    compose.yml, rabbitmq.conf    the three nodes, and how they find each other
    nodes       the cluster at work: made, looked at, removed
    faults      how a node is lost, and brought back, as data
    target      which node is lost: the one that matters most
    run         a mailing with a fault in its middle
    pace        what the provider's ledger says of the time after the fault
    report      the table
"""
