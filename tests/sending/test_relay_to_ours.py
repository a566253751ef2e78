"""What our relay sends, our reception takes: the two know nothing of each other but the RFCs."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import pytest
import uvloop

from push.peers import Authority
from sending.relays import parcel, relaying
from veredus.formats.smtp_values import Envelope, Reply
from veredus.smtp.server import serve

HOST = "127.0.0.1"


class Everything:
    """A Delivery (reception) that takes all but "nobody"."""

    def __init__(self) -> None:
        self.received: list[tuple[Envelope, bytes]] = []

    async def recipient(self, address: str) -> Reply | None:
        return Reply(550, "5.1.1", "Nobody") if address.startswith("nobody@") else None

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        self.received.append((envelope, message))
        return [Reply(250, "2.0.0", "ok") for _ in envelope.recipients]


@pytest.mark.parametrize("has_tls", [False, True], ids=["clear", "TLS"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_our_reception_takes_what_our_relay_sends(
    tmp_path: Path, has_tls: bool, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    run(_exchange(Authority(tmp_path).context(HOST) if has_tls else None))


async def _exchange(tls: ssl.SSLContext | None) -> None:
    delivery = Everything()
    server = await serve(["127.0.0.1:0"], delivery, hostname="ours.example", tls=tls)
    texts = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n",
        "Subject: Grüße\r\n\r\nÜ\r\n".encode(),
        b"Subject: large\r\n\r\n" + b".line\r\n" * 300_000,
    ]
    try:
        async with relaying(f"smtp://{server.addresses[0]}") as relay:
            for text in texts:
                fates = await relay.send(HOST, parcel("é@example.org", "nobody@example.org", data=text))
                assert fates["é@example.org"].kind == "relayed"
                assert fates["nobody@example.org"].reply == "550 5.1.1 Nobody"
            for address in ("nobody@example.org", "ann@example.org"):
                fate = (await relay.send(HOST, parcel(address)))[address]
            assert fate.kind == "relayed"
    finally:
        await server.close()
    envelopes = [envelope for envelope, _ in delivery.received]
    assert [it.recipients for it in envelopes] == [("é@example.org",)] * 3 + [("ann@example.org",)]
    assert all(message.endswith(text) for (_, message), text in zip(delivery.received, texts, strict=False))
