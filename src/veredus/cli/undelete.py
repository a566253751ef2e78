"""`veredus account undelete`: mail that was destroyed, listed and restored."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_FAILURE, EXIT_USAGE, Failure, Json, write_json
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App

# Restored in one transaction: a delivery to the account waits for so many.
_AT_ONCE = 50


def undelete(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="Whose mail: a user, or an account id.", metavar="USER")],
    ids: Annotated[
        list[str] | None, typer.Argument(help="What to restore, as listed.", metavar="ID...")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Restore all that would be listed.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="Only what was destroyed so long ago at most, such as 2h.")
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List only. So it is without IDs and --all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List destroyed mail that is still kept, or restore it into the mailboxes where it was.

    How long mail is kept is set by retention.destroyed.
    """
    if (every and ids) or (listing and (every or ids)):
        raise Failure("give IDs, or --all, or --list", EXIT_USAGE)
    age = None if since is None else _age(since)

    async def work(opened: "App") -> tuple[list[dict[str, Any]], dict[str, str], dict[str, str]]:
        account = await opened.accounts.account_of(user)
        found = await _found(opened, account, age)
        chosen = [record["id"] for record in found] if every else list(dict.fromkeys(ids or ()))
        restored, failed = await _restore(opened, account, chosen)
        return found, restored, failed

    found, restored, failed = with_app(ctx, work)
    if not (every or ids):
        _show(found, as_json)
        return
    if as_json:
        write_json({"restored": restored, "notRestored": failed})
    else:
        for id, email in restored.items():
            typer.echo(f"{id}  restored as {email}")
        if not restored and not failed:
            typer.echo("nothing is kept that could be restored")
    if failed:
        raise Failure("\n".join(f"{id} not restored: {why}" for id, why in failed.items()), EXIT_FAILURE)


def _age(text: str) -> timedelta:
    from veredus.config import kinds
    from veredus.config.fields import FIELDS

    try:
        value = kinds.read_text(FIELDS["retention.destroyed"].kind, text)
    except ValueError as error:
        raise Failure(f"--since: {error}", EXIT_USAGE) from error
    assert isinstance(value, int | float)
    return timedelta(seconds=value)


async def _found(opened: "App", account: str, age: timedelta | None) -> list[dict[str, Any]]:
    """What is kept, newest first."""
    from veredus.conditions import EVERYTHING, Order, Range
    from veredus.mail.undelete import TYPE
    from veredus.wire.dates import utc_date

    where = EVERYTHING if age is None else Range("destroyedAt", at_least=utc_date(opened.clock.now() - age))
    async with opened.store.read(account) as snapshot:
        ids = await snapshot.select(TYPE, where, [Order("destroyedAt", ascending=False)])
        return await snapshot.get(TYPE, ids)


async def _restore(opened: "App", account: str, ids: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of the new Emails, and why others could not be restored."""
    from veredus.mail.undelete import Undelete, restore

    kept = Undelete(opened.admission, timedelta(seconds=opened.config.retention.destroyed))
    restored: dict[str, str] = {}
    failed: dict[str, str] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        async with opened.store.write(account) as tx:
            outcome = await restore(kept, opened.blobs, tx, some)
        restored.update(outcome.restored)
        for id in some:
            if id not in outcome.restored:
                error = outcome.failed.get(id)
                failed[id] = "there is no such id" if error is None else error.description or error.type
    return restored, failed


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    names = ("id", "destroyedAt", "receivedAt", "size", "from", "subject", "preview")
    if as_json:
        write_json([{name: record[name] for name in names} for record in found])
        return
    for record in found:
        author = next((one.get("name") or one["email"] for one in record["from"] or ()), "")
        typer.echo(f"{record['id']}  {record['destroyedAt']}  {author}  {record['subject'] or ''}")
    if not found:
        typer.echo("nothing is kept", err=True)
