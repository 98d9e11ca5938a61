"""The trial: sample clients, a mailing to them alone, what became of it, and whether everybody tells the same."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from deploy.trial.api import ApiFailed, MailrunApi, PhoneTaken
from deploy.trial.progress import Watch
from deploy.trial.provider import FakeProviderGateway, ProviderFailed, trial_faults
from deploy.trial.sample import SampleClient, make_clients, text_template
from deploy.trial.verdict import Observation, judge

REQUESTS_AT_ONCE = 16
PHONE_TRIES = 20
POLL_S = 0.25
FINAL = {"completed", "cancelled"}
OPEN = {"waiting", "queued", "sending", "retrying"}


class TrialFailed(Exception):
    """The trial did not come to a verdict; the message says why."""


def run_trial(api_url: str, provider_url: str, *, clients: int, faults: bool, timeout_s: float) -> bool:
    """Hold a trial, and print what is found.

    Args:
        api_url: of the API, up to before "/api/v1".
        provider_url: of the fake provider behind the senders, up to "/v1" or before it.
        clients: size of the audience, at least 1.
        faults: whether the provider is to misbehave meanwhile.
        timeout_s: longest duration of the whole.

    Returns:
        Whether audience, counts, statistics and ledger agree.

    Raises:
        TrialFailed: it did not come to a verdict.
    """

    async def hold() -> bool:
        async with (
            asyncio.timeout(timeout_s),
            MailrunApi(api_url) as api,
            FakeProviderGateway(provider_url) as provider,
        ):
            return await _hold(api, provider, clients=clients, faults=faults)

    try:
        return asyncio.run(hold())
    except TimeoutError as error:
        raise TrialFailed(f"no verdict within {timeout_s:g} s") from error
    except (ApiFailed, ProviderFailed) as error:
        raise TrialFailed(str(error)) from error


async def _hold(api: MailrunApi, provider: FakeProviderGateway, *, clients: int, faults: bool) -> bool:
    tag = f"trial-{secrets.token_hex(4)}"
    calls_before = await provider.count_calls()
    audience = make_clients(clients, tag)
    others = make_clients(max(1, clients // 50), f"not-{tag[6:]}")
    await _load(api, [*audience, *others])
    print(f"loaded {len(audience)} clients with the tag {tag}, and {len(others)} whom the mailing is not for")

    async with _misbehaving(provider, tag, wanted=faults):
        body = {"name": tag, "text": text_template(tag), "audience": {"tags": [tag]}}
        mailing_id = int((await api.create_mailing(body))["id"])
        mailing = await _watch(api, mailing_id, len(audience))
    seen = Observation(
        mailing=mailing,
        statistics=await api.read_statistics(mailing_id),
        messages=[message async for message in api.read_messages(mailing_id)],
        calls=await provider.read_calls(after=calls_before),
    )
    _print_statistics(seen.statistics)
    verdict = judge(audience, others, tag, seen, all_sent=not faults)
    print(*verdict.lines(), sep="\n", flush=True)
    return verdict.agrees


async def _load(api: MailrunApi, clients: Sequence[SampleClient]) -> None:
    """Create the clients, some at a time."""
    slots = asyncio.Semaphore(REQUESTS_AT_ONCE)
    loaded = 0

    async def create(client: SampleClient) -> None:
        nonlocal loaded
        async with slots:
            for _ in range(PHONE_TRIES):
                try:
                    client.client_id = await api.create_client(client.as_body())
                    break
                except PhoneTaken:
                    client.take_other_phone()
            else:
                raise TrialFailed(f"found no free phone number in {PHONE_TRIES} tries")
        loaded += 1
        watch.show(loaded)

    with Watch("loading clients", len(clients)) as watch:
        try:
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(create(client))
        except ExceptionGroup as errors:  # the first is why the others were cancelled
            raise errors.exceptions[0] from errors


async def _watch(api: MailrunApi, mailing_id: int, total: int) -> dict[str, Any]:
    """Wait until the mailing is final; the mailing as it then is."""
    with Watch("sending", total) as watch:
        while True:
            mailing = await api.read_mailing(mailing_id)
            counts = {status: count for status, count in mailing["counts"].items() if count}
            done = sum(count for status, count in counts.items() if status not in OPEN)
            watch.show(done, ", ".join(f"{status} {count}" for status, count in counts.items()))
            if mailing["status"] in FINAL:
                return mailing
            if mailing["status"] == "paused":
                raise TrialFailed(f"mailing {mailing_id} was paused: {mailing['pause_reason']}")
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _misbehaving(provider: FakeProviderGateway, tag: str, *, wanted: bool) -> AsyncIterator[None]:
    """Let the provider misbehave for the calls of this trial; as it was afterwards."""
    if not wanted:
        yield
        return
    before = await provider.read_faults()
    await provider.set_faults(trial_faults(tag))
    try:
        yield
    finally:
        await provider.set_faults(before)


def _print_statistics(statistics: dict[str, Any]) -> None:
    latency = statistics["latency_ms"]
    codes = ", ".join(f"{code} {sum(counts.values())}" for code, counts in statistics["by_operator_code"].items())
    print(f"mailing {statistics['mailing_id']} is {statistics['status']}")
    print(f"  from {statistics['first_sent_at']} to {statistics['last_sent_at']}")
    print(f"  latency of the provider, ms: p50 {latency['p50']}, p95 {latency['p95']}, p99 {latency['p99']}")
    print(f"  by operator code: {codes}")
    print(f"  by attempt: {statistics['by_attempt']}, ambiguous: {statistics['ambiguous']}")
    for failure in statistics["failures"]:
        print(f"  failed: {failure['reason']} {failure['count']}")
