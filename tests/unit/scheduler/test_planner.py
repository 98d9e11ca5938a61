"""Planner: what becomes of each client of a chunk."""

from datetime import time, timedelta

import pytest

from services.scheduler.fan_out import Planner
from services.scheduler.tools import Limits
from shared.domain.client import Client
from shared.domain.message import EXPIRED, QUEUED, WAITING, MessageStatus
from shared.domain.window import LocalWindow
from shared.store.mailing_work import LeasedMailing
from shared.store.message_documents import PlannedMessage
from tests.unit.sender.parts import NOW, mailing

MEND_AFTER = timedelta(seconds=60)
LIMITS = Limits(chunk_clients=500, max_attempts=6, mend_after=MEND_AFTER, tick=timedelta(seconds=1))
CLIENT = Client(
    id=5,
    phone="79161234567",
    operator_code="916",
    tags=("a", "b"),
    timezone="Europe/Moscow",
    attributes={"name": "Ann", "city": "Kazan"},
)


def plan(client: Client = CLIENT, **fields: object) -> PlannedMessage:
    leased = LeasedMailing(mailing(**fields), "token", None, (), deleted=False, window_changed=False, paced_until=None)
    return Planner(leased, LIMITS, now=NOW).plan(77, client)


def in_zone(timezone: str) -> Client:
    return Client(5, "79161234567", "916", (), timezone)


def test_a_message_keeps_what_the_client_was_and_the_attributes_that_the_text_uses() -> None:
    one = plan(text="Hello {name}, {street|nowhere}")

    assert (one.id, one.mailing_id, one.client_id) == (77, 7, 5)
    assert (one.phone, one.operator_code, one.tags, one.timezone) == ("79161234567", "916", ("a", "b"), "Europe/Moscow")
    assert one.fields == {"name": "Ann"}
    assert one.last_attempt == 6


def test_without_a_window_it_is_queued_and_looked_after_when_nothing_is_heard_of_it() -> None:
    one = plan()

    assert (one.status, one.due_at, one.reason) == (QUEUED, NOW + MEND_AFTER, None)


@pytest.mark.parametrize(
    ("timezone", "status", "waits"),
    [
        ("Europe/Moscow", QUEUED, None),  # 15:00
        ("Asia/Yekaterinburg", QUEUED, None),  # 17:00
        ("Asia/Vladivostok", WAITING, timedelta(hours=12)),  # 22:00 -> 10:00
        ("Europe/London", QUEUED, None),  # 13:00
        ("America/New_York", WAITING, timedelta(hours=2)),  # 8:00 -> 10:00
    ],
)
def test_a_client_whose_window_is_closed_waits_until_it_opens(
    timezone: str, status: MessageStatus, waits: timedelta | None
) -> None:
    one = plan(in_zone(timezone), local_window=LocalWindow(time(10), time(20)))

    assert one.status is status
    assert one.due_at == NOW + (waits if waits is not None else MEND_AFTER)
    assert one.reason == ("window_closed" if waits else None)


def test_a_window_over_midnight_is_open_in_the_night() -> None:
    night = LocalWindow(time(21), time(6))

    assert plan(in_zone("Asia/Vladivostok"), local_window=night).status is QUEUED
    assert plan(in_zone("Europe/Moscow"), local_window=night).status is WAITING


def test_a_mailing_that_is_closed_plans_everybody_as_expired_whatever_the_window() -> None:
    one = plan(closed_at=NOW, local_window=LocalWindow(time(10), time(20)))

    assert (one.status, one.due_at, one.reason) == (EXPIRED, None, "mailing_ended")


def test_a_zone_that_cannot_be_read_stops_nobody_elses_planning() -> None:
    # The sender looks at the window again, and fails this one message with its reason.
    one = plan(in_zone("Mars/Olympus_Mons"), local_window=LocalWindow(time(10), time(20)))

    assert one.status is QUEUED
