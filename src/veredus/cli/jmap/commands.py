"""`veredus jmap`: the methods of RFC 8620 §5, one command each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_FAILURE, EXIT_USAGE, Failure
from veredus.cli.jmap import blobs, text, watching
from veredus.cli.jmap.target import Target, connected

if TYPE_CHECKING:
    from veredus.client import Client

app = typer.Typer(
    help="Speak to any JMAP server. What comes out is JSON, one object a line unless it is for a terminal.",
    no_args_is_help=True,
)

Type = Annotated[str, typer.Argument(help="A data type: Email, Mailbox, Thread, …", metavar="TYPE")]
Properties = Annotated[
    str | None, typer.Option("--properties", "-p", help="Names with commas between them. Else: all.")
]
_ARGUMENTS = "A JSON object; - reads standard input, @FILE a file."
# Of a list of Emails, without their bodies.
_LISTED = "id threadId mailboxIds keywords receivedAt from to subject size hasAttachment preview".split()


@app.command()
@connected
def session(target: Target) -> None:
    """Show the Session object: accounts, capabilities, limits, URLs."""

    async def work(client: "Client") -> None:
        import msgspec

        text.write(msgspec.to_builtins(client.session))

    target.run(work)


@app.command()
@connected
def call(
    target: Target,
    method: Annotated[str, typer.Argument(help="Such as Email/query.", metavar="METHOD")],
    arguments: Annotated[str | None, typer.Argument(help=_ARGUMENTS, metavar="ARGUMENTS")] = None,
    using: Annotated[
        str | None, typer.Option("--using", help="The capability the method belongs to, if it is a vendor's.")
    ] = None,
) -> None:
    """Call any method; accountId is filled in."""
    given = text.read_object(arguments, "the arguments")

    async def work(client: "Client") -> None:
        text.write(await client.call(method, given, account=target.account, using=using))

    target.run(work)


@app.command()
@connected
def get(
    target: Target,
    type: Type,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids; - reads them from standard input. Else: all.")
    ] = None,
    properties: Properties = None,
) -> None:
    """Get records. Ends with 1 when one is not there."""
    wanted = text.read_ids(ids)

    async def work(client: "Client") -> None:
        got = await client.get(type, wanted, text.names(properties), account=target.account)
        for record in got.list:
            text.write(record.json)
        if got.not_found:
            raise Failure(f"not found: {', '.join(got.not_found)}")

    target.run(work)


@app.command()
@connected
def query(
    target: Target,
    type: Type,
    search: Annotated[
        str | None,
        typer.Argument(
            help="For Email, in the grammar of docs/search-grammar.md; last, after --, if it begins with -."
        ),
    ] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", "-f", help=f"The filter of Foo/query. {_ARGUMENTS}")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", help="Properties, - before one for descending: -receivedAt.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="How many at most.")] = None,
    properties: Properties = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Only the ids, one a line, as `get TYPE -` reads.")
    ] = False,
) -> None:
    """List what a search or a filter finds, page by page. Emails come newest first, without their bodies."""
    if search is not None and (filter is not None or type != "Email"):
        raise Failure("a search is for Email, and takes the place of --filter", EXIT_USAGE)
    given = text.read_object(filter, "the filter")
    wanted = text.names(properties) or (_LISTED if type == "Email" else None)

    async def work(client: "Client") -> None:
        found: Any
        if type == "Email" and filter is None:
            mail = client.mail.of(target.account) if target.account else client.mail
            found = mail.search(search or "", sort=text.sort_of(sort), limit=limit, properties=wanted)
        else:
            found = client.query(
                type,
                given or None,
                text.sort_of(sort),
                limit=limit,
                properties=wanted,
                account=target.account,
            )
        if ids:
            async for id in found.ids():
                typer.echo(id)
            return
        async for record in found:
            text.write(record.json)

    target.run(work)


@app.command("set")
@connected
def set_(
    target: Target,
    type: Type,
    arguments: Annotated[
        str, typer.Argument(help=f"create, update, destroy: {_ARGUMENTS}", metavar="ARGUMENTS")
    ],
) -> None:
    """Create, update and destroy records. Ends with 1 when some failed; what succeeded stays so."""
    given = text.read_object(arguments, "the arguments")
    named = _set_arguments(given)
    account = given.pop("accountId", None) or target.account

    async def work(client: "Client") -> None:
        import msgspec

        result = await client.set(type, **named, account=account, chunk=True, raise_errors=False, **given)
        text.write(msgspec.to_builtins(result))
        if result.errors:
            raise Failure(f"{len(result.errors)} failed", EXIT_FAILURE)

    target.run(work)


def _set_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Those that `set` of the client knows, taken out of ``given``. Raises Failure."""
    kinds = {"create": dict, "update": dict, "destroy": list}
    for name, kind in kinds.items():
        if not isinstance(given.get(name, kind()), kind):
            raise Failure(f"{name} must be a JSON {'array' if kind is list else 'object'}", EXIT_USAGE)
    # Names of the client's own, which it would take as such.
    unknown = {"kind", "account", "if_in_state", "chunk", "raise_errors"} & set(given)
    if unknown:
        raise Failure(f"no /set has an argument {', '.join(sorted(unknown))}", EXIT_USAGE)
    return {name: given.pop(name, None) for name in kinds} | {"if_in_state": given.pop("ifInState", None)}


@app.command()
@connected
def changes(
    target: Target,
    type: Type,
    since: Annotated[str, typer.Argument(help="A state, as get gives it with `jmap call`.", metavar="STATE")],
) -> None:
    """Say what changed since a state; an object for each page, the last with the newest state."""

    async def work(client: "Client") -> None:
        import msgspec

        async for page in client.changes(type, since, account=target.account):
            text.write(msgspec.to_builtins(page))

    target.run(work)


@app.command()
@connected
def watch(
    target: Target,
    types: Annotated[list[str], typer.Argument(help="Data types: Email, Mailbox, …", metavar="TYPE...")],
    cursor: Annotated[
        Path | None,
        typer.Option("--cursor", help="A file that keeps how far it has come; the next start goes on there."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="At a first start, begin with all that is there.")
    ] = False,
    properties: Properties = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many.")] = None,
) -> None:
    """Print what happens as it happens: created, updated, destroyed, resync. Each at least once."""
    wanted = text.names(properties)
    options = watching.options(target.account, cursor, wanted, everything=everything)
    target.run(lambda client: watching.watch(client, types, options, limit))


@app.command()
@connected
def upload(
    target: Target,
    file: Annotated[Path, typer.Argument(help="A file; - reads standard input.")],
    type: Annotated[str, typer.Option("--type", "-t", help="The media type.")] = "application/octet-stream",
) -> None:
    """Upload a file as a blob; its blobId goes into other methods."""
    target.run(lambda client: blobs.upload(client, file, type, target.account))


@app.command()
@connected
def download(
    target: Target,
    blob: Annotated[str, typer.Argument(help="A blobId.", metavar="BLOB")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file that is not there yet. Else: standard output."),
    ] = None,
) -> None:
    """Download a blob."""
    target.run(lambda client: blobs.download(client, blob, output, target.account))
