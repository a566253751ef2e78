"""`veredus export`: mail of an account into files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from veredus.cli.common import EXIT_PROBLEMS, Failure
from veredus.cli.opened import with_app

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.cli.transfer.outgoing import Damaged, Outgoing, Outlet
    from veredus.cli.transfer.progress import Progress

app = typer.Typer(
    help="Write the mail of an account into files; the server may run meanwhile.", no_args_is_help=True
)

From = Annotated[str, typer.Option("--from", help="The user, or the id of the account.")]
Mailbox = Annotated[
    str | None,
    typer.Option("--mailbox", help="Only this Mailbox, not those below it; Parent/Child for a lower one."),
]


@app.command()
def mbox(
    ctx: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            help="A new directory for a file per Mailbox; with --mailbox a new file.", metavar="DST"
        ),
    ],
    source: From,
    mailbox: Mailbox = None,
) -> None:
    """Write mbox files: mboxrd quoting, LF line ends. Keywords are not in them; Maildir keeps those."""
    from veredus.cli.transfer import mbox as format

    _must_be_new(target)
    files: dict[Path, BinaryIO] = {}

    def write(message: "Outgoing") -> None:
        paths = [target] if mailbox else [_file(target, path, ".mbox") for path in message.mailboxes]
        for path in paths:
            if path not in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                files[path] = path.open("xb")
            format.write(files[path], message.data, message.received, message.author)

    try:
        _run(ctx, source, mailbox, write)
    finally:
        for file in files.values():
            file.close()


@app.command()
def maildir(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(help="A new or empty directory.", metavar="DST")],
    source: From,
    mailbox: Mailbox = None,
) -> None:
    """Write a Maildir++: the stored bytes unchanged (CRLF line ends), keywords as flags."""
    from veredus.cli.transfer import maildir as format

    _must_be_new(target)
    writer = format.Writer(target)

    def write(message: "Outgoing") -> None:
        for path in [("INBOX",)] if mailbox else message.mailboxes:
            writer.write(path, message)

    _run(ctx, source, mailbox, write)


@app.command()
def eml(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(help="A directory; what is in it stays.", metavar="DST")],
    source: From,
    mailbox: Mailbox = None,
) -> None:
    """Write a file per message: the stored bytes unchanged (CRLF line ends), in a directory per Mailbox.

    Interrupted, it goes on when it is run again: messages do not change, so what is there stays.
    """

    def write(message: "Outgoing") -> None:
        name = f"{message.received:%Y%m%dT%H%M%SZ}-{message.id}"
        for path in [()] if mailbox else message.mailboxes:
            file = _file(target, (*path, name), ".eml")
            if file.exists():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_bytes(message.data)
            moment = message.received.timestamp()
            os.utime(partial, (moment, moment))
            partial.replace(file)

    _run(ctx, source, mailbox, write)


def _must_be_new(target: Path) -> None:
    """Nothing is overwritten, and nothing mixed with what is there."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise Failure(f"{target} is there already - name a new one, or move it away first")


def _file(top: Path, names: tuple[str, ...], suffix: str) -> Path:
    """A path whose parts are safe: a Mailbox may be called ``../x``."""
    parts = [_safe(name) for name in names]
    return top.joinpath(*parts[:-1], parts[-1] + suffix)


def _safe(name: str) -> str:
    safe = "".join("_" if c in "/\\\0" or not c.isprintable() else c for c in name)
    return "_" + safe[1:] if safe.startswith(".") else safe or "_"


def _run(ctx: typer.Context, source: str, mailbox: str | None, write: "Callable[[Outgoing], None]") -> None:
    """Export everything that can be read; exit code 3 when something could not be."""
    from veredus.cli.transfer.progress import progress

    async def work(opened: "App") -> tuple[int, "Progress"]:
        from veredus.cli.transfer.outgoing import Outlet

        account = await opened.accounts.account_of(source)
        outlet = Outlet(opened, account, await _mailbox(opened, account, mailbox))
        await outlet.open()
        with progress(len(outlet.ids), is_octets=False) as shown:
            return await _export(outlet, write, shown), shown

    exported, shown = with_app(ctx, work)
    typer.echo(f"{exported} exported{f', {shown.failed} damaged' if shown.failed else ''}", err=True)
    if shown.failed:
        typer.echo("`veredus db check` says what else is wrong; docs/operations.md what to do", err=True)
        raise typer.Exit(EXIT_PROBLEMS)


async def _export(outlet: "Outlet", write: "Callable[[Outgoing], None]", shown: "Progress") -> int:
    from veredus.cli.transfer.outgoing import Damaged

    exported = 0
    for damaged in outlet.damaged:
        _tell(damaged, shown)
    async for message in outlet.messages():
        if isinstance(message, Damaged):
            _tell(message, shown)
        else:
            write(message)
            exported += 1
        shown.advance(1, {"exported": exported})
    return exported


def _tell(damaged: "Damaged", shown: "Progress") -> None:
    """For people on standard error, where the bar writes it itself, and for programs as a line of JSON."""
    from veredus.cli.transfer.progress import Lines

    shown.failure(damaged.where, damaged.reason)
    if isinstance(shown, Lines):
        typer.echo(f"{damaged.where}: {damaged.reason}", err=True)


async def _mailbox(opened: "App", account: str, name: str | None) -> str | None:
    from veredus.cli.sound import Sound
    from veredus.cli.transfer.incoming import mailbox_path
    from veredus.cli.transfer.intake import find_mailbox
    from veredus.cli.transfer.outgoing import mailbox_paths

    if name is None:
        return None
    async with opened.store.read(account) as snapshot:
        sound = Sound(snapshot)
        found = await find_mailbox(sound, mailbox_path(name))
        if found is None:
            names = ", ".join(sorted("/".join(path) for path in (await mailbox_paths(sound)).values()))
            raise Failure(f"there is no Mailbox {name!r}; there are: {names}")
    return found
