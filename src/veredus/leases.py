"""Work that one process of all does at a time: a lease of the store, kept for as long as the work takes.

Whoever has the lease counts from before it asked, by its own monotonic clock, and stops the work when three
quarters of the time have passed without a renewal: before the store may give the lease to another. Whoever
sleeps through that (SIGSTOP, a machine that was suspended) is kept from writing late by the store itself: the
work writes with ``store.write(account, lease)``. See ADR 0021.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from veredus.ports import Lease, LeaseLost, Store, Unavailable

TTL_S = 12.0
# Parts of the time.
_RENEW, _GIVE_UP, _LOOK = 1 / 3, 3 / 4, 1 / 10
# How long the end of the work may wait for the store to take the lease back.
_RELEASE_S = 2.0

log = structlog.get_logger()


def holder_name() -> str:
    """For people, and unlike any other: ``host:process id:random``."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@asynccontextmanager
async def hold_if_free(store: Store, name: str, ttl_s: float = TTL_S) -> AsyncIterator[Lease | None]:
    """The lease until the end of the block; None: somebody else has it.

    When it is lost the block is cancelled, and LeaseLost raised in its place. Raises Unavailable before the
    block only.
    """
    asked = asyncio.get_running_loop().time()
    lease = await store.acquire(name, holder_name(), ttl_s)
    if lease is None:
        yield None
        return
    try:
        async with _kept(store, lease, ttl_s, asked):
            yield lease
    finally:
        # When this fails it runs out by itself.
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_RELEASE_S):
                await store.release(lease)


@asynccontextmanager
async def hold(
    store: Store, name: str, ttl_s: float = TTL_S, waits: Callable[[], None] | None = None
) -> AsyncIterator[Lease]:
    """The same, as soon as nobody else has it. ``waits`` is called once if somebody has."""
    while True:
        async with hold_if_free(store, name, ttl_s) as lease:
            if lease is not None:
                yield lease
                return
        if waits is not None:
            waits()
            waits = None
        await asyncio.sleep(ttl_s * _LOOK)


async def confirm(store: Store, lease: Lease) -> None:
    """Before something that no transaction can guard. Raises LeaseLost, Unavailable; writes nothing."""
    async with store.write(_NOBODY, lease):
        pass


# No account has this id, so no writer waits for it.
_NOBODY = "lease"


@asynccontextmanager
async def _kept(store: Store, lease: Lease, ttl_s: float, asked: float) -> AsyncIterator[None]:
    """Renewed meanwhile. The limit of the block moves on with each renewal."""
    limit = asyncio.timeout_at(asked + ttl_s * _GIVE_UP)
    try:
        async with limit:
            renewing = asyncio.create_task(_renew(store, lease, ttl_s, limit))
            try:
                yield
            finally:
                renewing.cancel()
                await asyncio.wait([renewing])
    except TimeoutError:
        if not limit.expired():  # the work's own
            raise
        raise LeaseLost(lease.name) from None
    if limit.expired():  # the work took no notice of its cancellation
        raise LeaseLost(lease.name)


async def _renew(store: Store, lease: Lease, ttl_s: float, limit: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    pause = ttl_s * _RENEW
    while True:
        await asyncio.sleep(pause)
        asked = loop.time()
        try:
            found = await store.acquire(lease.name, lease.holder, ttl_s)
        except Unavailable:
            pause = ttl_s * _LOOK  # there is time left for another attempt
            continue
        except Exception:
            log.exception("lease not renewed", lease=lease.name)
            return
        if found != lease:
            # Had it run out, we may have taken it anew; but who knows what others did in between.
            if not limit.expired():
                limit.reschedule(loop.time())
            if found is not None:
                await store.release(found)
            return
        if limit.expired():
            return
        limit.reschedule(asked + ttl_s * _GIVE_UP)
        pause = ttl_s * _RENEW
