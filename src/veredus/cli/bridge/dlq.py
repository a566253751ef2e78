"""`veredus bridge dlq`: what could not be published, and what is to become of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.bridge.common import Account, Name, connected, finish, linked, one
from veredus.cli.common import EXIT_PROBLEMS, EXIT_USAGE, Failure, Json, plain, write_json

if TYPE_CHECKING:
    from veredus.bridge.dead_letters import DeadLetters, Parked
    from veredus.bridge.nats.link import Link
    from veredus.bridge.settings import BridgeSettings

app = typer.Typer(
    help="Dead letters: what could not be published, after as many attempts as the settings say.",
    short_help="Dead letters: what could not be published.",
    no_args_is_help=True,
)
Sequences = Annotated[list[int] | None, typer.Argument(help="Sequences, as `dlq ls` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of --account.")]


@app.command("ls", short_help="List dead letters, oldest first.")
def list_(ctx: typer.Context, bridge: Name = None, account: Account = None, as_json: Json = False) -> None:
    """List dead letters, oldest first: what, how often it was tried, and why in vain."""
    settings = one(ctx, bridge)

    async def work() -> "list[Parked]":
        async with linked(settings) as link:
            return await _letters(link, settings, account)

    found = finish(ctx, work)
    if as_json:
        write_json([_json(letter) for letter in found])
        return
    for letter in found:
        typer.echo(_line(letter))


@app.command(short_help="Write one dead letter as JSON.")
def show(
    ctx: typer.Context,
    sequence: Annotated[int, typer.Argument(help="As `dlq ls` shows it.")],
    bridge: Name = None,
) -> None:
    """Write one dead letter as JSON; it holds ids and the error, nothing of the mail."""
    settings = one(ctx, bridge)

    async def work() -> "Parked":
        async with linked(settings) as link:
            return (await _chosen(link, settings, [sequence], False, None))[0]

    write_json(_json(finish(ctx, work)))


@app.command(short_help="Publish letters now.")
def retry(
    ctx: typer.Context,
    sequences: Sequences = None,
    every: All = False,
    bridge: Name = None,
    account: Account = None,
) -> None:
    """Publish letters now, each as a reader would have; it is removed when the stream has acknowledged it.

    Exit code 3: at least one failed again, and stays.
    """
    settings = one(ctx, bridge)

    async def work() -> bool:
        from veredus.bridge import retry as retrying
        from veredus.bridge.streams import open_streams

        failed = False
        async with connected(settings) as client, linked(settings) as link:
            letters = await _chosen(link, settings, sequences, every, account)
            streams = await open_streams(link, settings)
            async for retried in retrying.retry(client, streams, settings, letters):
                failed = failed or retried.outcome in ("failed", "left out")
                letter = retried.letter
                error = f": {retried.error}" if retried.error else ""
                typer.echo(f"{letter.sequence}  {letter.type} {letter.id}  {retried.outcome}{plain(error)}")
        return failed

    if finish(ctx, work):
        raise typer.Exit(EXIT_PROBLEMS)


@app.command(short_help="Remove letters.")
def drop(
    ctx: typer.Context,
    sequences: Sequences = None,
    every: All = False,
    bridge: Name = None,
    account: Account = None,
) -> None:
    """Remove letters: what they are about is never going to be published."""
    settings = one(ctx, bridge)

    async def work() -> int:
        count = 0
        async with linked(settings) as link:
            for letter in await _chosen(link, settings, sequences, every, account):
                count += await _stored(link, settings).drop(letter.sequence)
        return count

    typer.echo(f"{finish(ctx, work)} dropped")


def _stored(link: "Link", settings: "BridgeSettings") -> "DeadLetters":
    from veredus.bridge.dead_letters import DeadLetters

    return DeadLetters(link, settings.dlq)


async def _letters(link: "Link", settings: "BridgeSettings", account: str | None) -> "list[Parked]":
    """None are there when there is no stream for them yet."""
    from veredus.bridge.nats.errors import Missing

    try:
        return [letter async for letter in _stored(link, settings).all(account)]
    except Missing:
        return []


async def _chosen(
    link: "Link", settings: "BridgeSettings", sequences: list[int] | None, every: bool, account: str | None
) -> "list[Parked]":
    if bool(sequences) == every:
        raise Failure("name sequences, or --all", EXIT_USAGE)
    letters = await _letters(link, settings, account)
    if every:
        return letters
    by_sequence = {letter.sequence: letter for letter in letters}
    missing = [str(number) for number in sequences or () if number not in by_sequence]
    if missing:
        raise Failure(f"stream {settings.dlq.name} has no letter {', '.join(missing)}: see `bridge dlq ls`")
    return [by_sequence[number] for number in sequences or ()]


def _json(letter: "Parked") -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(letter)
    return found


def _line(letter: "Parked") -> str:
    until = f", the last at {letter.last_at:%Y-%m-%d %H:%M:%S} UTC" if letter.last_at else ""
    what = f"{letter.sequence}  {letter.account}  {letter.type} {letter.id}  {letter.op}"
    why = f"{letter.attempts} attempts{until}: {letter.error_type}: {letter.error}"
    return f"{plain(what)}\n   {plain(why)}"
