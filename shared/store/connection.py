"""Connection to MongoDB, and the translation of its errors into Mailrun's own.

Writes are acknowledged by the majority and journalled whatever the deployment's default, and reads are from the
primary: the three promises rest on both.
"""

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)

from shared.errors import StoreUnavailable

SERVER_SELECTION_MS = 3_000  # also how long closing against a dead server takes
CONNECT_MS = 2_000
SOCKET_MS = 30_000
MAJORITY_MS = 10_000

PASSING_CODES = frozenset(
    {
        *(6, 7, 89, 9001),  # host unreachable, host not found, network timeout, socket exception
        *(91, 189, 10107, 11600, 11602, 13435, 13436),  # shutdown, stepdown, no primary here
        *(64, 134, 262),  # not replicated in time, no majority yet, time limit
        *(43, 175, 237, 11601),  # cursor not found (the server was restarted between two pages), killed, interrupted
        *(112, 239, 246),  # write conflict; snapshot too old, snapshot unavailable
    }
)
"""Server errors that pass: the same call may succeed later. Source: MongoDB's error codes."""

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

Document = dict[str, Any]


def connect(url: str) -> "AsyncIOMotorClient[Document]":
    """A client of the store. It connects by itself, in the background, and reconnects."""
    return AsyncIOMotorClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=SERVER_SELECTION_MS,
        connectTimeoutMS=CONNECT_MS,
        socketTimeoutMS=SOCKET_MS,
        appname="mailrun",
    )


def database(client: "AsyncIOMotorClient[Document]", name: str) -> "AsyncIOMotorDatabase[Document]":
    """A database with the concerns that the promises need."""
    return client.get_database(
        name,
        codec_options=CodecOptions(tz_aware=True),
        write_concern=WriteConcern(w="majority", j=True, wtimeout=MAJORITY_MS),
        read_preference=ReadPreference.PRIMARY,
    )


def is_passing(error: PyMongoError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ConnectionFailure | ExecutionTimeout):
        return True
    if isinstance(error, InvalidOperation):  # closed by ourselves: a service is ending
        return "close" in str(error).lower()
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        problems = [*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())]
        return any(one.get("code") in PASSING_CODES for one in problems)
    if isinstance(error, OperationFailure) and error.code in PASSING_CODES:
        return True
    return error.has_error_label("RetryableWriteError")


def translate_errors(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The method, raising StoreUnavailable where the driver says that the store is away."""

    @functools.wraps(method)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            if is_passing(error):
                raise StoreUnavailable(f"{type(error).__name__}: {str(error)[:200]}") from error
            raise

    return translated


@translate_errors
async def ping(database: "AsyncIOMotorDatabase[Document]") -> None:
    """
    Raises:
        StoreUnavailable: the store does not answer.
    """
    await database.command("ping")


def at_the_edge(collection: C) -> C:
    """Class decorator: every public coroutine method translates the driver's errors."""
    for name, method in list(vars(collection).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(method):
            setattr(collection, name, translate_errors(method))
    return collection


async def all_of(cursor: Any, *, most: int) -> list[Document]:
    """All documents of a find that brings at most `most`, in one round trip: by itself a server sends 101 first.

    Source: MongoDB's manual, "Cursor Batches".
    """
    documents: list[Document] = await cursor.batch_size(most + 1).to_list(None)
    return documents


async def until_answered(
    operation: Callable[[], Awaitable[R]], *, report: Callable[[str], None], longest_wait_s: float = 2.0
) -> R:
    """Repeat an operation that is safe to repeat, until the store answers.

    Args:
        report: told what is wrong while the store is away, and "up" afterwards.
        longest_wait_s: between two tries, seconds.
    """
    wait_s = 0.1
    while True:
        try:
            result = await operation()
        except StoreUnavailable as error:
            report(f"away: {error}")
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(longest_wait_s, wait_s * 2)
        else:
            report("up")
            return result
