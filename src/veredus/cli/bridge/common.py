"""What the commands of the bridge share: its settings, connections, and failures in one line."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from veredus.cli.common import EXIT_USAGE, Failure, invocation

if TYPE_CHECKING:
    from veredus.bridge.config import Loaded
    from veredus.bridge.nats.link import Link
    from veredus.bridge.settings import BridgeSettings
    from veredus.bridge.source import AccountSource
    from veredus.bridge.streams import Streams
    from veredus.client.client import Client

VARIABLES = ("VEREDUS_BRIDGE_CONFIG", "JMAP2NATS_CONFIG")
FILES = ("bridge.toml", "jmap2nats.json")
# How long a command waits for a JMAP server that does not answer; a bridge waits longer.
_PATIENCE_S = 20.0
T = TypeVar("T")

Name = Annotated[str | None, typer.Option("--bridge", help="Of several in the file, the one of this name.")]
Account = Annotated[
    str | None, typer.Option("--account", help="An account id; may be left out if there is one.")
]


def load(ctx: typer.Context) -> "Loaded":
    """The settings of all bridges of the file: --config, else the environment, else the usual names.

    Raises Failure. What was ignored in the file is said on standard error.
    """
    from veredus.bridge.config import ConfigError
    from veredus.bridge.config import load as load_file

    path = invocation(ctx).config or _found()
    try:
        loaded = load_file(path)
    except ConfigError as error:
        raise Failure(str(error), EXIT_USAGE) from error
    return loaded


def _found() -> Path:
    named = [os.environ[name] for name in VARIABLES if os.environ.get(name)]
    there = [name for name in FILES if Path(name).exists()]
    for path in (*named, *there):
        return Path(path)
    raise Failure(
        f"no configuration of a bridge: name one with --config or ${VARIABLES[0]}, "
        f"or have {' or '.join(FILES)} here",
        EXIT_USAGE,
    )


def one(ctx: typer.Context, name: str | None) -> "BridgeSettings":
    """The settings of the bridge that a command is for. Raises Failure."""
    loaded = load(ctx)
    warn(loaded)
    if name is None and len(loaded.bridges) == 1:
        return loaded.bridges[0]
    for bridge in loaded.bridges:
        if bridge.name == name:
            return bridge
    names = ", ".join(bridge.name for bridge in loaded.bridges)
    if name is None:
        raise Failure(f"{loaded.path} has several bridges, name one with --bridge: {names}", EXIT_USAGE)
    raise Failure(f"{loaded.path} has no bridge {name!r}, but {names}", EXIT_USAGE)


def warn(loaded: "Loaded") -> None:
    """Say what of the file was ignored."""
    for warning in loaded.warnings:
        typer.echo(f"{loaded.path}: {warning}", err=True)


def finish(ctx: typer.Context, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` gives; what it cannot do becomes a Failure."""
    import asyncio

    from veredus import log as logs

    logs.configure("auto", "info" if invocation(ctx).verbose else "error")
    with failures():
        return asyncio.run(work())


@contextmanager
def failures() -> Iterator[None]:
    """What a person can do something about becomes a Failure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("nats", "nkeys"):
            raise
        raise Failure(f"{error.name} is not installed: pip install 'veredus[bridge]'") from error
    except Exception as error:
        if not is_expected(error):
            raise
        raise Failure(str(error)) from error


def is_expected(error: Exception) -> bool:
    """Whether a person can do something about it: the text then says what."""
    from veredus.bridge.config import SecretError
    from veredus.bridge.nats.errors import NatsError
    from veredus.client.errors import JMAPError

    return isinstance(error, SecretError | NatsError | JMAPError | OSError)


def in_words(octets: int) -> str:
    """With three digits, in units of 1024: ``20.8 KiB``."""
    amount, units = float(octets), iter(("octets", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1024 and unit != "TiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"


@asynccontextmanager
async def linked(settings: "BridgeSettings") -> AsyncIterator["Link"]:
    """A connection to NATS, made once. Raises NatsError."""
    from veredus.bridge.config import read
    from veredus.bridge.nats.connect import connect

    link = await connect(settings.nats, read)
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def connected(settings: "BridgeSettings") -> AsyncIterator["Client"]:
    """A client of the JMAP server, connected once. Raises JMAPError."""
    import asyncio

    from veredus.bridge.bridge import connection
    from veredus.client.errors import TransportError

    client = connection(settings)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.__aenter__()
    except TimeoutError:
        raise TransportError(settings.jmap.url, f"no answer within {_PATIENCE_S:g} s") from None
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)


@asynccontextmanager
async def opened(
    settings: "BridgeSettings", account: str | None
) -> AsyncIterator[tuple["AccountSource", "Streams"]]:
    """One account of the server, and everything in NATS, which is made if it is not there.

    Raises JMAPError and NatsError.
    """
    from veredus.bridge.accounts import chosen
    from veredus.bridge.source import AccountSource
    from veredus.bridge.streams import open_streams

    async with connected(settings) as client, linked(settings) as link:
        id = chosen(client.session, settings.jmap, account)
        yield AccountSource(client, id, settings.concurrency), await open_streams(link, settings)
