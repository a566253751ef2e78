"""One PostgreSQL server for all tests of a process; each store has a schema of its own in it."""

import atexit
import itertools
import os
from functools import cache
from hashlib import sha256
from pathlib import Path

import asyncpg

from tools.cluster.postgres import PostgresServer

_numbers = itertools.count(1)
_URL = "TEST_POSTGRES_URL"
_borrowed: dict[Path, str] = {}
# Of stores that are closed; making one anew takes longer than most tests.
_free: dict[str, list[str]] = {}

_EMPTY = """
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema()
    AND tablename NOT IN ('layout', 'declared') LOOP
    EXECUTE format('DELETE FROM %I', one.tablename);
  END LOOP; END $$
"""


@cache
def server() -> PostgresServer:
    """Runs until the process ends."""
    started = PostgresServer()
    started.start()
    atexit.register(started.close)
    os.environ[_URL] = started.dsn()
    return started


def url() -> str:
    """Of the server of this process, or of the one that started it."""
    return os.environ.get(_URL) or server().dsn()


def schema_of(directory: Path) -> str:
    """The schema for a store that another one would keep in this directory."""
    return _borrowed.get(directory) or "t" + sha256(str(directory).encode()).hexdigest()[:16]


def borrow(directory: Path, kind: str = "store") -> str:
    """Let the store of this directory have an empty schema, with the tables of its kind if there is one."""
    free = _free.setdefault(kind, [])
    schema = _borrowed[directory] = free.pop() if free else f"{kind}{next(_numbers)}"
    return schema


async def give_back(directory: Path, kind: str = "store") -> None:
    """Empty a schema that was borrowed, for another store with the same tables."""
    schema = _borrowed.pop(directory)
    connection = await asyncpg.connect(url(), server_settings={"search_path": schema})
    try:
        await connection.execute(_EMPTY)
    finally:
        await connection.close()
    _free[kind].append(schema)
