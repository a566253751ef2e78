"""`veredus queue`: messages that have not left yet."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_USAGE, Failure, Json, plain, write_json
from veredus.cli.opened import confirm, with_app

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.outgoing.operations import Operations, Selected

app = typer.Typer(help="Messages that have not left yet.", no_args_is_help=True)

Ids = Annotated[
    list[str] | None, typer.Argument(help="Ids that `veredus queue ls` shows.", metavar="[ID]...")
]
To = Annotated[str | None, typer.Option("--destination", help="All for this domain.")]
All = Annotated[bool, typer.Option("--all", help="All messages.")]


@app.command("ls")
def list_(
    ctx: typer.Context,
    destination: To = None,
    limit: Annotated[int, typer.Option("--limit", help="How many at most.", min=1)] = 100,
    as_json: Json = False,
) -> None:
    """List what waits, by destination, and what it waits for."""
    from veredus.outgoing.operations import Selected

    found = with_app(ctx, lambda opened: _operations(opened).listing(Selected((), destination), limit))
    if as_json:
        write_json(found)
        return
    for row in found:
        typer.echo(plain(_line(row)))
    if len(found) == limit:
        typer.echo(f"The first {limit}; --limit shows more.", err=True)


@app.command()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(help="An id that `veredus queue ls` shows.")],
    as_json: Json = False,
) -> None:
    """Show one message with each recipient and the last reply for it."""
    from veredus.outgoing.operations import Selected

    found = with_app(ctx, lambda opened: _operations(opened).listing(Selected((id,)), 1000))
    if not found:
        raise _nothing()
    if as_json:
        write_json(found)
        return
    for row in found:
        typer.echo(plain(_line(row)))
        for recipient in row["recipients"]:
            typer.echo(plain(f"  {recipient['email']}: {recipient['state']}  {recipient['reply']}"))


@app.command()
def retry(ctx: typer.Context, ids: Ids = None, destination: To = None, everything: All = False) -> None:
    """Try again now, and no longer on hold; what its sender has put off waits for that time."""
    chosen = _selected(ids, destination, everything)
    found = with_app(ctx, lambda opened: _operations(opened).retry(chosen))
    if not found.due and not found.later:
        raise _nothing()
    if found.due:
        typer.echo(f"{found.due} due now. A running server sees it within seconds.")
    if found.later:
        verb = "waits" if found.later == 1 else "wait"
        typer.echo(f"{found.later} {verb} for the time that the sender has set.")


@app.command()
def hold(ctx: typer.Context, ids: Ids = None, destination: To = None, everything: All = False) -> None:
    """Do not try until `veredus queue retry`."""
    _change(ctx, _selected(ids, destination, everything), lambda queue, chosen: queue.hold(chosen), "on hold")


@app.command()
def drop(
    ctx: typer.Context,
    ids: Ids = None,
    destination: To = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take messages out of the queue for good; their senders get no report."""
    chosen = _selected(ids, destination, everything)
    confirm("What is dropped is sent to nobody. Drop it?", yes)
    _change(ctx, chosen, lambda queue, selected: queue.drop(selected), "dropped")


def _selected(ids: list[str] | None, destination: str | None, everything: bool) -> "Selected":
    from veredus.outgoing.operations import Selected

    if sum((bool(ids), destination is not None, everything)) != 1:
        raise Failure("name ids, or --destination, or --all", EXIT_USAGE)
    return Selected(tuple(ids or ()), destination)


def _change(
    ctx: typer.Context,
    chosen: "Selected",
    change: Callable[["Operations", "Selected"], Awaitable[int]],
    outcome: str,
) -> None:
    count = with_app(ctx, lambda opened: change(_operations(opened), chosen))
    if not count:
        raise _nothing()
    typer.echo(f"{count} {outcome}. A running server sees it within seconds.")


def _operations(opened: "App") -> "Operations":
    return opened.queue_operations


def _nothing() -> Failure:
    return Failure("no such message is queued - `veredus queue ls` shows those that are")


def _line(row: dict[str, Any]) -> str:
    waiting = [recipient for recipient in row["recipients"] if recipient["state"] == "queued"]
    parts = [
        row["id"],
        f"from {row['from'] or '<>'}",
        f"to {row['destination']} ({len(waiting)})",
        f"{row['size']} octets",
        f"since {row['createdAt']}",
        "on hold" if row["isOnHold"] else f"next attempt {row['nextAttempt']}",
    ]
    if row["waitsFor"]:
        parts.append(row["waitsFor"])
    elif waiting and waiting[0]["reply"]:
        parts.append(waiting[0]["reply"])
    return "  ".join(parts)
