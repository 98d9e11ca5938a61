"""The verdict of a trial: what agrees is let pass, and every way of not agreeing is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy.trial.provider import Call
from deploy.trial.sample import SampleClient, expected_text, make_clients, text_template
from deploy.trial.verdict import Observation, Verdict, judge
from shared.domain.text import parse_text

TAG = "trial-1"


class Trial:
    """A trial of which everything agrees, until a test changes something."""

    def __init__(self) -> None:
        self.audience = make_clients(3, TAG)
        self.others = make_clients(1, "not-1")
        for number, client in enumerate([*self.audience, *self.others]):
            client.client_id = number + 1
        self.messages: list[dict[str, Any]] = [
            {"id": 100 + number, "client_id": client.client_id, "status": "sent", "ambiguous": False}
            for number, client in enumerate(self.audience)
        ]
        self.calls = [self.call(number, client) for number, client in enumerate(self.audience)]

    def call(self, number: int, client: SampleClient) -> Call:
        return Call(100 + number, int(client.phone), expected_text(client, TAG), accepted=True)

    def judge(self, *, all_sent: bool = True) -> Verdict:
        counts: dict[str, int] = {"waiting": 0}
        for message in self.messages:
            counts[message["status"]] = counts.get(message["status"], 0) + 1
        by_code: dict[str, dict[str, int]] = {}
        for client in self.audience:
            by_code.setdefault(client.operator_code, {"sent": 0})["sent"] += 1
        mailing = {"status": "completed", "audience_size": len(self.messages), "counts": counts}
        statistics = {"counts": counts, "by_operator_code": by_code}
        seen = Observation(mailing, statistics, self.messages, self.calls)
        return judge(self.audience, self.others, TAG, seen, all_sent=all_sent)


def test_what_agrees_is_told_in_the_last_lines() -> None:
    *_, audience, counts, statistics, ledger, last = Trial().judge().lines()
    assert audience.split() == ["audience", "3"]
    assert counts.split() == ["counts", "sent", "3"]
    assert statistics.split() == ["statistics", "sent", "3"]
    assert ledger.endswith("3 calls, 3 accepted, 0 duplicates")
    assert last == "agree"


def lose_a_call(trial: Trial) -> None:
    trial.calls.pop()


def double_a_call(trial: Trial) -> None:
    trial.calls.append(trial.calls[0])


def change_a_text(trial: Trial) -> None:
    trial.calls[0] = replace(trial.calls[0], text=f"other {TAG}")


def change_a_phone(trial: Trial) -> None:
    trial.calls[0] = replace(trial.calls[0], phone=79990000000)


def call_somebody_else(trial: Trial) -> None:
    trial.calls.append(replace(trial.calls[0], message_id=7, phone=int(trial.others[0].phone)))


def lose_a_message(trial: Trial) -> None:
    trial.messages.pop()
    trial.calls.pop()


def fail_a_message(trial: Trial) -> None:
    trial.messages[0]["status"] = "failed"


@pytest.mark.parametrize(
    "change",
    [lose_a_call, double_a_call, change_a_text, change_a_phone, call_somebody_else, lose_a_message, fail_a_message],
)
@pytest.mark.parametrize("all_sent", [True, False])
def test_every_disagreement_is_told(change: Callable[[Trial], None], all_sent: bool) -> None:
    trial = Trial()
    change(trial)
    verdict = trial.judge(all_sent=all_sent)
    assert not verdict.agrees
    assert list(verdict.lines())[-1] == "DISAGREE"


def test_under_faults_a_double_is_let_pass_where_it_is_marked() -> None:
    trial = Trial()
    double_a_call(trial)
    trial.messages[0]["ambiguous"] = True
    assert trial.judge(all_sent=False).agrees
    assert not trial.judge(all_sent=True).agrees


def test_the_expected_text_is_what_the_domain_renders() -> None:
    template = parse_text(text_template(TAG))
    for client in make_clients(20, TAG):
        assert template.render(client.attributes) == expected_text(client, TAG)
