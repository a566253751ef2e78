"""SPF, DKIM and DMARC of what arrives, with a real DNS server (RFC 7208, 6376, 7489, 8601)."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sending.dns_server import DnsServer, dns_server
from veredus.formats.authentication_results import Result
from veredus.formats.dkim import SigningKey, sign
from veredus.formats.smtp import Envelope
from veredus.inspection.inspector import Inspected, Inspector
from veredus.inspection.suffixes import parse, suffixes
from veredus.resolver import Resolver

for module in ("authheaders", "spf", "dkim"):
    pytest.importorskip(module, reason="the extra `checks` is not installed")

NOW = 1_790_000_000
ENVELOPE = Envelope("alice@example.com", ("bob@here.example",), "192.0.2.1", "mail.example.com", "ESMTP")
MESSAGE = b"From: Alice <alice@example.com>\r\nTo: bob@here.example\r\nSubject: Hello\r\n\r\nHello.\r\n"
RSA, ED25519 = SigningKey.generate("r", "rsa-sha256"), SigningKey.generate("e", "ed25519-sha256")


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    """example.com sends from 192.0.2.0/28, signs, and wants the rest refused."""
    async with dns_server() as dns:
        dns.txt("example.com", "v=spf1 ip4:192.0.2.0/28 -all")
        for key in (RSA, ED25519):
            dns.txt(f"{key.selector}._domainkey.example.com", key.record)
        dns.txt("_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine")
        yield dns


@pytest.fixture
async def inspector(dns: DnsServer) -> AsyncIterator[Inspector]:
    inspector = Inspector(
        checks="all", hostname="here.example", resolver=Resolver([dns.address], timeout_s=3)
    )
    yield inspector
    await inspector.close()


def said(inspected: Inspected, method: str) -> list[str]:
    """What Authentication-Results says by this method, without the folding."""
    text = inspected.fields.decode().replace("\r\n", "").partition(";")[2]
    return [
        part.strip() for part in text.replace("\t", " ").split(";") if part.strip().startswith(f"{method}=")
    ]


def signed(message: bytes = MESSAGE, domain: str = "example.com") -> bytes:
    return sign(message, (RSA, ED25519), domain, NOW) + message


FOREIGN = replace(ENVELOPE, client="198.51.100.7")


async def test_mail_from_where_it_should_come_passes_everything(inspector: Inspector, dns: DnsServer) -> None:
    dns.add("1.2.0.192.in-addr.arpa", "PTR", "mail.example.com.")
    dns.add("mail.example.com", "A", "192.0.2.1")
    inspected = await inspector.inspect(ENVELOPE, signed())
    assert inspected.verdict == "accept"
    assert inspected.fields.startswith(b"Authentication-Results: here.example;\r\n\t")
    assert said(inspected, "iprev") == ["iprev=pass policy.iprev=192.0.2.1"]
    assert said(inspected, "spf") == ["spf=pass smtp.mailfrom=example.com"]
    assert [one.split()[:2] for one in said(inspected, "dkim")] == [["dkim=pass", "header.d=example.com"]] * 2
    assert said(inspected, "dmarc") == ["dmarc=pass header.from=example.com policy.dmarc=reject"]
    assert inspected.message == signed()


@pytest.mark.parametrize(
    ("policy", "client", "sender", "result"),
    [
        ("v=spf1 ip4:192.0.2.1 -all", "192.0.2.1", "a@spf.example", "pass"),
        ("v=spf1 ip4:192.0.2.1 -all", "192.0.2.2", "a@spf.example", "fail"),
        ("v=spf1 ip4:192.0.2.1 ~all", "192.0.2.2", "a@spf.example", "softfail"),
        ("v=spf1 ?all", "192.0.2.2", "a@spf.example", "neutral"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::7", "a@spf.example", "pass"),
        ("v=spf1 mx -all", "192.0.2.9", "a@spf.example", "pass"),
        ("v=spf1 a:host.spf.example/24 -all", "192.0.2.77", "a@spf.example", "pass"),
        ("v=spf1 a:host.spf.example -all", "2001:db8::9", "a@spf.example", "pass"),
        ("v=spf1 ptr -all", "192.0.2.9", "a@spf.example", "pass"),
        ("v=spf1 include:spf.example -all", "192.0.2.9", "a@spf.example", "permerror"),
        ("v=spf1 include:example.com -all", "192.0.2.9", "a@spf.example", "pass"),
        ("v=spf1 exists:%{l}.%{d} -all", "192.0.2.1", "host@spf.example", "pass"),
        ("v=spf1 exists:%{l}.%{d} -all", "192.0.2.1", '"a@b"@spf.example', "fail"),
        ("v=spf1 a:no1.example a:no2.example a:no3.example -all", "192.0.2.1", "a@spf.example", "permerror"),
        ("v=spf1 a:broken.example -all", "192.0.2.1", "a@spf.example", "temperror"),
        ("v=spf1 nonsense -all", "192.0.2.1", "a@spf.example", "permerror"),
        ("v=spf1 redirect=example.com", "192.0.2.1", "a@spf.example", "pass"),
        ("v=spf2 x", "192.0.2.1", "a@spf.example", "none"),
        ("v=spf1 ip4:192.0.2.1 -all", "192.0.2.1", "", "none"),
        ("v=spf1 ip4:192.0.2.1 -all", "192.0.2.1", "a@no\udce4.example", "none"),
        ("v=spf1 -all exp=host.spf.example", "192.0.2.1", "a@spf.example", "fail"),
    ],
)  # fmt: skip
async def test_spf_says_whether_a_host_may_send(
    policy: str, client: str, sender: str, result: str, inspector: Inspector, dns: DnsServer
) -> None:
    dns.txt("spf.example", policy)
    dns.add("spf.example", "MX", "10 host.spf.example.")
    dns.add("host.spf.example", "A", "192.0.2.9")
    dns.add("host.spf.example", "AAAA", "2001:db8::9")
    dns.add("9.2.0.192.in-addr.arpa", "PTR", "host.spf.example.")
    dns.broken.add("broken.example")
    inspected = await inspector.inspect(
        replace(ENVELOPE, client=client, sender=sender, helo="x.invalid"), MESSAGE
    )
    (spf,) = said(inspected, "spf")
    assert spf.split()[0] == f"spf={result}"
    assert ("smtp.mailfrom=" in spf) == bool(sender)


@pytest.mark.parametrize(
    ("changed", "expected", "because"),
    [
        (lambda m: m, "pass", ""),
        (lambda m: m.replace(b"Hello.", b"Hullo."), "fail", "the body was changed"),
        (lambda m: m.replace(b"Alice", b"Mallory"), "fail", "does not fit"),
        (lambda m: b"From: x@example.org\r\n" + m, "fail", "does not fit"),
        (lambda m: m.replace(b"t=1790000000;", b"t=soon;"), "permerror", "not a number"),
        (lambda m: m.replace(b"s=r;", b"s=gone;").replace(b"s=e;", b"s=gone;"), "permerror", "no key"),
        (lambda m: m.replace(b"s=r;", b"s=other;").replace(b"s=e;", b"s=other;"), "permerror", ""),
        (lambda m: m.replace(b"s=r;", b"s=broken;").replace(b"s=e;", b"s=broken;"), "temperror", "TXT of"),
        (lambda m: m.replace(b"v=1; ", b""), "permerror", "v= is missing"),
        (lambda m: m.replace(b"t=1790000000;", b"t=1790000000; x=1000000000;"), "fail", "expired"),
        (lambda m: m.replace(b"rsa-sha256", b"rsa-sha1").replace(b"ed25519-sha256", b"rsa-sha1"), "policy", "SHA-1"),
        (lambda m: m.replace(b"relaxed/relaxed", b"odd/odd"), "permerror", ""),
    ],
)  # fmt: skip
async def test_dkim_says_what_each_signature_is_worth(
    changed, expected: str, because: str, inspector: Inspector, dns: DnsServer
) -> None:
    dns.txt("other._domainkey.example.com", "v=DKIM1; k=rsa; p=")
    dns.broken.add("broken._domainkey.example.com")
    inspected = await inspector.inspect(FOREIGN, changed(signed()))
    results = said(inspected, "dkim")
    assert [one.split()[0] for one in results] == [f"dkim={expected}"] * 2
    assert all(because in one for one in results), results
    dmarc = {"pass": "pass", "temperror": "temperror"}.get(expected, "fail")
    assert said(inspected, "dmarc")[-1].split()[0] == f"dmarc={dmarc}"
    assert inspected.verdict == ("reject" if dmarc == "fail" else "accept")


async def test_a_signature_that_leaves_a_part_of_the_body_out_counts_for_nothing(
    inspector: Inspector, dns: DnsServer
) -> None:
    import dkim
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(65537, 2048)
    dns.txt("l._domainkey.example.com", SigningKey("l", key).record)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    message = dkim.sign(MESSAGE, b"l", b"example.com", pem, length=True) + MESSAGE
    whole = await inspector.inspect(FOREIGN, message)
    assert said(whole, "dkim")[0].startswith("dkim=pass")
    longer = await inspector.inspect(FOREIGN, message + b"Buy this!\r\n")
    assert said(longer, "dkim")[0].startswith('dkim=policy reason="l=')
    assert longer.verdict == "reject"


@pytest.mark.parametrize(
    "head",
    [
        b"From : alice@example.com\r\n",
        b"From: alice@example.com\r\nno field\r\nDKIM-Signature: v=1\r\n",
        b" folded first\r\nFrom: alice@example.com\r\nDKIM-Signature: x\r\n",
        b"From: alice@example.com\r\nDKIM-Signature: v=1; v=1\r\nDKIM-Signature: \xff;;=\r\nDKIM-Signature:\r\n",
        b"From: alice@example.com\r\n" + b"DKIM-Signature: v=1; a=rsa-sha256; b=; bh=; d=; h=; s=\r\n" * 300,
        b"From: alice@example.com\r\nDKIM-Signature: v=1; a=x; b=AAAA; bh=AAAA; d=a..b; h=from; s=" + b"y" * 300 + b"\r\n",
    ],
)  # fmt: skip
async def test_nonsense_never_passes_and_never_breaks_anything(head: bytes, inspector: Inspector) -> None:
    inspected = await inspector.inspect(FOREIGN, head + b"\r\nBody\r\n")
    assert inspected.verdict == "reject"
    assert not any("=pass" in one for one in said(inspected, "dkim"))
    assert len(said(inspected, "dkim")) <= 10


@pytest.mark.parametrize(
    ("mail", "policy", "expected", "verdict"),
    [
        (("a@my-bank.example", "a@my-bank.example", ""), "p=reject", "pass", "accept"),
        (("a@my-bank.example", "a@other.example", ""), "p=reject", "fail", "reject"),
        (("a@my-bank.example", "a@other.example", ""), "p=quarantine", "fail", "junk"),
        (("a@my-bank.example", "a@other.example", ""), "p=none", "fail", "accept"),
        (("a@my-bank.example", "a@other.example", ""), "p=reject; pct=0", "fail", "junk"),
        (("a@my-bank.example", "a@other.example", ""), "p=quarantine; pct=0", "fail", "accept"),
        (("a@MY-BANK.example", "a@news.my-bank.example", ""), "p=reject", "pass", "accept"),
        (("a@my-bank.example", "a@news.my-bank.example", ""), "p=reject; aspf=s", "fail", "reject"),
        (("a@news.my-bank.example", "a@other.example", ""), "p=reject; sp=quarantine", "fail", "junk"),
        (("a@news.my-bank.example", "a@other.example", ""), "p=quarantine", "fail", "junk"),
        (("a@news.my-bank.example", "a@other.example", "my-bank.example"), "p=reject", "pass", "accept"),
        (("a@news.my-bank.example", "a@other.example", "my-bank.example"), "p=reject; adkim=s", "fail", "reject"),
        (("a@my-bank.example", "a@other.example", ""), "rua=mailto:x@y.example", "fail", "accept"),
        (("a@my-bank.example", "a@other.example", ""), "p=wrong", "none", "accept"),
        (("a@bank.co.uk", "a@thief.co.uk", ""), "p=reject", "fail", "reject"),
        (("a@nobody.example", "a@other.example", ""), "p=reject", "none", "accept"),
        (('"x@my-bank.example" <a@nobody.example>', "a@other.example", ""), "p=reject", "none", "accept"),
        (("a@nobody.example, b@my-bank.example", "a@nobody.example", ""), "p=reject", "fail", "reject"),
        (("a@b\u00fccher.example", "a@other.example", ""), "p=reject", "fail", "reject"),
    ],
)  # fmt: skip
async def test_dmarc_does_what_the_domain_of_the_author_asks_for(
    mail: tuple[str, str, str], policy: str, expected: str, verdict: str, inspector: Inspector, dns: DnsServer
) -> None:
    author, sender, signer = mail
    for domain in ("my-bank.example", "bank.co.uk", "xn--bcher-kva.example"):
        dns.txt(f"_dmarc.{domain}", f"v=DMARC1; {policy}")
    for domain in (
        "my-bank.example",
        "news.my-bank.example",
        "other.example",
        "thief.co.uk",
        "nobody.example",
    ):
        dns.txt(domain, "v=spf1 ip4:192.0.2.1 -all")
    dns.txt("r._domainkey.my-bank.example", RSA.record)
    message = f"From: {author}\r\nSubject: x\r\n\r\nHello\r\n".encode()
    if signer:
        message = sign(message, (RSA,), signer, NOW) + message
    inspected = await inspector.inspect(replace(ENVELOPE, sender=sender), message)
    assert expected in {one.split()[0].removeprefix("dmarc=") for one in said(inspected, "dmarc")}
    assert inspected.verdict == verdict
    if verdict == "reject":
        assert inspected.reply is not None
        assert inspected.reply[:2] == (550, "5.7.26")
    else:
        assert inspected.reply is None


async def test_a_temporary_failure_never_rejects(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from veredus.inspection import senders

    monkeypatch.setattr(senders, "_PATIENCE_S", 0.3)
    inspector = Inspector(
        checks="smtp", hostname="here.example", resolver=Resolver([dns.address], timeout_s=5)
    )
    dns.silent |= {"example.com", "7.100.51.198.in-addr.arpa"}
    inspected = await inspector.inspect(FOREIGN, MESSAGE)
    assert [said(inspected, name)[0].split()[0] for name in ("iprev", "spf", "dkim", "dmarc")] == [
        "iprev=temperror", "spf=temperror", "dkim=none", "dmarc=temperror",
    ]  # fmt: skip
    dns.broken.add("_dmarc.example.com")
    dns.silent.clear()
    again = Inspector(checks="smtp", hostname="here.example", resolver=Resolver([dns.address]))
    inspected = await again.inspect(FOREIGN, MESSAGE)
    assert (inspected.verdict, said(inspected, "dmarc")[0].split()[0]) == ("accept", "dmarc=temperror")


async def test_without_enforcement_it_is_only_written_down(dns: DnsServer) -> None:
    inspector = Inspector(
        checks="smtp", enforce_dmarc=False, hostname="here.example", resolver=Resolver([dns.address])
    )
    inspected = await inspector.inspect(FOREIGN, MESSAGE)
    assert (inspected.verdict, inspected.reply) == ("accept", None)
    assert said(inspected, "dmarc") == ["dmarc=fail header.from=example.com policy.dmarc=reject"]


async def test_what_our_own_mta_hands_over_is_checked_without_its_address(
    inspector: Inspector, dns: DnsServer
) -> None:
    by_lmtp = replace(ENVELOPE, protocol="LMTP", client="127.0.0.1")
    good = await inspector.inspect(by_lmtp, signed())
    assert said(good, "dmarc")[0].startswith("dmarc=pass")
    unsigned = await inspector.inspect(by_lmtp, MESSAGE)
    # SPF might have passed, so DMARC cannot be said to fail.
    assert (said(unsigned, "spf"), said(unsigned, "dmarc"), unsigned.verdict) == ([], [], "accept")
    only_smtp = Inspector(checks="smtp", hostname="here.example", resolver=Resolver([dns.address]))
    assert (await only_smtp.inspect(by_lmtp, MESSAGE)).fields == b""


TRUE = b"Authentication-Results: there.example; spf=fail\r\nX-Spam-Status: No\r\n"
FALSE = (
    b"AUTHENTICATION-RESULTS : (x) Here.Example 1;\r\n\tspf=pass\r\n",
    b"Authentication-Results: here.example; none\r\n",
)


async def test_who_writes_results_in_our_name_is_not_believed(inspector: Inspector) -> None:
    body = b"\r\nAuthentication-Results: here.example; in the body\r\n"
    message = FALSE[0] + TRUE + FALSE[1] + MESSAGE + body
    off = Inspector(hostname="here.example", resolver=Resolver(["127.0.0.1:9"]))
    for one in (inspector, off):
        assert (await one.inspect(ENVELOPE, message)).message == TRUE + MESSAGE + body
    # By LMTP it may have been our own MTA.
    assert (await off.inspect(replace(ENVELOPE, protocol="LMTP"), message)).message is message


async def test_a_message_that_runs_in_a_circle_is_refused(dns: DnsServer) -> None:
    inspector = Inspector(hostname="here.example", max_hops=10, resolver=Resolver([dns.address]))
    for name in (b"Received:", b"RECEIVED :"):
        assert (await inspector.inspect(ENVELOPE, name + b" x\r\n" + MESSAGE)).verdict == "accept"
        many = (name + b" from a\r\n\tby b; x\r\n") * 11
        inspected = await inspector.inspect(ENVELOPE, many + MESSAGE)
        assert inspected.verdict == "reject"
        assert inspected.reply is not None
        assert inspected.reply[:2] == (554, "5.4.6")
        in_body = await inspector.inspect(ENVELOPE, MESSAGE + many)
        assert (in_body.verdict, in_body.fields) == ("accept", b"")


async def test_with_everything_off_nobody_is_asked(dns: DnsServer) -> None:
    inspector = Inspector(hostname="here.example", resolver=Resolver([dns.address]))
    inspected = await inspector.inspect(ENVELOPE, MESSAGE)
    assert inspected.message is MESSAGE
    assert (inspected.fields, inspected.verdict, dns.questions) == (b"", "accept", [])


async def test_what_is_not_installed_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from veredus.inspection import inspector

    def made(checks) -> str | None:
        return Inspector(checks=checks, hostname="here.example", resolver=Resolver(["127.0.0.1:9"])).problem()

    assert made("all") is None
    monkeypatch.setattr(inspector, "_EXTRA", ("dkim", "not_installed_at_all"))
    assert made("off") is None
    # Whoever starts it all the same gets mail, unchecked.
    started = Inspector(checks="smtp", hostname="here.example", resolver=Resolver(["127.0.0.1:9"]))
    assert (await started.inspect(FOREIGN, MESSAGE)).fields == b""
    assert made("smtp") == "incoming.check_senders is \"smtp\", and that needs: pip install 'veredus[checks]'"


@pytest.mark.parametrize(
    ("domain", "organization"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("Bank.co.UK.", "bank.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.kawasaki.jp", "a.b.kawasaki.jp"),
        ("x.city.kawasaki.jp", "city.kawasaki.jp"),
        ("a.b.unknown-tld", "b.unknown-tld"),
        ("com", "com"),
        ("a.b.xn--p1ai", "b.xn--p1ai"),
    ],
)
def test_the_organizational_domain_is_found(domain: str, organization: str) -> None:
    assert suffixes().organizational(domain) == organization


def test_a_list_may_have_odd_lines() -> None:
    found = parse("// x\n\nCOM trailing words\n*.ck\n!www.ck\nрф\n")
    assert (found.plain, found.wildcards, found.exceptions) == ({"com", "xn--p1ai"}, {"ck"}, {"www.ck"})
    assert Result("a", "b").text() == ["a=b"]
