"""What `veredus doctor` asks of database, blob store and bus, wherever they are."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from veredus.cli.doctor_mail import mail
from veredus.cli.finding import Finding
from veredus.cli.remedies import remedy
from veredus.ports import Unavailable

if TYPE_CHECKING:
    from veredus.app import StoreStatus
    from veredus.config import Config

# The oldest PostgreSQL that the tests run on.
_OLDEST_POSTGRES = 15
_CLOCK_S = 2.0
# How long a transaction may hold back what was committed after it began.
_HELD_S = 30.0
_BEHIND_S = 30.0
# Connections that PostgreSQL keeps for administrators, and a few for them to use.
_KEPT = 10
_PATIENCE_S = 15.0


async def database(config: "Config") -> AsyncIterator[Finding]:
    """It is not migrated, and nothing is written into it."""
    from veredus.app import store_status

    try:
        status = await store_status(config)
    except Unavailable as error:
        see = remedy(error).replace("`veredus doctor` looks closer", "") or " - see docs/operations.md"
        yield Finding("database", "problem", f"{error}{see}")
        return
    if status.refused is not None:
        yield Finding("database", "problem", status.refused)
    elif not status.version:
        yield Finding("database", "ok", f"{status.place}: nothing is there yet; the first start makes it")
    elif status.pending:
        text = "; ".join(status.pending)
        yield Finding("database", "warning", f"the next start will {text} - `veredus db migrate --dry-run`")
    else:
        for finding in await _opens(config, status):
            yield finding
    if status.server is not None:
        for finding in _server(config, status):
            yield finding


async def _opens(config: "Config", status: "StoreStatus") -> list[Finding]:
    """Whether everything that works on it comes up, and what is found in it of mail."""
    from veredus.app import open_app

    of_mail: list[Finding] = []
    try:
        async with asyncio.timeout(_PATIENCE_S), open_app(config) as opened:
            found = await opened.ready()
            of_mail = await mail(opened)
    except Unavailable as error:  # of the database, of blobs or of the bus
        return [Finding("database", "problem", f"no server starts on it: {error}{remedy(error)}")]
    except Exception as error:  # whatever it is, it is the finding
        found = [f"{type(error).__name__}: {error}"]
    if found:
        return [Finding("database", "problem", f"{'; '.join(found)} - see docs/backup.md for restoring one")]
    where = f"{status.software}, {status.place}: opens"
    return [Finding("database", "ok", f"{where}; `veredus db check` looks closer"), *of_mail]


def _server(config: "Config", status: "StoreStatus") -> Iterator[Finding]:
    server = status.server
    assert server is not None
    major = int(status.software.split()[1].partition(".")[0])
    if major < _OLDEST_POSTGRES:
        text = f"{status.software} is older than what is tested - update it to {_OLDEST_POSTGRES} or later"
        yield Finding("postgresql", "warning", text)
    for name in server.unsafe:
        yield Finding(
            "postgresql", "problem", f"{name} is off: what was acknowledged may be lost - set {name} = on"
        )
    ours = 2 * config.storage.connections * config.workers
    free = server.max_connections - _KEPT
    if ours > free:
        yield Finding(
            "connections",
            "problem",
            f"workers x storage.connections x 2 = {ours}, PostgreSQL allows {server.max_connections} in all"
            " - raise max_connections, or lower storage.connections",
        )
    else:
        nodes = f"room for {free // ours} nodes like this one"
        yield Finding("connections", "ok", f"{ours} of {server.max_connections} at most: {nodes}")
    if server.held_s > _HELD_S:
        holder = server.held_by or "see pg_stat_activity and pg_prepared_xacts"
        text = f"a transaction of {server.held_s:.0f} s keeps later changes waiting: {holder} - end it"
        yield Finding("feed", "warning", text)
    if abs(server.ahead_s) > _CLOCK_S:
        yield Finding(
            "clock",
            "warning",
            f"PostgreSQL's is {server.ahead_s:+.1f} s from ours - run NTP on both; receivedAt is by ours",
        )
    for replica in server.replicas:
        if replica.trouble is not None:
            yield Finding(
                "replica", "problem", f"{replica.trouble} - mend it, or take it out of storage.replicas"
            )
        elif (replica.behind_s or 0) > _BEHIND_S:
            yield Finding(
                "replica",
                "warning",
                f"{replica.place} is {replica.behind_s:.0f} s behind - the primary serves what it lacks",
            )
        else:
            yield Finding("replica", "ok", f"{replica.place}, {replica.behind_octets} octets behind")


async def blobs(config: "Config") -> Finding:
    """Put something small, read it, and delete it."""
    from veredus.app import open_blobs

    where = config.blobs.url
    try:
        async with asyncio.timeout(_PATIENCE_S):
            store = await open_blobs(config)
            try:
                told = os.urandom(32)
                blob = await store.put(told, max_size=32)
                read = await store.get(blob.id)
                await store.delete([blob.id])
            finally:
                await store.close()
    except TimeoutError:
        return Finding("blobs", "problem", f"{where} does not answer - check blobs.endpoint and the network")
    except Exception as error:  # whatever it is, it is the finding
        return Finding(
            "blobs", "problem", f"{where}: {error} - check blobs.endpoint, the bucket, and the keys' rights"
        )
    if read != told:
        return Finding("blobs", "problem", f"{where} does not give back what was put - do not use it")
    return Finding("blobs", "ok", f"{where}: can be written and read")


async def bus(config: "Config") -> Finding:
    from veredus.app import open_bus

    if config.bus.url is None:
        if config.storage.url == "sqlite":
            return Finding("bus", "ok", "none is needed on one machine")
        return Finding(
            "bus", "warning", "bus.url is not set - with several nodes, push comes up to a second late"
        )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            opened = await open_bus(config)
            try:
                trouble = opened.trouble()
            finally:
                await opened.close()
    except Exception as error:  # whatever it is, it is the finding
        trouble = f"{type(error).__name__}: {error}"
    if trouble is not None:
        return Finding("bus", "warning", f"{trouble} - until it is there, changes are told after a second")
    return Finding("bus", "ok", "connected")
