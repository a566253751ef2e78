"""Connections: how they authenticate, how they end, and what a caller is told."""

import asyncio
import signal
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.nats.servers import Key, Server, linked, no_secret, read_file, running
from veredus.bridge.nats.connect import connect, connect_forever, servers
from veredus.bridge.nats.errors import (
    CannotConnect,
    Misconfigured,
    NatsError,
    NatsLost,
    NoStream,
    NotAllowed,
    TimedOut,
    TooLarge,
)
from veredus.bridge.nats.features import features
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.settings import NatsSettings, Secret


def secret(directory: Path, text: str) -> Secret:
    file = directory / "secret"
    file.write_text(text + "\n")
    return Secret(file=file)


async def test_a_connection_knows_its_server(link: Link) -> None:
    assert link.max_payload == 1024 * 1024
    assert link.features.version >= (2, 9, 0)
    assert (await link.request("$JS.API.INFO")).data.startswith(b"{")


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("2.9.10", (False, False, False)),
        ("2.10.0", (True, False, False)),
        ("2.11.4", (True, True, False)),
        ("2.12.0-RC.1", (True, True, True)),
        ("3.0", (True, True, True)),
        ("", (False, False, False)),
    ],
)
def test_features_follow_from_the_version(version: str, has: tuple[bool, bool, bool]) -> None:
    found = features(version)
    assert (found.metadata, found.per_message_ttl, found.atomic_batch) == has


def test_an_url_may_name_several_servers() -> None:
    assert servers(NatsSettings(url="a:1, tls://b:2")) == ["nats://a:1", "tls://b:2"]
    for url in ("", "ws://a:1", "http://user:secret@a"):
        with pytest.raises(Misconfigured) as caught:
            servers(NatsSettings(url=url))
        assert "secret" not in str(caught.value)


async def test_the_first_server_that_lives_is_taken(server: Server) -> None:
    link = await connect(NatsSettings(url=f"nats://127.0.0.1:1,{server.url}"), no_secret)
    assert link.server == f"127.0.0.1:{server.port}"
    await link.close()


async def test_no_server_is_one_clear_line() -> None:
    with pytest.raises(CannotConnect, match=r"^NATS server 127\.0\.0\.1:1: .*Connect call failed"):
        await connect(NatsSettings(url="nats://user:secret@127.0.0.1:1"), no_secret)


async def test_what_is_no_nats_server_is_one_clear_line() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        try:
            await reader.read()
        finally:
            writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(CannotConnect, match="expecting INFO"):
            await connect(NatsSettings(url=f"127.0.0.1:{port}"), no_secret)


async def test_user_and_password_or_an_nkey_log_in(program: Path, tmp_path: Path) -> None:
    key = Key("U")
    config = f'authorization {{ users: [{{ user: "joe", password: "pass" }}, {{ nkey: "{key.public}" }}] }}'
    async with running(program, tmp_path, config) as server:
        async with linked(server, user="joe", password=secret(tmp_path, "pass")):
            pass
        async with linked(server, nkey_seed=secret(tmp_path, key.seed)):
            pass
        for wrong in ({}, {"user": "joe"}, {"nkey_seed": secret(tmp_path, Key("U").seed)}):
            with pytest.raises(NotAllowed, match="wrong or missing credentials"):
                await connect(NatsSettings(url=server.url, **wrong), read_file)  # type: ignore[arg-type]


async def test_a_token_is_read_at_each_connect(program: Path, tmp_path: Path) -> None:
    async with running(program, tmp_path, 'authorization { token: "first" }') as server:
        token = secret(tmp_path, "first")
        async with linked(server, token=token):
            pass
        await server.kill()
        server.configure('authorization { token: "second" }')
        await server.start()
        with pytest.raises(NotAllowed):
            await connect(NatsSettings(url=server.url, token=token), read_file)
        secret(tmp_path, "second")
        async with linked(server, token=token):
            pass


async def test_a_file_of_credentials_logs_in(program: Path, tmp_path: Path) -> None:
    operator, system, account, user = Key("O"), Key("A"), Key("A"), Key("U")
    without = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    stored = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    kind = {"type": "account", "version": 2}
    accounts = {
        system: operator.jwt(system, "system", {**kind, "limits": {**without, "wildcards": True}}),
        account: operator.jwt(account, "mail", {**kind, "limits": {**without, **stored, "wildcards": True}}),
    }
    unlimited = {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    users = account.jwt(user, "user", unlimited)
    config = f"""
        operator: {operator.jwt(operator, "operator", {"type": "operator", "version": 2})}
        system_account: {system.public}
        resolver: MEMORY
        resolver_preload: {{ {" ".join(f"{key.public}: {jwt}," for key, jwt in accounts.items())} }}"""
    file = tmp_path / "user.creds"
    async with running(program, tmp_path, config) as server:
        for end in ("\n", "\r\n"):
            lines = ["-----BEGIN NATS USER JWT-----", users, "------END NATS USER JWT------", ""]
            lines += ["-----BEGIN USER NKEY SEED-----", user.seed, "------END USER NKEY SEED------", ""]
            file.write_bytes(end.join(lines).encode())
            async with linked(server, creds=file) as link:
                await link.request("$JS.API.INFO")


async def test_bad_secrets_are_named_and_not_shown(tmp_path: Path) -> None:
    empty = secret(tmp_path, "not-a-seed")
    assert empty.file is not None
    for settings, said in (
        (NatsSettings(creds=empty.file), "has no user JWT"),
        (NatsSettings(creds=tmp_path / "missing"), "No such file"),
        (NatsSettings(nkey_seed=empty), "nkey_seed holds no nkey seed"),
        (NatsSettings(tls_ca=empty.file), "tls_ca"),
        (NatsSettings(tls_cert=empty.file), "tls_cert"),
        (NatsSettings(tls_key=empty.file), "tls_key without tls_cert"),
    ):
        with pytest.raises(Misconfigured, match=said) as caught:
            await connect(settings, read_file)
        assert "not-a-seed" not in str(caught.value)


async def test_tls_with_a_certificate_of_the_client(program: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    client_cert, client_key = authority.issue("client")
    config = f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{authority.file}", verify: true }}'
    async with running(program, tmp_path, config) as server:
        tls = {"tls_cert": client_cert, "tls_key": client_key}
        async with linked(server, tls_ca=authority.file, **tls) as link:
            await Publisher(link).drain()
        with pytest.raises(CannotConnect, match="certificate"):
            await connect(NatsSettings(url=server.url, **tls), no_secret)  # type: ignore[arg-type]
        with pytest.raises(NotAllowed, match="asks for a certificate; set tls_cert"):
            await connect(NatsSettings(url=server.url, tls_ca=authority.file), no_secret)


async def test_no_password_is_told_to_a_server_without_tls(server: Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with pytest.raises(CannotConnect, match="does not offer TLS"):
        await connect(NatsSettings(url=server.url, tls_ca=authority.file), no_secret)
    with pytest.raises(CannotConnect, match="does not offer TLS"):
        await connect(NatsSettings(url=server.url.replace("nats:", "tls:")), no_secret)


async def test_nobody_there_and_no_answer_are_told_apart(link: Link) -> None:
    with pytest.raises(NoStream, match=r"nobody answers on nobody\.there"):
        await link.request("nobody.there")
    link.listen("silent", lambda *_: None)
    with pytest.raises(TimedOut, match="no answer from silent"):
        await link.request("silent", timeout_s=0.1)


async def test_a_request_that_is_too_large_is_not_sent(link: Link) -> None:
    with pytest.raises(TooLarge, match="1048577 octets"):
        await link.request("x", bytes(1024 * 1024 + 1))
    await link.settle()


async def test_a_missing_permission_is_told_at_once(program: Path, tmp_path: Path) -> None:
    config = """authorization { users: [{ user: "joe", password: "p", permissions: {
        publish: ["Allowed.>", "$JS.API.>"], subscribe: ["_INBOX.>"] } }] }"""
    joe = {"user": "joe", "password": secret(tmp_path, "p")}
    async with running(program, tmp_path, config) as server, linked(server, **joe) as link:
        with pytest.raises(NotAllowed, match=r"not allowed to publish to Other\.Subject"):
            await link.request("Other.Subject", timeout_s=60)
        await link.request("$JS.API.INFO")


async def test_without_an_inbox_there_is_no_connection(program: Path, tmp_path: Path) -> None:
    config = 'authorization { users: [{ user: "joe", password: "p", permissions: { subscribe: ["a"] } }] }'
    async with running(program, tmp_path, config) as server:
        with pytest.raises(NotAllowed, match="not allowed to subscribe to _inbox"):
            await connect(NatsSettings(url=server.url, user="joe", password=secret(tmp_path, "p")), read_file)


async def test_a_killed_server_ends_everything_that_waits(server: Server, link: Link) -> None:
    link.listen("silent", lambda *_: None)
    waiting = asyncio.create_task(link.request("silent", timeout_s=60))
    await link.settle()
    await server.kill()
    with pytest.raises(NatsLost):
        await asyncio.wait_for(waiting, 10)
    assert link.lost.is_set()
    with pytest.raises(NatsLost):
        link.send("x", b"")
    with pytest.raises(NatsLost):
        await link.settle()
    await asyncio.wait_for(link.close(), 10)


async def test_a_server_that_stops_answering_is_noticed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veredus.bridge.nats.link._PING_S", 0.5)
    async with linked(server) as link:
        server.send_signal(signal.SIGSTOP)
        try:
            link.send("x", bytes(1024 * 1024))
            await asyncio.wait_for(link.lost.wait(), 30)
            await asyncio.wait_for(link.close(), 10)
        finally:
            server.send_signal(signal.SIGCONT)


async def test_closing_does_not_hang_on_a_server_that_does_not_read(
    server: Server, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veredus.bridge.nats.link.ANSWER_S", 0.5)
    server.send_signal(signal.SIGSTOP)
    try:
        for _ in range(32):
            link.send("x", bytes(1024 * 1024))
        await asyncio.wait_for(link.close(), 30)
    finally:
        server.send_signal(signal.SIGCONT)


async def test_there_is_always_a_next_connection(server: Server) -> None:
    stop, troubles, used = asyncio.Event(), list[NatsError](), list[Link]()
    links = connect_forever(NatsSettings(url=server.url), stop, no_secret, troubles.append)
    async with aclosing(links):
        async for link in links:
            used.append(link)
            if len(used) == 3:
                stop.set()
                continue
            await server.kill()
            await asyncio.wait_for(link.lost.wait(), 10)
            if len(used) == 2:
                starting = asyncio.create_task(_later(server, troubles))
            else:
                await server.start()
    await starting
    assert len(used) == 3
    assert troubles
    assert all(isinstance(trouble, CannotConnect) for trouble in troubles)
    assert all(link.failure is not None for link in used)


async def _later(server: Server, troubles: list[NatsError]) -> None:
    """Start it when it has been missed."""
    while not troubles:
        await asyncio.sleep(0.01)
    await server.start()


async def test_a_message_sent_last_arrives_although_the_link_is_closed(server: Server, link: Link) -> None:
    heard = asyncio.Event()
    link.listen("heartbeat", lambda *_: heard.set())
    await link.settle()
    async with linked(server) as other:
        other.send("heartbeat", b"")
    await asyncio.wait_for(heard.wait(), 10)


class Authority:
    """Certificates for 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._sign(self._name, self._key, basic)
        self.file = directory / "ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(common, key, x509.BasicConstraints(ca=False, path_length=None))
        cert_file, key_file = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cert_file, key_file

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, basic: x509.BasicConstraints
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        usages = x509.ExtendedKeyUsage(
            [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        for extension, critical in ((basic, True), (address, False), (identifier, False), (issuer, False)):
            builder = builder.add_extension(extension, critical)
        if not basic.ca:
            builder = builder.add_extension(usages, False)
        return builder.sign(self._key, hashes.SHA256())
