"""Operating: what people do from the outside while things break, and when each of it was asked for and answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

from shared.domain.window import LocalWindow, parse_local_time
from tests.chaos.rig import Rig
from tests.e2e.system import Audience
from tests.support.facts import Change, MailingFacts

T = TypeVar("T")

ASK_EVERY_S = 0.3
ASK_WITHIN_S = 90.0


@dataclass(frozen=True)
class Answer:
    """What came of a request that was repeated until it was answered.

    `certain`: whether no try before the last may have been carried out unheard.
    """

    asked_at: datetime
    answered_at: datetime
    status: int
    body: Any
    certain: bool


@dataclass
class Kept:
    """A mailing, and its history as the operator knows it."""

    id: int
    audience: Audience
    on_unknown: str
    texts: list[Change[str]]
    ends: list[Change[datetime]]
    runs: list[Change[bool]]
    window: LocalWindow | None = None
    timezones: dict[int, str] = field(default_factory=dict)
    cut_short: bool = False
    deleted: bool = False
    replayed: bool = False
    paused: bool = False

    def facts(self) -> MailingFacts:
        return MailingFacts(
            id=self.id,
            client_ids=frozenset(self.audience.client_ids),
            texts=tuple(self.texts),
            ends=tuple(self.ends),
            runs=tuple(self.runs),
            planned_whole=not self.cut_short,
            deleted=self.deleted,
            may_repeat=self.on_unknown == "resend" or self.replayed,
            window=self.window,
            timezones=self.timezones,
        )


class Operator:
    """Asks the API, again and again until it answers, and remembers."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._one_at_a_time = asyncio.Lock()
        self.mailings: list[Kept] = []
        self.left: dict[int, Change[bool]] = {}
        self.told: list[str] = []

    async def create(self, audience: Audience, text: str, *, starts_in_s: float, lasts_s: float, **fields: Any) -> Kept:
        """A mailing that starts now or soon."""
        now = datetime.now(UTC)
        start_at = now + timedelta(seconds=starts_in_s)
        end_at = start_at.replace(microsecond=0) + timedelta(seconds=lasts_s)
        body = {
            "name": "chaos",
            "text": text,
            "audience": {"tags": [audience.tag]},
            "start_at": start_at.isoformat(timespec="milliseconds"),
            "end_at": end_at.isoformat(),
        }
        created = await self._rig.ask("POST", "/mailings", body | fields, expect=201)
        window = fields.get("local_window")
        kept = Kept(
            id=created["id"],
            audience=audience,
            on_unknown=created["on_unknown"],
            texts=[Change(now, now, text)],
            ends=[Change(now, now, end_at)],
            runs=[Change(now, now, False), Change(start_at, start_at, True)],
            window=window
            and LocalWindow(parse_local_time("start", window["start"]), parse_local_time("end", window["end"])),
        )
        self.mailings.append(kept)
        return kept

    async def pause(self, kept: Kept) -> None:
        answer = await self._act("POST", kept, "/pause")
        if answer.status == 200 or not answer.certain:
            kept.runs.append(_change(answer, 200, False))
            kept.paused = True

    async def resume(self, kept: Kept) -> None:
        answer = await self._act("POST", kept, "/resume")
        if answer.status == 200 or not answer.certain:
            kept.runs.append(_change(answer, 200, True))
            kept.paused = False

    async def cancel(self, kept: Kept) -> None:
        answer = await self._act("POST", kept, "/cancel")
        if answer.status == 200 or not answer.certain:
            kept.runs.append(_change(answer, 200, False))
            kept.cut_short = True

    async def delete(self, kept: Kept) -> None:
        """Delete the mailing: once it is done, asking again finds nothing."""
        answer = await self._act("DELETE", kept, "")
        kept.runs.append(Change(answer.asked_at, answer.answered_at, False))
        kept.cut_short = kept.deleted = True

    async def edit_text(self, kept: Kept, text: str) -> None:
        answer = await self._act("PATCH", kept, "", {"text": text})
        if answer.status == 200 or not answer.certain:
            kept.texts.append(_change(answer, 200, text))

    async def edit_end(self, kept: Kept, *, in_s: float) -> None:
        """Have the mailing end soon. An answer that comes after that end says 409 or 422."""
        end_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=in_s)
        answer = await self._act("PATCH", kept, "", {"end_at": end_at.isoformat()})
        if answer.status == 200 or not answer.certain:
            kept.ends.append(_change(answer, 200, end_at))

    async def replay(self, kept: Kept, message_ids: Sequence[int] = ()) -> None:
        """Replay what has failed; of it only these messages, if any are named."""
        body = {"message_ids": list(message_ids)} if message_ids else {}
        answer = await self._act("POST", kept, "/replay", body)
        if answer.status == 202 or not answer.certain:
            kept.replayed = True

    async def opt_out(self, client_id: int) -> None:
        body = {"opted_out_at": datetime.now(UTC).isoformat()}
        answer = await self._ask("PATCH", f"/clients/{client_id}", body)
        self.left[client_id] = Change(answer.asked_at, answer.answered_at, True)

    async def delete_client(self, client_id: int) -> None:
        answer = await self._ask("DELETE", f"/clients/{client_id}")
        self.left[client_id] = Change(answer.asked_at, answer.answered_at, True)

    async def resume_all(self) -> None:
        """What is paused goes on, so that it comes to an end."""
        for kept in self.mailings:
            if kept.paused:
                await self.resume(kept)

    async def _act(self, method: str, kept: Kept, path: str, body: Any = None) -> Answer:
        return await self._ask(method, f"/mailings/{kept.id}{path}", body)

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One act after the other, each repeated until its answer is heard.

        Raises:
            AssertionError: none came within the time, or one that there may not be.
        """
        async with self._one_at_a_time:
            asked_at = datetime.now(UTC)
            lost = 0
            async with asyncio.timeout(ASK_WITHIN_S):
                while True:
                    try:
                        answer = await self._rig.api.request(method, f"/api/v1{path}", json=body)
                    except httpx.ConnectError:
                        pass  # nothing was written
                    except httpx.TransportError:
                        lost += 1
                    else:
                        if answer.status_code != 503:
                            break
                        lost += 1
                    await asyncio.sleep(ASK_EVERY_S)
            answered_at = datetime.now(UTC)
            self.told.append(f"{asked_at:%H:%M:%S.%f} {method} {path} {body}: {answer.status_code} after {lost} lost")
            assert answer.status_code in (200, 202, 204, 404, 409, 422), f"{method} {path}: {answer.text}"
            return Answer(asked_at, answered_at, answer.status_code, answer.content, certain=not lost)


def _change(answer: Answer, done: int, value: T) -> Change[T]:
    return Change(answer.asked_at, answer.answered_at if answer.status == done else None, value)


def not_final(kept: Sequence[Kept], documents: dict[int, Any], open_messages: dict[int, int]) -> dict[int, str]:
    """Of which mailings something is still to come, and what. `documents`: the mailings in the store, by id."""
    found: dict[int, str] = {}
    for one in kept:
        document = documents.get(one.id)
        if one.deleted and document is not None:
            found[one.id] = "not removed yet"
        elif document is not None and document["status"] not in ("completed", "cancelled"):
            found[one.id] = document["status"]
        elif document is not None and document["statistics"] is None:
            found[one.id] = "not counted yet"
        elif open_messages.get(one.id):
            found[one.id] = f"{open_messages[one.id]} messages open"
    return found
