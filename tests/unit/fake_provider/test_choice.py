"""Which fault befalls which call."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fake_provider.choice import Decision, Ending, FaultPlan, draw
from services.fake_provider.faults import FaultDocument
from services.fake_provider.incoming import SendRequest

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)


def plan_of(*faults: dict[str, Any], **document: Any) -> FaultPlan:
    plan = FaultPlan()
    plan.replace(FaultDocument.model_validate_json(json.dumps({"faults": faults, **document})))
    return plan


def decide(plan: FaultPlan, message_id: int, *, nth_call: int = 1, phone: int = 1, text: str = "") -> Decision:
    return plan.decide(SendRequest(message_id, phone, text), nth_call=nth_call, at_s=0.0)


@given(seed=st.integers(min_value=0, max_value=2**63 - 1), message_id=INT64, nth_call=st.integers(1, 2**62))
def test_draws_are_shares_and_the_same_each_time(seed: int, message_id: int, nth_call: int) -> None:
    draws = draw(seed, message_id, nth_call)
    assert all(0 <= one < 1 for one in (draws.which, draws.accepts, draws.delay, draws.body))
    assert draws == draw(seed, message_id, nth_call)


def test_without_faults_every_call_is_accepted() -> None:
    assert decide(plan_of(), 1).accepted
    assert decide(plan_of(latency_s=0.5), 1).wait_s == 0.5


def test_probabilities_are_shares_of_all_calls() -> None:
    """Given shares of 30 % and 10 %, when 10,000 messages are sent, then both come out, and 60 % are sound."""
    plan = plan_of({"kind": "hang", "probability": 0.3}, {"kind": "reset", "probability": 0.1})
    met = Counter(decide(plan, message_id).fault for message_id in range(10_000))
    assert met["hang"] == pytest.approx(3_000, abs=200)
    assert met["reset"] == pytest.approx(1_000, abs=150)
    assert met[None] == pytest.approx(6_000, abs=200)


def test_the_fate_of_a_call_does_not_depend_on_the_order_of_calls() -> None:
    """Given one seed, when the same calls arrive in another order, then each meets the same fault."""
    faults = (
        {"kind": "slow", "probability": 0.3, "delay_s": 0, "delay_max_s": 1},
        {"kind": "garbage", "probability": 0.3},
        {"kind": "reset", "probability": 0.3},
    )
    calls = [(message_id, nth_call) for message_id in range(200) for nth_call in (1, 2, 3)]
    first_plan, second_plan = plan_of(*faults, seed=5), plan_of(*faults, seed=5)
    first = {call: decide(first_plan, call[0], nth_call=call[1]) for call in calls}
    random.Random(1).shuffle(calls)
    second = {call: decide(second_plan, call[0], nth_call=call[1]) for call in calls}
    other_plan = plan_of(*faults, seed=6)
    other = {call: decide(other_plan, call[0], nth_call=call[1]) for call in calls}
    assert first == second
    assert first != other
    assert any(first[(message_id, 1)].fault != first[(message_id, 2)].fault for message_id in range(200))


def test_the_first_in_the_list_has_precedence_until_its_times_are_used_up() -> None:
    plan = plan_of({"kind": "hang", "times": 2}, {"kind": "reset", "times": 1}, {"kind": "refusal"})
    assert [decide(plan, 1).fault for _ in range(5)] == ["hang", "hang", "reset", "refusal", "refusal"]


@pytest.mark.parametrize(
    ("selector", "meant", "not_meant"),
    [
        ({"for_phones": [79001, 79002]}, (79002, ""), (79003, "")),
        ({"for_phone_prefixes": ["7901", "7902"]}, (79021111111, ""), (79791111111, "")),
        ({"for_phone_modulo": {"divisor": 10, "remainder": 3}}, (79003, ""), (79004, "")),
        ({"for_texts": ["sale", "скидка"]}, (1, "Большая скидка"), (1, "Sale")),
        ({"for_phones": [79001], "for_texts": ["sale"]}, (79001, "sale"), (79001, "news")),
    ],
)
def test_a_selector_tells_calls_apart(
    selector: dict[str, Any], meant: tuple[int, str], not_meant: tuple[int, str]
) -> None:
    plan = plan_of({"kind": "hang", **selector})
    assert decide(plan, 1, phone=meant[0], text=meant[1]).fault == "hang"
    assert decide(plan, 1, phone=not_meant[0], text=not_meant[1]).fault is None


def test_calls_that_are_not_meant_do_not_use_up_the_times() -> None:
    plan = plan_of({"kind": "hang", "for_phones": [2], "times": 1})
    assert [decide(plan, 1, phone=phone).fault for phone in (1, 1, 2, 2)] == [None, None, "hang", None]


def test_a_delay_lies_in_its_range_and_after_the_latency() -> None:
    plan = plan_of({"kind": "slow", "delay_s": 1, "delay_max_s": 3}, latency_s=10)
    waits_s = [decide(plan, message_id).wait_s for message_id in range(500)]
    assert 11 <= min(waits_s) < 11.2
    assert 12.8 < max(waits_s) <= 13


@pytest.mark.parametrize(
    ("fault", "share"),
    [
        ({"kind": "slow", "delay_s": 0}, 1.0),
        ({"kind": "hang"}, 0.0),
        ({"kind": "hang", "accepts": 1}, 1.0),
        ({"kind": "reset"}, 0.5),
        ({"kind": "garbage"}, 0.5),
        ({"kind": "status", "code": 502}, 0.0),
        ({"kind": "status", "code": 504, "accepts": 0.25}, 0.25),
        ({"kind": "redirect"}, 0.0),
        ({"kind": "refusal"}, 0.0),
        ({"kind": "refuse", "duration_s": 1, "starts": "on_call"}, 0.0),
    ],
)
def test_a_fault_accepts_its_share(fault: dict[str, Any], share: float) -> None:
    plan = plan_of(fault)
    accepted = sum(decide(plan, message_id).accepted for message_id in range(4_000))
    assert accepted / 4_000 == pytest.approx(share, abs=0.04)


def test_garbage_draws_from_its_bodies_alone() -> None:
    plan = plan_of({"kind": "garbage", "bodies": ["html", "empty"]})
    assert {decide(plan, message_id).detail for message_id in range(100)} == {"html", "empty"}


def test_refuse_at_once_leaves_calls_alone_and_on_call_ends_them() -> None:
    at_once = plan_of({"kind": "refuse", "duration_s": 2})
    assert decide(at_once, 1).fault is None
    assert at_once.document.refuse_at_once_s() == 2
    on_call = plan_of({"kind": "refuse", "duration_s": 2, "starts": "on_call"})
    assert on_call.document.refuse_at_once_s() is None
    decision = decide(on_call, 1)
    assert (decision.ending, decision.refuse_s) == (Ending.REFUSE, 2)
