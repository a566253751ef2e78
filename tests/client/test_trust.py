"""Credentials, certificates and proxies: what goes to whom, and what is said when it does not."""

import asyncio
import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.canned import SESSION, TOKEN, Asked, Said, api, canned, error_of, nothing
from veredus.client import (
    Basic,
    Bearer,
    Client,
    Email,
    Unauthorized,
)

# ---------------------------------------------------------------- credentials


async def test_a_refused_token_is_renewed_once_for_all_requests() -> None:
    fetched: list[str] = []
    good = "token-2"

    async def fetch() -> str:
        fetched.append(f"token-{len(fetched) + 1}")
        await asyncio.sleep(0)
        return fetched[-1]

    def answer(asked: Asked) -> Said:
        if asked.method == "POST" and asked.headers["authorization"] != f"Bearer {good}":
            return Said(status=401)
        return api(nothing)(asked)

    async with canned(answer) as url, Client.connect(url, credentials=Bearer(fetch)) as client:
        await asyncio.gather(*(client.get(Email, ["x"]) for _ in range(4)))
    assert fetched == ["token-1", "token-2"]


async def test_a_401_is_answered_with_other_credentials_once() -> None:
    fetched: list[str] = []

    async def fetch() -> str:
        fetched.append(f"token-{len(fetched)}")
        return fetched[-1]

    async with canned(lambda _: Said(status=401)) as url:
        with pytest.raises(Unauthorized):
            await Client.connect(url, credentials=Bearer(fetch)).__aenter__()
    assert len(fetched) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"basic": "alice:secret"},
        {"basic": ("alice", None)},
        {"token": b"octets"},
        {"token": ""},
        {"timeout_s": 0},
        {"server": None},
    ],
)
def test_arguments_that_cannot_be_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"basic|token|timeout_s|server"):
        Client.connect(**({"server": "https://example.com"} | options))


async def test_no_secret_is_shown_by_repr() -> None:
    password = "pass-w0rd"
    hidden = base64.b64encode(f"alice:{password}".encode()).decode()
    async with canned(api(nothing)) as url, Client.connect(url, basic=("alice", password)) as client:
        shown = f"{client!r} {client.connection!r} {client.exchange!r} {client.session!r}"
        shown += f"{Basic('alice', password)!r} {Bearer(password)!r}"
        assert repr(client) == f"<Client alice at {client.host}>"
    assert password not in shown
    assert hidden not in shown
    assert repr(Client.connect(url)) == f"<Client of {url}, not open>"


# ---------------------------------------------------------------- proxies


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Said:
        seen.append(asked)
        return api(nothing)(asked)

    async with canned(answer) as proxy:
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//user:pass-w0rd@"))
        monkeypatch.setenv("no_proxy", "direct.invalid")
        async with Client.connect("http://mail.invalid/session", token=TOKEN) as client:
            await client.get(Email, ["x"])
        assert [each.path for each in seen] == ["http://mail.invalid/session", "http://mail.invalid/api"]
        hidden = base64.b64encode(b"user:pass-w0rd").decode()
        assert seen[0].headers["proxy-authorization"] == f"Basic {hidden}"
        assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert "not known" in await error_of("http://direct.invalid/session")
    async with canned(api(nothing)) as url, Client.connect(url, token=TOKEN) as client:
        await client.get(Email, ["x"])  # this machine is reached without it


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://127.0.0.1:9", "cannot connect to the proxy: Connection refused"),
        ("socks5://user:pass-w0rd@127.0.0.1:9", "HTTPS_PROXY names no proxy of HTTP"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, proxy: str, words: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    message = await error_of("https://mail.invalid/session")
    assert words in message
    assert "pass-w0rd" not in message


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with canned(lambda _: Said(status=407)) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert "the proxy does not connect: HTTP 407" in await error_of("https://mail.invalid/session")


# ---------------------------------------------------------------- TLS and files


@pytest.fixture
def tls_files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that only its own key vouches for, and the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def test_a_certificate_that_is_not_trusted_is_named_and_not_tried_again(
    tls_files: tuple[Path, Path],
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*tls_files)
    connections = 0

    def count(*_: Any) -> None:
        nonlocal connections
        connections += 1

    context.sni_callback = count  # called in each handshake
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        message = await error_of(f"https://localhost:{port}")
    assert "its certificate is not trusted: self-signed certificate" in message
    assert "tls_ca" in message
    assert connections == 1


async def test_http_behind_https_is_named() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "does not speak TLS" in await error_of(f"https://localhost:{port}")


async def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("missing.pem", "empty.pem"):
        assert name in await error_of("https://localhost:1", tls_ca=tmp_path / name)


async def test_a_blob_that_lies_elsewhere_is_fetched_there_without_the_credentials() -> None:
    seen: list[dict[str, str]] = []

    def elsewhere(asked: Asked) -> Said:
        seen.append(asked.headers)
        return Said(b"octets", type="application/octet-stream")

    async with canned(elsewhere) as store:

        def answer(asked: Asked) -> Said:
            if asked.path.startswith("/d/"):
                return Said(status=302, headers={"Location": f"{store}/bucket/b"})
            return Said(SESSION)

        async with (
            canned(answer) as url,
            Client.connect(f"{url}/session", token=TOKEN) as client,
            client.download("b") as blob,
        ):
            assert await blob.read() == b"octets"
    assert len(seen) == 1
    assert "authorization" not in {name.lower() for name in seen[0]}
