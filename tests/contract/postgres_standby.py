"""A standby of a PostgreSQL server, which replays what that one writes until it takes over."""

import os

import asyncpg

from tools.cluster.postgres import PostgresServer


class Standby(PostgresServer):
    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self._primary = primary

    def _make(self) -> None:
        os.chown(self.directory, *self._owner)
        self._run(
            *("pg_basebackup", "-D", self._data, "-h", self._primary.address, "-p", str(self._primary.port)),
            *("-U", "veredus", "-c", "fast", "-X", "stream", "-R"),
        )

    def promote(self) -> None:
        """Returns when it is a primary."""
        self._run("pg_ctl", "promote", "-w", "-D", self._data)


async def ask(server: PostgresServer, sql: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(server.dsn())
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def has_replayed(standby: PostgresServer, primary: PostgresServer) -> None:
    """Returns when it shows all that is committed."""
    ((position,),) = await ask(primary, "SELECT pg_current_wal_lsn()::text")
    waiting = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn FROM pg_sleep(0.01)"
    for _ in range(1000):
        if (await ask(standby, waiting, position))[0][0]:
            return
    raise AssertionError("the standby does not come along")
