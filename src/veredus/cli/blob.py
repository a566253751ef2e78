"""`veredus blob`: the messages and uploads themselves. See docs/blobs.md."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import EXIT_PROBLEMS, EXIT_USAGE, Failure, Json, write_json
from veredus.cli.opened import data_of, with_app

if TYPE_CHECKING:
    from veredus.app import App, Copied
    from veredus.config import Config
    from veredus.maintenance import Forgotten

app = typer.Typer(help="The messages and uploads themselves: collect, verify, move.", no_args_is_help=True)


@app.command()
def gc(
    ctx: typer.Context,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            min=0,
            metavar="SECONDS",
            help="Time between the two looks, so that requests under way are over. 0 if no server runs.",
        ),
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Forget now what no record refers to, as the server does each hour.

    Only what was stored more than 25 hours ago, and is nobody's at two looks.
    """
    found = with_app(ctx, lambda opened: _two_rounds(opened, wait, quiet=as_json))
    if as_json:
        write_json({"uploads": found.uploads, "blobs": found.blobs, "purged": found.purged})
    else:
        typer.echo(
            f"forgotten: {found.blobs} blobs, {found.uploads} uploads that nobody used; "
            f"purged: {found.purged} blobs deleted a week ago"
        )


async def _two_rounds(opened: "App", wait_s: float, *, quiet: bool) -> "Forgotten":
    import asyncio

    from veredus.maintenance import Forgotten, Maintenance
    from veredus.ports import LeaseLost

    maintenance = Maintenance(opened.store, opened.blobs, opened.clock)
    rounds = []
    for is_second in (False, True):
        if is_second:
            if not quiet and wait_s:
                typer.echo(f"looking again in {wait_s:.0f} s", err=True)
            await asyncio.sleep(wait_s)
        try:
            done = await maintenance.round()
        except LeaseLost:
            raise Failure("somebody else has taken over the collection - try again later") from None
        if done is None:
            raise Failure("a server is collecting now, or a backup is being made - try again later")
        rounds.append(done)
    first, second = rounds
    return Forgotten(first.uploads + second.uploads, first.blobs + second.blobs, first.purged + second.purged)


@app.command()
def verify(
    ctx: typer.Context,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=0, metavar="N", help="Read only this many, chosen at random."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare every blob with its digest, and look for missing ones. Exit code 3: there are problems.

    The server may run meanwhile.
    """
    from veredus.cli.blob_verify import Verified, verified

    async def work(opened: "App") -> Verified:
        return await verified(opened, sample, tell=_say_nothing if as_json else typer.echo)

    done = with_app(ctx, work)
    if as_json:
        write_json({"blobs": done.blobs, "read": done.read, "problems": done.problems})
    elif not done.problems:
        typer.echo(f"good: {done.blobs} blobs, {done.read} of them read")
    if done.problems:
        if not as_json:
            typer.echo(
                f"{len(done.problems)} problems - a backup may have these blobs (docs/backup.md)", err=True
            )
        raise typer.Exit(EXIT_PROBLEMS)


def _say_nothing(_: str) -> None:
    """The problems come in the JSON."""


@app.command()
def move(
    ctx: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="As blobs.url: s3://bucket/prefix, or file.")
    ],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="URL", help="As blobs.endpoint. Else: Amazon's.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="As blobs.region. Else: the one that is set.")
    ] = None,
) -> None:
    """Copy every blob to another store. Nothing is deleted here, and no setting is changed.

    The server may run meanwhile. What was copied is not copied again: so stop this when you like, and run it
    again with the server stopped before you change the settings.

    Credentials for the other store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, else
    blobs.access_key and blobs.secret_key. Exit code 3: some blobs are damaged, and were left out.
    """
    config = data_of(ctx)
    target = _target(config, to, endpoint, region)
    done = with_app(ctx, lambda opened: _copy(opened, target))
    typer.echo(f"copied {done.blobs} blobs, {done.octets} octets; {done.kept} were there already", err=True)
    if done.damaged:
        typer.echo(f"{len(done.damaged)} damaged blobs were left out: a backup may have them", err=True)
        raise typer.Exit(EXIT_PROBLEMS)
    typer.echo(_what_to_set(target), err=True)


def _target(config: "Config", to: str, endpoint: str | None, region: str | None) -> "Config":
    """The settings with the other store in the place of this one."""
    from dataclasses import replace

    from veredus.config import checks

    for option, text, check in (("--to", to, checks.blobs_url), ("--endpoint", endpoint, checks.http_url)):
        problem = None if text is None else check(text)
        if problem is not None:
            got = "" if "got" in problem else f", got {text!r}"
            raise Failure(f"{option}: {problem}{got}", EXIT_USAGE)
    if to == "memory":
        raise Failure("--to memory: nothing would be left of it when this command ends", EXIT_USAGE)
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not (key and secret):
        key, secret = config.blobs.access_key, config.blobs.secret_key
    blobs = replace(
        config.blobs,
        url=to.rstrip("/"),
        endpoint=endpoint,
        region=region or config.blobs.region,
        access_key=key,
        secret_key=secret,
    )
    if (blobs.url, blobs.endpoint) == (config.blobs.url.rstrip("/"), config.blobs.endpoint):
        raise Failure(f"the blobs are in {to} already: blobs.url says so", EXIT_USAGE)
    return replace(config, blobs=blobs)


async def _copy(opened: "App", target: "Config") -> "Copied":
    from veredus.app import Copied, copy_blobs, open_blobs
    from veredus.cli.transfer.progress import progress
    from veredus.ports import Unavailable

    total = 0
    async for _ in opened.blobs.ids():
        total += 1
    other = await open_blobs(target)
    try:
        with progress(total, is_octets=False) as shown:

            def tell(done: Copied) -> None:
                while shown.failed < len(done.damaged):
                    shown.failure(done.damaged[shown.failed], "damaged: its bytes have another digest")
                shown.advance(1, {"copied": done.blobs, "octets": done.octets, "kept": done.kept})

            return await copy_blobs(opened.blobs, other, tell)
    except Unavailable as error:
        raise Failure(f"{error} - run this again to go on: what was copied stays") from error
    finally:
        await other.close()


def _what_to_set(target: "Config") -> str:
    blobs = target.blobs
    lines = [f'url = "{blobs.url}"']
    if blobs.url != "file":
        lines += [f'endpoint = "{blobs.endpoint}"'] if blobs.endpoint else []
        lines += [f'region = "{blobs.region}"', "# access_key and secret_key, or AWS_... for the server"]
    setting = "\n".join(f"  {line}" for line in ["[blobs]", *lines])
    return (
        "Now stop the server, run this once more for what came meanwhile, and set in veredus.toml:\n"
        f"{setting}\nThe old blobs are still where they were; `veredus blob verify` reads the new ones."
    )
