"""`veredus bridge snapshot`, `replay`, `pause` and `resume`: what a reader is to do, left in KV for it."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.bridge.common import Account, Name, finish, linked, one, opened
from veredus.cli.common import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from veredus.bridge.ask import Target
    from veredus.bridge.settings import BridgeSettings
    from veredus.bridge.source import AccountSource
    from veredus.bridge.streams import Streams

_DEDUP = (
    "What the stream still has is not sent again: the reader looks at its end, and its duplicate window of "
    "{hours:g} h knows the ids. To read old messages anew, a consumer asks the stream itself (--deliver all)."
)
Type = Annotated[str, typer.Option("--type", help="Another type than Email, in the stream of events.")]
Events = Annotated[bool, typer.Option("--events", help="In the stream of events, not in that of Emails.")]


def snapshot(
    ctx: typer.Context,
    after: Annotated[
        str | None,
        typer.Option("--after", help="What was received since this date (UTC): 2026-01-31[T00:00:00Z]."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Everything.")] = False,
    bridge: Name = None,
    account: Account = None,
    type: Type = "Email",
    events: Events = False,
) -> None:
    """Let the reader of an account publish what is there and missing in the stream, oldest first.

    It begins at once where a bridge runs, else when one is started; interrupted, it goes on where it was.
    """
    if (after is None) != full:
        raise Failure("say from when: --after DATE, or --full", EXIT_USAGE)
    date = _date(after, "--after")
    settings = one(ctx, bridge)

    async def work() -> tuple[str, str]:
        from veredus.bridge.ask import ask_snapshot

        async with opened(settings, account) as (source, streams):
            target = _target(source, streams, settings, type, events)
            return source.account, await ask_snapshot(target, date)

    id, state = finish(ctx, work)
    since = f"received since {date}" if date else "that there is"
    typer.echo(f"account {id}: everything {since} will be published, then changes since state {state}")
    typer.echo(_dedup(settings))


def replay(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", help="A state, as in Jmap-Old-State of a message.")
    ] = None,
    from_date: Annotated[
        str | None,
        typer.Option("--from-date", help="What was received since this date, as snapshot --after."),
    ] = None,
    bridge: Name = None,
    account: Account = None,
    type: Type = "Email",
    events: Events = False,
) -> None:
    """Set the cursor of an account back, so that its reader goes through the changes once more.

    Whatever is missing in the stream is published; what is in it is not repeated.
    """
    if (since is None) == (from_date is None):
        raise Failure("say from where: --since STATE, or --from-date DATE", EXIT_USAGE)
    if since is None:
        snapshot(ctx, from_date, False, bridge, account, type, events)
        return
    settings, state = one(ctx, bridge), since

    async def work() -> tuple[str, str | None]:
        from veredus.bridge.ask import set_back
        from veredus.bridge.nats.errors import Conflict

        async with opened(settings, account) as (source, streams):
            target = _target(source, streams, settings, type, events)
            try:
                return source.account, await set_back(target, state)
            except Conflict:
                raise Failure("the reader has moved the cursor at this moment: try again") from None

    id, old = finish(ctx, work)
    typer.echo(f"account {id}: the cursor was {old or 'nowhere'}, and is {state} now")
    typer.echo(_dedup(settings))


def pause(ctx: typer.Context, bridge: Name = None, account: Account = None) -> None:
    """Let nobody read an account, on whatever machine, until `resume`; the cursor stays where it is."""
    _set(ctx, bridge, account, paused=True)


def resume(ctx: typer.Context, bridge: Name = None, account: Account = None) -> None:
    """Let a paused account be read again, from where its cursor is."""
    _set(ctx, bridge, account, paused=False)


def _set(ctx: typer.Context, bridge: str | None, account: str | None, *, paused: bool) -> None:
    settings = one(ctx, bridge)

    async def work() -> tuple[str, bool]:
        from veredus.bridge import control
        from veredus.bridge.nats import resources
        from veredus.bridge.nats.kv import KeyValue

        async with linked(settings) as link:
            bucket = resources.key_value(settings.state_bucket, replicas=settings.replicas)
            await resources.ensure(link, bucket)
            id = await _known_account(settings, account)
            change = control.pause if paused else control.resume
            return id, await change(KeyValue(link, settings.state_bucket), id)

    id, changed = finish(ctx, work)
    word = "paused" if paused else "not paused"
    typer.echo(f"account {id}: {word}" if changed else f"account {id}: {word}, as before")


async def _known_account(settings: "BridgeSettings", account: str | None) -> str:
    """Named by the settings; or else the server must know it, since a flag for none would do nothing."""
    from veredus.bridge.accounts import ALL, chosen
    from veredus.cli.bridge.common import connected

    named = settings.jmap.accounts
    if account in named and account != ALL:
        return account
    if account is None and len(named) == 1 and ALL not in named:
        return named[0]
    async with connected(settings) as client:
        return chosen(client.session, settings.jmap, account)


def _target(
    source: "AccountSource", streams: "Streams", settings: "BridgeSettings", type: str, events: bool
) -> "Target":
    from veredus.bridge.ask import EMAIL, Target

    in_events = events or type != EMAIL or not settings.stream.enabled
    if in_events and not settings.events.enabled:
        raise Failure(f"bridge {settings.name} has no stream of events: set events.enabled", EXIT_USAGE)
    return Target(source, streams, settings, type, in_events)


def _date(text: str | None, option: str) -> str | None:
    from veredus.bridge.ask import utc_date

    try:
        return None if text is None else utc_date(text)
    except ValueError as error:
        raise Failure(f"{option} {error}", EXIT_USAGE) from None


def _dedup(settings: "BridgeSettings") -> str:
    return _DEDUP.format(hours=settings.stream.dedup_window_s / 3600)
