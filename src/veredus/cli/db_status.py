"""`veredus db status` and `veredus db migrate`: what the database is, and making it this version's."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import Failure, Json, write_json
from veredus.cli.opened import data_of

if TYPE_CHECKING:
    from veredus.app import StoreStatus
    from veredus.config import Config

_MIB = 1024**2


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Say what the database is and holds, and how its replicas are; nothing is changed."""
    import asyncio

    import msgspec

    from veredus.app import store_status

    config = data_of(ctx, create=True)
    if config.storage.url == "sqlite":
        data_of(ctx)  # it is there
    found = asyncio.run(store_status(config))
    if as_json:
        write_json(msgspec.to_builtins(found) | {"configured_connections": _most_connections(config)})
        return
    for name, text in _lines(found, config):
        typer.echo(f"{name:12} {text}")


def _most_connections(config: "Config") -> int:
    """What this machine's processes may open: as many to write as to read."""
    return 2 * config.storage.connections * config.workers


def _lines(found: "StoreStatus", config: "Config") -> list[tuple[str, str]]:
    lines = [
        ("database", f"{found.software}, {found.place}"),
        ("version", f"{found.version or 'none yet'}, this program's is {found.program_version}"),
        ("size", f"{found.size / _MIB:.1f} MiB"),
        ("accounts", f"{found.accounts:,}"),
        ("records", f"{sum(found.records.values()):,}"),
        *(("", f"{type} {count:,}") for type, count in found.records.items() if count),
        ("log", f"{found.log_entries:,} changes{_since(found.oldest)}"),
    ]
    if found.server is not None:
        server = found.server
        lines.append(
            (
                "connections",
                f"{server.connections} of {server.max_connections} in use; "
                f"this machine's processes open {_most_connections(config)} at most",
            )
        )
        for replica in server.replicas:
            behind = f"{replica.behind_octets} octets of log, {replica.behind_s or 0:.1f} s behind"
            lines.append(("replica", replica.trouble or f"{replica.place}: {behind}"))
    lines += [("to migrate", line) for line in found.pending]
    if found.refused is not None:
        lines.append(("refused", found.refused))
    return lines


def _since(oldest: datetime | None) -> str:
    if oldest is None:
        return ""
    days = (datetime.now(UTC) - oldest).total_seconds() / 86_400
    return f", the oldest {days:.1f} days ago"


def migrate(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
    back: Annotated[
        bool,
        typer.Option(
            "--back",
            help="Go back to the tables of this program, though a newer one has changed them (PostgreSQL).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the database fit this program. A server does that itself when it starts.

    Useful before an update: to see what it will do (--dry-run), and to do it with a user who may create
    tables, so that the servers' user need not. Servers may run meanwhile (docs/operations.md).
    """
    import asyncio

    from veredus.app import store_status

    config = data_of(ctx, create=True)
    if back and config.storage.url == "sqlite":
        raise Failure("--back is for PostgreSQL; an older program goes back by itself with SQLite")
    found = asyncio.run(store_status(config, back=back))
    if found.refused is not None:
        raise Failure(found.refused)
    if found.pending and not dry_run:
        asyncio.run(_migrate(config, back))
    _tell(list(found.pending), dry_run, as_json)


async def _migrate(config: "Config", back: bool) -> None:
    from veredus.app import open_store, store_back

    if back:
        await store_back(config)
        return
    async with open_store(config):
        pass


def _tell(lines: list[str], dry_run: bool, as_json: bool) -> None:
    if as_json:
        result: dict[str, Any] = {"pending" if dry_run else "done": lines}
        write_json(result)
        return
    for line in lines:
        typer.echo(f"{'would ' if dry_run else 'done: '}{line}")
    if not lines:
        typer.echo("nothing to do")
    elif dry_run:
        typer.echo("make a backup first (docs/backup.md)", err=True)
