"""`veredus import`: mail from files into an account."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from veredus.cli.common import EXIT_FAILURE, Failure
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from asyncio import Future
    from concurrent.futures import Executor

    from veredus.app import App
    from veredus.cli.transfer.incoming import Found, Incoming, Message
    from veredus.cli.transfer.intake import Intake
    from veredus.cli.transfer.progress import Progress

app = typer.Typer(
    help="Bring mail into an account from files; the server may run meanwhile.", no_args_is_help=True
)

# What is in memory, and what a crash or a reader has to wait for, at a time.
BATCH_MESSAGES = 50
BATCH_OCTETS = 8 * 1024 * 1024
# Batches that are parsed while one is stored.
AHEAD = 2
# Imports of so many octets are parsed in other processes, which take a second to start.
IN_PROCESSES = 16 * 1024 * 1024

To = Annotated[str, typer.Option("--to", help="The user, or the id of the account, that gets the mail.")]
Mailbox = Annotated[
    str, typer.Option("--mailbox", help="Where to, made if need be; Parent/Child for a lower one.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Skip what is in its Mailbox already: go on after an interruption."),
]
Seen = Annotated[bool, typer.Option("--seen", help="Mark everything as read.")]


class Options(NamedTuple):
    """What all imports have in common. ``total``: octets of all sources."""

    total: int
    resume: bool
    seen: bool


@app.command()
def mbox(
    ctx: typer.Context,
    sources: Annotated[list[Path], typer.Argument(help="mbox files.", metavar="FILE...")],
    to: To,
    mailbox: Mailbox = "INBOX",
    quoting: Annotated[
        Literal["mboxrd", "mboxo", "none"],
        typer.Option("--quoting", help="How the files quote lines that begin with From."),
    ] = "mboxrd",
    seen: Seen = False,
    resume: Resume = False,
) -> None:
    """Import mbox files. Status, X-Status, X-Keywords and X-Mozilla-Status become keywords."""
    from veredus.cli.transfer import mbox as format
    from veredus.cli.transfer.incoming import mailbox_path

    _exist(sources)
    found = (one for path in sources for one in format.read(path, mailbox_path(mailbox), quoting))
    _run(ctx, to, found, Options(sum(path.stat().st_size for path in sources), resume, seen))


@app.command()
def maildir(
    ctx: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(help="Maildir or Maildir++ directories.", metavar="DIR...")
    ],
    to: To,
    mailbox: Mailbox = "INBOX",
    seen: Seen = False,
    resume: Resume = False,
) -> None:
    """Import Maildirs. Folders become Mailboxes, flags become keywords, what is flagged T goes to Trash."""
    from veredus.cli.transfer import maildir as format
    from veredus.cli.transfer.incoming import mailbox_path

    _exist(sources)
    for path in sources:
        if not format.is_maildir(path):
            raise Failure(f"{path}: neither cur nor new is in it - is it a Maildir? For files: import eml")
    found = (one for path in sources for one in format.read(path, mailbox_path(mailbox)))
    _run(ctx, to, found, Options(sum(map(format.size, sources)), resume, seen))


@app.command()
def eml(
    ctx: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(help="Message files, and directories to search for *.eml.", metavar="PATH..."),
    ],
    to: To,
    mailbox: Mailbox = "INBOX",
    seen: Seen = False,
    resume: Resume = False,
) -> None:
    """Import files of one message each."""
    from veredus.cli.transfer import eml as format
    from veredus.cli.transfer.incoming import mailbox_path

    _exist(sources)
    found = (one for path in sources for one in format.read(path, mailbox_path(mailbox)))
    _run(ctx, to, found, Options(sum(map(format.size, sources)), resume, seen))


def _exist(sources: Sequence[Path]) -> None:
    for path in sources:
        if not path.exists():
            raise Failure(f"{path}: there is no such file or directory")


def _run(ctx: typer.Context, to: str, found: "Iterator[Found]", options: Options) -> None:
    """Import everything; exit code 1 when something could not be."""
    from veredus.cli.running import collect_less
    from veredus.cli.transfer.progress import progress

    collect_less()
    began = time.monotonic()
    with progress(options.total, is_octets=True) as shown:
        counts = with_app(ctx, lambda opened: _import(opened, to, found, shown, options))
    seconds = time.monotonic() - began
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "imported"]
    if shown.failed:
        parts.append(f"{shown.failed} failed")
    rate = counts["imported"] / seconds
    typer.echo(f"{', '.join(parts)} in {seconds:.1f} s ({rate:.0f} messages/s)", err=True)
    if shown.failed:
        raise typer.Exit(EXIT_FAILURE)


async def _import(
    opened: "App", to: str, found: "Iterator[Found]", shown: "Progress", options: "Options"
) -> dict[str, int]:
    from veredus.cli.transfer.intake import Full, Intake

    account = await opened.accounts.account_of(to)
    intake = Intake(opened, account, skip_present=options.resume)
    counts = {"imported": 0, "skipped": 0}
    try:
        with _parsers(options.total) as pool:
            await _pipeline(intake, _batches(found, shown, options.seen), pool, shown, counts)
    except Full as full:
        raise Failure(
            f"the account is full after {counts['imported']} messages: {full} "
            f"`veredus account quota {to} SIZE` gives it more; then run this again with --resume"
        ) from full
    return counts


def _parsers(total: int) -> "Executor":
    """Who parses: half of the work of an import. A process of its own pays when it has something to do."""
    import multiprocessing
    import os
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    from veredus.cli.running import collect_less

    cores = os.cpu_count() or 1
    if total < IN_PROCESSES or cores == 1:
        return ThreadPoolExecutor(1)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1 if cores == 2 else 2, context, initializer=collect_less)


async def _pipeline(
    intake: "Intake",
    batches: "Iterator[Sequence[Incoming]]",
    pool: "Executor",
    shown: "Progress",
    counts: dict[str, int],
) -> None:
    """While one batch is stored, the next ones are read and parsed."""
    import asyncio
    from collections import deque

    from veredus.cli.transfer.incoming import parse_all

    loop = asyncio.get_running_loop()
    under_way: deque[tuple[Sequence[Incoming], list[tuple[Incoming, Message]], Future[Any]]] = deque()

    async def store_oldest() -> None:
        batch, staged, parsed = under_way.popleft()
        outcome = await intake.put(
            [(one, prepared) for (one, _), prepared in zip(staged, await parsed, strict=True)]
        )
        counts["imported"] += outcome.imported
        counts["skipped"] += len(batch) - len(staged)
        for where, reason in outcome.refused:
            shown.failure(where, reason)
        shown.advance(sum(one.octets for one in batch), counts)

    for batch in batches:
        staged = await intake.stage(batch)
        parsed = loop.run_in_executor(pool, parse_all, [message for _, message in staged])
        under_way.append((batch, staged, parsed))
        if len(under_way) > AHEAD:
            await store_oldest()
    while under_way:
        await store_oldest()


def _batches(found: "Iterator[Found]", shown: "Progress", seen: bool) -> "Iterator[Sequence[Incoming]]":
    from dataclasses import replace

    from veredus.cli.transfer.incoming import Unreadable

    batch: list[Incoming] = []
    octets = 0
    for one in found:
        if isinstance(one, Unreadable):
            shown.failure(one.where, one.reason)
            continue
        batch.append(replace(one, keywords=one.keywords | {"$seen"}) if seen else one)
        octets += len(one.data)
        if len(batch) == BATCH_MESSAGES or octets >= BATCH_OCTETS:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch
