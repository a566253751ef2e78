"""TLS to other hosts: as they offer it, as we demand it, as DNS demands it (RFC 3207, 7672, 8461), and log-in."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from hashlib import sha256, sha512
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push.peers import Authority
from sending.dns_server import DnsServer, dns_server
from sending.peer import DROP, HANG, STALL, Last, on, peer
from sending.relays import BRIEF, fate, parcel, relaying
from sending.script import Rule
from veredus.ports import Fate, Parcel, Unreachable
from veredus.relay.routes import SmartHost

HOST = "127.0.0.1"
ANN = "ann@example.org"
MX = "mx.example.org"


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    """For a host that is what it says, by name and by address."""
    return authority.context(HOST, MX, "mta-sts.example.org")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The same from an authority that nobody knows."""
    return Authority(tmp_path_factory.mktemp("foreign")).context(HOST, MX)


def certificate(authority: Authority) -> x509.Certificate:
    """Of the ``good`` host."""
    return x509.load_pem_x509_certificate((authority.file.parent / f"{HOST}.pem").read_bytes())


# Opportunistic: with any certificate, and without TLS where it does not work.


async def test_tls_is_used_when_it_is_offered(foreign: ssl.SSLContext) -> None:
    async with peer(tls=foreign) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
    assert [it.is_encrypted for it in smtp.messages] == [True]
    assert [it[:4] for it in smtp.commands[:3]] == ["EHLO", "STAR", "EHLO"]


@pytest.mark.parametrize(
    ("action", "connections"),
    [
        (Last("220 go on"), 2),
        (b"220 go on\r\nthis is no TLS", 2),
        (b"220 go on\r\n250 injected\r\n", 2),
        ("454 4.7.0 not now", 1),
        (HANG, 1),
    ],
    ids=["closes", "garbage", "injected", "refuses", "hangs"],
)
@pytest.mark.parametrize("tls", ["opportunistic", "required"])
async def test_tls_that_fails_is_done_without_unless_it_is_required(
    authority: Authority, good: ssl.SSLContext, action: str, connections: int, tls: str
) -> None:
    rules = [on("STARTTLS", action)]
    options = {"tls": tls, "ca_file": authority.file, "timeouts": BRIEF}
    async with peer(*rules, tls=good) as smtp, relaying(smtp.url, **options) as relay:
        if tls == "opportunistic" and action is not HANG:
            assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
            assert [it.is_encrypted for it in smtp.messages] == [False]
            assert smtp.connections == connections
        else:
            with pytest.raises(Unreachable) as caught:
                await relay.send(HOST, parcel())
            assert not caught.value.is_final
            assert smtp.messages == []


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_break_in_the_text_is_told_from_one_after_it(
    foreign: ssl.SSLContext, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    """As without TLS, though it has buffers of its own, and each loop has others."""
    run(_breaks(foreign))


async def _breaks(tls: ssl.SSLContext) -> None:
    large = parcel(data=b"Subject: large\r\n\r\n" + b"y" * 10_000_000)
    cases = [
        (on("text", DROP), large, "later"),
        (on("text", STALL), large, "later"),
        (on("text", Last("552 5.3.4 too large")), large, "failed"),
        (on("end", DROP), large, "unknown"),
        (on("end", DROP), parcel(), "unknown"),
        (on("end", HANG), parcel(), "unknown"),
    ]

    async def one(rule: Rule, message: Parcel, kind: str) -> None:
        async with peer(rule, tls=tls) as smtp, relaying(smtp.url, timeouts=BRIEF) as relay:
            assert (await relay.send(HOST, message))[ANN].kind == kind
        assert smtp.messages == []

    async with asyncio.TaskGroup() as tasks:
        for case in cases:
            tasks.create_task(one(*case))


@pytest.mark.parametrize("is_implicit", [False, True], ids=["STARTTLS", "smtps"])
async def test_required_means_a_good_certificate(
    authority: Authority, good: ssl.SSLContext, foreign: ssl.SSLContext, is_implicit: bool
) -> None:
    options = {"tls": "required", "ca_file": authority.file}
    async with peer(tls=good, is_implicit=is_implicit) as smtp, relaying(smtp.url, **options) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
        assert smtp.messages[0].is_encrypted
    async with peer(tls=foreign, is_implicit=is_implicit) as smtp, relaying(smtp.url, **options) as relay:
        with pytest.raises(Unreachable, match=r"451 4\.7\.5 TLS failed: certificate signature failure"):
            await relay.send(HOST, parcel())
    wrong_name = authority.context("other.example")
    async with peer(tls=wrong_name, is_implicit=is_implicit) as smtp, relaying(smtp.url, **options) as relay:
        with pytest.raises(Unreachable, match=r"451 4\.7\.5 TLS failed: IP address mismatch"):
            await relay.send(HOST, parcel())
    assert smtp.messages == []


async def test_required_means_no_host_without_tls() -> None:
    async with peer() as smtp, relaying(smtp.url, tls="required") as relay:
        with pytest.raises(Unreachable, match=r"451 4\.7\.4 The host offers no TLS, which is required"):
            await relay.send(HOST, parcel())


@pytest.mark.parametrize("is_implicit", [False, True])
async def test_a_smart_host_elsewhere_must_prove_who_it_is(is_implicit: bool) -> None:
    for name, level in (("192.0.2.1", "verified"), (HOST, "verified" if is_implicit else "opportunistic")):
        [host] = await SmartHost(name, 25, tls="opportunistic", is_implicit=is_implicit).hosts("")
        assert host.level == level


# Log-in.


@pytest.mark.parametrize("methods", ["AUTH PLAIN LOGIN", "AUTH LOGIN", "auth login plain"])
async def test_a_user_logs_in(good: ssl.SSLContext, methods: str) -> None:
    users = {"me@veredus.example": "p@ss/wörd:%"}
    async with peer(tls=good, users=users, login=methods) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
    assert (smtp.messages[0].user, smtp.messages[0].is_encrypted) == ("me@veredus.example", True)
    # With EHLO before and after TLS, and the log-in only then.
    assert [it[:4] for it in smtp.commands[:4]] == ["EHLO", "STAR", "EHLO", "AUTH"]


async def test_a_user_who_is_refused_sends_nothing() -> None:
    async with peer(users={"me": "right"}) as smtp:
        async with relaying(smtp.url.replace("right", "wrong")) as relay:
            with pytest.raises(Unreachable, match=r"535 5\.7\.8 wrong") as caught:
                await relay.send(HOST, parcel())
            assert not caught.value.is_final
        async with relaying(smtp.url) as relay:
            smtp.login = "AUTH CRAM-MD5"
            with pytest.raises(
                Unreachable, match=r"454 4\.7\.0 The host offers neither AUTH PLAIN nor LOGIN"
            ):
                await relay.send(HOST, parcel())
    assert smtp.mails == 0


# DANE.


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        server.add("example.org", "MX", f"10 {MX}.", secure=True)
        server.add(MX, "A", HOST, secure=True)
        yield server


def tlsa(usage: int, selector: int, certificate: x509.Certificate, *, type: int = 1) -> str:
    if selector:
        data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        data = certificate.public_bytes(Encoding.DER)
    digest = [data, sha256(data).digest(), sha512(data).digest()][type]
    return f"{usage} {selector} {type} {digest.hex()}"


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("type", [0, 1, 2])
async def test_a_key_that_dns_names_is_good(
    dns: DnsServer, authority: Authority, good: ssl.SSLContext, selector: int, type: int
) -> None:
    """DANE-EE: whoever signed it, whatever its name."""
    async with peer(tls=good) as smtp:
        name = f"_{smtp.port}._tcp.{MX}"
        dns.add(name, "TLSA", tlsa(3, selector, certificate(authority), type=type), secure=True)
        assert await fate(dns, smtp) == Fate("relayed", "250 2.1.5 recipient ok", MX, reports=True)
        assert smtp.messages[0].is_encrypted


async def test_another_key_than_dns_names_is_refused(
    dns: DnsServer, authority: Authority, good: ssl.SSLContext, foreign: ssl.SSLContext
) -> None:
    async with peer(tls=foreign) as smtp:
        name = f"_{smtp.port}._tcp.{MX}"
        dns.add(name, "TLSA", tlsa(3, 1, certificate(authority)), secure=True)
        refusal = "451 4.7.5 No certificate of the host is one that its TLSA records name"
        assert await fate(dns, smtp) == refusal
        # Nor is it done without TLS, when that is not offered.
        smtp.tls = None
        assert await fate(dns, smtp) == "451 4.7.4 The host offers no TLS, which is required"
        # An answer that DNSSEC does not vouch for demands nothing, wherever the chain is broken.
        for name in (f"_{smtp.port}._tcp.{MX}", MX, "example.org"):
            dns.secure.discard(name)
            assert isinstance(await fate(dns, smtp), Fate)
            dns.secure.add(name)


async def test_without_an_answer_about_dane_nothing_is_sent(dns: DnsServer, good: ssl.SSLContext) -> None:
    async with peer(tls=good) as smtp:
        dns.broken.add(f"_{smtp.port}._tcp.{MX}")
        assert str(await fate(dns, smtp)).startswith(f"451 4.4.3 TLSA of _{smtp.port}._tcp.{MX}.: no server")
        dns.broken.clear()
        assert isinstance(await fate(dns, smtp), Fate)


async def test_records_that_mail_may_not_use_demand_tls_and_no_more(
    dns: DnsServer, foreign: ssl.SSLContext
) -> None:
    async with peer(tls=foreign) as smtp:
        dns.add(f"_{smtp.port}._tcp.{MX}", "TLSA", "1 1 1 " + "ab" * 32, "3 1 9 " + "ab" * 32, secure=True)
        assert isinstance(await fate(dns, smtp), Fate)
        assert smtp.messages[0].is_encrypted
        smtp.tls = None
        assert await fate(dns, smtp) == "451 4.7.4 The host offers no TLS, which is required"


async def test_an_authority_that_dns_names_is_good(
    dns: DnsServer, authority: Authority, good: ssl.SSLContext, tmp_path: Path
) -> None:
    """DANE-TA: the authority is sent along, and vouches for the name of the host (RFC 7672 §3.1.2)."""
    anchor = x509.load_pem_x509_certificate(authority.file.read_bytes())
    for host, expected in ((MX, True), ("other.example", False)):
        authority.context(host)
        chain = tmp_path / f"{host}.pem"
        chain.write_bytes((authority.file.parent / f"{host}.pem").read_bytes() + authority.file.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        async with peer(tls=context) as smtp:
            dns.add(f"_{smtp.port}._tcp.{MX}", "TLSA", tlsa(2, 0, anchor), secure=True)
            assert isinstance(await fate(dns, smtp), Fate) is expected
    # The authority stays at home: the host's own certificate is no authority.
    async with peer(tls=good) as smtp:
        dns.add(f"_{smtp.port}._tcp.{MX}", "TLSA", tlsa(2, 0, anchor), secure=True)
        assert not isinstance(await fate(dns, smtp), Fate)
