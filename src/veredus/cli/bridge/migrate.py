"""`veredus bridge migrate`: from jmap2nats to us, with the same stream."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.bridge.common import Account, Name, finish, one, opened

if TYPE_CHECKING:
    from veredus.bridge.migrate import Found
    from veredus.bridge.settings import BridgeSettings

_GENERATIONS = {
    "0a": "the oldest, with the Email id in the subject",
    "0": "the one before schema 1, without a cursor",
    "1": "schema 1, with a cursor in KV",
}


def migrate(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only explained.")] = False,
    bridge: Name = None,
    account: Account = None,
) -> None:
    """Explain which generation of jmap2nats wrote the stream, and from where a bridge would go on.

    With --yes, where there is no cursor, the last message of the stream becomes the beginning: what was
    received since then and is missing in the stream is published by the next `bridge run`, and nothing twice.
    Stop jmap2nats first.
    """
    settings = one(ctx, bridge)

    async def work() -> "tuple[Found, str | None]":
        from veredus.bridge.ask import Target
        from veredus.bridge.migrate import look, take_over

        async with opened(settings, account) as (source, streams):
            target = Target(source, streams, settings)
            found = await look(target)
            needs = yes and found.cursor is None and found.received_at is not None
            return found, await take_over(target, found) if needs else None

    found, state = finish(ctx, work)
    for line in _lines(found, settings, state):
        typer.echo(line)


def _lines(found: "Found", settings: "BridgeSettings", state: str | None) -> Iterator[str]:
    yield f"account {found.account}, stream {settings.stream.name}: {found.messages} messages"
    yield f"generation {found.wire}: {_GENERATIONS[found.wire]}; new messages are written the same way"
    if found.cursor is not None:
        yield f"cursor: {found.cursor}; `bridge run` goes on from it, there is nothing to migrate"
        return
    if found.last is None or found.received_at is None:
        yield "cursor: none, and no message that says how far it came"
        yield f"`bridge run` begins with {_first(settings)}"
        return
    yield (
        f"cursor: none; the last message is {found.last.sequence}, "
        f"Email {found.last.headers.get('Jmap-Email-Id', 'unknown')}, received {found.received_at}"
    )
    yield f"received since then: {found.missing} missing in the stream, {found.known} in it already"
    if state is not None:
        yield f"done: `bridge run` publishes what is missing, then follows from state {state}"
    elif found.is_asked:
        yield "a snapshot is to be done already: `bridge run` begins with it"
    else:
        yield "with --yes, `bridge run` begins with what is missing since that message"
        yield f"without, with {_first(settings)}"


def _first(settings: "BridgeSettings") -> str:
    """What a bridge reads where there is no cursor."""
    mode, limit = settings.snapshot.mode, settings.snapshot.limit
    amount = {"none": "nothing old", "full": "everything"}.get(mode, f"the newest {limit} Emails")
    return f"{amount} (snapshot.mode {mode}); what the stream has is not repeated"
