"""`veredus doctor`: whether everything that a server needs is as it should be."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from veredus.cli.common import EXIT_PROBLEMS, Json, invocation, write_json
from veredus.cli.finding import Finding

if TYPE_CHECKING:
    from veredus.config import Config

_LOW_SPACE = 1024**3
_BACKUP_AGE_S = 7 * 86_400
_CERTIFICATE_DAYS = 21


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Look at settings, data directory, database, replicas, blobs, bus, ports, disk, clock and backups.

    Exit code 3: there is a problem; warnings are none.
    """
    from veredus.config import ConfigError

    try:
        loaded = invocation(ctx).load()
    except ConfigError as error:
        findings = [Finding("settings", "problem", problem) for problem in error.problems]
    else:
        findings = [Finding("settings", "ok", str(loaded.file or "no file, the defaults hold"))]
        findings += _examine(loaded.config)
    if as_json:
        write_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.level:8} {finding.name}: {finding.text}")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(EXIT_PROBLEMS)


def _examine(config: "Config") -> Iterator[Finding]:
    import asyncio

    from veredus import log as logs
    from veredus.cli.opened import needs_data_dir

    logs.configure(config.log.format, "error")
    has_data = needs_data_dir(config)
    directory = list(_directory(config.data_dir, has_data=has_data))
    yield from directory
    yield from _ports(config)
    yield _certificate(config)
    is_good = not any(finding.level == "problem" for finding in directory)
    if is_good and config.data_dir.exists():
        yield from _disk(config.data_dir)
        yield _clock(config.data_dir)
    if is_good and config.storage.url != "memory":
        yield from asyncio.run(_parts(config))
        yield _backup(config.data_dir, is_alone=config.storage.url == "sqlite")


async def _parts(config: "Config") -> list[Finding]:
    from veredus.cli import doctor_parts as parts

    return [
        *[finding async for finding in parts.database(config)],
        await parts.blobs(config),
        await parts.bus(config),
    ]


def _directory(path: Path, *, has_data: bool) -> Iterator[Finding]:
    name = "data directory"
    if not has_data and not path.exists():
        yield Finding(name, "ok", f"{path} is not there yet; a node of a cluster keeps nothing in it")
        return
    if not path.exists():
        yield Finding(
            name, "problem", f"{path} is not there - `veredus account add` makes it, or set data_dir"
        )
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        owner = path.stat().st_uid
        yield Finding(
            name,
            "problem",
            f"{path} belongs to user {owner}, we are {os.getuid()} - chown it, or run as that user",
        )
        return
    if path.stat().st_mode & 0o077:
        yield Finding(name, "warning", f"{path} is open to others - chmod 700 {path}")
        return
    yield Finding(name, "ok", str(path))


def _ports(config: "Config") -> Iterator[Finding]:
    from veredus.cli import busy
    from veredus.cli.running import addresses

    for address in addresses(config):
        problem = busy.explain([address])
        if problem is None:
            yield Finding("port", "ok", f"{address} is free: no server is running")
        elif "in use by veredus" in problem:
            yield Finding("port", "ok", problem)
        else:
            yield Finding("port", "problem", f"{problem} - stop that, or listen elsewhere")


def _disk(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    level: Literal["ok", "warning"] = "ok" if free >= _LOW_SPACE else "warning"
    remedy = "" if level == "ok" else " - make room: without space mail is refused for a while"
    yield Finding("disk", level, f"{free / 1024**3:.1f} GiB free{remedy}")


def _clock(path: Path) -> Finding:
    """A clock that was set back shows in files from the future."""
    newest = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
    if newest > time.time() + 60:
        then = datetime.fromtimestamp(newest, UTC)
        return Finding(
            "clock", "problem", f"the data is of {then:%Y-%m-%d %H:%M} UTC, in the future - set the clock"
        )
    return Finding("clock", "ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _certificate(config: "Config") -> Finding:
    from veredus.cli.certificate import expiry

    if config.tls.mode == "off" or config.tls.cert is None or config.tls.key is None:
        return Finding("certificate", "ok", "TLS is off: for loopback, or behind a proxy")
    try:
        ends = expiry(config.tls.cert, config.tls.key)
    except OSError as error:  # ssl.SSLError is one
        return Finding(
            "certificate", "problem", f"{config.tls.cert}: {error.strerror or error} - renew or name another"
        )
    days = (ends - datetime.now(UTC)).days
    if days < _CERTIFICATE_DAYS:
        return Finding("certificate", "warning", f"{config.tls.cert} ends in {days} days - renew it")
    return Finding("certificate", "ok", f"valid for {days} days")


def _backup(path: Path, *, is_alone: bool) -> Finding:
    """``is_alone``: no other machine can have made one."""
    import json

    from veredus.cli.backup import LAST

    try:
        last = json.loads((path / LAST).read_text(encoding="utf-8"))
        age = datetime.now(UTC) - datetime.fromisoformat(last["at"])
    except (OSError, ValueError, KeyError):
        if not is_alone:
            return Finding("backup", "ok", "none was made on this machine; see docs/backup.md")
        return Finding("backup", "warning", "none was made by `veredus backup create` - make one, regularly")
    if age.total_seconds() > _BACKUP_AGE_S:
        return Finding(
            "backup", "warning", f"the last is {age.days} days old ({last['directory']}) - make one"
        )
    return Finding("backup", "ok", f"{last['directory']}, {last['at']}")
