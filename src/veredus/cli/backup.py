"""`veredus backup`: copies of everything, made while the server runs. See docs/backup.md."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import (
    EXIT_PROBLEMS,
    EXIT_USAGE,
    Failure,
    Json,
    NoIndex,
    invocation,
    write_json,
    write_note,
)
from veredus.cli.db_copy import place_of
from veredus.cli.opened import data_of, with_app

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config

app = typer.Typer(help="Copies of everything, made while the server runs.", no_args_is_help=True)

# Written last: a directory without it is no backup.
MANIFEST = "backup.json"
# In the data directory, for `doctor`.
LAST = "last-backup.json"
_DATABASE, _BLOBS = "veredus.db", "blobs"

Directory = Annotated[Path, typer.Argument(help="The directory of the backup.", metavar="DIR")]


@app.command()
def create(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.", metavar="DIR")],
    no_blobs: Annotated[
        bool,
        typer.Option("--no-blobs", help="Records alone: the messages are kept safe by other means."),
    ] = False,
) -> None:
    """Write a backup of one moment. Large messages become hard links where the file system allows it."""
    from veredus.wire.dates import utc_date

    _must_be_empty(directory)

    async def work(opened: "App") -> None:
        from veredus.maintenance import nothing_deleted
        from veredus.ports import LeaseLost

        try:
            # Records first: every blob they refer to is there, and stays until it is copied.
            async with nothing_deleted(opened.store, _say_that_we_wait):
                await opened.store.backup(str(directory))
                if not no_blobs:
                    await opened.blobs.backup(str(directory / _BLOBS))
        except LeaseLost:
            raise Failure(
                "the backup was given up: for some seconds the store could not be asked to keep what is "
                "being copied - try again, into a new directory"
            ) from None

    config = data_of(ctx)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = datetime.now(UTC)
    with_app(ctx, work)
    done = {"at": utc_date(began), "directory": str(directory.absolute())}
    is_old = config.storage.url == "sqlite" and not no_blobs
    write_note(directory / MANIFEST, {"format": 1 if is_old else 2, **done, "blobs": not no_blobs})
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_note(config.data_dir / LAST, done)
    typer.echo(f"wrote {directory} - `veredus backup verify {directory}` reads it again")


def _say_that_we_wait() -> None:
    typer.echo("waiting: a server is deleting what nobody needs, or another backup is being made", err=True)


def _must_be_empty(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise Failure(f"{directory} is not empty - name a new directory for each backup")


def _manifest(directory: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(
            f"{directory} is no backup, or one that was not finished: it has no {MANIFEST}"
        ) from None
    except ValueError as error:
        raise Failure(f"{directory / MANIFEST} is damaged: {error}") from error
    if manifest.get("format") not in (1, 2):
        raise Failure(f"{directory} was made by another version of Veredus: restore it with that one")
    return manifest


@app.command()
def verify(ctx: typer.Context, directory: Directory, as_json: Json = False) -> None:
    """Read a whole backup: records, every blob against its digest, counters. Exit code 3: it is damaged.

    A backup of PostgreSQL is loaded into a database in TMPDIR for that, which is removed afterwards. Of a
    backup without blobs the blobs that are configured are looked for.
    """
    from veredus.cli import restoring
    from veredus.cli.checks import problems

    manifest = _manifest(directory)
    has_blobs = manifest.get("blobs", True)

    async def work(opened: "App") -> list[str]:
        return [problem async for problem in problems(opened, read_blobs=has_blobs)]

    config = _as_data(ctx, directory, has_blobs=has_blobs)
    if restoring.is_file(directory) and has_blobs:
        found = with_app(ctx, work, config=config)
    else:
        blobs = directory if has_blobs else invocation(ctx).load().config.data_dir
        with restoring.loaded(directory, config, blobs / _BLOBS) as as_data:
            found = with_app(ctx, work, config=as_data)
    if as_json:
        write_json({"at": manifest["at"], "problems": found})
    else:
        for problem in found:
            typer.echo(problem)
    if found:
        raise typer.Exit(EXIT_PROBLEMS)
    if not as_json:
        typer.echo(f"good: {directory}, made {manifest['at']}")


def _as_data(ctx: typer.Context, directory: Path, *, has_blobs: bool = True) -> "Config":
    """The settings that open a backup of SQLite in its place."""
    from dataclasses import replace

    from veredus import log as logs

    config = invocation(ctx).load().config
    logs.configure(config.log.format, "debug" if invocation(ctx).verbose else "error")
    blobs = replace(config.blobs, url="file") if has_blobs else config.blobs
    storage = replace(config.storage, url="sqlite")
    bus = replace(config.bus, url=None)  # nobody needs to be told
    return replace(config, data_dir=directory, storage=storage, blobs=blobs, bus=bus)


@app.command()
def restore(
    ctx: typer.Context,
    directory: Directory,
    same_ids: Annotated[
        bool,
        typer.Option(
            "--same-ids",
            help="Keep the account ids: only if nothing was changed since the backup, as in a move.",
        ),
    ] = False,
    no_index: NoIndex = False,
) -> None:
    """Write a backup into --data-dir, or the database of storage.url: new or empty. No server may run yet.

    A backup of SQLite can be restored into PostgreSQL and the other way round. Interrupted, this can be
    repeated, and goes on.

    The accounts get new ids, so that clients fetch everything anew: what they have cached may be of a time
    after the backup. Users, passwords, tokens, addresses and grants are as they were. Push subscriptions are
    not restored: clients make new ones.
    """
    from veredus.cli import restoring

    manifest = _manifest(directory)
    config = invocation(ctx).load().config
    target = config.data_dir
    if target.resolve() == directory.resolve():
        raise Failure("the backup and --data-dir are the same directory", EXIT_USAGE)
    kept = "with the same account ids" if same_ids else "with new account ids"
    if restoring.is_file(directory) and (config.storage.url, config.blobs.url) == ("sqlite", "file"):
        _restore_file(ctx, directory, target, same_ids=same_ids)
    else:
        how = restoring.How(manifest, same_ids=same_ids, no_index=no_index)
        restoring.restore(directory, data_of(ctx, create=True), how)
    into = target if config.storage.url == "sqlite" else place_of(config)
    typer.echo(f"restored {directory} of {manifest['at']} into {into}, {kept}")


def _restore_file(ctx: typer.Context, directory: Path, target: Path, *, same_ids: bool) -> None:
    """A SQLite database becomes a SQLite database."""
    if (target / _DATABASE).exists():
        raise Failure(f"there is data in {target} - move it away first, or name another --data-dir")
    partial = target / "restoring"
    shutil.rmtree(partial, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial.mkdir(mode=0o700)

    async def copy(opened: "App") -> None:
        await opened.store.backup(str(partial))
        if (directory / _BLOBS).is_dir():
            await opened.blobs.backup(str(target / _BLOBS))

    with_app(ctx, copy, config=_as_data(ctx, directory))
    if not same_ids:
        _give_new_ids(ctx, partial)
    # The database comes last: until then there is no data here, and this can be repeated.
    (partial / _DATABASE).replace(target / _DATABASE)
    shutil.rmtree(partial)


def _give_new_ids(ctx: typer.Context, directory: Path) -> None:
    from veredus.app import rename_accounts
    from veredus.cli.restoring import renamed
    from veredus.wire.ids import new_id

    async def rename(opened: "App") -> dict[str, str]:
        ids = {user["account"]: new_id("a") for user in await opened.accounts.users()}
        await renamed(opened, ids)
        return ids

    ids = with_app(ctx, rename, config=_as_data(ctx, directory))
    rename_accounts(directory / _DATABASE, ids)
