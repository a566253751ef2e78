"""Where a client looks for the Session resource (RFC 8620 §2.2), asked of a real DNS server on loopback."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from veredus.client.discovery import (
    DiscoveryError,
    DnsResolver,
    Service,
    candidates,
    discover,
    in_order,
)

WELL_KNOWN = "/.well-known/jmap"


class NameServer(asyncio.DatagramProtocol):
    """Answers SRV queries for ``records``, NXDOMAIN for others."""

    def __init__(self, records: dict[str, list[str]], rcode: dns.rcode.Rcode) -> None:
        self.records, self.rcode, self.asked = records, rcode, list[str]()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.records:
            response.answer.append(dns.rrset.from_text_list(name, 60, "IN", "SRV", self.records[name]))
        else:
            response.set_rcode(self.rcode)
        self.transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def name_server(
    *records: str, of: str = "_jmap._tcp.example.com.", rcode: dns.rcode.Rcode = dns.rcode.NXDOMAIN
) -> AsyncIterator[tuple[DnsResolver, NameServer]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer({of: list(records)} if records else {}, rcode), ("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        yield DnsResolver(["127.0.0.1"], port=port), server
    finally:
        transport.close()


async def test_srv_comes_first_and_the_domain_itself_last() -> None:
    async with name_server("10 0 8443 b.example.com.", "5 0 443 a.example.com.") as (resolver, server):
        found = await discover("Alice <alice>@Example.COM", resolver=resolver)
        assert found.urls == (
            f"https://a.example.com{WELL_KNOWN}",
            f"https://b.example.com:8443{WELL_KNOWN}",
            f"https://example.com{WELL_KNOWN}",
        )
        assert server.asked == ["_jmap._tcp.example.com."]


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR, dns.rcode.SERVFAIL])
async def test_without_srv_the_domain_itself_is_tried(rcode: dns.rcode.Rcode) -> None:
    async with name_server(rcode=rcode) as (resolver, _):
        found = await discover("example.com", resolver=resolver)
        assert found.urls == (f"https://example.com{WELL_KNOWN}",)


async def test_a_target_outside_of_the_domain_gets_no_credentials() -> None:
    targets = ("api.example.net", "badexample.com", "example.com.example.net", "com")
    async with name_server(*(f"1 0 443 {name}." for name in targets)) as (resolver, _):
        found = await discover("example.com", resolver=resolver)
        assert found.urls == (f"https://example.com{WELL_KNOWN}",)
        assert sorted(found.unproven) == sorted(f"https://{name}{WELL_KNOWN}" for name in targets)
        assert "https://api.example.net" in found.advice
        agreed = await discover("example.com", resolver=resolver, trust=["API.example.net."])
        assert agreed.urls[0] == f"https://api.example.net{WELL_KNOWN}"


async def test_the_root_as_target_says_that_there_is_no_jmap() -> None:
    async with name_server("0 0 0 .") as (resolver, _):
        with pytest.raises(DiscoveryError, match="its DNS says that it has no JMAP"):
            await discover("a@example.com", resolver=resolver)


async def test_a_target_that_is_no_host_name_is_passed_over() -> None:
    records = [r"1 0 443 x/y?.example.com.", r"1 0 443 u\@h.example.com.", "1 0 0 ok.example.com."]
    async with name_server(*records) as (resolver, _):
        assert (await discover("example.com", resolver=resolver)).urls == (
            f"https://example.com{WELL_KNOWN}",
        )


async def test_a_domain_of_other_letters_is_asked_for_in_ascii() -> None:
    of = "_jmap._tcp.xn--bcher-kva.example."
    async with name_server("1 0 443 jmap.xn--bcher-kva.example.", of=of) as (resolver, _):
        found = await discover("zoë@Bücher.example", resolver=resolver)
        assert found.urls[0] == f"https://jmap.xn--bcher-kva.example{WELL_KNOWN}"


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("https://h", f"https://h{WELL_KNOWN}"),
        ("https://h:8580/", f"https://h:8580{WELL_KNOWN}"),
        ("https://h/jmap/session?x=1", "https://h/jmap/session?x=1"),
        ("http://h", f"http://h{WELL_KNOWN}"),
        ("mail.example.com:8443", f"https://mail.example.com:8443{WELL_KNOWN}"),
        ("example.com/jmap", "https://example.com/jmap"),
        ("10.0.0.1", f"https://10.0.0.1{WELL_KNOWN}"),
        ("2001:db8::1", f"https://[2001:db8::1]{WELL_KNOWN}"),
        ("localhost:8580", f"http://localhost:8580{WELL_KNOWN}"),
        ("alice@localhost", f"http://localhost{WELL_KNOWN}"),
        ("127.0.0.1:8580", f"http://127.0.0.1:8580{WELL_KNOWN}"),
        ("[::1]:8580", f"http://[::1]:8580{WELL_KNOWN}"),
        ("::1", f"http://[::1]{WELL_KNOWN}"),
        (" https://h ", f"https://h{WELL_KNOWN}"),
    ],
)
async def test_a_url_or_a_host_with_port_is_taken_as_it_is(server: str, url: str) -> None:
    assert await candidates(server) == (url,)


@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("", "no address, domain or URL"),
        ("a@", "no address"),
        ("a b", "no address"),
        ("x..y", "no address"),
        ("[", "no address"),
        ("ftp://h", "no URL of HTTP"),
        ("https:///x", "no URL of HTTP"),
        ("https://h:99999", "no URL: Port out of range"),
    ],
)
async def test_what_is_no_place_is_an_error(server: str, what: str) -> None:
    with pytest.raises(DiscoveryError, match=what):
        await candidates(server)


@pytest.mark.parametrize("url", ["https://u:hunter2@h/", "https://u:hunter2@h:99999"])
async def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(DiscoveryError, match="given apart") as raised:
        await candidates(url)
    assert "hunter2" not in str(raised.value)


def test_targets_of_one_priority_share_by_weight() -> None:
    services = [
        Service(20, 100, 443, "last"),
        Service(10, 0, 443, "zero"),
        Service(10, 30, 443, "third"),
        Service(10, 60, 443, "two thirds"),
    ]
    orders = [[service.target for service in in_order(services)] for _ in range(3000)]
    first = Counter(order[0] for order in orders)
    assert all(order[-1] == "last" and len(order) == 4 for order in orders)
    assert 1600 < first["two thirds"] < 2300
    assert 700 < first["third"] < 1300
    assert first["zero"] < 150
