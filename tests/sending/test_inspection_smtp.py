"""What one server signs, another takes by SMTP and believes; what is forged is refused there."""

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest

from sending.dns_server import dns_server
from smtp_peer import Servers, port
from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Dns, Storage
from veredus.delivery.inbound import Inbound
from veredus.delivery.terms import Terms
from veredus.domains.records import Surroundings, records
from veredus.inspection.inspector import Inspector

for module in ("authheaders", "spf"):
    pytest.importorskip(module, reason="the extra `checks` is not installed")

MESSAGE = b"From: Ann <ann@sender.example>\r\nTo: bob@here.example\r\nSubject: x\r\n\r\nHello\r\n.dot\r\n"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """A server that is sender.example, too; its records are in DNS, and want mail without proof refused."""
    async with dns_server() as dns:
        memory = Config(
            hostname="here.example",
            storage=Storage(url="memory"),
            blobs=Blobs(url="memory"),
            dns=Dns(servers=(dns.address,)),
        )
        async with open_app(memory) as app:
            for record in records(await app.domains.add("sender.example"), Surroundings("mx.sender.example")):
                if record.type == "TXT":
                    dns.txt(record.name, record.value.replace("p=quarantine", "p=reject"))
            yield app


async def test_what_is_signed_comes_in_and_what_is_forged_does_not(app: App) -> None:
    account = await app.add_account("bob@here.example", None)
    inspector = Inspector(checks="smtp", hostname="here.example", resolver=app.resolver)
    terms = Terms(hostname="here.example", inspector=inspector)
    servers = Servers(Inbound(app.store, app.blobs, app.directory, app.admission, app.clock, terms))
    server = await servers()

    def send(message: bytes) -> int:
        with smtplib.SMTP("127.0.0.1", port(server), local_hostname="client.example") as smtp:
            smtp.ehlo()
            smtp.mail("ann@sender.example")
            smtp.rcpt("bob@here.example")
            code, text = smtp.data(message)
            assert code == 250 or text.startswith(b"5.7.26 "), text
            return code

    signed = await app.domains.sign("sender.example", MESSAGE) + MESSAGE
    for message, code in ((signed, 250), (MESSAGE, 550), (signed.replace(b"Hello", b"Hullo"), 550)):
        assert await asyncio.to_thread(send, message) == code
    async with app.store.read(account) as snapshot:
        (email,) = await snapshot.get("Email", None)
    blob = await app.blobs.get(email["blobId"])
    assert blob is not None
    assert blob.startswith(b"Authentication-Results: here.example;\r\n\tiprev=")
    assert (
        b"\tdmarc=pass header.from=sender.example policy.dmarc=reject\r\nReturn-Path: <ann@sender.example>\r\n"
        in blob
    )
    assert blob.endswith(signed)
    await servers.close()
    await inspector.close()
