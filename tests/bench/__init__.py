"""Benchmarks: limits of the machine, Mailrun, and what people use instead, side by side in one run.

`python -m tests.bench` prints the tables and writes them as JSON. Each figure is the median of some rounds, the parts
of a round taking turns, so that a neighbour that takes a core for a minute hits all of them alike.
"""
