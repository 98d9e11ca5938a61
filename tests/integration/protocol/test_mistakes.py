"""Each mistake, planted by itself, is found by the machine. `make proofs` runs this; it takes minutes."""

import os
import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.protocol.bench import Bench
from tests.integration.protocol.machine import LONG_S, Protocol
from tests.integration.protocol.mistakes import MISTAKES
from tests.integration.protocol.world import Conditions

MOST_EXAMPLES = int(os.environ.get("MAXX", "1500"))
SMALL = st.builds(
    Conditions,
    mending=st.just(False),  # which would hide a loss
    hold=st.booleans(),
    clients=st.integers(1, 2),
    mailings=st.just(1),
    ends_after=st.just(LONG_S),
)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(worlds: Bench, name: str) -> None:
    examples, began_s = 0, time.monotonic()
    with MISTAKES[name]() as planted:

        class Mistaken(Protocol):
            bench = worlds
            plant = staticmethod(planted)
            conditions = SMALL

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
                    stateful_step_count=50,
                    deadline=None,
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    print(f"{name}: {examples} examples, {time.monotonic() - began_s:.0f} s: {str(found.value).splitlines()[0]}")
