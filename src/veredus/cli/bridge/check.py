"""`veredus bridge check`: whether a bridge could run, before it does."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.bridge.common import Name, finish, load, warn
from veredus.cli.common import EXIT_PROBLEMS, EXIT_USAGE, Failure, Json, write_json

if TYPE_CHECKING:
    from veredus.bridge.check import Finding
    from veredus.bridge.settings import BridgeSettings


def check(
    ctx: typer.Context,
    bridge: Name = None,
    show: Annotated[
        bool, typer.Option("--show", help="Write the settings, without secrets, and end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at token, session, accounts, push, clock, NATS, permissions, streams and room; change nothing.

    Exit code 3: something fails; a warning is none.
    """
    loaded = load(ctx)
    if not as_json:
        warn(loaded)
    chosen = [one for one in loaded.bridges if bridge in (None, one.name)]
    if not chosen:
        raise Failure(f"{loaded.path} has no bridge {bridge!r}", EXIT_USAGE)
    if show:
        from veredus.bridge.config import public_json

        write_json([public_json(one) for one in chosen])
        return
    found = {one.name: _check(ctx, one, quiet=as_json, many=len(chosen) > 1) for one in chosen}
    if as_json:
        write_json({name: [_json(finding) for finding in findings] for name, findings in found.items()})
    if any(finding.level == "FAIL" for findings in found.values() for finding in findings):
        raise typer.Exit(EXIT_PROBLEMS)


def _check(ctx: typer.Context, settings: "BridgeSettings", *, quiet: bool, many: bool) -> "list[Finding]":
    async def work() -> "list[Finding]":
        from veredus.bridge.check import check as look

        found = []
        async with aclosing(look(settings)) as findings:
            async for finding in findings:
                found.append(finding)
                if not quiet:
                    prefix = f"{settings.name}: " if many else ""
                    typer.echo(f"{finding.level:5} {prefix}{finding.name}: {finding.text}")
        return found

    return finish(ctx, work)


def _json(finding: "Finding") -> dict[str, Any]:
    return {"name": finding.name, "level": finding.level, "text": finding.text}
