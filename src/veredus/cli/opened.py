"""What commands that work on the data share: opening it, and ending with one line when that fails."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from veredus.cli.common import EXIT_USAGE, Failure, invocation

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config

T = TypeVar("T")


def with_app(
    ctx: typer.Context,
    work: Callable[["App"], Awaitable[T]],
    *,
    create: bool = False,
    config: "Config | None" = None,
) -> T:
    """What ``work`` gives, done on the data of this invocation; servers may be running meanwhile.

    ``create``: make the data directory if there is none; else that is a failure, and not an empty answer.
    ``config``: work on this data instead.
    """
    import asyncio

    return asyncio.run(_with_app(config or data_of(ctx, create=create), work))


def data_of(ctx: typer.Context, *, create: bool = False) -> "Config":
    """The settings, after a look at whether there is data to work on."""
    from veredus import log as logs

    config = invocation(ctx).load().config
    logs.configure(config.log.format, "debug" if invocation(ctx).verbose else "error")
    if config.storage.url == "memory":
        raise Failure('storage.url is "memory": no command can see the data of another process', EXIT_USAGE)
    if not create and needs_data_dir(config) and not config.data_dir.is_dir():
        raise Failure(
            f"there is no data in {config.data_dir} - name the directory with --data-dir or data_dir, "
            "or begin with `veredus account add`"
        )
    return config


def needs_data_dir(config: "Config") -> bool:
    """Whether anything that matters is in it; a node of a cluster keeps nothing of its own."""
    return config.storage.url == "sqlite" or config.blobs.url == "file"


async def _with_app(config: "Config", work: Callable[["App"], Awaitable[T]]) -> T:
    from veredus.app import AccountError, open_app

    try:
        async with open_app(config) as app:
            return await work(app)
    except AccountError as error:
        raise Failure(str(error)) from error
    except PermissionError as error:
        raise Failure(
            f"{error.filename or config.data_dir}: permission denied - run this as the user of the server, "
            "or name another directory with --data-dir"
        ) from error


def confirm(question: str, yes: bool) -> None:
    """Go on only if the person agrees; ``yes``: did so already with --yes."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(f"{question} Nobody is there to ask: add --yes", EXIT_USAGE)
    if not typer.confirm(question, err=True):
        raise Failure("nothing was changed")
