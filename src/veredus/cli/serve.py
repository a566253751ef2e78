"""`veredus serve`: the server of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import invocation

if TYPE_CHECKING:
    from veredus.config import Config
    from veredus.serving import Running


def serve(
    ctx: typer.Context,
    pidfile: Annotated[
        Path | None, typer.Option("--pidfile", help="Keep the process id in this file while running.")
    ] = None,
) -> None:
    """Run HTTP, SMTP and LMTP as configured, until SIGTERM or SIGINT; what is in flight is ended first."""
    from veredus.cli import running

    config = invocation(ctx).load().config
    with running.pidfile(pidfile):
        running.run(_serve(config))


async def _serve(config: "Config") -> None:
    import structlog

    from veredus import __version__
    from veredus import log as logs
    from veredus.app import open_app
    from veredus.cli.running import serve_until_stopped

    logs.configure(config.log.format, config.log.level)
    log = structlog.get_logger()

    async def announce(running: "Running") -> None:
        log.info(
            "ready",
            version=__version__,
            http=running.http.addresses,
            smtp=running.smtp.addresses if running.smtp else [],
            lmtp=running.lmtp.addresses if running.lmtp else [],
            data_dir=str(config.data_dir),
        )

    async with open_app(config) as app:
        await serve_until_stopped(app, announce)
    log.info("stopped")
