"""What a PostgreSQL store is and holds, read without changing it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from veredus.ports import Table, Unavailable
from veredus.store.moving import HIDDEN
from veredus.store.postgres import migrate
from veredus.store.postgres.database import Database, connect, place_of
from veredus.store.postgres.failures import translated
from veredus.store.postgres.rebuild import layout_of
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.store import Servers
from veredus.store.refused import Refused
from veredus.store.status import Replica, Server, StoreStatus

# Each of these, when off, loses what was acknowledged: when the machine dies, or a page is torn.
_SAFETY = ("fsync", "full_page_writes", "synchronous_commit")
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = current_schema()::text::regnamespace AND relkind = 'r'
"""
_BEHIND = """
SELECT pg_is_in_recovery(), pg_wal_lsn_diff($1::text::pg_lsn, pg_last_wal_replay_lsn())::bigint,
  extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""
# The first change that the feed does not show yet, and the transaction that it waits for, if we may see it.
_HELD = """
SELECT (SELECT extract(epoch FROM clock_timestamp())::float8 - min(at) FROM log
    WHERE writer >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint),
  coalesce(
    (SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE transaction::text = holder.xid),
    (SELECT format('process %s of %s (%s)', pid, usename, application_name) FROM pg_stat_activity
      WHERE backend_xid::text = holder.xid), '')
FROM (SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295)::text AS xid) AS holder
"""


async def status(servers: Servers, tables: Sequence[Table], *, back: bool = False) -> StoreStatus:
    """``back``: the declarations of a newer program may be replaced. Raises Unavailable."""
    url, schema = servers.url, servers.schema
    connection = await connect(url, schema)
    try:
        await connection.execute("SET statement_timeout = 0; SET enable_seqscan = on")
        begun = time.time()
        version, max_connections, connections, now = await connection.fetchrow(
            "SELECT current_setting('server_version'), current_setting('max_connections')::int,"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
            " extract(epoch FROM clock_timestamp())::float8"
        )
        server = Server(
            connections=connections,
            max_connections=max_connections,
            ahead_s=round(now - (begun + time.time()) / 2, 3),
            unsafe=[
                name
                for name in _SAFETY
                if await connection.fetchval("SELECT current_setting($1)", name) == "off"
            ],
            replicas=[await _replica(connection, replica, schema) for replica in servers.replicas],
        )
        layouts = [Layout(table) for table in tables]
        software = f"PostgreSQL {version.partition(' ')[0]}"
        found = StoreStatus("postgresql", place_of(url), software, 0, migrate.VERSION, server=server)
        try:
            found = replace(found, pending=await migrate.pending(connection, schema, layouts, back=back))
        except Refused as error:
            found = replace(found, refused=str(error))
        return await _contents(connection, schema, layouts, found)
    except Unavailable:
        raise
    except Exception as error:
        found_out = translated(error, place_of(url))
        if found_out is None:
            raise
        raise found_out from error
    finally:
        await connection.close()


async def _contents(
    connection: Any, schema: str, layouts: Sequence[Layout], status: StoreStatus
) -> StoreStatus:
    found = await migrate.find(connection, schema)
    if found.version == 0:
        return status
    entries, oldest = await connection.fetchrow("SELECT count(*), min(at) FROM log")
    # By the declarations that hold, which need not be ours.
    records = {
        layout.name: await connection.fetchval(
            f"SELECT count(*) FROM {layout_of(found.declared[layout.name]).records}"
        )
        for layout in layouts
        if layout.name in found.declared
    }
    assert status.server is not None
    held_s, held_by = await connection.fetchrow(_HELD)
    return replace(
        status,
        server=replace(status.server, held_s=max(held_s or 0.0, 0.0), held_by=held_by),
        version=found.version,
        size=await connection.fetchval(_SIZE),
        accounts=await connection.fetchval(
            "SELECT count(*) FROM account WHERE NOT starts_with(id, $1)", HIDDEN
        ),
        records=records,
        log_entries=entries,
        oldest=None if oldest is None else datetime.fromtimestamp(oldest, UTC),
    )


async def _replica(primary: Any, url: str, schema: str) -> Replica:
    place = place_of(url)
    try:
        replica = await Database(url, schema, is_replica=True).connect()
    except Unavailable as error:
        return Replica(place, trouble=str(error))
    try:
        position = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        is_copy, octets, seconds = await replica.fetchrow(_BEHIND, position)
    except Exception as error:  # whatever it is, it is the answer
        return Replica(place, trouble=str(error))
    finally:
        await replica.close()
    if not is_copy:
        return Replica(place, trouble=f"{place} is no standby: it would never show anything new")
    octets = max(octets or 0, 0)
    # Of a primary that nobody writes to, the last transaction is long ago, and the copy is current.
    return Replica(place, 0.0 if octets == 0 else seconds, octets)
