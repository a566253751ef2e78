"""`veredus backup`: copies of everything, made while the server runs. See docs/backup.md."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_PROBLEMS, EXIT_USAGE, Failure, Json, invocation, write_json
from veredus.cli.opened import data_of, with_app
from veredus.wire.dates import utc_date

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
) -> None:
    """Write a backup. Large messages become hard links where the file system allows it."""
    _must_be_empty(directory)

    async def work(opened: "App") -> None:
        from veredus.maintenance import nothing_deleted

        # Records first: every blob they refer to is there, and stays until it is copied.
        with nothing_deleted(opened.config.data_dir):
            await opened.store.backup(str(directory))
            await opened.blobs.backup(str(directory / _BLOBS))

    config = data_of(ctx)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with_app(ctx, work)
    done = {"at": utc_date(datetime.now(UTC)), "directory": str(directory.absolute())}
    _write(directory / MANIFEST, {"format": 1, **done})
    _write(config.data_dir / LAST, done)
    typer.echo(f"wrote {directory} - `veredus backup verify {directory}` reads it again")


def _must_be_empty(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise Failure(f"{directory} is not empty - name a new directory for each backup")


def _write(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value) + "\n", encoding="utf-8")
    partial.replace(path)


def _manifest(directory: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(
            f"{directory} is no backup, or one that was not finished: it has no {MANIFEST}"
        ) from None
    except ValueError as error:
        raise Failure(f"{directory / MANIFEST} is damaged: {error}") from error
    if manifest.get("format") != 1:
        raise Failure(f"{directory} was made by another version of Veredus: restore it with that one")
    return manifest


@app.command()
def verify(ctx: typer.Context, directory: Directory, as_json: Json = False) -> None:
    """Read a whole backup: database, every blob against its digest, counters. Exit code 3: it is damaged."""
    from veredus.cli.checks import problems

    manifest = _manifest(directory)

    async def work(opened: "App") -> list[str]:
        return [problem async for problem in problems(opened, read_blobs=True)]

    found = with_app(ctx, work, config=_as_data(ctx, directory))
    if as_json:
        write_json({"at": manifest["at"], "problems": found})
    else:
        for problem in found:
            typer.echo(problem)
    if found:
        raise typer.Exit(EXIT_PROBLEMS)
    if not as_json:
        typer.echo(f"good: {directory}, made {manifest['at']}")


def _as_data(ctx: typer.Context, directory: Path) -> "Config":
    """The settings that open a backup in its place."""
    from dataclasses import replace

    return replace(invocation(ctx).load().config, data_dir=directory)


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
) -> None:
    """Write a backup into --data-dir, which must be new or empty. No server may run on it yet.

    The accounts get new ids, so that clients fetch everything anew: what they have cached may be of a time
    after the backup. Users, passwords, tokens, addresses and grants are as they were. Push subscriptions are
    not restored: clients make new ones.
    """
    manifest = _manifest(directory)
    target = invocation(ctx).load().config.data_dir
    if target.resolve() == directory.resolve():
        raise Failure("the backup and --data-dir are the same directory", EXIT_USAGE)
    if (target / _DATABASE).exists():
        raise Failure(f"there is data in {target} - move it away first, or name another --data-dir")
    partial = target / "restoring"
    shutil.rmtree(partial, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial.mkdir(mode=0o700)

    async def copy(opened: "App") -> None:
        await opened.store.backup(str(partial))
        await opened.blobs.backup(str(target / _BLOBS))

    with_app(ctx, copy, config=_as_data(ctx, directory))
    if not same_ids:
        _give_new_ids(ctx, partial)
    # The database comes last: until then there is no data here, and this can be repeated.
    (partial / _DATABASE).replace(target / _DATABASE)
    shutil.rmtree(partial)
    kept = "with the same account ids" if same_ids else "with new account ids"
    typer.echo(f"restored {directory} of {manifest['at']} into {target}, {kept}")


def _give_new_ids(ctx: typer.Context, directory: Path) -> None:
    from veredus.app import rename_accounts
    from veredus.wire.ids import new_id

    async def rename(opened: "App") -> dict[str, str]:
        users = await opened.accounts.users()
        ids = {user["account"]: new_id("a") for user in users}
        await opened.accounts.rename(ids)
        # Some were destroyed since; to the others the server that was backed up may still push.
        await opened.web_push.destroy_subscriptions()
        return ids

    ids = with_app(ctx, rename, config=_as_data(ctx, directory))
    rename_accounts(directory / _DATABASE, ids)
