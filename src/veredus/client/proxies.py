"""Proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and not for those in NO_PROXY.

Not by aiohttp's ``trust_env``, which would also take credentials out of ~/.netrc.
"""

import ipaddress
from typing import Any
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from yarl import URL

from veredus.client.errors import JMAPError

# Of WebSockets, too.
_KINDS = {"ws": "http", "wss": "https"}


class Proxies:
    """As they are now; ``arguments`` is asked for each request."""

    def __init__(self) -> None:
        # None of the values is a secret but in its user part, which is never shown.
        self._named = getproxies_environment()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def arguments(self, url: URL) -> dict[str, Any]:
        """What aiohttp is told for a request to ``url``. Raises JMAPError."""
        if not self._named:
            return {}
        to = (url.scheme, url.authority)
        if to not in self._known:
            self._known[to] = self._of(url)
        return self._known[to]

    def _of(self, url: URL) -> dict[str, Any]:
        kind = _KINDS.get(url.scheme, url.scheme)
        named = self._named.get(kind) or self._named.get("all")
        if not named or _is_here(url.host or "") or proxy_bypass(url.authority, self._named):
            return {}
        try:
            proxy = URL(named if "://" in named else f"http://{named}")
        except ValueError:
            raise JMAPError(f"the variable {kind.upper()}_PROXY is no URL") from None
        if proxy.scheme not in ("http", "https") or not proxy.host:
            raise JMAPError(f"the variable {kind.upper()}_PROXY names no proxy of HTTP")
        if proxy.user is None:
            return {"proxy": proxy}
        auth = aiohttp.encode_basic_auth(proxy.user, proxy.password or "", encoding="utf-8")
        # aiohttp makes Proxy-Authorization of it, and for the proxy alone.
        return {"proxy": proxy.with_user(None), "proxy_headers": {"Authorization": auth}}


def _is_here(host: str) -> bool:
    """Whether this machine is meant, which a proxy would not find."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
