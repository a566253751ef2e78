"""`veredus index`: the index of words that searches use."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import EXIT_PROBLEMS, Json, write_json
from veredus.cli.opened import data_of

if TYPE_CHECKING:
    from veredus.cli.indexing import Missing
    from veredus.config import Config

app = typer.Typer(help="The index of words that searches use.", no_args_is_help=True)


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Count the records whose words no search finds. Exit code 3: there are some."""
    import asyncio

    found = asyncio.run(_missing(data_of(ctx)))
    if as_json:
        write_json([{"account": one.account, "type": one.type, "missing": one.records} for one in found])
    else:
        for one in found:
            typer.echo(f"{one.account}  {one.type}  {one.records} not indexed")
    if found:
        if not as_json:
            typer.echo("`veredus index rebuild` indexes them", err=True)
        raise typer.Exit(EXIT_PROBLEMS)
    if not as_json:
        typer.echo("complete")


async def _missing(config: "Config") -> "list[Missing]":
    from veredus.app import open_store
    from veredus.cli.indexing import missing

    async with open_store(config) as (store, registry):
        return await missing(store, registry)


@app.command()
def rebuild(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything anew; else only what is missing.")
    ] = False,
) -> None:
    """Index words from the messages themselves, the newest first; the server may run meanwhile.

    Interrupted, it goes on when it is run again; with --all it begins anew.
    """
    import asyncio

    records, seconds = asyncio.run(_rebuild(data_of(ctx), everything=everything))
    typer.echo(
        f"{records} indexed in {seconds:.1f} s ({records / max(seconds, 0.001):.0f} records/s)", err=True
    )


async def _rebuild(config: "Config", *, everything: bool) -> tuple[int, float]:
    from veredus.app import open_store
    from veredus.cli.indexing import rebuild_with

    async with open_store(config) as (store, registry):
        return await rebuild_with(config, store, registry, everything=everything)
