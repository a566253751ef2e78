"""LMTP over real sockets: one reply for each recipient (RFC 2033)."""

import asyncio
import smtplib
from collections.abc import Sequence
from pathlib import Path

import pytest

from veredus.lmtp.server import serve
from veredus.reception import Envelope, Reply


class Mailbag:
    """Takes mail for all but "full"."""

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, bytes]] = []

    async def recipient(self, address: str) -> Reply | None:
        return Reply(550, "5.1.1", "No such user") if address.startswith("no") else None

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        self.taken.append((envelope, message))
        return [
            Reply(552, "5.2.2", "Full")
            if address.startswith("full")
            else Reply(250, "2.0.0", f"For {address}")
            for address in envelope.recipients
        ]


@pytest.fixture
def bag() -> Mailbag:
    return Mailbag()


async def test_smtplib_delivers_through_a_local_socket(bag: Mailbag, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    server = await serve([f"unix:{path}"], bag, hostname="mx.example")
    assert server.addresses == [f"unix:{path}"]

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.LMTP(str(path), local_hostname="mta.example") as lmtp:
            return lmtp.sendmail(
                "a@example.org", ["b@example.com", "nobody@example.com"], "Subject: x\n\nhi\n"
            )

    assert await asyncio.to_thread(send) == {"nobody@example.com": (550, b"5.1.1 No such user")}
    [(envelope, message)] = bag.taken
    assert (envelope.protocol, envelope.client, envelope.recipients) == ("LMTP", "", ("b@example.com",))
    assert b"Received: from mta.example\r\n\tby mx.example with LMTP id " in message
    assert message.endswith(b"Subject: x\r\n\r\nhi\r\n")
    await server.close()


@pytest.mark.parametrize("text", [b"DATA\r\nx\r\n.\r\n", b"BDAT 3 LAST\r\nx\r\n"])
async def test_each_recipient_has_its_reply_in_order(bag: Mailbag, text: bytes) -> None:
    server = await serve(["127.0.0.1:0"], bag, hostname="mx.example")
    host, _, port = server.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    recipients = b"".join(b"RCPT TO:<%s@example.com>\r\n" % name for name in (b"b", b"full", b"nobody", b"b"))
    writer.write(b"LHLO x\r\nMAIL FROM:<>\r\n" + recipients + text + b"QUIT\r\n")
    replies = [line for line in (await reader.read()).decode().splitlines() if line[3] == " "]
    assert replies[2:7] == [
        "250 2.1.0 Sender OK",
        "250 2.1.5 Recipient OK",
        "250 2.1.5 Recipient OK",
        "550 5.1.1 No such user",
        "250 2.1.5 Recipient OK",
    ]
    assert replies[-4:-1] == ["250 2.0.0 For b@example.com", "552 5.2.2 Full", "250 2.0.0 For b@example.com"]
    writer.close()
    await writer.wait_closed()
    await server.close()
