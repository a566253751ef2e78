"""Logging in to submit, over real sockets, with and without TLS (RFC 4954, 3207, 8314)."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from jmap import Jmap
from self_signed import make_certificate
from sending.submitter import PASSWORD, TEXT, Submitter, departures
from veredus.app import App
from veredus.cli.workers.listening import Listening
from veredus.config.mail_settings import Lmtp, Outgoing, Submission
from veredus.config.settings import Http, Tls
from veredus.delivery.submitted import Policy, Submitted
from veredus.formats.smtp import Login, LoginOffered, Reply
from veredus.reception import Gate
from veredus.reception.gate import is_private, network_of
from veredus.serving import Place, serve
from veredus.smtp.submission import Terms
from veredus.smtp.submission import serve as serve_submission


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def configure(app: App, **sections: object) -> None:
    sections = {"http": Http(listen=("127.0.0.1:0",)), "lmtp": Lmtp(listen=()), **sections}
    for name, section in sections.items():
        object.__setattr__(app.config, name, section)


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


async def test_who_guesses_too_often_is_cut_off(submitter: Submitter) -> None:
    def guess(smtp: smtplib.SMTP) -> list[int]:
        smtp.ehlo()
        codes = []
        for _ in range(3):
            smtp.docmd("AUTH LOGIN", "YQ==")
            codes.append(smtp.docmd("YQ==")[0])
        codes.append(smtp.getreply()[0])
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.getreply()
        return codes

    # Not so a proxy at our side, behind which there are others.
    for _ in range(8):
        assert await submitter.on(guess, login=False) == [535, 535, 535, 421]
    assert await submitter.on(lambda smtp: smtp.noop()[0]) == 250


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


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "sockets of the workers"])
async def test_the_server_speaks_starttls_and_implicit_tls(
    app: App, alice: Jmap, certificate: tuple[Path, Path], shared: bool, tmp_path: Path
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

    bound = Listening.on(app.config) if shared else None
    place = Place(1, bound.by_section(), tmp_path, lambda: False) if bound else None
    async with serve(app, place=place) as servers:
        assert servers.submission
        ports = [sock.getsockname()[1] for sock in servers.submission.sockets]
        await asyncio.to_thread(send, *ports)
    for departure in await departures(alice):
        data = await app.blobs.get(departure.blob_id)
        assert data is not None
        assert b"with ESMTPSA id" in data
    assert len(await departures(alice)) == 2


async def test_a_renewed_certificate_counts_without_a_restart(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = make_certificate(tmp_path)
    monkeypatch.setattr("veredus.certificates.CHECK_S", 0.05)
    listen = Submission(listen=("127.0.0.1:0",), tls_listen=("127.0.0.1:0",))
    configure(app, tls=Tls(mode="files", cert=cert, key=key), submission=listen)

    def shown(explicit: int, implicit: int) -> set[str]:
        anyone = ssl._create_unverified_context()
        with (
            smtplib.SMTP("127.0.0.1", explicit) as clear,
            smtplib.SMTP_SSL("127.0.0.1", implicit, context=anyone) as secure,
        ):
            clear.starttls(context=anyone)
            found = [smtp.sock.getpeercert(binary_form=True) for smtp in (clear, secure)]  # type: ignore[union-attr]
        return {ssl.DER_cert_to_PEM_cert(one) for one in found}

    async with serve(app) as servers:
        assert servers.submission
        ports = [sock.getsockname()[1] for sock in servers.submission.sockets]
        assert await asyncio.to_thread(shown, *ports) == {cert.read_text()}
        with structlog.testing.capture_logs() as logs:
            make_certificate(tmp_path)
            async with asyncio.timeout(10):
                while await asyncio.to_thread(shown, *ports) != {cert.read_text()}:
                    await asyncio.sleep(0.05)
        assert "certificate reloaded" in {entry["event"] for entry in logs}


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
