"""What domains demand of whoever sends them mail, by HTTPS (MTA-STS, RFC 8461)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from push.peers import Authority
from sending.dns_server import DnsServer, dns_server
from sending.peer import peer
from sending.relays import fate, parcel, relaying
from veredus.ports import Fate, Unreachable
from veredus.relay.mta_sts import parse

HOST = "127.0.0.1"
ANN = "ann@example.org"
MX = "mx.example.org"


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    return authority.context(MX, "mta-sts.example.org")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """From an authority that nobody knows."""
    return Authority(tmp_path_factory.mktemp("foreign")).context(MX)


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server({"example.org": {"MX": [f"10 {MX}."]}, MX: {"A": [HOST]}}) as server:
        yield server


class PolicyHost:
    """Serves a policy by HTTPS."""

    def __init__(self) -> None:
        self.port = 0
        self.paths: list[str] = []
        self.status = "200 OK"
        self.type = "text/plain; charset=utf-8"
        self.body = f"version: STSv1\r\nmode: enforce\r\nmx: {MX}\r\nmax_age: 86400\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.paths.append(head.split()[1].decode())
        writer.write(
            f"HTTP/1.1 {self.status}\r\nContent-Type: {self.type}\r\nLocation: /other\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n{self.body}".encode()
        )
        writer.close()


@asynccontextmanager
async def policy_host(dns: DnsServer, tls: ssl.SSLContext) -> AsyncIterator[PolicyHost]:
    it = PolicyHost()
    server = await asyncio.start_server(it.serve, HOST, 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    dns.add("_mta-sts.example.org", "TXT", '"v=STSv1; id=20260101T000000;"')
    dns.add("mta-sts.example.org", "A", HOST)
    try:
        yield it
    finally:
        server.close()


@pytest_asyncio.fixture
async def sts(dns: DnsServer, good: ssl.SSLContext) -> AsyncIterator[PolicyHost]:
    async with policy_host(dns, good) as it:
        yield it


async def test_a_policy_demands_a_good_certificate(
    dns: DnsServer, sts: PolicyHost, authority: Authority, good: ssl.SSLContext, foreign: ssl.SSLContext
) -> None:
    options = {"ca_file": authority.file, "sts_port": sts.port}
    for tls, expected in (
        (good, "relayed"),
        (foreign, "451 4.7.5 TLS failed: certificate signature failure"),
        (None, "451 4.7.4 The host offers no TLS, which is required"),
    ):
        async with peer(tls=tls) as smtp:
            found = await fate(dns, smtp, **options)
            assert (found.kind if isinstance(found, Fate) else found) == expected
    assert sts.paths == ["/.well-known/mta-sts.txt"] * 3  # once for each relay


@pytest.mark.parametrize(
    ("mode", "patterns", "is_sent"),
    [
        ("enforce", ["mx.example.org"], True),
        ("enforce", ["other.example", "*.Example.org"], True),
        ("enforce", ["*.org"], False),
        ("enforce", ["example.org", "*.mx.example.org"], False),
        ("testing", ["other.example"], True),
        ("none", [], True),
    ],
)
async def test_a_policy_names_the_hosts(
    dns: DnsServer, sts: PolicyHost, authority: Authority, mode: str, patterns: Sequence[str], is_sent: bool
) -> None:
    good = authority.context(MX)
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {it}" for it in patterns), "max_age: 600", ""]
    sts.body = "\n".join(lines)
    async with peer(tls=good) as smtp:
        found = await fate(dns, smtp, ca_file=authority.file, sts_port=sts.port)
    if is_sent:
        assert isinstance(found, Fate)
    else:
        assert found == "451 4.7.0 No host of example.org is one that its MTA-STS policy names"


async def test_a_policy_is_fetched_again_when_dns_names_another(
    dns: DnsServer, sts: PolicyHost, authority: Authority, good: ssl.SSLContext
) -> None:
    dns.ttl = 0
    options = {"ca_file": authority.file, "sts_port": sts.port, "idle_s": 0.0}
    async with (
        peer(tls=good) as smtp,
        relaying("mx", [dns.address], port=smtp.port, connections=0, **options) as relay,
    ):
        for _ in range(3):
            assert (await relay.send("example.org", parcel()))[ANN].kind == "relayed"
        assert len(sts.paths) == 1
        dns.remove("_mta-sts.example.org", "TXT")
        dns.add("_mta-sts.example.org", "TXT", '"v=STSv1; id=2;"')
        sts.body = sts.body.replace(MX, "other.example")
        with pytest.raises(Unreachable, match="MTA-STS"):
            await relay.send("example.org", parcel())
        # It holds for as long as it says, though it can no longer be had (§5.1).
        sts.status = "500 Internal Server Error"
        dns.remove("_mta-sts.example.org", "TXT")
        for _ in range(2):
            with pytest.raises(Unreachable, match="MTA-STS"):
                await relay.send("example.org", parcel())
            dns.add("_mta-sts.example.org", "TXT", '"v=STSv1; id=3;"')


@pytest.mark.parametrize(
    ("status", "type", "body"),
    [
        ("404 Not Found", "text/plain", None),
        ("301 Moved Permanently", "text/plain", None),
        ("200 OK", "text/html", None),
        ("200 OK", "text/plain", "nonsense"),
        ("200 OK", "text/plain", "x" * 70_000),
    ],
)
async def test_a_policy_that_cannot_be_had_demands_nothing(
    dns: DnsServer, sts: PolicyHost, authority: Authority, status: str, type: str, body: str | None
) -> None:
    sts.status, sts.type, sts.body = status, type, body or sts.body
    async with peer() as smtp:
        assert isinstance(await fate(dns, smtp, ca_file=authority.file, sts_port=sts.port), Fate)
    assert len(sts.paths) == 1


async def test_a_policy_from_another_host_is_none(dns: DnsServer, authority: Authority) -> None:
    async with policy_host(dns, authority.context("other.example")) as sts, peer() as smtp:
        assert isinstance(await fate(dns, smtp, ca_file=authority.file, sts_port=sts.port), Fate)
    assert sts.paths == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: STSv2\nmode: enforce\nmx: a\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmax_age: 1",
        "version: STSv1\nmode: other\nmx: a\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1",
        "version: STSv1\nmode: enforce\nmx: a",
    ],
)
def test_a_policy_that_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_policy_is_read_leniently() -> None:
    policy = parse(
        "version:STSv1\r\nmode : testing\nmx:  A.example. \nmode: none\nmax_age: 99999999999\nx: y\n"
    )
    assert policy is None
    policy = parse(
        "version:STSv1\r\nmode : testing\nmx:  A.example. \nmode: none\nmax_age: 9999999999\nx: y\n"
    )
    assert policy is not None
    assert (policy.mode, policy.patterns, policy.max_age_s) == ("testing", ("a.example",), 31_557_600)
