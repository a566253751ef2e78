"""What a string setting must look like. Each check says what is wrong with its argument, or None."""

import ipaddress
import re
from urllib.parse import urlsplit

_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_POSTGRES_HOST = re.compile(r"(\[(?P<ipv6>[^\]%]*)\]|[^\s:,\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_IPV6_ADDRESS = re.compile(r"\[(?P<host>[^\]]*)\]:(?P<port>.*)")


def address(text: str) -> str | None:
    """``host:port`` or ``[ipv6]:port``; port 0 lets the system choose."""
    in_brackets = _IPV6_ADDRESS.fullmatch(text)
    host, _, port = (
        text.rpartition(":") if in_brackets is None else (in_brackets["host"], ":", in_brackets["port"])
    )
    if not (host and port.isascii() and port.isdigit() and int(port) <= 65535):
        return 'expected "host:port" with a port from 0 to 65535'
    if in_brackets is not None:
        return None if _is_ip(host, 6) else "what stands in [ ] is not an IPv6 address"
    if ":" in host:
        return "an IPv6 address needs brackets: [::1]:8580"
    return (
        None
        if _is_ip(host, 4) or hostname(host) is None
        else f'"{host}" is neither an address nor a host name'
    )


def numeric_address(text: str) -> str | None:
    """An ``address`` without a name in it: of those who are asked for names."""
    if problem := address(text):
        return problem
    host = text.rpartition(":")[0]
    return (
        None if host.startswith("[") or _is_ip(host, 4) else f'expected an IP address, got the name "{host}"'
    )


def hostname(text: str) -> str | None:
    """A host name of letters, digits and hyphens (RFC 1123 §2.1)."""
    if len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split(".")):
        return None
    return "expected a host name such as mail.example.com (an internationalised name in its xn-- form)"


def http_url(text: str) -> str | None:
    """An absolute http or https URL without query, fragment or user."""
    problem = f'expected a URL such as "https://mail.example.com", got "{text}"'
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port)
    except ValueError:
        return problem
    return problem if not usable or url.query or url.fragment or url.username is not None else None


def nats_url(text: str) -> str | None:
    """The URL of a NATS server; user, password and token may stand in it."""
    try:
        url = urlsplit(text)
        usable = url.scheme in ("nats", "tls") and url.hostname and (url.port is None or url.port)
    except ValueError:
        usable = False
    return None if usable else 'expected a URL such as "nats://127.0.0.1:4222"'


def storage_url(text: str) -> str | None:
    """``sqlite``, ``memory``, or the URL of a PostgreSQL database."""
    if text in ("sqlite", "memory"):
        return None
    if ":" not in text:
        url = '"postgresql://veredus@10.0.0.4/veredus"'
        return f'expected "sqlite", "memory" or a URL such as {url}, got "{text}"'
    return postgres_url(text)


def postgres_url(text: str) -> str | None:
    """The URL of a PostgreSQL database; user, password and libpq's parameters may stand in it.

    Several hosts may: ``a:5432,b:5432``, or a directory with a socket in it (%2Frun%2Fpostgresql).
    """
    example = 'expected a URL such as "postgresql://veredus@10.0.0.4/veredus"'
    try:
        url = urlsplit(text)
    except ValueError:
        return example
    if url.scheme not in ("postgresql", "postgres") or "://" not in text:
        return example
    user, _, hosts = url.netloc.rpartition("@")
    if "@" in user + url.path + url.query or url.fragment:
        return "@ : / ? # % in a user name or a password are written as %40 %3A %2F %3F %23 %25"
    return None if all(map(_is_postgres_host, hosts.split(","))) or not hosts else example


def _is_postgres_host(text: str) -> bool:
    found = _POSTGRES_HOST.fullmatch(text)
    if found is None or (found["ipv6"] is not None and not _is_ip(found["ipv6"], 6)):
        return False
    return found["port"] is None or 0 < int(found["port"]) < 65536


def schema(text: str) -> str | None:
    """The name of a schema, as PostgreSQL takes it without quotation marks."""
    is_name = re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", text) and not text.startswith("pg_")
    return None if is_name else "expected lower-case letters, digits and _, and no pg_ at the beginning"


def outgoing_url(text: str) -> str | None:
    """``mx``, ``local``, ``off``, or the URL of a smart host; user and password may stand in it."""
    if text in ("mx", "local", "off"):
        return None
    return _service_url(
        text,
        ("smtp", "smtps"),
        '"mx", "local", "off" or a URL such as "smtp://user:password@relay.example:587"',
    )


def spam_url(text: str) -> str | None:
    """The URL of a spam filter."""
    return _service_url(text, ("rspamd", "spamd"), 'a URL such as "rspamd://127.0.0.1:11333"')


def _service_url(text: str, schemes: tuple[str, ...], wanted: str) -> str | None:
    """Scheme, host and perhaps port, user and password: no path."""
    hint = "; @ : / ? # % in a password are written as %40 %3A %2F %3F %23 %25" if "@" in text else ""
    problem = f"expected {wanted}{hint}"
    try:
        url = urlsplit(text)
        usable = url.scheme in schemes and url.hostname and (url.port is None or url.port)
    except ValueError:
        return problem
    if not usable or url.path.strip("/") or url.query or url.fragment:
        return problem
    return None if url.password or url.username is None else "a user name needs a password: user:password@"


def blobs_url(text: str) -> str | None:
    """``file``, ``memory``, or a bucket of an S3-compatible store."""
    if text in ("file", "memory"):
        return None
    try:
        url = urlsplit(text)
        usable = url.scheme == "s3" and url.hostname and url.username is None and not url.fragment
    except ValueError:
        usable = False
    return None if usable else 'expected a URL such as "s3://bucket/prefix"'


def subject(text: str) -> str | None:
    """One token of a NATS subject."""
    return None if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) else "expected letters, digits, - and _"


def contact(text: str) -> str | None:
    """A URI under which people can be reached (RFC 8292 §2.1)."""
    if re.fullmatch(r"mailto:[^\s@]+@[^\s@]+", text) or (
        text.startswith("https:") and http_url(text) is None
    ):
        return None
    return f'expected a URI such as "mailto:postmaster@example.com", got "{text}"'


def origin(text: str) -> str | None:
    """``*``, or scheme, host and port alone (RFC 6454 §6.2), as browsers send it."""
    if text == "*":
        return None
    if http_url(text) is not None or text.count("/") != 2:
        return f'expected an origin such as "https://mail.example.com", without a path, got "{text}"'
    return None


def network(text: str) -> str | None:
    """An IP address or a network in CIDR form."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f'"{text}" is neither an IP address nor a network such as 10.0.0.0/8'
    return None


def separator(text: str) -> str | None:
    """One character that may stand in the local part of an address unquoted (RFC 5321 §4.1.2)."""
    return (
        None if len(text) == 1 and text in "!#$%&'*+-/=?^_`{|}~" else "expected one character such as + or -"
    )


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
