"""Current mailings: as they are in the store now, each one whether or not the others can be read."""

from collections.abc import Callable, Collection
from functools import partial

import structlog

from shared.domain.mailing import Mailing
from shared.store.connection import until_answered
from shared.store.mailings import Mailings

log = structlog.get_logger()


async def read_mailings(
    mailings: Mailings, mailing_ids: Collection[int], *, report: Callable[[str], None]
) -> dict[int, Mailing | None]:
    """The mailings of these ids, by id; one that does not exist is left out.

    A document that cannot be read (it was not written by Mailrun, or by another version of it) comes as None, with a
    traceback in the log: it must not stop the others, and must not pass for one that was deleted.

    Args:
        report: told how the store is.
    """
    try:
        found = await until_answered(lambda: mailings.current(mailing_ids), report=report)
    except Exception:
        log.exception("mailings.unreadable", mailing_ids=sorted(mailing_ids))
    else:
        return dict(found)
    read: dict[int, Mailing | None] = {}
    for mailing_id in mailing_ids:
        try:
            read.update(await until_answered(partial(mailings.current, {mailing_id}), report=report))
        except Exception:
            log.exception("mailing.unreadable", mailing_id=mailing_id)
            read[mailing_id] = None
    return read
