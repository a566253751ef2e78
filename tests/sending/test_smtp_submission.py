"""Message submission over real sockets: what a client sees, and what leaves (RFC 6409, 4954, 3207, 8314)."""

import asyncio
import smtplib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import TypeVar

import pytest
import structlog

from jmap import Jmap, new_user, open_server
from smtp_peer import Client
from veredus.app import App
from veredus.config.mail_settings import Lmtp, Outgoing, Submission
from veredus.config.settings import Http, Tls
from veredus.delivery.submitted import Policy, Submitted
from veredus.formats.smtp import Login, LoginOffered, Reply
from veredus.mail.outbox import Departure, load
from veredus.reception import Gate, Limits, Server
from veredus.reception.gate import is_private, network_of
from veredus.serving import serve
from veredus.smtp.submission import Terms
from veredus.smtp.submission import serve as serve_submission

T = TypeVar("T")
PASSWORD = "correct horse"
TEXT = "From: Alice <alice@example.com>\r\nTo: bob@example.org\r\nSubject: x\r\n\r\nhi\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_server("memory", tmp_path) as app:
        yield app


@pytest.fixture
async def alice(app: App) -> Jmap:
    """alice@example.com, who is also a.liddell@example.com, and may write the account of team@example.com."""
    account = await app.add_account("alice@example.com", PASSWORD)
    await app.accounts.add_address("a.liddell@example.com", account)
    team = await new_user(app, "team@example.com")
    await app.accounts.grant("alice@example.com", team.account, "write")
    other = await new_user(app, "bob@example.com")
    await app.accounts.grant("alice@example.com", other.account, "read")
    app.directory.drop()
    return Jmap(app, "alice@example.com", account)


def configure(app: App, **sections: object) -> None:
    sections = {"http": Http(listen=("127.0.0.1:0",)), "lmtp": Lmtp(listen=()), **sections}
    for name, section in sections.items():
        object.__setattr__(app.config, name, section)


class Submitter:
    """A server for submission alone, and clients of it."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def start(self, policy: Policy | None = None, **terms: object) -> Server:
        app = self.app

        async def is_ours(domain: str) -> bool:
            return domain == "example.com"

        submitted = Submitted(
            app.store,
            app.blobs,
            app.directory,
            app.authenticator,
            app.clock,
            policy or Policy("mx.example.com", "all", is_ours),
        )
        settled = {"hostname": "mx.example.com", "delay_s": 0.0, "max_delay_s": 3600, **terms}
        self.server = await serve_submission(
            ["127.0.0.1:0"],
            ["127.0.0.1:0"] if "tls" in terms else [],
            submitted,
            Terms(**settled),  # type: ignore[arg-type]
        )
        return self.server

    async def on(self, act: Callable[[smtplib.SMTP], T], *, login: bool = True) -> T:
        """What comes of a session in a thread."""

        def run() -> T:
            host, port = self.server.sockets[0].getsockname()[:2]
            with smtplib.SMTP(host, port, local_hostname="laptop.alice.example") as smtp:
                if login:
                    smtp.login("alice@example.com", PASSWORD)
                return act(smtp)

        return await asyncio.to_thread(run)

    async def raw(self, *lines: bytes) -> list[str]:
        """The codes of the replies to lines that are sent at once, after a login."""
        client = await Client.connect(self.server)
        credentials = b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAGNvcnJlY3QgaG9yc2U=\r\n"
        assert await client.hear() == "220"
        assert await client.say(b"EHLO x\r\n" + credentials, 2) == ["250", "235"]
        client.writer.write(b"".join(line + b"\r\n" for line in lines) + b"QUIT\r\n")
        replies = []
        while reply := await client.hear():
            replies.append(reply)
        await client.close()
        return replies[:-1]


@pytest.fixture
async def submitter(app: App, alice: Jmap) -> AsyncIterator[Submitter]:
    submitter = Submitter(app)
    await submitter.start()
    yield submitter
    await submitter.server.close(timeout_s=0)


async def departures(user: Jmap, account: str | None = None) -> list[Departure]:
    async with user.app.store.read(account or user.account) as snapshot:
        return await load(snapshot, None)


async def only(user: Jmap, account: str | None = None) -> tuple[Departure, bytes]:
    """The one message that leaves an account."""
    [departure] = await departures(user, account)
    data = await user.app.blobs.get(departure.blob_id)
    assert data is not None
    assert len(data) == departure.size
    return departure, data


async def test_smtplib_submits(alice: Jmap, submitter: Submitter) -> None:
    recipients = ["bob@example.org", "carol@example.org"]
    assert await submitter.on(lambda smtp: smtp.sendmail("alice@example.com", recipients, TEXT)) == {}
    departure, data = await only(alice)
    assert departure.sender.email == "alice@example.com"
    assert [recipient.email for recipient in departure.recipients] == recipients
    assert (departure.origin, departure.is_held) == ("smtp", False)
    assert data.startswith(b"Received: by mx.example.com with ESMTPA id ")
    assert data.endswith(TEXT.encode())


async def test_what_the_message_lacks_is_added(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(
        lambda smtp: smtp.sendmail("a.liddell@example.com", "b@example.org", "Subject: x\n\nhi\n")
    )
    _, data = await only(alice)
    message = message_from_bytes(data)
    assert message["From"] == "<a.liddell@example.com>"
    assert message["Message-ID"].endswith("@mail.example.com>") or message["Message-ID"].endswith(
        "@mx.example.com>"
    )
    assert message["Date"]
    assert message.keys()[0] == "Received"
    assert message.get_payload() == "hi\r\n"
    assert message["Return-Path"] is None


async def test_nobody_learns_from_where_it_was_sent(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(lambda smtp: smtp.sendmail("alice@example.com", "b@example.org", TEXT))
    _, data = await only(alice)
    assert b"laptop" not in data
    assert b"127.0.0.1" not in data


async def test_wishes_go_with_the_message(alice: Jmap, submitter: Submitter) -> None:
    def send(smtp: smtplib.SMTP) -> None:
        smtp.sendmail(
            "alice@example.com",
            ["b@example.org"],
            TEXT,
            mail_options=["RET=HDRS", "ENVID=x+2By", "HOLDFOR=600", "SMTPUTF8", "BODY=8BITMIME"],
            rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;b@example.org"],
        )

    await submitter.on(send)
    departure, data = await only(alice)
    assert departure.sender.parameters == {"RET": "HDRS", "ENVID": "x+y", "SMTPUTF8": None}
    assert departure.recipients[0].parameters == {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;b@example.org"}
    assert departure.is_held
    held = datetime.fromisoformat(departure.send_at) - datetime.fromisoformat(departure.created_at)
    assert timedelta(seconds=600) <= held <= timedelta(seconds=601)
    assert b"with UTF8SMTPA id" in data


async def test_a_time_that_has_passed_holds_nothing(alice: Jmap, submitter: Submitter) -> None:
    await submitter.on(
        lambda smtp: smtp.sendmail(
            "alice@example.com", "b@example.org", TEXT, mail_options=["HOLDUNTIL=2020-01-01T00:00:00Z"]
        )
    )
    departure, _ = await only(alice)
    assert not departure.is_held
    assert departure.send_at == departure.created_at


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("alice@example.com", "250"),
        ("ALICE@Example.com", "250"),
        ("alice+tag@example.com", "250"),
        ("a.liddell@example.com", "250"),
        ("team@example.com", "250"),
        ("", "250"),
        ("bob@example.com", "550"),  # may be read, not written
        ("alice@example.org", "550"),
        ("nobody@example.com", "550"),
    ],
)
async def test_users_send_from_their_own_addresses(submitter: Submitter, sender: str, reply: str) -> None:
    assert await submitter.raw(f"MAIL FROM:<{sender}>".encode()) == [reply]


async def test_what_is_sent_for_a_team_leaves_its_account(
    app: App, alice: Jmap, submitter: Submitter
) -> None:
    text = TEXT.replace("alice@", "team@")
    await submitter.on(lambda smtp: smtp.sendmail("team@example.com", "b@example.org", text))
    assert await departures(alice) == []
    team = await app.directory.resolve("team@example.com")
    departure, _ = await only(alice, team)
    assert departure.sender.email == "team@example.com"


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        (b"From: alice@example.com\r\nSender: team@example.com", "250"),
        (b"From: Alice <alice+x@example.com>, team@example.com", "250"),
        (b"From: bob@example.com", "550"),
        (b"From: alice@example.com\r\nSender: bob@example.com", "550"),
        (b"From: alice@example.com, ceo@example.org", "550"),
        (b"From: undisclosed:;", "550"),
        (b"From: nonsense", "550"),
        (b"From: alice@example.com\r\nFrom: ceo@example.org", "554"),
        (b"Subject: a\r\nSubject: b", "554"),
        (b"no header field", "554"),
    ],
)
async def test_the_author_must_be_the_user(submitter: Submitter, fields: bytes, reply: str) -> None:
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"DATA", fields, b"", b"hi", b"."]
    assert await submitter.raw(*lines) == ["250", "250", "354", reply]


async def test_a_message_without_an_author_or_a_sender_is_none(submitter: Submitter) -> None:
    lines = [b"MAIL FROM:<>", b"RCPT TO:<b@example.org>", b"DATA", b"Subject: x", b"", b"hi", b"."]
    assert await submitter.raw(*lines) == ["250", "250", "354", "554"]


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("b@example.org", "250"),
        ("bob@example.com", "250"),
        ("alice+tag@example.com", "250"),
        ("nobody@example.com", "550"),
        ("postmaster", "550"),
        ("b@-", "501"),
        ("two@at@example.org", "501"),
    ],
)
async def test_recipients(submitter: Submitter, recipient: str, reply: str) -> None:
    replies = await submitter.raw(b"MAIL FROM:<alice@example.com>", f"RCPT TO:<{recipient}>".encode())
    assert replies == ["250", reply]


@pytest.mark.parametrize(
    ("sends", "replies"), [("off", ["550", "503", "503"]), ("local", ["250", "550", "250"])]
)
async def test_a_server_that_sends_to_few(app: App, alice: Jmap, sends: str, replies: list[str]) -> None:
    async def is_ours(domain: str) -> bool:
        return False

    submitter = Submitter(app)
    await submitter.start(Policy("mx.example.com", sends, is_ours))  # type: ignore[arg-type]
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"RCPT TO:<bob@example.com>"]
    assert await submitter.raw(*lines) == replies
    await submitter.server.close(timeout_s=0)


async def test_lines_end_in_crlf_whatever_was_sent(alice: Jmap, submitter: Submitter) -> None:
    body = b"one\n.\ntwo\rthree\r\n"
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>"]
    message = TEXT.encode() + body
    assert (await submitter.raw(*lines, b"BDAT %d LAST\r\n" % len(message) + message + b"NOOP"))[:3] == [
        "250"
    ] * 3
    _, data = await only(alice)
    assert data.endswith(b"hi\r\none\r\n.\r\ntwo\r\nthree\r\n")


async def test_limits(app: App, alice: Jmap) -> None:
    submitter = Submitter(app)
    await submitter.start(limits=Limits(message_size=1000, recipients=2))
    lines = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@x.example>", b"RCPT TO:<c@x.example>"]
    text = [b"DATA", b"Subject: x", b"", b"x" * 1000, b"."]
    assert await submitter.raw(b"MAIL FROM:<alice@example.com> SIZE=1001") == ["552"]
    replies = ["250", "250", "250", "452", "354", "552"]
    assert await submitter.raw(*lines, b"RCPT TO:<d@x.example>", *text) == replies
    await submitter.server.close(timeout_s=0)


async def test_a_whole_session_in_one_packet(alice: Jmap, submitter: Submitter) -> None:
    one = [b"MAIL FROM:<alice@example.com>", b"RCPT TO:<b@example.org>", b"DATA", TEXT.encode() + b"."]
    assert await submitter.raw(*one * 3) == ["250", "250", "354", "250"] * 3
    assert len(await departures(alice)) == 3


# ---------------------------------------------------------------- logging in


async def test_a_token_is_a_password(app: App, alice: Jmap, submitter: Submitter) -> None:
    now = app.clock.now()
    _, writes = await app.accounts.create_token("alice@example.com", "phone", "write", now)
    _, reads = await app.accounts.create_token("alice@example.com", "viewer", "read", now)
    app.directory.drop()

    def log_in(secret: str) -> Callable[[smtplib.SMTP], int]:
        return lambda smtp: smtp.login("alice@example.com", secret)[0]

    assert await submitter.on(log_in(writes), login=False) == 235
    with pytest.raises(smtplib.SMTPAuthenticationError, match="for reading only"):
        await submitter.on(log_in(reads), login=False)


async def test_a_wrong_password_is_refused_and_not_logged(submitter: Submitter) -> None:
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(smtplib.SMTPAuthenticationError) as raised,
    ):
        await submitter.on(lambda smtp: smtp.login("alice@example.com", "guess"), login=False)
    assert raised.value.smtp_code == 535
    assert {"event": "login refused", "client": "127.0.0.1", "log_level": "info"} in logs
    assert "guess" not in repr(logs)
    assert "alice" not in repr(logs)


async def test_who_guesses_too_often_is_not_listened_to(app: App, alice: Jmap, submitter: Submitter) -> None:
    def guess(smtp: smtplib.SMTP) -> list[int]:
        smtp.ehlo()
        codes = []
        for _ in range(3):
            smtp.docmd("AUTH LOGIN", "YQ==")
            codes.append(smtp.docmd("YQ==")[0])
        smtp.close()
        return codes

    for _ in range(6):
        assert await submitter.on(guess, login=False) == [535] * 3
    assert await submitter.on(guess, login=False) == [535, 535, 454]
    with pytest.raises(smtplib.SMTPAuthenticationError, match="try again later"):
        await submitter.on(lambda smtp: None)


async def test_failures_are_forgotten_with_time(app: App, alice: Jmap) -> None:
    async def is_ours(domain: str) -> bool:
        return False

    submitted = Submitted(
        app.store, app.blobs, app.directory, app.authenticator, app.clock, Policy("mx", "all", is_ours)
    )
    time = [0.0]
    gate = Gate(submitted, lambda: time[0], delay_s=0, failures=2, window_s=60)

    wrong, right = LoginOffered("alice@example.com", "x"), LoginOffered("alice@example.com", PASSWORD)
    codes = []
    for client in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"):
        answer = await gate.log_in(wrong, client)
        assert isinstance(answer, Reply)
        codes.append(answer.code)
    assert codes == [535, 535, 454, 535]
    assert isinstance(await gate.log_in(right, "2001:db8::1"), Reply)
    time[0] = 61
    assert isinstance(await gate.log_in(right, "2001:db8::1"), Login)


@pytest.mark.parametrize(
    ("client", "network", "private"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::", True),
        ("192.0.2.1", "192.0.2.1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", False),
        ("", "", True),
    ],
)
def test_networks(client: str, network: str, private: bool) -> None:
    assert (network_of(client), is_private(client)) == (network, private)


async def test_a_user_who_is_disabled_sends_no_more(app: App, alice: Jmap, submitter: Submitter) -> None:
    def send(smtp: smtplib.SMTP) -> tuple[int, bytes]:
        asyncio.run_coroutine_threadsafe(disable(), loop).result(10)
        return smtp.mail("alice@example.com")

    async def disable() -> None:
        await app.accounts.set_disabled("alice@example.com", True)
        app.directory.drop()

    loop = asyncio.get_running_loop()
    assert (await submitter.on(send))[0] == 530


# ---------------------------------------------------------------- the whole server


async def test_the_server_speaks_starttls_and_implicit_tls(
    app: App, alice: Jmap, certificate: tuple[Path, Path]
) -> None:
    tls = Tls(mode="files", cert=certificate[0], key=certificate[1])
    listen = Submission(listen=("127.0.0.1:0",), tls_listen=("127.0.0.1:0",))
    configure(app, tls=tls, submission=listen, outgoing=Outgoing(max_recipients=2))
    # Else the queue takes them at once.
    held = ["HOLDFOR=600"]
    trust = ssl.create_default_context(cafile=str(certificate[0]))

    def send(explicit: int, implicit: int) -> None:
        with smtplib.SMTP("127.0.0.1", explicit) as smtp:
            smtp.starttls(context=trust)
            smtp.login("alice@example.com", PASSWORD)
            assert smtp.esmtp_features["size"] == str(app.config.outgoing.max_size)
            assert smtp.esmtp_features["futurerelease"].startswith("2592000 20")
            smtp.sendmail("alice@example.com", "b@example.org", TEXT, mail_options=held)
        with smtplib.SMTP_SSL("127.0.0.1", implicit, context=trust) as smtp:
            smtp.ehlo()
            assert not smtp.has_extn("starttls")
            smtp.login("alice@example.com", PASSWORD)
            smtp.sendmail("alice@example.com", "b@example.org", TEXT, mail_options=held)

    async with serve(app) as servers:
        assert servers.submission
        ports = [sock.getsockname()[1] for sock in servers.submission.sockets]
        await asyncio.to_thread(send, *ports)
    for departure in await departures(alice):
        data = await app.blobs.get(departure.blob_id)
        assert data is not None
        assert b"with ESMTPSA id" in data
    assert len(await departures(alice)) == 2


async def test_tls_from_the_first_octet_needs_a_certificate(app: App, alice: Jmap) -> None:
    with pytest.raises(ValueError, match=r"tls_listen needs a certificate"):
        await serve_submission([], ["127.0.0.1:0"], None, Terms(hostname="mx"))  # type: ignore[arg-type]


async def test_a_client_that_hangs_in_the_midst_of_auth_leaves_nothing(submitter: Submitter) -> None:
    def hang() -> None:
        with socket.create_connection(submitter.server.sockets[0].getsockname()[:2]) as peer:
            peer.recv(1000)
            peer.sendall(b"EHLO x\r\nAUTH LOGIN\r\n")
            while b"334" not in peer.recv(1000):
                pass

    await asyncio.to_thread(hang)
    await asyncio.wait_for(submitter.server._is_empty.wait(), 10)
