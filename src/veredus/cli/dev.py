"""`veredus dev`: a server with demo accounts and a mail catcher, for writing a JMAP client or trying one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import Failure, Invocation, invocation

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config
    from veredus.serving import Running

DATA_DIR = Path("veredus-dev-data")
# Name and address; the password is the local part. The first gets the mail for nobody.
USERS = (("Alice Archer", "alice@localhost"), ("Bob Baker", "bob@localhost"))
HOST = "127.0.0.1"
# Push URLs may lead to this machine: to the page that shows push, and to what is being written.
LOOPBACK = ("127.0.0.0/8", "::1/128")


def dev(
    ctx: typer.Context,
    demo: Annotated[
        int, typer.Option("--demo", min=0, metavar="N", help="Demo messages for each new account.")
    ] = 300,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Keep everything in memory; it is gone at the end.")
    ] = False,
    http_port: Annotated[
        int, typer.Option("--http-port", min=0, max=65535, help="Port for JMAP. 0: any free one.")
    ] = 8580,
    smtp_port: Annotated[
        int, typer.Option("--smtp-port", min=0, max=65535, help="Port for SMTP. 0: any free one.")
    ] = 2525,
    lmtp_port: Annotated[
        int, typer.Option("--lmtp-port", min=0, max=65535, help="Port for LMTP. 0: any free one.")
    ] = 2424,
) -> None:
    """Run a server with demo accounts on this machine alone: alice@localhost and bob@localhost.

    SMTP and LMTP accept every recipient, and what is for nobody comes to alice; so does what they send to
    others. Mail for
    user+tempfail@…, user+reject@… or user+452@… is refused that way, for user+delay5s@… taken slowly.
    Data is kept in --data-dir (./veredus-dev-data). The configuration file is read only if --config names it.
    """
    from veredus.cli import running

    with _directory(invocation(ctx), ephemeral) as data_dir:
        config = _config(invocation(ctx), data_dir, ephemeral, (http_port, smtp_port, lmtp_port))
        running.run(_dev(config, demo, ephemeral))


@contextmanager
def _directory(given: Invocation, ephemeral: bool) -> Iterator[Path]:
    if not ephemeral:
        yield given.data_dir or DATA_DIR
        return
    with tempfile.TemporaryDirectory(prefix="veredus-dev-") as directory:
        yield Path(directory)


def _config(given: Invocation, data_dir: Path, ephemeral: bool, ports: tuple[int, int, int]) -> "Config":
    import os

    from veredus import config

    in_memory = {"storage.url": "memory", "blobs.url": "memory"} if ephemeral else {}
    overrides: dict[str, object] = {
        "data_dir": data_dir,
        "log.level": "debug" if given.verbose else None,
        **in_memory,
    }
    loaded = config.load(given.config, os.environ, overrides).config
    http, smtp, lmtp = _free(tuple(f"{HOST}:{port}" for port in ports), data_dir)
    return replace(
        loaded,
        http=replace(loaded.http, listen=(http,)),
        smtp=replace(loaded.smtp, listen=(smtp,)),
        lmtp=replace(loaded.lmtp, listen=(lmtp,)),
        outgoing=replace(loaded.outgoing, url="local"),
        push=replace(loaded.push, allow=(*loaded.push.allow, *LOOPBACK)),
    )


def _free(wanted: tuple[str, ...], data_dir: Path) -> tuple[str, ...]:
    """The addresses themselves, or if one is taken and the person agrees the next free ones."""
    import sys

    from veredus.cli import busy

    reason = busy.explain(wanted)
    if reason is None:
        return wanted
    others: list[str] = []
    for address in wanted:
        others.append(busy.next_free(address, others))
    options = zip(("--http-port", "--smtp-port", "--lmtp-port"), others, strict=True)
    words = " ".join(f"{option} {busy.split(address)[1]}" for option, address in options)
    if sys.stdin.isatty():
        typer.echo(reason, err=True)
        if typer.confirm(f"Use {', '.join(others)} instead?", default=True, err=True):
            return tuple(others)
        raise typer.Exit(1)
    raise Failure(f"{reason} - these are free: veredus dev {words} --data-dir {data_dir}-2")


async def _dev(config: "Config", demo: int, ephemeral: bool) -> None:
    from veredus import log as logs
    from veredus.app import open_app
    from veredus.cli.catcher import MailCatcher
    from veredus.cli.running import serve_until_stopped
    from veredus.http.debug_push import DebugPush

    logs.configure(config.log.format, "info" if config.log.level == "debug" else "warning")
    async with open_app(config) as app:
        await _make_accounts(app, demo)
        logs.configure(config.log.format, config.log.level)

        async def announce(running: "Running") -> None:
            typer.echo(_banner(running, None if ephemeral else config.data_dir))

        await serve_until_stopped(
            app,
            announce,
            receive=lambda inbound: MailCatcher(inbound, app.directory, USERS[0][1]),
            routes=DebugPush().routes(),
        )


async def _make_accounts(app: "App", demo: int) -> None:
    """Those that are not there yet, with their mail."""
    from veredus.cli.demo.mail import demo_mail
    from veredus.cli.transfer.incoming import batches, parse
    from veredus.cli.transfer.intake import Intake

    present = {user["id"] for user in await app.accounts.users()}
    for name, address in USERS:
        if address in present:
            continue
        account = await app.add_account(address, address.partition("@")[0], name)
        intake = Intake(app, account)
        for batch in batches(demo_mail((name, address), demo, app.clock.now()), 100):
            staged = await intake.stage(batch)
            await intake.put([(one, parse(message)) for one, message in staged])


def _banner(running: "Running", data_dir: Path | None) -> str:
    """What a person can do now. ``data_dir`` None: nothing is kept."""
    http = running.http.addresses[0]
    address = USERS[0][1]
    logins = ", ".join(f"{user} / {user.partition('@')[0]}" for _, user in USERS)
    smtp = running.smtp.addresses[0] if running.smtp else ""
    lmtp = running.lmtp.addresses[0] if running.lmtp else ""
    host, _, port = smtp.rpartition(":")
    return f"""
  JMAP session  http://{http}/.well-known/jmap
  Push          http://{http}/debug/push    a page that shows every transport at work
  Users         {logins}   (Basic)
  SMTP in       {smtp}    accepts everything, delivers locally, nothing leaves this machine
  LMTP in       {lmtp}
  Data          {f"{data_dir}    delete it to start anew" if data_dir else "in memory, gone at the end"}
  Try           curl -sL -u {address}:{address.partition("@")[0]} http://{http}/.well-known/jmap
                swaks --to {USERS[1][1]} --server {host} --port {port}
                veredus import mbox archive.mbox --to {address}{_option(data_dir)}
  Stop          Ctrl-C
"""


def _option(data_dir: Path | None) -> str:
    return f" --data-dir {data_dir}" if data_dir else "     (needs a server without --ephemeral)"
