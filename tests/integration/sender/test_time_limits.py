"""The HTTP provider's time: what a try may take, when one may start, and the one quick try more."""

import asyncio
import time

import aiohttp

from services.sender.provider.provider import Call
from tests.integration.sender.calling import ACCEPTED, PHONE, REFUSED, UNKNOWN, call, deliver, status
from tests.unit.fake_provider.running import RunningProvider, eventually, read_entries, set_faults


async def test_a_hang_ends_with_the_timeout_and_cannot_be_known(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "hang", "accepts": 1.0})
    began_at_s = time.monotonic()

    answer, verdict = await deliver(fake, timeout_s=0.5)

    assert verdict.outcome is UNKNOWN
    assert answer.written
    assert time.monotonic() - began_at_s < 3
    assert len(await read_entries(control)) == 1


async def test_the_whole_attempt_ends_in_its_time_whatever_a_try_may_take(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "hang"})
    began_at_s = time.monotonic()

    _, verdict = await deliver(fake, call(end_within_s=0.3))

    assert verdict.outcome is UNKNOWN
    assert time.monotonic() - began_at_s < 2


async def test_a_slow_answer_is_waited_for(fake: RunningProvider, control: aiohttp.ClientSession) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.4})

    answer, verdict = await deliver(fake)

    assert verdict.outcome is ACCEPTED
    assert 400 <= (answer.latency_ms or 0) < 2_000


async def test_a_refused_connection_is_tried_once_more_and_certainly_not_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "refuse", "duration_s": 1.0})

    answer, verdict = await deliver(fake)

    assert (verdict.outcome, verdict.reason) == (REFUSED, "no_connection")
    assert (answer.started, answer.written, answer.http_status) == (True, False, None)
    assert await eventually(lambda: _listens(fake), bool)
    assert await read_entries(control) == []


async def test_the_second_try_may_be_the_one_that_is_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 503, "times": 1})

    _, verdict = await deliver(fake)

    assert verdict.outcome is ACCEPTED
    assert [entry["status"] for entry in await read_entries(control)] == [503, 200]


async def test_a_second_try_that_is_not_answered_cannot_be_known(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 503, "times": 1}, {"kind": "reset", "accepts": 1.0})

    answer, verdict = await deliver(fake)

    assert verdict.outcome is UNKNOWN
    assert answer.written
    assert len(await read_entries(control)) == 2


async def test_a_second_try_is_not_begun_when_the_time_is_over_and_the_refusal_stands(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, status(503))
    looks = iter([10.0, 10.0])  # before the first try, and before it is written

    answer, verdict = await deliver(fake, Call(1, PHONE, "Hello", lambda: next(looks, 0.0), 25.0))

    assert (verdict.outcome, verdict.reason) == (REFUSED, "http_503")
    assert answer.started
    assert len(await read_entries(control)) == 1


async def test_without_time_left_nothing_is_started(fake: RunningProvider, control: aiohttp.ClientSession) -> None:
    answer, _ = await deliver(fake, call(start_within_s=0.0))

    assert not answer.started
    assert await read_entries(control) == []


async def test_the_clock_is_looked_at_once_more_when_the_connection_stands(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    looks = iter([10.0])  # the end has come while it connected

    answer, _ = await deliver(fake, Call(1, PHONE, "Hello", lambda: next(looks, 0.0), 25.0))

    assert not answer.started
    assert await read_entries(control) == []


async def _listens(fake: RunningProvider) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    except OSError:
        return False
    writer.close()
    return True
