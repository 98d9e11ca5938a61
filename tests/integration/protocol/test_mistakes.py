"""Mistakes, each planted by itself, are found by the machine at random. `make proofs` runs this; it takes minutes.

Five of the seven. The other two (`record-without-token`, `complete-without-lease`) need five events in one order, which
chance does not bring about in a few hundred examples: `test_schedules.py` shows them, as it does the five.
"""

import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.protocol.bench import Bench
from tests.integration.protocol.machine import LONG_S, PASTS, Protocol
from tests.integration.protocol.mistakes import MISTAKES
from tests.integration.protocol.world import Conditions

FOUND_BY_CHANCE = [
    "ack-before-record",
    "outlived-at-any-age",
    "retrying-just-acked",
    "cached-mailing",
    "cursor-before-confirms",
]
MOST_EXAMPLES = 1_000
STEPS = 50
SMALL = st.builds(
    Conditions,
    mending=st.just(False),  # which would hide a loss
    hold=st.booleans(),
    clients=st.integers(1, 2),
    mailings=st.just(1),
    ends_after=st.just(LONG_S),
)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", FOUND_BY_CHANCE)
def test_a_planted_mistake_is_found(worlds: Bench, name: str) -> None:
    examples, began_s = 0, time.monotonic()
    with MISTAKES[name]() as planted:

        class Mistaken(Protocol):
            bench = worlds
            plant = staticmethod(planted)
            conditions = SMALL
            pasts = st.just("nothing") if name == "cursor-before-confirms" else PASTS  # nothing: it is of the fan-out

            def teardown(self) -> None:
                nonlocal examples
                examples += 1
                super().teardown()

        with pytest.raises(AssertionError) as found:
            run_state_machine_as_test(
                Mistaken,
                settings=settings(
                    max_examples=MOST_EXAMPLES,
                    derandomize=True,
                    database=None,
                    phases=[Phase.generate],
                    stateful_step_count=STEPS,
                    deadline=None,
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    print(f"{name}: {examples} examples, {time.monotonic() - began_s:.0f} s: {str(found.value).splitlines()[0]}")
