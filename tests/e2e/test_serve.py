"""`veredus serve` as a process: mail comes in by LMTP and SMTP, and is read over HTTP."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from e2e.checks import check_whole, copied
from e2e.clients import HttpJmap, MailClient, Refused
from e2e.process import ServerProcess
from jmap import message
from veredus.quota.type import set_limits

ALICE, BOB, SMALL = "alice@example.com", "bob@example.com", "small@example.com"
MEBIBYTE = 1024 * 1024
# The tests of this module share a server where they can.
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Site:
    """A server, its users, and the clients that a test has opened."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.accounts: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self._clients: list[HttpJmap] = []

    @classmethod
    async def made(cls, directory: Path, settings: str = "") -> "Site":
        site = cls(ServerProcess(directory, settings))
        async with site.server.opened() as app:
            for address in (ALICE, BOB, SMALL):
                site.accounts[address] = await app.add_account(address, address.partition("@")[0])
            for scope in ("read", "write"):
                _, site.tokens[scope] = await app.accounts.create_token(ALICE, scope, scope, app.clock.now())
            await app.accounts.grant(BOB, site.accounts[ALICE], "read")
            async with app.store.write(site.accounts[SMALL]) as tx:
                await set_limits(tx, 5000, None)
        await site.server.start()
        return site

    def jmap(self, address: str, auth: Any = None) -> HttpJmap:
        """A client with the address's account; ``auth`` other than the user's own password."""
        auth = auth or (address, address.partition("@")[0])
        self._clients.append(HttpJmap(self.server.url, auth, self.accounts.get(address, "")))
        return self._clients[-1]

    async def close_clients(self) -> None:
        while self._clients:
            await self._clients.pop().close()

    @asynccontextmanager
    async def mail(self, protocol: str) -> AsyncIterator[MailClient]:
        client = await MailClient.connect(self.server.ports[protocol], is_lmtp=protocol == "lmtp")
        try:
            yield client
        finally:
            await client.close()

    async def deliver(self, data: bytes, *recipients: str, protocol: str = "lmtp", **more: Any) -> list[str]:
        async with self.mail(protocol) as client:
            return await client.send(data, *recipients, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = await Site.made(tmp_path_factory.mktemp("serve"))
    async with site.server:
        yield site
        assert site.server.errors == [], site.server.errors[:20]


@pytest_asyncio.fixture(loop_scope="module")
async def site(shared_site: Site) -> AsyncIterator[Site]:
    yield shared_site
    await shared_site.close_clients()


@pytest_asyncio.fixture(loop_scope="module")
async def own_site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server that the test may stop."""
    site = await Site.made(tmp_path)
    async with site.server:
        yield site
        await site.close_clients()
        assert site.server.errors == [], site.server.errors[:20]


async def emails(client: HttpJmap, subject: str) -> list[Any]:
    """The Emails with this word in the subject."""
    ids = (await client.call("Email/query", filter={"subject": subject}))["ids"]
    return list((await client.call("Email/get", ids=ids, fetchAllBodyValues=True))["list"])


@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
async def test_mail_comes_in_and_is_read_with_a_password_and_with_a_token(site: Site, protocol: str) -> None:
    subject = f"by{protocol}"
    replies = await site.deliver(message(subject, "Grüße\n.hidden\n"), ALICE, protocol=protocol)
    assert [reply[:3] for reply in replies] == ["250"]
    for auth in (None, site.tokens["read"]):
        client = site.jmap(ALICE, auth)
        session = await client.session()
        assert session["username"] == ALICE
        [email] = await emails(client, subject)
        assert [value["value"] for value in email["bodyValues"].values()] == ["Grüße\n.hidden\n\n"]
        data = await client.download(email["blobId"])
        assert len(data) == email["size"]
        assert data.endswith(b"\r\n.hidden\r\n\r\n")
        assert data.startswith(b"Return-Path: <sender@example.org>\r\nReceived: ")


async def test_each_recipient_has_a_copy_and_a_reply(site: Site) -> None:
    async with site.mail("lmtp") as client:
        await client.say("MAIL FROM:<>")
        replies = [await client.say(f"RCPT TO:<{address}>") for address in (ALICE, "nobody@example.com", BOB)]
        assert [reply[:3] for reply in replies] == ["250", "550", "250"]
        await client.say("DATA")
        client.writer.write(message("forboth") + b".\r\n")
        assert [(await client.reply())[:9] for _ in range(2)] == ["250 2.1.5"] * 2
    assert [len(await emails(site.jmap(address), "forboth")) for address in (ALICE, BOB)] == [1, 1]


async def test_a_sub_address_reaches_its_user(site: Site) -> None:
    await site.deliver(message("tagged"), "Alice+news@example.com")
    assert len(await emails(site.jmap(ALICE), "tagged")) == 1


async def test_addresses_and_header_fields_may_be_utf_8(site: Site) -> None:
    async with site.mail("smtp") as client:
        assert "250-SMTPUTF8" in client.extensions
        text = message("überall", From="Jürgen <jürgen@exämple.org>")
        await client.send(text, ALICE, sender="jürgen@exämple.org", options=" SMTPUTF8 BODY=8BITMIME")
    [email] = await emails(site.jmap(ALICE), "überall")
    assert email["from"] == [{"name": "Jürgen", "email": "jürgen@exämple.org"}]


@pytest.mark.parametrize(
    "auth",
    [(ALICE, "wrong"), (ALICE, ""), ("nobody@example.com", "x"), "vrd_wrong", (ALICE, "bob"), ("", "")],
)
async def test_who_cannot_prove_who_they_are_is_refused(site: Site, auth: Any) -> None:
    client = site.jmap(ALICE, auth)
    for path in ("/.well-known/jmap", "/jmap/session", f"/jmap/download/{client.account}/Bx/x"):
        response = await client.http.get(path, follow_redirects=True)
        assert response.status_code == 401
        assert "www-authenticate" in response.headers
    assert (await client.http.post("/jmap", json={"using": [], "methodCalls": []})).status_code == 401


async def test_a_grant_to_read_is_no_grant_to_write(site: Site) -> None:
    await site.deliver(message("granted"), ALICE)
    bob = site.jmap(BOB)
    session = await bob.session()
    alice = site.accounts[ALICE]
    assert session["accounts"][alice]["isReadOnly"] is True
    assert session["accounts"][alice]["isPersonal"] is False
    bob.account = alice
    [email] = await emails(bob, "granted")
    assert (await bob.error("Email/set", destroy=[email["id"]]))["type"] == "accountReadOnly"
    assert (await bob.http.post(f"/jmap/upload/{alice}/", content=b"x")).status_code == 403
    assert b"granted" in await bob.download(email["blobId"])
    # And no other account is there at all.
    bob.account = site.accounts[SMALL]
    assert (await bob.error("Email/get", ids=[]))["type"] == "accountNotFound"
    assert (await bob.http.post(f"/jmap/upload/{bob.account}/", content=b"x")).status_code == 404


async def test_a_token_for_reading_changes_nothing(site: Site) -> None:
    client = site.jmap(ALICE, site.tokens["read"])
    assert (await client.error("Mailbox/set", create={"a": {"name": "A"}}))["type"] == "forbidden"
    client = site.jmap(ALICE, site.tokens["write"])
    assert (await client.call("Mailbox/set", create={"a": {"name": "A"}}))["created"]["a"]["id"]


async def test_a_big_message_arrives_whole(site: Site) -> None:
    body = random.Random(1).randbytes(10 * MEBIBYTE).hex(" ", 40).replace(" ", "\r\n")
    [reply] = await site.deliver(message("bigone", body.replace("\r\n", "\n")), ALICE)
    assert reply.startswith("250"), reply
    client = site.jmap(ALICE)
    [id] = (await client.call("Email/query", filter={"subject": "bigone"}))["ids"]
    [email] = (await client.call("Email/get", ids=[id], properties=["blobId", "size"]))["list"]
    data = await client.download(email["blobId"])
    assert len(data) == email["size"]
    assert data.endswith(body.encode() + b"\r\n")


async def test_a_message_that_is_too_big_is_refused_for_good(site: Site) -> None:
    async with site.mail("smtp") as client:
        reply = await client.say("MAIL FROM:<a@example.org> SIZE=99999999999")
        assert reply.startswith("552 5.3.4"), reply


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"no header field here\r\n", b"\0" * 5000, b"\xff\xfe\r\n\r\n\x80", b":\r\n" * 3000, b"x" * 200_000,
     b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 20_000],
    ids=["empty", "blank", "text", "nul", "8 bit", "colons", "long line", "parts"],
)  # fmt: skip
async def test_a_bad_message_is_stored_or_refused_for_good(site: Site, data: bytes) -> None:
    client = site.jmap(ALICE)

    async def count() -> int:
        return int((await client.call("Quota/get", ids=["count"]))["list"][0]["used"])

    before = await count()
    try:
        [reply] = await site.deliver(data, ALICE)
    except Refused as refusal:
        reply = str(refusal)
    assert reply[0] in "25", reply
    assert await count() == before + (reply[0] == "2")


async def test_a_full_account_takes_nothing_more(site: Site) -> None:
    small = site.jmap(SMALL)
    [first] = await site.deliver(message("fits"), SMALL)
    assert first.startswith("250"), first
    [second] = await site.deliver(message("toomuch", "x\n" * 3000), SMALL)
    assert second.startswith("552 5.2.2"), second
    # Another recipient of the same message has it.
    replies = await site.deliver(message("toomuch", "x\n" * 3000), SMALL, BOB)
    assert [reply[:3] for reply in replies] == ["552", "250"]
    inbox = (await small.call("Mailbox/query", filter={"role": "inbox"}))["ids"][0]
    blob = await small.upload(message("toomuch", "x\n" * 3000))
    imported = await small.call("Email/import", emails={"e": {"blobId": blob, "mailboxIds": {inbox: True}}})
    assert imported["notCreated"]["e"]["type"] == "overQuota"
    assert [email["subject"] for email in await emails(small, "fits")] == ["fits"]
    assert await emails(small, "toomuch") == []


async def test_slow_clients_hold_up_nobody(site: Site) -> None:
    """Some stop in the middle of a request, of a command, of a message; some never read what they get."""
    ports = site.server.ports
    head = b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nSubject: never ends\r\n"
    stuck = [
        (ports["http"], b"POST /jmap HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"),
        (ports["http"], b"GET /jmap/sess"),
        (ports["http"], b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 300),
        (ports["lmtp"], head),
        (ports["smtp"], b"EHL"),
        (ports["smtp"], b"NOOP\r\n" * 190),
    ]
    connections = [await asyncio.open_connection("127.0.0.1", port) for port, _ in stuck * 10]
    for (_, octets), (_, writer) in zip(stuck * 10, connections, strict=True):
        writer.write(octets)
    try:
        async with asyncio.timeout(30):
            client = site.jmap(ALICE)
            for number in range(5):
                [reply] = await site.deliver(message(f"meanwhile{number}"), ALICE)
                assert reply.startswith("250")
                assert len(await emails(client, f"meanwhile{number}")) == 1
    finally:
        for _, writer in connections:
            writer.transport.abort()


async def test_junk_does_no_harm_and_fills_no_memory(site: Site) -> None:
    chance = random.Random(2)
    for _ in range(3):
        with _connections_closed() as writers:
            for number in range(60):
                port = site.server.ports[("http", "smtp", "lmtp")[number % 3]]
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writers.append(writer)
                writer.write(_junk(chance, number))
            await asyncio.sleep(0.2)
    client = site.jmap(ALICE)
    big = [
        b"[" * 9 * MEBIBYTE,
        b'{"using":' + b'[""],' * MEBIBYTE,
        b"[" + b'{"a":{}},' * MEBIBYTE + b"0]",
        b'"' + b"\\u0041" * MEBIBYTE,
        os.urandom(9 * MEBIBYTE),
    ]
    for body in big:
        response = await client.http.post("/jmap", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400
    response = await client.http.post(
        "/jmap", content=b" " * 11 * MEBIBYTE, headers={"content-type": "application/json"}
    )
    assert response.status_code in (400, 413)
    assert response.json()["limit"] == "maxSizeRequest"
    assert (await client.http.get("/readyz")).json()["status"] == "ready"
    # Of these some 70 are the process itself; the tests before this one have had their peaks, too.
    assert site.server.peak() < 256 * MEBIBYTE


@contextmanager
def _connections_closed() -> Iterator[list[asyncio.StreamWriter]]:
    writers: list[asyncio.StreamWriter] = []
    try:
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


def _junk(chance: random.Random, number: int) -> bytes:
    beginnings = [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /jmap HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02",
    ]
    beginnings += [
        b"EHLO x\r\n",
        b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nBDAT 99999999\r\n",
        b"x" * 100_000,
    ]
    return beginnings[number // 3 % len(beginnings)] + chance.randbytes(chance.choice([10, 1000, 300_000]))


async def test_a_restart_keeps_everything(own_site: Site) -> None:
    site = own_site
    for number in range(5):
        await site.deliver(message(f"kept{number}"), ALICE)
    client = site.jmap(ALICE)
    before = await copied(client)
    session = await client.session()
    await site.close_clients()
    assert await site.server.stop() == 0
    assert site.server.log[-1]["event"] == "stopped"

    await site.server.start()
    client = site.jmap(ALICE, site.tokens["write"])
    assert await copied(client) == before
    assert (await client.session())["accounts"] == session["accounts"]
    await check_whole(client, before, word="text")
    async with site.server.opened() as app:
        assert await app.store.check() == []


async def test_what_is_in_flight_is_ended_before_the_server_stops(own_site: Site) -> None:
    site = own_site
    lmtp = await MailClient.connect(site.server.ports["lmtp"], is_lmtp=True)
    for command in ("MAIL FROM:<>", f"RCPT TO:<{ALICE}>", "DATA"):
        assert (await lmtp.say(command))[0] in "23"
    client = site.jmap(ALICE)
    arrives = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"x":'
        arrives.set()
        await asyncio.sleep(1)
        yield b'1},"c"]]}'

    request = asyncio.create_task(
        client.http.post("/jmap", content=slowly(), headers={"content-type": "application/json"})
    )
    await arrives.wait()
    await asyncio.sleep(0.3)
    stopping = asyncio.create_task(site.server.stop())
    await asyncio.sleep(0.3)
    lmtp.writer.write(message("lastminute") + b".\r\n")
    assert (await lmtp.reply()).startswith("250")
    assert (await request).json()["methodResponses"] == [["Core/echo", {"x": 1}, "c"]]
    assert await stopping == 0
    await lmtp.close()
    with pytest.raises(httpx.ConnectError):
        await client.http.get("/healthz")
    await site.close_clients()
    await site.server.start()
    assert len(await emails(site.jmap(ALICE), "lastminute")) == 1
