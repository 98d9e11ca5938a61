"""What becomes of a claimed message, by its mailing and its client as they are now."""

from datetime import time, timedelta

import pytest

from services.sender.decide import Cancel, Fail, Go, Park, decide
from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, PAUSED, SCHEDULED, MailingStatus
from shared.domain.text import parse_text
from shared.domain.window import LocalWindow
from tests.unit.sender.parts import NOW, claimed, mailing

HELLO = parse_text("Hello")


def test_a_running_mailing_and_a_client_who_is_there_go() -> None:
    assert decide(claimed(), mailing(), {}, HELLO, NOW) == Go("Hello")


def test_what_the_client_was_when_planned_comes_before_what_he_is_now() -> None:
    template = parse_text("{name}, {city|nowhere}, {age}")
    one = claimed(fields={"name": "Ann"})

    assert decide(one, mailing(), {"name": "Bob", "age": "7"}, template, NOW) == Go("Ann, nowhere, 7")


def test_a_missing_attribute_fails_the_message_and_says_which() -> None:
    decision = decide(claimed(), mailing(), {}, parse_text("Hello {name}"), NOW)

    assert decision == Fail("missing_attribute", "the client has no attribute name")


def test_a_text_that_attributes_make_too_long_fails_the_message_and_says_how_long() -> None:
    one = claimed(fields={"a": "x" * 1_000})
    decision = decide(one, mailing(), {}, parse_text("{a}{a}{a}{a}!"), NOW)

    assert decision == Fail("text_too_long", "with the client's attributes it has 4001 characters, above 4000")


def test_a_client_who_is_gone_is_cancelled() -> None:
    assert decide(claimed(), mailing(), None, HELLO, NOW) == Cancel("client_gone")


def test_a_mailing_that_is_gone_cancels() -> None:
    assert decide(claimed(), None, {}, None, NOW) == Cancel("mailing_deleted")


@pytest.mark.parametrize("status", [DRAFT, SCHEDULED, PAUSED, COMPLETED, CANCELLED])
def test_a_mailing_that_does_not_run_parks_even_for_a_client_who_is_gone(status: MailingStatus) -> None:
    park = Park(f"mailing_{status}", NOW)

    assert decide(claimed(), mailing(status=status), {}, HELLO, NOW) == park
    assert decide(claimed(), mailing(status=status), None, HELLO, NOW) == park


def test_the_end_is_the_first_instant_at_which_nothing_goes() -> None:
    end_at = NOW + timedelta(milliseconds=1)

    assert decide(claimed(), mailing(end_at=end_at), {}, HELLO, NOW) == Go("Hello")
    assert decide(claimed(), mailing(end_at=end_at), {}, HELLO, end_at) == Park("mailing_ended", end_at)


def test_a_mailing_that_was_closed_has_ended_whatever_this_clock_says() -> None:
    one = mailing(closed_at=NOW - timedelta(seconds=1), end_at=NOW + timedelta(hours=1))

    assert decide(claimed(), one, {}, HELLO, NOW) == Park("mailing_ended", NOW)


def test_a_closed_window_parks_until_it_opens_on_the_clients_clock() -> None:
    one = mailing(local_window=LocalWindow(time(9), time(12)))  # NOW is 15:00 in Moscow, 22:00 in Vladivostok

    in_moscow = decide(claimed(), one, {}, HELLO, NOW)
    in_vladivostok = decide(claimed(timezone="Asia/Vladivostok"), one, {}, HELLO, NOW)

    assert in_moscow == Park("window_closed", NOW + timedelta(hours=18))
    assert in_vladivostok == Park("window_closed", NOW + timedelta(hours=11))


def test_a_window_that_closes_while_the_claim_may_start_is_an_end() -> None:
    one = mailing(local_window=LocalWindow(time(14), time(15, 1)))  # NOW is 15:00 in Moscow
    closes_at = NOW + timedelta(minutes=1)

    assert decide(claimed(), one, {}, HELLO, NOW) == Go("Hello")
    just_before = closes_at - timedelta(seconds=5)
    assert decide(claimed(), one, {}, HELLO, just_before) == Go("Hello", closes_at)


def test_an_open_window_goes() -> None:
    one = mailing(local_window=LocalWindow(time(15), time(16)))

    assert decide(claimed(), one, {}, HELLO, NOW) == Go("Hello")
