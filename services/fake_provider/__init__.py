"""A stand-in for the external provider, with switchable faults and a ledger of every call.

For the demo, the tests and the benchmarks: whoever wants to know what was really sent asks the ledger.
The way of a call through the files:

    listener    the socket it comes in by (and that `refuse` takes away)
    server      tells calls from control
    incoming    reads and checks it
    faults      what may be done to it, as a document that `PUT /faults` sets
    choice      what is done to this one
    ledger      writes it down: an entry; in a ledger_file, too; with a summary over all
    answers     what is answered
    calls       all of that in order, with the waiting
    control     /faults, /ledger, /health: the other side, for tests and people
"""
