"""The command tree. Each group is one file here; anything heavy is imported inside the commands."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from veredus import __version__
from veredus.cli import (
    account,
    backup,
    blob,
    bridge,
    config,
    db,
    dev,
    dns,
    doctor,
    domain,
    exports,
    imports,
    index,
    push,
    queue,
    serve,
    token,
)
from veredus.cli.common import Invocation, Json, end, write_json
from veredus.cli.jmap import commands as jmap

app = typer.Typer(
    name="veredus",
    help="Veredus, a JMAP mail server.",
    epilog="--config, --data-dir and --verbose may also stand after a command.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help is three times faster, and can be copied
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# One line for each group, in the order of a life with the server.
app.command()(serve.serve)
app.command()(dev.dev)
app.add_typer(account.app, name="account")
app.add_typer(token.app, name="token")
app.add_typer(domain.app, name="domain")
app.add_typer(dns.app, name="dns")
app.add_typer(push.app, name="push")
app.add_typer(queue.app, name="queue")
app.add_typer(imports.app, name="import")
app.add_typer(exports.app, name="export")
app.add_typer(backup.app, name="backup")
app.add_typer(db.app, name="db")
app.add_typer(index.app, name="index")
app.add_typer(blob.app, name="blob")
app.add_typer(bridge.app, name="bridge")
app.add_typer(jmap.app, name="jmap")
app.command()(doctor.doctor)
app.add_typer(config.app, name="config")


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="The configuration file. Else: $VEREDUS_CONFIG, ./veredus.toml, /etc/veredus/veredus.toml.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="The setting data_dir for this command.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Keep the options that every command shares."""
    ctx.obj = Invocation(config, data_dir, verbose)


@app.command()
def version(as_json: Json = False) -> None:
    """Say which Veredus this is."""
    import platform

    if as_json:
        write_json({"veredus": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"veredus {__version__} (Python {platform.python_version()})")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; an expected failure is one line on standard error, not a traceback."""
    try:
        app(args=_shared_options_first(sys.argv[1:] if argv is None else argv))
    except Exception as error:
        end(error)
    raise AssertionError("typer ends the process")


def _shared_options_first(argv: Sequence[str]) -> list[str]:
    """`veredus serve -c x` as `veredus -c x serve`: people write the file where they think of it."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in ("-c", "--config", "--data-dir"):
            first += [word, *(value for value in [next(words, None)] if value is not None)]
        elif word in ("-v", "--verbose") or word.startswith(("--config=", "--data-dir=")):
            first.append(word)
        else:
            rest.append(word)
    return first + rest
