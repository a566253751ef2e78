"""/healthz, /readyz and /metrics of the bridges of this process; no credentials, and nothing of any mail."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from veredus.bridge.monitor.metrics import BridgeMetrics
from veredus.bridge.status import BridgeStatus

log = structlog.get_logger("veredus.bridge")


class CannotListen(OSError):
    """The address of ``monitor.listen`` cannot be had."""


class Health:
    """What the three resources answer. ``bridges``: with the lag up to which each is ready, in seconds."""

    def __init__(self, bridges: Sequence[tuple[BridgeStatus, float]]) -> None:
        self._bridges = bridges
        self._registry = CollectorRegistry()
        BridgeMetrics(self._registry, [status for status, _ in bridges])

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        application.router.add_get("/metrics", self._scrape)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        """That this is answered is the answer: process and loop are alive."""
        return web.json_response({"status": "ok"})

    async def _readiness(self, _: web.Request) -> web.Response:
        found = {status.name: status.problems(max_lag_s) for status, max_lag_s in self._bridges}
        modes = {status.name: status.mode for status, _ in self._bridges}
        is_ready = not any(found.values())
        # One word for who reads no further: standby is as ready as active.
        word = next(iter(modes.values())) if len(set(modes.values())) == 1 else "active"
        body = {
            "status": word if is_ready else "unavailable",
            "bridges": {name: {"mode": modes[name], "problems": found[name]} for name in found},
        }
        return web.json_response(body, status=200 if is_ready else 503, headers={"Cache-Control": "no-store"})

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


@asynccontextmanager
async def serving(bridges: Sequence[tuple[BridgeStatus, str | None, float]]) -> AsyncIterator[list[str]]:
    """Answer at each address that a bridge names, for all that name it; the addresses, with their ports.

    Of each bridge its status, its address, and the lag up to which it is ready. Raises CannotListen.
    """
    by_address: dict[str, list[tuple[BridgeStatus, float]]] = {}
    for status, address, max_lag_s in bridges:
        if address is not None:
            by_address.setdefault(address, []).append((status, max_lag_s))
    runners: list[web.AppRunner] = []
    addresses: list[str] = []
    try:
        for address, there in by_address.items():
            # A probe each few seconds for ever is nothing for the log.
            runner = web.AppRunner(Health(there).application(), access_log=None, shutdown_timeout=1.0)
            runners.append(runner)
            await runner.setup()
            addresses += await _listen(runner, address)
        yield addresses
    finally:
        for runner in runners:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, address: str) -> list[str]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:  # of a port alone: on every interface?
        raise CannotListen(f"monitor.listen {address}: expected HOST:PORT")
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    except OSError as error:
        # asyncio puts the address into its text once more.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise CannotListen(f"monitor.listen {address}: {why}") from None
    found = [f"{name[0]}:{name[1]}" for name in runner.addresses]
    log.info("monitor_listens", addresses=found)
    return found
