"""`veredus bridge status`: what NATS knows of the bridges of a file, whether they run or not."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from veredus.cli.bridge.common import Name, finish, in_words, linked, load, warn
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
        if instance["alive"]:
            yield from (f"    problem: {problem}" for problem in instance.get("problems", ()))
    if not any(instance["alive"] for instance in one["instances"]):
        yield "  no process runs"
    for id, account in one["accounts"].items():
        yield f"  account {id}: {', '.join(_reader(account))}"
        yield from (f"    {line}" for line in _progress(account))
    for stream in one["streams"]:
        # What is in the buckets of keys is told above.
        if not stream["about"].startswith("KV bucket ") or not stream["exists"]:
            yield f"  {stream['about']}: {_stream(stream)}"


def _instance(instance: Mapping[str, Any]) -> str:
    ago = f"{instance['heardSeconds']:.0f} s ago"
    name = f"process {instance['instance']}"
    if not instance["alive"]:
        return f"{name}: gone, last heard of {ago}"
    if instance["isSilent"]:
        return f"{name}: silent, was {instance['mode']} {ago}"
    push = f"push {instance['push'] or 'not connected'}"
    return f"{name}: {instance['mode']}, {push}, {instance['lagSeconds']:.1f} s behind, {ago}"


def _reader(account: Mapping[str, Any]) -> Iterator[str]:
    if account["pausedSince"]:
        yield f"paused since {account['pausedSince']}"
    lease = account["lease"]
    yield f"read by {lease['instance']}" if lease else "read by nobody"
    if lease:
        yield f"lease renewed {lease['renewedSeconds']:.0f} s ago"


def _progress(account: Mapping[str, Any]) -> Iterator[str]:
    yield f"cursor of emails: {account['cursor'] or 'not set'}"
    if account["checkpoints"]:
        told = (f"{type} {state}" for type, state in account["checkpoints"].items())
        yield f"cursors of events: {', '.join(told)}"
    for name, progress in account["snapshots"].items():
        since = f"received since {progress['after']}" if progress.get("after") else "everything"
        yield f"snapshot of {name} to be done: {since}"
    if account["parked"]:
        yield f"dead letters: {account['parked']}, see `veredus bridge dlq ls`"
    else:
        yield "dead letters: none"


def _stream(stream: Mapping[str, Any]) -> str:
    if not stream["exists"]:
        return "not there"
    size = in_words(stream["bytes"])
    if stream["maxBytes"] > 0:
        size += f" of {in_words(stream['maxBytes'])}"
    # The messages of an object store are its chunks.
    return size if stream["about"].startswith("object store ") else f"{stream['messages']} messages, {size}"
