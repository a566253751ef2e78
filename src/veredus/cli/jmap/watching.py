"""`veredus jmap watch`: events as JSON lines."""

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veredus.cli.common import EXIT_USAGE, Failure
from veredus.cli.jmap import text

if TYPE_CHECKING:
    from veredus.client import Client
    from veredus.client.watch.watch import WatchOptions


def options(
    account: str | None, cursor: Path | None, properties: list[str] | None, *, everything: bool
) -> "WatchOptions":
    """What `watch` of the client is told."""
    from veredus.client import FileCursor

    return {
        "cursor": FileCursor(cursor) if cursor else None,
        "name": "jmap watch",
        "properties": properties,
        "account": account,
        "start": "all" if everything else "now",
    }


async def watch(client: "Client", types: list[str], given: "WatchOptions", limit: int | None) -> None:
    """Print events; one counts as acknowledged when it has been written."""
    try:
        watched = client.watch(*types, **given)
    except ValueError as error:
        raise Failure(str(error), EXIT_USAGE) from error
    left = limit
    async with aclosing(watched) as events:
        async for event in events:
            text.write(_json(event))
            await event.ack()
            left = None if left is None else left - 1
            if left == 0:
                return


def _json(event: Any) -> dict[str, Any]:
    from veredus.client import Created, Destroyed, Updated

    shown = {"event": type(event).__name__.lower(), "type": event.type, "account": event.account}
    match event:
        case Created():
            return {**shown, "record": event.record.json}
        case Updated():
            changed = None if event.changed is None else sorted(event.changed)
            return {**shown, "changed": changed, "record": event.record.json}
        case Destroyed():
            return {**shown, "id": event.id}
    return shown
