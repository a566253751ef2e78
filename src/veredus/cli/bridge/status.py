"""`veredus bridge status`: what NATS knows of the bridges of a file, whether they run or not."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from veredus.cli.bridge.common import Name, finish, linked, load, warn
from veredus.cli.common import EXIT_USAGE, Failure, Json, write_json


def status(ctx: typer.Context, bridge: Name = None, as_json: Json = False) -> None:
    """Say who reads which account, how far it is, what is parked, and what the streams hold.

    It asks NATS alone, and so works while no bridge runs.
    """
    loaded = load(ctx)
    warn(loaded)
    chosen = [one for one in loaded.bridges if bridge in (None, one.name)]
    if not chosen:
        raise Failure(f"{loaded.path} has no bridge {bridge!r}", EXIT_USAGE)

    async def work() -> list[dict[str, Any]]:
        from veredus.bridge.overview import overview

        found = []
        for settings in chosen:
            async with linked(settings) as link:
                found.append(await overview(link, settings))
        return found

    found = finish(ctx, work)
    if as_json:
        write_json(found)
        return
    for one in found:
        for line in _lines(one):
            typer.echo(line)


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"bridge {one['bridge']}, NATS {one['nats']} ({one['natsVersion']})"
    for instance in one["instances"]:
        yield f"  {_instance(instance)}"
    if not any(instance["alive"] for instance in one["instances"]):
        yield "  no process runs"
    for id, account in one["accounts"].items():
        yield f"  account {id}: {', '.join(_of_account(account))}"
    for stream in one["streams"]:
        yield f"  {stream['about']}: {_stream(stream)}"


def _instance(instance: Mapping[str, Any]) -> str:
    told = f"heard {instance['heardSeconds']:.0f} s ago"
    if not instance["alive"]:
        return f"instance {instance['instance']}: gone, {told}"
    return (
        f"instance {instance['instance']}: {instance['mode']}, push {instance['push'] or 'not connected'}, "
        f"{instance['lagSeconds']:.1f} s behind, {told}"
    )


def _of_account(account: Mapping[str, Any]) -> Iterator[str]:
    if account["pausedSince"]:
        yield f"paused since {account['pausedSince']}"
    lease = account["lease"]
    yield f"read by {lease['instance']}" if lease else "read by nobody"
    if lease:
        yield f"lease renewed {lease['renewedSeconds']:.0f} s ago"
    yield f"cursor {account['cursor'] or 'not set'}"
    for type, state in account["checkpoints"].items():
        yield f"{type} at {state}"
    for name, progress in account["snapshots"].items():
        yield f"snapshot of {name} to be done, after {progress.get('after') or 'everything'}"
    yield f"{account['parked']} parked"


def _stream(stream: Mapping[str, Any]) -> str:
    if not stream["exists"]:
        return "not there"
    limit = f" of {stream['maxBytes']}" if stream["maxBytes"] > 0 else ""
    return f"{stream['messages']} messages, {stream['bytes']}{limit} octets"
