"""Memory: the most that each service has resident, by the size of the audience."""

from tests.bench.figures import Figure
from tests.bench.places import Places
from tests.bench.running import running

SERVICES = ("api", "scheduler-1", "sender-1")


async def peak_memory(places: Places, *, count: int) -> dict[str, Figure]:
    """Of each service, over one whole mailing of `count`; its statistics and first page are read meanwhile."""
    async with running(places, *SERVICES, clients=count) as system:
        await places.forget_calls()
        mailing = await system.make_mailing()
        await places.until_called(count // 2)
        await system.ask("GET", f"/statistics/{mailing['id']}")
        await system.ask("GET", f"/mailings/{mailing['id']}/messages?limit=500")
        await places.until_called(count)
        await system.until_sent(count)
        await system.ask("GET", f"/statistics/{mailing['id']}")
        return {
            f"peak memory, {service}, audience {count}": Figure(megabytes, "MB")
            for service, megabytes in system.peak_memory_mb().items()
        }
