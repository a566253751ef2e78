"""Addresses that cannot be listened on: which they are, and who holds them."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def error_of(address: str) -> OSError | None:
    """Why nobody can listen on ``host:port`` now; None: one can."""
    host, port = split(address)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, name in found:
            with socket.socket(family, kind, protocol) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(name)
    except OSError as error:
        return error
    return None


def explain(addresses: Iterable[str]) -> str | None:
    """One line on the first address that cannot be used, and what to do; None: all can."""
    for address in addresses:
        error = None if address.startswith("unix:") else error_of(address)
        if error is None:
            continue
        if error.errno == errno.EADDRINUSE:
            return f"{address} is in use by {holder(split(address)[1]) or 'another process'}"
        if error.errno == errno.EACCES:
            return (
                f"{address}: ports below {_lowest_port()} are not for everyone - "
                "grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities) or choose a higher port"
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{address} is no address of this machine"
        return f"{address}: {error.strerror or error}"
    return None


def next_free(address: str, taken: Iterable[str] = ()) -> str:
    """``address``, or the same host with the next port that nobody uses."""
    host, port = split(address)
    for candidate in range(port, min(port + 200, 65536)):
        name = f"{host}:{candidate}"
        if name not in taken and error_of(name) is None:
            return name
    return f"{host}:0"


def _lowest_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def holder(port: int) -> str | None:
    """``veredus (pid 4711)``: who listens on a TCP port, as far as this user may know (Linux)."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or it is not ours to look into
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                return f"{_name(process)} (pid {process.name})"
    return "a process of another user"


def _listening(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _name(process: Path) -> str:
    words = (process / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    scripts = [Path(word).name for word in words[:3] if "/" in word]
    return "veredus" if "veredus" in scripts else (process / "comm").read_text().strip()
