"""What an answer means whose status is not of success (RFC 8620 §3.6.1)."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from veredus.client.discovery import WELL_KNOWN
from veredus.client.errors import PROBLEM, RequestError, TransportError, Unauthorized
from veredus.client.network import retry_after_s

# Octets of it that are looked at.
_MOST = 2**16


async def refusal(
    response: aiohttp.ClientResponse, url: str, *, has_credentials: bool
) -> TransportError | RequestError:
    """Raises what reading raises."""
    parts, status = urlsplit(url), response.status
    host, path = parts.netloc or url, parts.path
    problem: dict[str, Any] = {}
    if response.content_type in ("application/problem+json", "application/json"):
        problem = _problem(await _beginning(response))
    detail = f": {problem['detail']}" if problem.get("detail") else ""
    if status in (401, 403):
        why = "the credentials are refused" if has_credentials else "it wants credentials, none were given"
        return Unauthorized(host, f"HTTP {status}: {why}{detail}", status=status)
    if str(problem.get("type")).startswith(PROBLEM) and status not in (429, 503):
        return RequestError(host, problem)
    what = f"HTTP {status} for {path}{detail or f': {response.reason}'}"
    if status in (404, 410) and path == WELL_KNOWN:
        what += ": is this the address of a JMAP server?"
    return TransportError(host, what, status=status, retry_after_s=retry_after_s(response.headers))


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readexactly(_MOST)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _problem(body: bytes) -> dict[str, Any]:
    """Problem details (RFC 7807); nothing, if that is not what ``body`` is."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
