"""Which hosts get the mail of a domain (RFC 5321 §5, RFC 7505)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sending.dns_server import DnsServer, dns_server
from sending.peer import CLOSE, DROP, Peer, neighbours, on
from sending.relays import parcel, relaying
from veredus.ports import Fate, Unreachable
from veredus.relay.contexts import Contexts
from veredus.relay.mta_sts import Policies
from veredus.relay.opening import Options
from veredus.relay.routes import MxRoutes
from veredus.relay.smtp import SmtpRelay
from veredus.resolver import Resolver

ANN, BOB = "ann@example.org", "bob@example.org"
ZONE = {
    "example.org": {"MX": ["10 mx1.example.org.", "20 mx2.example.org.", "30 mx3.example.org."]},
    "mx1.example.org": {"A": ["127.0.0.1"]},
    "mx2.example.org": {"A": ["127.0.0.2"]},
    "mx3.example.org": {"A": ["127.0.0.3"]},
    "plain.example": {"A": ["127.0.0.2"]},
    "silent.example": {"MX": ["0 ."]},
    "text.example": {"TXT": ['"nothing else"']},
    "lost.example": {"MX": ["10 gone.example.", "20 text.example."]},
    "own.example": {"MX": ["10 Veredus.Example.", "10 mx1.example.org.", "20 mx2.example.org."]},
    "backup.example": {"MX": ["10 mx2.example.org.", "20 veredus.example.", "30 mx3.example.org."]},
    "equal.example": {"MX": ["5 mx1.example.org.", "5 mx2.example.org.", "1 mx3.example.org."]},
    "multi.example": {"A": ["127.0.0.9", "127.0.0.1"]},
}


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server(ZONE) as server:
        yield server


@pytest_asyncio.fixture
async def hosts() -> AsyncIterator[list[Peer]]:
    async with neighbours(3) as peers:
        yield peers


@pytest_asyncio.fixture
async def relay(dns: DnsServer, hosts: list[Peer]) -> AsyncIterator[SmtpRelay]:
    async with relaying("mx", [dns.address], port=hosts[0].port) as relay:
        yield relay


def counts(hosts: list[Peer]) -> list[int]:
    return [len(it.messages) for it in hosts]


async def test_the_best_host_gets_it(relay: SmtpRelay, hosts: list[Peer]) -> None:
    fates = await relay.send("example.org", parcel(ANN))
    assert fates == {ANN: Fate("relayed", "250 2.1.5 recipient ok", "mx1.example.org", reports=True)}
    assert (counts(hosts), [it.connections for it in hosts]) == ([1, 0, 0], [1, 0, 0])


@pytest.mark.parametrize(
    ("moment", "action"),
    [
        ("connect", "421 busy"),
        ("connect", "554 not here"),
        ("connect", DROP),
        ("EHLO", CLOSE),
        ("MAIL", "421 closing"),
        ("RCPT", DROP),
        ("DATA", b"what?\r\n"),
    ],
)
async def test_the_next_host_is_asked(relay: SmtpRelay, hosts: list[Peer], moment: str, action: str) -> None:
    hosts[0].rules = [on(moment, action)]
    fates = await relay.send("example.org", parcel(ANN))
    assert (fates[ANN].kind, fates[ANN].host) == ("relayed", "mx2.example.org")
    assert counts(hosts) == [0, 1, 0]


async def test_who_has_an_answer_is_not_asked_about_again(relay: SmtpRelay, hosts: list[Peer]) -> None:
    hosts[0].rules = [on("RCPT", "550 5.1.1 who?", contains="bob"), on("DATA", DROP)]
    fates = await relay.send("example.org", parcel(BOB, ANN))
    assert {it: (fate.kind, fate.host) for it, fate in fates.items()} == {
        BOB: ("failed", "mx1.example.org"),
        ANN: ("relayed", "mx2.example.org"),
    }
    assert hosts[1].messages[0].recipients == [ANN]


async def test_a_refusal_is_the_word_of_all_hosts(relay: SmtpRelay, hosts: list[Peer]) -> None:
    hosts[0].rules = [on("RCPT", "450 4.7.1 greylisted")]
    assert (await relay.send("example.org", parcel(ANN)))[ANN].kind == "later"
    assert [it.connections for it in hosts] == [1, 0, 0]


async def test_after_the_text_no_other_host_is_asked(relay: SmtpRelay, hosts: list[Peer]) -> None:
    hosts[0].rules = [on("end", DROP)]
    assert (await relay.send("example.org", parcel(ANN)))[ANN].kind == "unknown"
    assert [it.connections for it in hosts] == [1, 0, 0]


async def test_when_all_hosts_fail_the_first_tells_why(relay: SmtpRelay, hosts: list[Peer]) -> None:
    for number, host in enumerate(hosts):
        host.rules = [on("connect", f"421 busy {number}")]
    with pytest.raises(Unreachable, match="421 busy 0") as caught:
        await relay.send("example.org", parcel(ANN))
    assert not caught.value.is_final
    assert [it.connections for it in hosts] == [1, 1, 1]


async def test_a_domain_without_mx_is_its_own_host(relay: SmtpRelay, hosts: list[Peer]) -> None:
    assert (await relay.send("plain.example", parcel(ANN)))[ANN].host == "plain.example"
    assert counts(hosts) == [0, 1, 0]


async def test_each_address_of_a_host_is_tried(relay: SmtpRelay, hosts: list[Peer]) -> None:
    assert (await relay.send("multi.example", parcel(ANN)))[ANN].kind == "relayed"
    assert counts(hosts) == [1, 0, 0]


@pytest.mark.parametrize(
    ("domain", "reply", "is_final"),
    [
        ("silent.example", "556 5.1.10 silent.example takes no mail", True),
        ("no-such.example", "550 5.1.2 There is no domain no-such.example", True),
        ("text.example", "550 5.1.2 text.example has no host that takes mail", True),
        ("own.example", "554 5.4.6 Mail for own.example would come back to this host", True),
        ("lost.example", "451 4.4.3 There is no host gone.example", False),
        ("[127.0.0]", "553 5.1.2 [127.0.0] is no address", True),
    ],
)
async def test_a_domain_that_cannot_be_sent_to(
    relay: SmtpRelay, hosts: list[Peer], domain: str, reply: str, is_final: bool
) -> None:
    with pytest.raises(Unreachable) as caught:
        await relay.send(domain, parcel(f"ann@{domain}"))
    assert (str(caught.value), caught.value.is_final) == (reply, is_final)
    assert [it.connections for it in hosts] == [0, 0, 0]


async def test_trouble_with_dns_is_for_now(relay: SmtpRelay, dns: DnsServer, hosts: list[Peer]) -> None:
    dns.broken.add("example.org")
    with pytest.raises(
        Unreachable, match=r"451 4\.4\.3 MX of example\.org\.: no server could answer"
    ) as caught:
        await relay.send("example.org", parcel(ANN))
    assert not caught.value.is_final
    dns.broken = {"mx1.example.org"}  # another host will do
    assert (await relay.send("example.org", parcel(ANN)))[ANN].host == "mx2.example.org"


async def test_a_backup_host_sends_to_better_ones_only(relay: SmtpRelay, hosts: list[Peer]) -> None:
    assert (await relay.send("backup.example", parcel(ANN)))[ANN].host == "mx2.example.org"
    hosts[1].rules = [on("MAIL", "421 closing"), on("connect", "421 closing")]
    with pytest.raises(Unreachable, match="421 closing"):
        await relay.send("backup.example", parcel(ANN))
    assert hosts[2].connections == 0


async def test_a_host_that_is_ourselves_under_another_name_gets_nothing(dns: DnsServer) -> None:
    async with (
        neighbours(1, greeting="220 Veredus.Example ESMTP") as [host],
        relaying("mx", [dns.address], port=host.port) as relay,
    ):
        with pytest.raises(Unreachable, match=r"554 5\.4\.6 127\.0\.0\.1 is this host itself") as caught:
            await relay.send("[127.0.0.1]", parcel("ann@[127.0.0.1]"))
    assert caught.value.is_final
    assert host.mails == 0


async def test_an_address_may_stand_for_a_host(relay: SmtpRelay, hosts: list[Peer]) -> None:
    destination = relay.destination("ann@[127.0.0.3]")
    fates = await relay.send(destination, parcel("ann@[127.0.0.3]"))
    assert fates["ann@[127.0.0.3]"].host == "127.0.0.3"
    assert hosts[2].messages[0].recipients == ["ann@[127.0.0.3]"]


async def test_what_has_the_same_hosts_has_the_same_destination(relay: SmtpRelay) -> None:
    assert relay.destination("Ann@Example.ORG") == relay.destination("bob@example.org.") == "example.org"
    assert relay.destination("x@Пример.example") == "xn--e1afmkfd.example"
    assert relay.destination("x@[IPv6:::1]") == "[ipv6:::1]"
    async with relaying("smtp://user@Relay.example") as smart:
        assert smart.destination("Ann@Example.ORG") == smart.destination("x@other.example") == "relay.example"


async def test_connections_come_from_the_address_that_is_named(dns: DnsServer, hosts: list[Peer]) -> None:
    async with relaying("mx", [dns.address], port=hosts[0].port, source="127.0.0.7") as relay:
        await relay.send("example.org", parcel(ANN))
    assert hosts[0].clients == ["127.0.0.7"]


async def test_equal_hosts_share_the_mail(dns: DnsServer) -> None:
    resolver = Resolver([dns.address])
    options = Options(hostname="veredus.example")
    policies = Policies(resolver, Contexts(None), 443)
    routes = MxRoutes(resolver, policies, options)
    orders = {tuple(it.name[:3] for it in await routes.hosts("equal.example")) for _ in range(60)}
    assert orders == {("mx3", "mx1", "mx2"), ("mx3", "mx2", "mx1")}
    await policies.close()
    await resolver.close()
