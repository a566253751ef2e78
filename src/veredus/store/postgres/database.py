"""A database and the way to it: a URL may name several hosts, of which one is the primary."""

import os
import socket
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from veredus.store.postgres.failures import is_transient, translated
from veredus.store.refused import Refused

_CONNECT_S = 5.0
# Of several hosts none may use up the time of the others.
_LEAST_S = 1.0
_UNANSWERED_MS = 8_000

# Larger statements are prepared each time: conditions can be as long as a client likes, and the server keeps
# a plan of each in every connection.
_STATEMENTS, _STATEMENT_OCTETS = 200, 8 * 1024

# Plans follow the indexes that statements are written for; none of them gains from a hash of a whole table.
_SESSION = {
    "application_name": "veredus",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "statement_timeout": "60000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    # A node that is gone without a word is found out within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

# Rises whenever a standby takes over.
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


def place_of(url: str) -> str:
    """Hosts, ports and database of a URL, for messages: no credentials."""
    named = ",".join(f"{host}:{port}" for host, port in hosts_of(url))
    return f"{named or 'localhost:5432'}{urlsplit(url).path}"


def hosts_of(url: str) -> list[tuple[str, int]]:
    """Host (or directory of a socket) and port, in their order. Raises ValueError for a port that is none."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    named = parts.netloc.rpartition("@")[2] or query.get("host", [""])[0]
    ports = query.get("port", ["5432"])[0].split(",")
    found = []
    for number, one in enumerate(named.split(",") if named else ()):
        host, port = _host(one)
        found.append((unquote(host), int(port or ports[number if len(ports) > 1 else 0])))
    return found


def _host(named: str) -> tuple[str, str]:
    if named.startswith("["):
        host, _, port = named[1:].partition("]")
        return host, port[1:]
    if named.startswith("/"):
        return named, ""
    host, _, port = named.partition(":")
    return host, port


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """``timeline``: of the server when it was made; "": it is no primary, or does not tell."""

    timeline = ""


class Database:
    """The host that was right the last time is tried first."""

    def __init__(self, url: str, schema: str, *, is_replica: bool = False) -> None:
        self.place = place_of(url)
        # Of the connection that was made last: what was read from another may be lost.
        self.timeline = ""
        self._url, self._schema = url, schema
        self._hosts: list[tuple[str, int]] = hosts_of(url)
        self._is_replica = is_replica
        is_said = (
            "target_session_attrs" in parse_qs(urlsplit(url).query) or "PGTARGETSESSIONATTRS" in os.environ
        )
        # What was the primary may come back as a standby, and would show what is past.
        self._attributes = None if is_said else "any" if is_replica else "read-write"
        self._timeout = _LEAST_S if is_replica else max(_LEAST_S, _CONNECT_S / max(1, len(self._hosts)))

    async def connect(self) -> Any:
        """A connection, outside of any transaction. Raises Unavailable, Refused for a wrong URL."""
        try:
            connection = await self._connect()
        except asyncpg.ClientConfigurationError as error:
            raise Refused(f"PostgreSQL at {self.place}: {error} - correct the URL's parameters") from error
        except Exception as error:
            found = translated(error, self.place)
            if found is None:
                raise
            raise found from error
        _give_up_soon(connection)
        self.timeline = connection.timeline
        return connection

    async def _connect(self) -> Any:
        failed: Exception | None = None
        for place in list(self._hosts):
            try:
                connection = await self._connect_to({"host": place[0], "port": place[1]})
            except Exception as error:
                if not is_transient(error):
                    raise
                failed = (
                    error if failed is None or isinstance(failed, asyncpg.InternalClientError) else failed
                )
            else:
                self._hosts.remove(place)
                self._hosts.insert(0, place)
                return connection
        if failed is not None:
            raise failed
        return await self._connect_to({})

    async def _connect_to(self, where: dict[str, Any]) -> Any:
        connection = await asyncpg.connect(
            self._url,
            **where,
            timeout=self._timeout,
            connection_class=Connection,
            statement_cache_size=_STATEMENTS,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=_STATEMENT_OCTETS,
            target_session_attrs=self._attributes,
            server_settings=_SESSION | {"search_path": f'"{self._schema}"'},
        )
        if not self._is_replica:
            try:
                connection.timeline = await connection.fetchval(_TIMELINE)
            except asyncpg.PostgresError:  # not every service that speaks PostgreSQL has it
                if connection.is_closed():
                    raise
            except BaseException:
                connection.terminate()
                raise
        return connection


def _give_up_soon(connection: Any) -> None:
    """What the server does not acknowledge for this long ends the connection: it is cut off, or gone."""
    opened = connection._transport.get_extra_info("socket")
    if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)


async def connect(url: str, schema: str) -> Any:
    """One connection to the primary, outside of any transaction. Raises Unavailable."""
    return await Database(url, schema).connect()
