"""`veredus push`: the URLs that clients have registered to be told of changes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_PROBLEMS, Failure, Json, plain, write_json
from veredus.cli.opened import confirm, with_app

if TYPE_CHECKING:
    from veredus.app import App

app = typer.Typer(
    help="Web push: the URLs that clients have registered to be told of changes.", no_args_is_help=True
)


@app.command("ls")
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Argument(help="Only those of this user.")] = None,
    as_json: Json = False,
) -> None:
    """List push subscriptions and how delivery goes. Of a URL only the host is shown: the rest is secret."""

    async def work(opened: "App") -> list[dict[str, Any]]:
        if user is not None:
            await opened.accounts.account_of(user)
        return await opened.web_push.subscriptions(user)

    found = with_app(ctx, work)
    if as_json:
        write_json(found)
        return
    for subscription in found:
        typer.echo(_line(subscription))


def _line(subscription: dict[str, Any]) -> str:
    parts = [
        subscription["id"],
        subscription["user"],
        subscription["deviceClientId"],
        subscription["host"],
        "verified" if subscription["isVerified"] else "not verified",
        f"expires {subscription['expires']}",
    ]
    if subscription["attempted"]:
        parts.append(f"{subscription['outcome']} at {subscription['attempted']}")
    else:
        parts.append("nothing sent yet")
    if subscription["failures"]:
        parts.append(f"failures: {subscription['failures']}")
    if subscription["nextAttempt"]:
        parts.append(f"waits until {subscription['nextAttempt']}")
    return plain("  ".join(parts))


@app.command("test")
def try_(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="The user whose subscriptions are tried.")],
    as_json: Json = False,
) -> None:
    """Send each URL of a user a StateChange in which nothing has changed, now, and show what it answers.

    Ends with 3 when one did not take it.
    """

    async def work(opened: "App") -> list[tuple[dict[str, Any], str | None, bool]]:
        await opened.accounts.account_of(user)
        return await opened.web_push.test(user)

    tried = with_app(ctx, work)
    if not tried:
        raise Failure(f"{user} has no push subscription - `veredus push ls` shows those there are")
    if as_json:
        write_json(
            [
                {"id": one["id"], "host": one["host"], "outcome": outcome, "isDelivered": is_delivered}
                for one, outcome, is_delivered in tried
            ]
        )
    else:
        for one, outcome, _ in tried:
            said = outcome or "not verified by its client, so nothing may be sent"
            typer.echo(plain(f"{one['id']}  {one['deviceClientId']}  {said}"))
    if not all(is_delivered for _, _, is_delivered in tried):
        raise typer.Exit(EXIT_PROBLEMS)


@app.command("rotate-key")
def rotate_key(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a new VAPID key (RFC 9749). Clients find it in their session, and subscribe anew to use it.

    The old key goes on signing for the subscriptions that were made with it.
    """
    confirm("Clients will subscribe anew; until then the old key signs for them. Make a new key?", yes)

    async def work(opened: "App") -> str:
        await opened.vapid.rotate()
        return opened.vapid.current[1].public

    typer.echo(with_app(ctx, work))
    typer.echo("A running server uses it within seconds.", err=True)
