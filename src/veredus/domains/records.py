"""The DNS records that a domain of this server should have, and how they are written down."""

import ipaddress
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from veredus.domains.domains import Domain

_TTL_S = 3600
# RFC 1035 §3.3: octets of one character-string.
_STRING = 255

RecordType = Literal["MX", "TXT", "SRV"]


class Record(Struct, frozen=True):
    """A record of DNS. ``name`` has no dot at its end; host names in ``value`` do.

    ``is_needed``: mail suffers without it. ``why`` is for people.
    """

    name: str
    type: RecordType
    value: str
    is_needed: bool
    why: str

    def zone_line(self) -> str:
        """As it stands in a zone file (RFC 1035 §5); long text is cut into strings of at most 255 octets."""
        value = self.value
        if self.type == "TXT":
            parts = [value[start : start + _STRING] for start in range(0, len(value), _STRING)]
            quoted = " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)
            value = f"( {quoted} )" if len(parts) > 1 else quoted
        return f"{self.name}. {_TTL_S} IN {self.type} {value}"


class Surroundings(Struct, frozen=True):
    """What of the settings shows in DNS."""

    # The host that takes and sends mail.
    hostname: str
    # That others reach the API by (RFC 8620 §2.2); None: not told.
    public_url: str | None = None
    # Through which all mail goes out; None: to the MX of each domain.
    smart_host: str | None = None
    # Ports on which users hand in mail (RFC 6409, RFC 8314); None: not at all.
    submission: int | None = None
    submissions: int | None = None


def records(domain: Domain, around: Surroundings) -> list[Record]:
    """What to publish for a domain, in the order of importance."""
    return [*_mail(domain, around), *_policies(domain), *_services(domain, around)]


def _mail(domain: Domain, around: Surroundings) -> Iterator[Record]:
    name = domain.name
    yield Record(name, "MX", f"10 {around.hostname}.", True, "where mail for the domain goes")
    sender = "mx" if around.smart_host is None else f"mx {mechanism(around.smart_host)}"
    ending = "-all" if around.smart_host is None else "~all"
    yield Record(name, "TXT", f"v=spf1 {sender} {ending}", True, "which hosts send for the domain (SPF)")
    for key in domain.keys:
        where = f"{key.selector}._domainkey.{name}"
        if key.status == "signing":
            yield Record(where, "TXT", key.record, True, "the key that signs (DKIM)")
        elif key.status == "waiting":
            yield Record(where, "TXT", key.record, True, "the key that will sign next (DKIM)")


def mechanism(host: str) -> str:
    """Of SPF, for a host that is named or is an IP address (RFC 7208 §5.3, §5.6)."""
    try:
        return f"ip{ipaddress.ip_address(host).version}:{host}"
    except ValueError:
        return f"a:{host}"


def _policies(domain: Domain) -> Iterator[Record]:
    name, postmaster = domain.name, f"mailto:postmaster@{domain.name}"
    policy = f"v=DMARC1; p=quarantine; rua={postmaster}"
    yield Record(f"_dmarc.{name}", "TXT", policy, True, "what becomes of mail that only claims to be yours")
    yield Record(
        f"_smtp._tls.{name}", "TXT", f"v=TLSRPTv1; rua={postmaster}", False, "reports of failures of TLS"
    )
    id = domain.at.partition("T")[0].replace("-", "")
    yield Record(
        f"_mta-sts.{name}",
        "TXT",
        f"v=STSv1; id={id}",
        False,
        "that mail comes by TLS alone (MTA-STS); it goes with the policy below",
    )


def sts_policy(domain: Domain, around: Surroundings) -> tuple[str, str]:
    """Where the policy of MTA-STS must be found, and its text (RFC 8461 §3.2)."""
    return (
        f"https://mta-sts.{domain.name}/.well-known/mta-sts.txt",
        f"version: STSv1\nmode: testing\nmx: {around.hostname}\nmax_age: 604800\n",
    )


def _services(domain: Domain, around: Surroundings) -> Iterator[Record]:
    host, port = around.hostname, 443
    if around.public_url is not None:
        url = urlsplit(around.public_url)
        host, port = url.hostname or host, url.port or (443 if url.scheme == "https" else 80)
    found = (
        ("_jmap", port, host, "how JMAP clients find the server (RFC 8620 §2.2)"),
        ("_submission", around.submission, around.hostname, "how mail programs hand in mail (RFC 6186)"),
        ("_submissions", around.submissions, around.hostname, "the same over TLS (RFC 8314 §5.1)"),
    )
    for service, at, target, why in found:
        if at:
            yield Record(f"{service}._tcp.{domain.name}", "SRV", f"0 1 {at} {target}.", False, why)
