"""`veredus import`: mail from files into an account."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from veredus.cli.common import EXIT_FAILURE, Failure
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.cli.transfer.incoming import Found, Incoming
    from veredus.cli.transfer.intake import Intake
    from veredus.cli.transfer.progress import Progress

app = typer.Typer(
    help="Bring mail into an account from files; the server may run meanwhile.", no_args_is_help=True
)

# What is in memory, and what a crash or a reader has to wait for, at a time.
BATCH_MESSAGES = 100
BATCH_OCTETS = 8 * 1024 * 1024

To = Annotated[str, typer.Option("--to", help="The user, or the id of the account, that gets the mail.")]
Mailbox = Annotated[
    str, typer.Option("--mailbox", help="Where to, made if need be; Parent/Child for a lower one.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Skip what is in its Mailbox already: go on after an interruption."),
]
Seen = Annotated[bool, typer.Option("--seen", help="Mark everything as read.")]


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
    _run(ctx, to, found, sum(path.stat().st_size for path in sources), resume, seen)


@app.command()
def maildir(
    ctx: typer.Context,
    sources: Annotated[list[Path], typer.Argument(help="Maildir or Maildir++ directories.", metavar="DIR...")],
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
    _run(ctx, to, found, sum(map(format.size, sources)), resume, seen)


@app.command()
def eml(
    ctx: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(help="Message files, and directories to search for *.eml.", metavar="PATH...")
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
    _run(ctx, to, found, sum(map(format.size, sources)), resume, seen)


def _exist(sources: Sequence[Path]) -> None:
    for path in sources:
        if not path.exists():
            raise Failure(f"{path}: there is no such file or directory")


def _run(
    ctx: typer.Context, to: str, found: "Iterator[Found]", total: int, resume: bool, seen: bool
) -> None:
    """Import everything; exit code 1 when something could not be."""
    from veredus.cli.transfer.progress import progress

    began = time.monotonic()
    with progress(total, is_octets=True) as shown:
        counts = with_app(ctx, lambda opened: _import(opened, to, found, shown, (resume, seen)))
    seconds = time.monotonic() - began
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "imported"]
    if shown.failed:
        parts.append(f"{shown.failed} failed")
    rate = counts["imported"] / seconds
    typer.echo(f"{', '.join(parts)} in {seconds:.1f} s ({rate:.0f} messages/s)", err=True)
    if shown.failed:
        raise typer.Exit(EXIT_FAILURE)


async def _import(
    opened: "App", to: str, found: "Iterator[Found]", shown: "Progress", options: tuple[bool, bool]
) -> dict[str, int]:
    from veredus.cli.transfer.intake import Full, Intake

    resume, seen = options
    account = await opened.accounts.account_of(to)
    await opened.make_ready(account)
    intake = Intake(opened, account, skip_present=resume)
    counts = {"imported": 0, "skipped": 0}
    try:
        for batch in _batches(found, shown, seen):
            await _put(intake, batch, shown, counts)
    except Full as full:
        raise Failure(
            f"the account is full after {counts['imported']} messages: {full} "
            f"`veredus account quota {to} SIZE` gives it more; then run this again with --resume"
        ) from full
    return counts


async def _put(
    intake: "Intake", batch: "Sequence[Incoming]", shown: "Progress", counts: dict[str, int]
) -> None:
    outcome = await intake.put(batch)
    counts["imported"] += outcome.imported
    counts["skipped"] += outcome.present
    for where, reason in outcome.refused:
        shown.failure(where, reason)
    shown.advance(sum(one.octets for one in batch), counts)


def _batches(
    found: "Iterator[Found]", shown: "Progress", seen: bool
) -> "Iterator[Sequence[Incoming]]":
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
