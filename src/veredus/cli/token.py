"""`veredus token`: passwords for programs, each of which can be revoked by itself."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from veredus.cli.common import Json, write_json
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App

app = typer.Typer(
    help="Bearer tokens for programs, each of which can be revoked by itself.", no_args_is_help=True
)


@app.command()
def create(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="The user whose rights the token gives.")],
    name: Annotated[str, typer.Option("--name", help="What it is for.")],
    scope: Annotated[
        Literal["read", "write"], typer.Option("--scope", help="Whether it may change anything.")
    ] = "write",
    as_json: Json = False,
) -> None:
    """Make a token and show it, once: it is kept as a hash."""

    async def work(opened: "App") -> tuple[str, str]:
        return await opened.accounts.create_token(user, name, scope, opened.clock.now())

    id, secret = with_app(ctx, work)
    if as_json:
        write_json({"id": id, "token": secret})
        return
    typer.echo(secret)
    typer.echo(f"It is not shown again; `veredus token revoke {id}` ends it.", err=True)


@app.command("ls")
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Argument(help="Only those of this user.")] = None,
    as_json: Json = False,
) -> None:
    """List tokens, without their secrets."""
    tokens = with_app(ctx, lambda opened: opened.accounts.tokens(user))
    if as_json:
        write_json(tokens)
        return
    for token in tokens:
        typer.echo(f"{token['id']}  {token['user']}  {token['scope']}  {token['at']}  {token['name']}")


@app.command()
def revoke(
    ctx: typer.Context, id: Annotated[str, typer.Argument(help="The token's id, as `token ls` shows it.")]
) -> None:
    """End a token. A running server refuses it within a second."""
    with_app(ctx, lambda opened: opened.accounts.revoke_token(id))
    typer.echo(f"{id} is revoked")
