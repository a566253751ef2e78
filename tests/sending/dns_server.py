"""A DNS server on loopback that knows what a test tells it.

    async with dns_server({"example.org": {"MX": ["10 mx.example.org."]}}) as dns:
        dns.add("mx.example.org", "A", "127.0.0.1")
        resolver = Resolver([dns.address])

Names of which nothing is known do not exist (NXDOMAIN). ``secure`` names are answered with the AD bit, as by a
resolver that checks DNSSEC; ``broken`` ones with SERVFAIL, ``silent`` ones not at all. By UDP and TCP.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Records = Mapping[str, Mapping[str, Iterable[str]]]


@dataclass
class DnsServer:
    port: int = 0
    ttl: int = 60
    secure: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    # Each question that came, such as ("example.org", "MX").
    questions: list[tuple[str, str]] = field(default_factory=list)
    _records: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """For ``dns.servers`` and Resolver."""
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, type: str, *texts: str, secure: bool = False) -> None:
        """Records as in a zone file; names in them end with a dot, and TXT strings stand in quotes."""
        self._records.setdefault((name.lower(), type.upper()), []).extend(texts)
        if secure:
            self.secure.add(name.lower())

    def txt(self, name: str, value: str) -> None:
        """A TXT record of any length, in strings of at most 255 octets."""
        pieces = [value[start : start + 255] for start in range(0, len(value), 255)] or [""]
        self.add(name, "TXT", " ".join('"{}"'.format(it.replace('"', '\\"')) for it in pieces))

    def remove(self, name: str, type: str) -> None:
        self._records.pop((name.lower(), type.upper()), None)

    def asked(self, name: str, type: str) -> int:
        """How often."""
        return self.questions.count((name.lower(), type))

    def respond(self, data: bytes, limit: int) -> bytes | None:
        """None: nothing is said."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        type = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, type))
        if name in self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._answer(response, name, type)
        try:
            return response.to_wire(max_size=limit if limit > 512 else max(query.payload, 512))
        except dns.exception.TooBig:
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _answer(self, response: dns.message.Message, name: str, type: str) -> None:
        is_secure = name in self.secure
        for _ in range(8):
            for kind in (type, "CNAME"):
                texts = self._records.get((name, kind))
                if texts:
                    response.answer.append(
                        dns.rrset.from_text_list(dns.name.from_text(name), self.ttl, "IN", kind, texts)
                    )
                    break
            else:
                break
            if kind == type:
                break
            name = texts[0].rstrip(".").lower()
            is_secure = is_secure and name in self.secure
        # RFC 8020: a name exists when one below it does.
        if not any(known == name or known.endswith(f".{name}") for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if is_secure:
            response.flags |= dns.flags.AD


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.respond(data, 0)
        if response is not None:
            self._transport.sendto(response, addr)


@asynccontextmanager
async def dns_server(records: Records | None = None) -> AsyncIterator[DnsServer]:
    """On 127.0.0.1, a port of its own."""
    server = DnsServer()
    for name, types in (records or {}).items():
        for type, texts in types.items():
            server.add(name, type, *texts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while length := int.from_bytes(await reader.readexactly(2)):
                response = server.respond(await reader.readexactly(length), 65535)
                if response is not None:
                    writer.write(len(response).to_bytes(2) + response)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    tcp, udp = await _both(server, serve)
    try:
        yield server
    finally:
        tcp.close()
        udp.close()
        await tcp.wait_closed()
        await asyncio.sleep(0)


async def _both(server: DnsServer, serve) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
    """The same port twice; the second may be taken."""
    for attempts_left in reversed(range(20)):
        tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
        server.port = tcp.sockets[0].getsockname()[1]
        try:
            udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Udp(server), ("127.0.0.1", server.port)
            )
        except OSError as error:
            tcp.close()
            if error.errno != errno.EADDRINUSE or not attempts_left:
                raise
            continue
        return tcp, udp
    raise AssertionError("no free port")
