"""The URLs of a Session object, and its URI templates (RFC 8620 §2, RFC 6570) as URLs.

A relative one is resolved against the URL of the session resource. Each function raises ProtocolError
for a template without a variable that §2 demands, or that no request with credentials may go to.
"""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import urljoin, urlsplit

from uritemplate import URITemplate

from veredus.client.errors import ProtocolError
from veredus.wire.types import Id

# As the last segment of a path these would mean another resource, or none.
_NO_NAMES = frozenset({"", ".", ".."})


def download_url(
    template: str, session_url: str, *, account_id: Id, blob_id: Id, name: str, type: str
) -> str:
    """Where a blob is (§6.2). ``name`` may be any text; one that no path can hold becomes "unnamed"."""
    values = {
        "accountId": account_id,
        "blobId": blob_id,
        "name": "unnamed" if name in _NO_NAMES else name,
        "type": type,
    }
    return _expand("downloadUrl", template, session_url, values)


def api_url(url: str, session_url: str) -> str:
    """Where requests go (§3.1): no template, but a URL of the same kinds."""
    return _usable("apiUrl", url, urljoin(session_url, url), session_url)


def upload_url(template: str, session_url: str, *, account_id: Id) -> str:
    """Where to POST a blob to (§6.1)."""
    return _expand("uploadUrl", template, session_url, {"accountId": account_id})


def event_source_url(
    template: str,
    session_url: str,
    *,
    types: Iterable[str] | None,
    close_after: Literal["no", "state"],
    ping: int,
) -> str:
    """Where push comes from (§7.3). ``types``: None for all; ``ping``: in seconds, 0 for none."""
    values = {
        "types": "*" if types is None else ",".join(types),
        "closeafter": close_after,
        "ping": str(ping),
    }
    return _expand("eventSourceUrl", template, session_url, values)


def _expand(property: str, template: str, session_url: str, values: dict[str, str]) -> str:
    host = urlsplit(session_url).netloc
    # Before it is expanded: a value must not take part in what a relative reference means.
    parsed = URITemplate(urljoin(session_url, template))
    missing = [name for name in values if name not in parsed.variable_names]
    if missing:
        shown = ", ".join(f"{{{name}}}" for name in missing)
        raise ProtocolError(host, f"the session's {property} {template!r} lacks {shown} (RFC 8620 §2)")
    url: str = parsed.expand(None, **values)
    return _usable(property, template, url, session_url)


def _usable(property: str, given: str, url: str, session_url: str) -> str:
    parts, session = urlsplit(url), urlsplit(session_url)
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise ProtocolError(session.netloc, f"the session's {property} {given!r} is no URL of HTTP")
    if parts.scheme == "http" and session.scheme == "https":
        raise ProtocolError(
            session.netloc, f"the session's {property} {given!r} would send credentials without TLS"
        )
    return url
