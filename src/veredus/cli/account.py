"""`veredus account`: users, their accounts, addresses, grants and quotas."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from veredus.cli import alias, secret
from veredus.cli.common import EXIT_USAGE, Failure, Json, write_json
from veredus.cli.opened import confirm, with_app
from veredus.cli.secret import PasswordFile, PasswordStdin
from veredus.cli.undelete import undelete

if TYPE_CHECKING:
    from veredus.app import App

app = typer.Typer(help="Users, their accounts, addresses, grants and quotas.", no_args_is_help=True)
app.add_typer(alias.app, name="alias")
app.command("undelete")(undelete)

User = Annotated[str, typer.Argument(help="The address the user logs in with.", metavar="USER")]


@app.command()
def add(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(help="The address to log in with and to get mail by.")],
    name: Annotated[str | None, typer.Option("--name", help="The account's name; else the address.")] = None,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    quota: Annotated[
        str | None, typer.Option("--quota", help="Octets, such as 10GiB, or none; else quota.default_octets.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a user with an account that is ready to use. A password that is not given is made up and shown."""
    octets = None if quota is None else _octets(quota)
    chosen = secret.given(password_file, password_stdin)
    password = chosen or secret.made_up()

    async def work(opened: "App") -> str:
        account = await opened.add_account(address, password, name)
        if quota is not None:
            await _set_quota(opened, account, octets, opened.config.quota.default_messages)
        return account

    account = with_app(ctx, work, create=True)
    user = address.strip().lower()
    if as_json:
        made_up = {} if chosen else {"password": password}
        write_json({"user": user, "account": account, **made_up})
        return
    typer.echo(f"added {user}, account {account}")
    if not chosen:
        _show_password(user, password)


def _show_password(user: str, password: str) -> None:
    typer.echo(f"password: {password}")
    typer.echo(f"It is not shown again; `veredus account passwd {user}` sets another.", err=True)


@app.command("ls")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List all users."""

    async def work(opened: "App") -> list[dict[str, Any]]:
        return [await _described(opened, user) for user in await opened.accounts.users()]

    users = with_app(ctx, work)
    if as_json:
        write_json(users)
        return
    for user in users:
        off = "  disabled" if user["disabled"] else ""
        used = f"{user['messages']} messages, {_in_words(user['octets'])} of {_in_words(user['maxOctets'])}"
        typer.echo(f"{user['id']}  {user['account']}  {used}{off}")


@app.command()
def show(ctx: typer.Context, user: User, as_json: Json = False) -> None:
    """Show a user: account, addresses, grants, quota."""

    async def work(opened: "App") -> dict[str, Any]:
        found = {one["id"]: one for one in await opened.accounts.users()}.get(user.lower())
        if found is None:
            raise Failure(f"there is no user {user!r} - `veredus account ls` lists all")
        return await _described(opened, found)

    shown = with_app(ctx, work)
    if as_json:
        write_json(shown)
        return
    typer.echo(f"{shown['id']}{'  (disabled)' if shown['disabled'] else ''}")
    typer.echo(f"  account    {shown['account']}")
    typer.echo(f"  addresses  {', '.join(shown['addresses'])}")
    typer.echo(f"  messages   {shown['messages']} of {_in_number(shown['maxMessages'])}")
    typer.echo(f"  size       {_in_words(shown['octets'])} of {_in_words(shown['maxOctets'])}")
    for account, access in shown["grants"].items():
        typer.echo(f"  may {access:5}  {account}")


async def _described(opened: "App", user: dict[str, Any]) -> dict[str, Any]:
    from veredus.wire.types import MAX_INT

    async with opened.store.read(user["account"]) as snapshot:
        quotas = {one["id"]: one for one in await snapshot.get("Quota", None)}

    def of(id: str, name: str) -> Any:
        value = quotas.get(id, {}).get(name)
        return None if value == MAX_INT else value

    return {
        **user,
        "messages": of("count", "used") or 0,
        "maxMessages": of("count", "hardLimit"),
        "octets": of("octets", "used") or 0,
        "maxOctets": of("octets", "hardLimit"),
    }


def _in_words(octets: int | None) -> str:
    if octets is None:
        return "no limit"
    amount, units = float(octets), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1024 and unit != "TiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"


def _in_number(count: int | None) -> str:
    return "no limit" if count is None else str(count)


@app.command()
def rm(
    ctx: typer.Context,
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a user with the account and all its mail. Interrupted, it goes on when it is run again."""

    async def count(opened: "App") -> int:
        async with opened.store.read(await opened.accounts.account_of(user)) as snapshot:
            return await snapshot.count("Email")

    messages = with_app(ctx, count)
    confirm(f"Remove {user} and {messages} messages for good?", yes)
    with_app(ctx, lambda opened: _remove(opened, user))
    typer.echo(f"removed {user}")


async def _remove(opened: "App", user: str) -> None:
    """The user last, so that this can be repeated; then what was delivered in the meantime."""
    account = await opened.accounts.account_of(user)
    await opened.accounts.set_disabled(user, True)
    await _remove_records(opened, account)
    await opened.accounts.remove_user(user)
    await _remove_records(opened, account)


async def _remove_records(opened: "App", account: str) -> None:
    """In transactions that hold nobody up for long."""
    from veredus.engine.blobs import UPLOADS
    from veredus.mail.retention_rule import FOUND

    for table in (*opened.registry.tables(), UPLOADS, FOUND):
        removed = 1
        while removed:
            async with opened.store.write(account) as tx:
                ids = await tx.select(table.name, limit=200)
                for id in ids:
                    await tx.delete(table.name, id)
                removed = len(ids)


@app.command()
def passwd(
    ctx: typer.Context, user: User, password_file: PasswordFile = None, password_stdin: PasswordStdin = False
) -> None:
    """Set a password: from the options, typed, or made up and shown."""
    chosen = secret.given(password_file, password_stdin) or secret.typed()
    password = chosen or secret.made_up()
    with_app(ctx, lambda opened: opened.accounts.set_password(user, password))
    typer.echo(f"the password of {user} is changed")
    if not chosen:
        _show_password(user, password)


@app.command()
def quota(
    ctx: typer.Context,
    user: User,
    size: Annotated[str, typer.Argument(help="Octets, such as 10GiB, or none: no limit.")],
    messages: Annotated[
        str, typer.Option("--messages", help="The most messages, or none; else as it was.")
    ] = "",
) -> None:
    """Set what an account may use. `veredus account show` tells what it uses."""
    octets = _octets(size)
    if messages not in ("", "none") and not messages.isdecimal():
        raise Failure(f"--messages {messages}: expected a number or none", EXIT_USAGE)

    async def work(opened: "App") -> None:
        account = await opened.accounts.account_of(user)
        most = int(messages) if messages.isdecimal() else None
        if not messages:
            async with opened.store.read(account) as snapshot:
                most = next((one["hardLimit"] for one in await snapshot.get("Quota", ["count"])), None)
        await _set_quota(opened, account, octets, most)

    with_app(ctx, work)
    typer.echo(f"the quota of {user} is changed")


async def _set_quota(opened: "App", account: str, octets: int | None, messages: int | None) -> None:
    from veredus.quota.type import set_limits
    from veredus.wire.types import MAX_INT

    async with opened.store.write(account) as tx:
        await set_limits(tx, octets, None if messages == MAX_INT else messages)


def _octets(text: str) -> int | None:
    from veredus.config import kinds
    from veredus.config.fields import FIELDS

    try:
        value = kinds.read_text(FIELDS["quota.default_octets"].kind, text)
    except ValueError as error:
        raise Failure(f"quota: {error}", EXIT_USAGE) from error
    assert value is None or isinstance(value, int)
    return value


@app.command()
def disable(ctx: typer.Context, user: User) -> None:
    """Refuse the user's logins. Mail is still delivered. A running server notices within a second."""
    with_app(ctx, lambda opened: opened.accounts.set_disabled(user, True))
    typer.echo(f"{user} is disabled")


@app.command()
def enable(ctx: typer.Context, user: User) -> None:
    """Accept the user's logins again."""
    with_app(ctx, lambda opened: opened.accounts.set_disabled(user, False))
    typer.echo(f"{user} is enabled")


Owner = Annotated[str, typer.Argument(help="Whose account: a user, or an account id.", metavar="ACCOUNT")]


@app.command()
def grant(
    ctx: typer.Context,
    user: User,
    account: Owner,
    access: Annotated[
        Literal["read", "write"], typer.Option("--access", help="Whether the user may change it.")
    ] = "read",
) -> None:
    """Let a user see another account, too."""

    async def work(opened: "App") -> None:
        await opened.accounts.grant(user, await opened.accounts.account_of(account), access)

    with_app(ctx, work)
    typer.echo(f"{user} may {access} the account of {account}")


@app.command("revoke-grant")
def revoke_grant(ctx: typer.Context, user: User, account: Owner) -> None:
    """Take a grant back."""

    async def work(opened: "App") -> None:
        await opened.accounts.grant(user, await opened.accounts.account_of(account), None)

    with_app(ctx, work)
    typer.echo(f"{user} has no access to the account of {account} any more")
