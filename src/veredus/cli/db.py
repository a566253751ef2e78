"""`veredus db`: the health of the data."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli import db_copy, db_status
from veredus.cli.common import EXIT_PROBLEMS, Json, write_json
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App

app = typer.Typer(help="The health of the data.", no_args_is_help=True)
app.command()(db_status.status)
app.command()(db_status.migrate)
app.command()(db_copy.copy)


@app.command()
def check(
    ctx: typer.Context,
    read_blobs: Annotated[
        bool, typer.Option("--read-blobs", help="Read every message and compare it with its digest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check database, blobs and counters; the server may run meanwhile. Exit code 3: something is wrong."""
    from veredus.cli.checks import problems

    async def work(opened: "App") -> list[str]:
        found = []
        async for problem in problems(opened, read_blobs=read_blobs):
            found.append(problem)
            if not as_json:
                typer.echo(problem)
        return found

    found = with_app(ctx, work)
    if as_json:
        write_json({"problems": found})
    elif not found:
        typer.echo("good")
    if found:
        if not as_json:
            typer.echo(
                f"{len(found)} problems - copy the data before you change anything; docs/operations.md says "
                "what can be done, `veredus export` saves what can be read",
                err=True,
            )
        raise typer.Exit(EXIT_PROBLEMS)
