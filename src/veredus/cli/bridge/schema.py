"""`veredus bridge schema`: the JSON Schemas of what a bridge publishes."""

from typing import Annotated

import typer

from veredus.cli.common import Failure, Json, write_json

app = typer.Typer(help="The JSON Schemas of what a bridge publishes.", no_args_is_help=True)


@app.command("ls")
def list_(as_json: Json = False) -> None:
    """List the schemas: a name, a slash, a version."""
    from veredus.bridge.wire import schema

    names = schema.names()
    if as_json:
        write_json(names)
        return
    for name in names:
        typer.echo(name)


@app.command()
def show(name: Annotated[str, typer.Argument(help="As `schema ls` has it: email.created/1")]) -> None:
    """Write one schema."""
    from veredus.bridge.wire import schema

    try:
        write_json(schema.load(name))
    except schema.UnknownSchema as error:
        raise Failure(str(error)) from error
