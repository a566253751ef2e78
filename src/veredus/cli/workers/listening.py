"""The listening sockets that all workers share."""

import socket
from collections.abc import Mapping

from veredus.cli import busy
from veredus.cli.common import Failure
from veredus.config.settings import Config

_BACKLOG = 2048


class Listening:
    """The sockets of one configuration, by section and address; those of another are taken over."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int, str], list[socket.socket]] = {}

    @classmethod
    def on(cls, config: Config, before: "Listening | None" = None) -> "Listening":
        """Listen wherever ``config`` says; what ``before`` has open stays open, port 0 its port too.

        Raises Failure, and then nothing is open that was not before.
        """
        found = cls()
        known = before._sockets if before else {}
        try:
            for section, addresses in addresses_of(config).items():
                for n, address in enumerate(addresses):
                    key = (section, addresses[:n].count(address), address)
                    found._sockets[key] = known.get(key) or listen(address)
        except Failure:
            found.close(but=before)
            raise
        return found

    def close(self, but: "Listening | None" = None) -> None:
        """Close all that ``but`` does not use. Only this process's: workers close theirs."""
        kept = {id(sock) for sockets in (but._sockets.values() if but else ()) for sock in sockets}
        for sockets in self._sockets.values():
            for sock in sockets:
                if id(sock) not in kept:
                    sock.close()

    def by_section(self) -> Mapping[str, list[socket.socket]]:
        found: dict[str, list[socket.socket]] = {}
        for (section, _, _), sockets in self._sockets.items():
            found.setdefault(section, []).extend(sockets)
        return found

    def addresses(self, section: str) -> list[str]:
        """Those that were bound, as ``host:port``."""
        return [_name(sock) for sock in self.by_section().get(section, ())]


def addresses_of(config: Config) -> dict[str, tuple[str, ...]]:
    """What is to be listened on, by section."""
    metrics = config.metrics.listen if config.metrics.enabled else None
    return {
        "http": config.http.listen,
        "smtp": config.smtp.listen,
        "lmtp": config.lmtp.listen,
        "submission": config.submission.listen,
        "submission-tls": config.submission.tls_listen,
        "metrics": (metrics,) if metrics else (),
    }


def listen(address: str) -> list[socket.socket]:
    """Listen on every address of ``host:port``; of ``:port`` on every interface. Raises Failure."""
    sockets: list[socket.socket] = []
    try:
        _listen(address, sockets)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise Failure(busy.explain([address]) or f"{address}: {error.strerror or error}") from error
    return sockets


def _listen(address: str, sockets: list[socket.socket]) -> None:
    """Append a socket for each address that is meant, the last of which may have failed. Raises OSError."""
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _, name in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.setblocking(False)
        # At once, because until then two processes may bind the same port.
        sock.listen(_BACKLOG)


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
