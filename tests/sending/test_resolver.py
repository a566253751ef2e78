"""The resolver against a server on loopback."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sending.dns_server import DnsServer, dns_server
from veredus.resolver import LookupFailed, Mx, NoSuchName, Resolver, TlsaRecord

ZONE = {
    "example.org": {
        "MX": ["20 Second.example.org.", "10 first.example.org."],
        "TXT": ['"one " "record"', '"another"'],
    },
    "first.example.org": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "alias.example.org": {"CNAME": ["first.example.org."]},
    "silent.example": {"MX": ["0 ."]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["First.example.org."]},
}


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server(ZONE) as server:
        yield server


@pytest_asyncio.fixture
async def resolver(dns: DnsServer) -> AsyncIterator[Resolver]:
    resolver = Resolver([dns.address], timeout_s=1)
    yield resolver
    await resolver.close()


async def test_hosts_come_in_order_of_preference(resolver: Resolver) -> None:
    assert await resolver.mx("Example.ORG") == [Mx(10, "first.example.org"), Mx(20, "second.example.org")]
    assert await resolver.mx("first.example.org") == []


async def test_a_domain_without_mail_says_so(resolver: Resolver) -> None:
    assert await resolver.mx("silent.example") == [Mx(0, ".")]


@pytest.mark.parametrize("host", ["first.example.org", "first.example.org.", "alias.example.org"])
async def test_addresses_are_of_both_kinds(resolver: Resolver, host: str) -> None:
    assert sorted(await resolver.addresses(host)) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


async def test_strings_of_a_record_are_joined(resolver: Resolver, dns: DnsServer) -> None:
    assert sorted(await resolver.txt("example.org")) == [b"another", b"one record"]
    # Larger than a datagram may be: it comes by TCP.
    dns.txt("key.example.org", "p=" + "A" * 3000)
    assert await resolver.txt("key.example.org") == [b"p=" + b"A" * 3000]


async def test_an_address_has_names(resolver: Resolver) -> None:
    assert await resolver.ptr("192.0.2.1") == ["first.example.org"]
    with pytest.raises(NoSuchName):
        await resolver.ptr("2001:db8::1")


async def test_dnssec_vouches_for_what_the_server_says(resolver: Resolver, dns: DnsServer) -> None:
    dns.add("_25._tcp.first.example.org", "TLSA", "3 1 1 " + "ab" * 32, secure=True)
    dns.add("_25._tcp.second.example.org", "TLSA", "3 1 1 " + "cd" * 32)
    found = await resolver.tlsa("_25._tcp.first.example.org")
    assert (found.records, found.is_secure) == ([TlsaRecord(3, 1, 1, b"\xab" * 32)], True)
    assert not (await resolver.tlsa("_25._tcp.second.example.org")).is_secure
    dns.secure.update(("signed.example", "first.example.org"))
    dns.add("signed.example", "MX", "1 first.example.org.")
    assert [it.is_secure for it in await resolver.mx("signed.example")] == [True]
    assert [it.is_secure for it in await resolver.mx("example.org")] == [False, False]
    assert (await resolver.lookup("first.example.org")).is_secure


@pytest.mark.parametrize("name", ["nobody.example", "a..b", "x" * 64 + ".example", ".example", "a." * 200])
async def test_what_does_not_or_cannot_exist(resolver: Resolver, name: str) -> None:
    with pytest.raises(NoSuchName):
        await resolver.mx(name)
    with pytest.raises(NoSuchName):
        await resolver.addresses(name)


async def test_a_server_without_an_answer_is_no_answer(resolver: Resolver, dns: DnsServer) -> None:
    dns.broken.add("example.org")
    with pytest.raises(LookupFailed, match=r"MX of example\.org\.: no server could answer"):
        await resolver.mx("example.org")
    dns.silent.add("first.example.org")
    with pytest.raises(LookupFailed, match=r"A of first\.example\.org\.: no answer in time"):
        await resolver.addresses("first.example.org")
    dns.broken.clear()
    assert len(await resolver.mx("example.org")) == 2  # a failure is not remembered


async def test_answers_are_kept_as_long_as_they_say(resolver: Resolver, dns: DnsServer) -> None:
    for _ in range(3):
        await resolver.mx("example.org")
        with pytest.raises(NoSuchName):
            await resolver.mx("nobody.example")
    assert dns.asked("example.org", "MX") == dns.asked("nobody.example", "MX") == 1
    dns.ttl = 0
    for _ in range(3):
        await resolver.txt("example.org")
    assert dns.asked("example.org", "TXT") == 3


async def test_a_second_server_is_asked(dns: DnsServer) -> None:
    async with dns_server() as other:
        other.broken.add("example.org")
        resolver = Resolver([other.address, dns.address], timeout_s=5)
        assert len(await resolver.mx("example.org")) == 2
        await resolver.close()
