"""Domains: their keys through a rotation, and signing with them in several processes (RFC 6376)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from sending.dns_server import DnsServer, dns_server
from veredus.domains.check import Check, Finding, published
from veredus.domains.domains import TABLE, Domains
from veredus.domains.names import DomainError, a_labels, u_labels
from veredus.domains.records import Surroundings, records, sts_policy
from veredus.resolver import Resolver
from veredus.store.memory import MemoryStore

dkimpy = pytest.importorskip("dkim", reason="the extra `checks` is not installed")

MESSAGE = b"From: alice@example.com\r\nTo: bob@example.org\r\nSubject: Hello\r\n\r\nHello.\r\n"
AROUND = Surroundings("mail.example.com", submission=587, submissions=465)


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[MemoryStore]:
    store = MemoryStore([TABLE], clock)
    yield store
    await store.close()


@pytest.fixture
def domains(store: MemoryStore, clock: Clock) -> Domains:
    return Domains(store, "system", clock)


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as dns:
        yield dns


def verified(message: bytes, dns: DnsServer) -> list[tuple[str, bool]]:
    """(d=, whether dkimpy finds it good with what DNS has) of each signature."""
    verifier = dkimpy.DKIM(message)
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)

    def key(name: bytes, timeout: int = 5) -> bytes | None:
        found = dns._records.get((name.decode().rstrip("."), "TXT"))
        return None if found is None else found[0].replace('" "', "").strip('"').encode()

    return [
        (verifier.domain.decode(), good)
        for index in range(count)
        for good in [bool(verifier.verify(index, key))]
    ]


def publish(dns: DnsServer, domain, around: Surroundings = AROUND) -> None:
    for record in records(domain, around):
        dns.remove(record.name, record.type)
        if record.type == "TXT":
            dns.txt(record.name, record.value)
        else:
            dns.add(record.name, record.type, record.value)


async def test_mail_of_a_domain_is_signed_with_both_keys(domains: Domains, dns: DnsServer) -> None:
    publish(dns, await domains.add("Example.COM."))
    fields = await domains.sign("EXAMPLE.com", MESSAGE)
    assert verified(fields + MESSAGE, dns) == [("example.com", True), ("example.com", True)]
    large = MESSAGE + b"x" * 70 + b"\r\n" * 300_000
    assert len(verified(await domains.sign("example.com", large) + large, dns)) == 2


async def test_without_a_key_nothing_is_signed(domains: Domains) -> None:
    await domains.add("example.com")
    assert await domains.has("Example.Com")
    for other in ("example.org", "com", "a.example.com", "[127.0.0.1]"):
        assert not await domains.has(other)
    for other in ("example.org", "com", "", "notexample.com", "a b", "\N{SNOWMAN}" * 80):
        assert await domains.sign(other, MESSAGE) == b""


async def test_a_subdomain_is_signed_by_the_nearest_domain_with_keys(
    domains: Domains, dns: DnsServer
) -> None:
    publish(dns, await domains.add("example.com"))
    publish(dns, await domains.add("b.example.com"))
    for name, signer in (("a.example.com", "example.com"), ("a.b.example.com", "b.example.com")):
        fields = await domains.sign(name, MESSAGE)
        assert verified(fields + MESSAGE, dns)[0] == (signer, True)


async def test_new_keys_sign_only_when_they_are_used_and_old_ones_stay_published(
    domains: Domains, dns: DnsServer, clock: Clock
) -> None:
    first = await domains.add("example.com")
    publish(dns, first)
    before = await domains.sign("example.com", MESSAGE)
    waiting = await domains.rotate("example.com")
    assert {key.status for key in waiting.keys} == {"signing", "waiting"}
    assert len({key.selector for key in waiting.keys}) == 4
    with pytest.raises(DomainError, match="wait to be used already"):
        await domains.rotate("example.com")
    during = await domains.sign("example.com", MESSAGE)
    assert all(key.selector.encode() in during for key in first.keys)
    resolver = Resolver([dns.address])
    assert await published(resolver, waiting) == []
    publish(dns, waiting)
    await resolver.close()
    assert len(await published(resolver, waiting)) == 2

    used = await domains.use_waiting("example.com")
    assert [key.status for key in used.keys] == ["retired", "retired", "signing", "signing"]
    after = await domains.sign("example.com", MESSAGE)
    assert not any(key.selector.encode() + b";" in after for key in first.keys)
    # What was signed before is still good: the records of retired keys are left where they are.
    assert all(good for _, good in verified(before + MESSAGE, dns) + verified(after + MESSAGE, dns))
    with pytest.raises(DomainError, match="no new key"):
        await domains.use_waiting("example.com")
    clock.moment += timedelta(days=8)
    assert len((await domains.rotate("example.com")).keys) == 4  # the retired ones are forgotten


async def test_a_retired_key_has_no_private_part_and_no_private_part_is_told(
    domains: Domains, store: MemoryStore
) -> None:
    await domains.add("example.com")
    await domains.rotate("example.com")
    await domains.use_waiting("example.com")
    async with store.read("system") as snapshot:
        (record,) = await snapshot.get("Domain", None)
    secrets = [key["key"] for key in record["keys"]]
    assert secrets[:2] == [None, None]
    assert all(secrets[2:])
    told = f"{await domains.all()!r} {domains!r} {await domains.signing_keys('example.com')!r}"
    assert not any(secret in told for secret in secrets[2:])


async def test_another_process_notices_within_a_second(store: MemoryStore, clock: Clock) -> None:
    moment = [0.0]
    here, there = Domains(store, "system", clock), Domains(store, "system", clock, now=lambda: moment[0])
    assert await there.sign("example.com", MESSAGE) == b""
    await here.add("example.com")
    moment[0] += 0.9
    assert await there.sign("example.com", MESSAGE) == b""
    moment[0] += 0.2
    assert await there.sign("example.com", MESSAGE) != b""
    await here.remove("example.com")
    moment[0] += 1.1
    assert await there.sign("example.com", MESSAGE) == b""


async def test_what_cannot_be_done_is_said(domains: Domains) -> None:
    await domains.add("example.com")
    with pytest.raises(DomainError, match="there already"):
        await domains.add("EXAMPLE.com")
    for action in (domains.get, domains.remove, domains.rotate, domains.use_waiting):
        with pytest.raises(DomainError, match=r"veredus domain add example\.org"):
            await action("example.org")
    for name in (
        "",
        "localhost",
        "a b.example",
        "-a.example",
        "a..example",
        "[127.0.0.1]",
        "a" * 64 + ".example",
    ):
        with pytest.raises(DomainError, match="not the name of a domain"):
            await domains.add(name)


@pytest.mark.parametrize(
    ("name", "ascii"),
    [
        ("Bücher.Example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え.example", "xn--r8jz45g.example"),
    ],
)
def test_names_are_kept_in_a_labels(name: str, ascii: str) -> None:
    assert a_labels(name) == ascii
    assert u_labels(ascii) == name.lower()


async def test_records_can_be_put_into_a_zone_file(domains: Domains) -> None:
    import dns.zone

    domain = await domains.add("example.com")
    lines = "\n".join(record.zone_line() for record in records(domain, AROUND))
    zone = dns.zone.from_text("$ORIGIN example.com.\n" + lines, check_origin=False)
    found = zone.get_rdataset(f"{domain.keys[0].selector}._domainkey", "TXT")
    assert found is not None
    (text,) = found
    assert b"".join(text.strings).decode() == domain.keys[0].record
    assert max(map(len, text.strings)) <= 255
    assert zone.get_rdataset("_submissions._tcp", "SRV") is not None
    assert sts_policy(domain, AROUND)[1].startswith("version: STSv1\nmode: testing\nmx: mail.example.com\n")


async def look(domain, dns: DnsServer, *addresses: str, around: Surroundings = AROUND) -> dict[str, Finding]:
    resolver = Resolver([dns.address], timeout_s=2)
    return {one.name: one for one in await Check(resolver, domain, around).findings(addresses)}


async def test_a_domain_whose_records_are_published_is_in_order(domains: Domains, dns: DnsServer) -> None:
    domain = await domains.add("example.com")
    missing = await look(domain, dns)
    needed = {"MX", "mail.example.com", "SPF", "DMARC", *(f"DKIM {key.selector}" for key in domain.keys)}
    assert {one.name for one in missing.values() if one.level == "problem"} == needed
    assert all(" - " in one.text for one in missing.values())
    publish(dns, domain)
    dns.add("mail.example.com", "A", "192.0.2.1")
    dns.add("1.2.0.192.in-addr.arpa", "PTR", "mail.example.com.")
    found = await look(domain, dns)
    assert {one.level for one in found.values()} == {"ok"}, found
    assert "PTR 192.0.2.1" in found


# (record), where it shows, how bad it is, what is said of it
WRONG: tuple[tuple[tuple[str, str, str], str, str, str], ...] = (
    (("example.com", "MX", "10 mx.example.net."), "MX", "problem", "mail goes to mx.example.net"),
    (("example.com", "TXT", '"v=spf1 -all"'), "SPF", "problem", "does not allow this host"),
    (("example.com", "TXT", '"v=spf1 mx +all"'), "SPF", "problem", "lets every host send"),
    (("example.com", "TXT", '"v=spf1 include:_spf.example.net -all"'), "SPF", "warning", "look there"),
    (("example.com", "TXT", '"v=spf1 ip4:192.0.2.0/28 -all"'), "SPF", "ok", "192.0.2.0/28"),
    (("example.com", "TXT", '"v=spf1 ip4:192.0.3.0/24 ip6:x -all"'), "SPF", "problem", "does not allow"),
    (("_dmarc.example.com", "TXT", '"v=DMARC1; p=none"'), "DMARC", "warning", "keeps nobody"),
    (("_dmarc.example.com", "TXT", '"v=DMARC1; sp=none"'), "DMARC", "problem", "has no p="),
    (("20261121r._domainkey.example.com", "TXT", '"v=DKIM1; p=AAAA"'), "DKIM 20261121r", "problem", "another key"),
    (("1.2.0.192.in-addr.arpa", "PTR", "liar.example.com."), "PTR 192.0.2.1", "problem", "does not lead back"),
)  # fmt: skip


async def test_what_is_wrong_is_said_with_its_remedy(domains: Domains, dns: DnsServer) -> None:
    domain = await domains.add("example.com")
    for record, where, level, said in WRONG:
        publish(dns, domain)
        for name, type, value in (
            ("mail.example.com", "A", "192.0.2.1"),
            ("1.2.0.192.in-addr.arpa", "PTR", "mail.example.com."),
            record,
        ):
            dns.remove(name, type)
            dns.add(name, type, value)
        finding = (await look(domain, dns))[where]
        assert (finding.level, said in finding.text) == (level, True), finding
        assert " - " in finding.text or level == "ok"


async def test_two_policies_and_a_silent_server_are_problems(domains: Domains, dns: DnsServer) -> None:
    domain = await domains.add("example.com")
    publish(dns, domain)
    dns.add("example.com", "TXT", '"v=spf1 -all"')
    dns.add("_dmarc.example.com", "TXT", '"v=DMARC1; p=reject"')
    dns.broken.add("_mta-sts.example.com")
    found = await look(domain, dns, "192.0.2.9")
    assert "2 policies" in found["SPF"].text
    assert "2 policies" in found["DMARC"].text
    assert "dns.servers" in found["MTA-STS"].text
    assert found["PTR 192.0.2.9"].level == "problem"


async def test_behind_a_smart_host_spf_must_name_it_and_ptr_matters_less(
    domains: Domains, dns: DnsServer
) -> None:
    around = Surroundings("mail.example.com", smart_host="relay.example.net")
    domain = await domains.add("example.com")
    publish(dns, domain, around)
    found = await look(domain, dns, "192.0.2.9", around=around)
    assert found["SPF"].level == "ok"
    assert found["PTR 192.0.2.9"].level == "warning"
    assert "a:relay.example.net ~all" in found["SPF"].text


@pytest.mark.parametrize(
    ("smart_host", "term"), [("192.0.2.25", "ip4:192.0.2.25"), ("2001:db8::25", "ip6:2001:db8::25")]
)
async def test_a_smart_host_that_is_an_address_is_named_as_one(
    domains: Domains, dns: DnsServer, smart_host: str, term: str
) -> None:
    around = Surroundings("mail.example.com", smart_host=smart_host)
    domain = await domains.add("example.com")
    publish(dns, domain, around)
    found = (await look(domain, dns, "192.0.2.9", around=around))["SPF"]
    assert (found.level, found.text) == ("ok", f"v=spf1 mx {term} ~all")
    dns.remove("example.com", "TXT")
    dns.add("example.com", "TXT", '"v=spf1 ip4:192.0.2.9 -all"')
    assert (await look(domain, dns, "192.0.2.9", around=around))["SPF"].level == "problem"


async def test_a_resolver_that_never_answers_is_waited_for_once(domains: Domains) -> None:
    domain = await domains.add("example.com")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = Resolver([f"127.0.0.1:{silent.getsockname()[1]}"], timeout_s=1)
        async with asyncio.timeout(4):
            found = await Check(resolver, domain, AROUND).findings()
    assert len(found) >= 8
    assert {one.level for one in found} == {"problem"}
