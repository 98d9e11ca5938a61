"""The sender and the scheduler, as they are, in all interleavings that can be found: the promises hold.

`make model EXAMPLES=2000` looks for more.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.protocol.bench import Bench
from tests.integration.protocol.machine import Protocol

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
FEW_EXAMPLES = 40
STEPS = 50


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_the_promises_hold_whatever_comes_before_what(worlds: Bench) -> None:
    class Sound(Protocol):
        bench = worlds
        plant = staticmethod(lambda _: None)

    run_state_machine_as_test(
        Sound,
        settings=settings(
            max_examples=EXAMPLES or FEW_EXAMPLES,
            derandomize=not EXAMPLES,
            database=None,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
