"""`veredus serve`: the server of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import invocation

if TYPE_CHECKING:
    from veredus.config import Config
    from veredus.serving import Running

# Fewer open files than this are few for a server on which clients keep streams open.
_FEW_FILES = 4096


def serve(
    ctx: typer.Context,
    pidfile: Annotated[
        Path | None, typer.Option("--pidfile", help="Keep the process id in this file while running.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="The setting workers: processes that serve together."),
    ] = None,
) -> None:
    """Run HTTP, SMTP and LMTP as configured, until SIGTERM or SIGINT; what is in flight is ended first.

    With several workers SIGHUP reads the configuration again and replaces them, without losing a request.
    """
    import structlog

    from veredus import log as logs
    from veredus.cli import running

    def load() -> "Config":
        return invocation(ctx).load(workers=workers).config

    config = load()
    logs.configure(config.log.format, config.log.level)
    most_files = running.raise_open_files()
    if most_files < _FEW_FILES:
        structlog.get_logger().warning(
            "few open files are allowed", most=most_files, remedy="ulimit -Hn, or LimitNOFILE of systemd"
        )
    with running.pidfile(pidfile):
        if config.workers > 1:
            from veredus.cli.workers.supervisor import supervise

            supervise(config, load)
        else:
            running.run(_serve(config))


async def _serve(config: "Config") -> None:
    import asyncio
    import signal

    import structlog

    from veredus import __version__
    from veredus.app import open_app
    from veredus.cli.running import serve_until_stopped

    log = structlog.get_logger()

    def refuse_to_reload() -> None:
        log.warning("not reloaded", reason="one process cannot replace itself: it needs workers = 2 at least")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, refuse_to_reload)

    async def announce(running: "Running") -> None:
        log.info(
            "ready",
            version=__version__,
            http=running.http.addresses,
            smtp=running.smtp.addresses if running.smtp else [],
            lmtp=running.lmtp.addresses if running.lmtp else [],
            submission=running.submission.addresses if running.submission else [],
            data_dir=str(config.data_dir),
        )

    async with open_app(config) as app:
        await serve_until_stopped(app, announce)
    log.info("stopped")
