"""Leasing a mailing as a scheduler does, with what does not matter filled in."""

from shared.store.mailing_work import LeasedMailing
from shared.store.store import Store
from tests.integration.store.making import after


async def lease(store: Store, *, at: float = 1, owner: str = "one") -> LeasedMailing | None:
    return await store.mailing_work.lease_next(after(at), owner=owner, lease_s=60)


async def leased(store: Store, *, at: float = 1, owner: str = "one") -> LeasedMailing:
    """The lease, which is to be had."""
    one = await lease(store, at=at, owner=owner)
    assert one is not None
    return one
