"""What goes on beside the readers of one bridge on one link: heartbeats, wishes of operators, the service."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog

from veredus.bridge import control
from veredus.bridge.account import AccountReader
from veredus.bridge.accounts import require
from veredus.bridge.ask import Target, ask_snapshot, utc_date
from veredus.bridge.dead_letters import DeadLetters, Parked
from veredus.bridge.monitor.heartbeat import Heartbeat
from veredus.bridge.monitor.lasting import lasting
from veredus.bridge.monitor.service import Control
from veredus.bridge.retry import retry
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import BridgeStatus, report
from veredus.bridge.streams import Streams
from veredus.client.client import Client
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.bridge")
_END_S = 3.0


class Desk:
    """Of one bridge on one link."""

    def __init__(
        self,
        settings: BridgeSettings,
        client: Client,
        streams: Streams,
        status: BridgeStatus,
        *,
        verbose: bool,
    ) -> None:
        self._settings, self._client, self._streams, self._status = settings, client, streams, status
        self._heartbeat = Heartbeat(settings, streams, status, verbose=verbose)
        self._accounts_changed = asyncio.Event()

    async def welcome(self, readers: Mapping[Id, AccountReader]) -> None:
        """All that there are now, before the new ones of them begin. Raises NatsError."""
        self._accounts_changed.set()
        paused = await control.paused(self._streams.state)
        for account, reader in readers.items():
            reader.pause(account in paused)

    def work(self, readers: Mapping[Id, AccountReader]) -> list[Coroutine[Any, Any, None]]:
        """To be run as long as the link is; each raises NatsLost. ``readers`` are those of any moment."""
        name = self._settings.name
        found = [
            lasting(name, "heartbeat", self._heartbeat.run),
            lasting(name, "control", lambda: self._watch(readers)),
        ]
        if self._settings.monitor.control:
            found.append(lasting(name, "service", lambda: self._serve(readers)))
        return found

    async def close(self) -> None:
        """Nobody shall think that this process lives."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._heartbeat.end()

    async def _watch(self, readers: Mapping[Id, AccountReader]) -> None:
        def on_pause(account: Id, paused: bool) -> None:
            if account in readers:
                log.info("paused" if paused else "resumed", account=account)
                readers[account].pause(paused)

        def on_look(account: Id | None) -> None:
            for id, reader in readers.items():
                if account in (None, id):
                    reader.begin_anew()

        await control.watch(self._streams.state, on_pause, on_look)

    async def _serve(self, readers: Mapping[Id, AccountReader]) -> None:
        verbs = {
            "status": self._tell,
            "snapshot": self._snapshot,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
        }
        link, prefix = self._streams.link, self._settings.monitor.control_prefix
        service = Control(link, prefix, self._settings.name, verbs)
        while True:
            self._accounts_changed.clear()
            await service.offer(list(readers))
            await self._accounts_changed.wait()

    # ------------------------------------------------------------ what the service does

    async def _tell(self, account: Id, _: JsonObject) -> JsonObject:
        told = report(self._status, self._settings.monitor.max_lag_s)
        return {**told, "accounts": {account: told["accounts"].get(account)}}

    async def _snapshot(self, account: Id, request: JsonObject) -> JsonObject:
        after = request.get("after")
        if after is not None and not isinstance(after, str):
            raise ValueError("after must be a UTCDate, or null for everything")
        if after is not None:
            after = utc_date(after)
        return {"after": after, "state": await ask_snapshot(self._target(account), after)}

    async def _pause(self, account: Id, _: JsonObject) -> JsonObject:
        return {"changed": await control.pause(self._streams.state, account), "paused": True}

    async def _resume(self, account: Id, _: JsonObject) -> JsonObject:
        return {"changed": await control.resume(self._streams.state, account), "paused": False}

    async def _retry(self, account: Id, _: JsonObject) -> JsonObject:
        letters = [letter async for letter in self._letters(account)]
        counts: dict[str, int] = {}
        async for retried in retry(self._client, self._streams, self._settings, letters):
            counts[retried.outcome] = counts.get(retried.outcome, 0) + 1
        return {"letters": len(letters), "outcomes": counts}

    def _letters(self, account: Id) -> AsyncIterator[Parked]:
        return DeadLetters(self._streams.link, self._settings.dlq).all(account)

    def _target(self, account: Id) -> Target:
        require(self._client.session, account)
        source = AccountSource(self._client, account, self._settings.concurrency)
        return Target(source, self._streams, self._settings, in_events=not self._settings.stream.enabled)
