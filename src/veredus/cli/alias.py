"""`veredus account alias`: further addresses of an account."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import Json, write_json
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App

app = typer.Typer(help="Further addresses by which an account gets mail.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The address.")]


@app.command("ls")
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Argument(help="Only those of this user.")] = None,
    as_json: Json = False,
) -> None:
    """List addresses and whose they are."""
    users = with_app(ctx, lambda opened: opened.accounts.users())
    found = {
        address: one["id"]
        for one in users
        for address in one["addresses"]
        if user is None or one["id"] == user.lower()
    }
    if as_json:
        write_json(found)
        return
    for address, owner in sorted(found.items()):
        typer.echo(f"{address}  {owner}")


@app.command()
def add(
    ctx: typer.Context,
    address: Address,
    user: Annotated[str, typer.Argument(help="The user, or the account, that gets the mail.")],
) -> None:
    """Deliver mail for another address, too. `info@example.com` becomes one of the account's addresses."""

    async def work(opened: "App") -> None:
        await opened.accounts.add_address(address, await opened.accounts.account_of(user))

    with_app(ctx, work)
    typer.echo(f"mail for {address} goes to {user}")


@app.command()
def rm(ctx: typer.Context, address: Address) -> None:
    """Take no more mail for an address; what came stays where it is."""
    with_app(ctx, lambda opened: opened.accounts.remove_address(address))
    typer.echo(f"mail for {address} is refused from now on")
