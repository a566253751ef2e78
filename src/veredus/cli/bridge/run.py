"""`veredus bridge run`: until it is told to stop."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus import __version__
from veredus.cli.bridge.common import failures, load
from veredus.cli.common import invocation

if TYPE_CHECKING:
    from veredus.bridge.config import Loaded
    from veredus.bridge.settings import BridgeSettings


def run(
    ctx: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option("--listen", help="HOST:PORT for /healthz, /readyz and /metrics of all bridges."),
    ] = None,
) -> None:
    """Run the bridges of a file: [[bridge]] in TOML, or jmap2nats.json as it is.

    The file: --config, else $VEREDUS_BRIDGE_CONFIG, $JMAP2NATS_CONFIG, ./bridge.toml, ./jmap2nats.json.
    SIGTERM and SIGINT end it, at any moment without loss; what is down at the start is waited for.
    """
    from veredus.cli.bridge.until_stopped import until_stopped

    loaded = load(ctx)
    verbose = invocation(ctx).verbose
    _begin_log(loaded, verbose)
    bridges = loaded.bridges if listen is None else [_listening(one, listen) for one in loaded.bridges]
    with failures():
        raise typer.Exit(until_stopped(bridges, verbose))


def _listening(settings: "BridgeSettings", address: str) -> "BridgeSettings":
    from msgspec.structs import replace

    return replace(settings, monitor=replace(settings.monitor, listen=address))


def _begin_log(loaded: "Loaded", verbose: bool) -> None:
    import structlog

    from veredus import log as logs

    logs.configure("auto", "debug" if verbose else "info")
    log = structlog.get_logger("veredus.bridge")
    names = [bridge.name for bridge in loaded.bridges]
    log.info("starting", version=__version__, config=str(loaded.path), bridges=names)
    for warning in loaded.warnings:
        log.warning("configuration", config=str(loaded.path), problem=warning)
