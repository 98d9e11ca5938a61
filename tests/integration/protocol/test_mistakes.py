"""Each mistake, planted by itself, is found. `make proofs` runs this; it takes minutes."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.protocol.bench import Bench
from tests.integration.protocol.machine import Protocol
from tests.integration.protocol.mistakes import MISTAKES


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(worlds: Bench, name: str) -> None:
    examples = 0
    with MISTAKES[name]() as planted:

        class Mistaken(Protocol):
            bench = worlds
            plant = staticmethod(planted)

            def teardown(self) -> None:
                nonlocal examples
                examples += 1
                super().teardown()

        import time
        t = time.time()
        try:
            run_state_machine_as_test(
                Mistaken,
                settings=settings(
                    max_examples=int(__import__("os").environ.get("MAXX","400")),
                    derandomize=not __import__('os').environ.get('RAND'),
                    database=None,
                    phases=[Phase.generate],
                    stateful_step_count=50,
                    deadline=None,
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except AssertionError as e:
            print(f"{name}: {examples} examples, {time.time()-t:.0f} s\n", str(e)[:200])
            open(f'/tmp/found-{name}.txt','w').write(str(e))
            return
        pytest.fail(f"not found in {examples}, {time.time()-t:.0f} s")
