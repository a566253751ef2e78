"""A small Api in memory and a running server, for the tests of the HTTP edge, and a test of these."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from veredus.http.access import AccessLog
from veredus.http.app import HttpApp
from veredus.http.edge import Edge
from veredus.http.server import HttpServer, serve
from veredus.http.settings import HttpSettings, Timeouts
from veredus.ports import Identity
from veredus.wire.errors import SetError

ALICE = {"authorization": "Basic " + base64.b64encode(b"alice:alice").decode()}
BOB = {"authorization": "Basic " + base64.b64encode(b"bob:bob").decode()}
JSON = {"content-type": "application/json"}


class Passwords:
    """Every user's password is the name."""

    async def authenticate(self, authorization: str) -> Identity | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        user, _, password = base64.b64decode(token).decode().partition(":")
        return Identity(user, "password") if user == password else None

    async def is_valid(self, identity: Identity) -> bool:
        return True

    def challenge(self) -> str:
        return 'Basic realm="veredus", charset="UTF-8"'


class Blob(msgspec.Struct):
    """A Download."""

    size: int
    data: bytes | None = None
    chunk: bytes = b""
    asked: list[int] = msgspec.field(default_factory=list)
    closed: bool = False

    async def open(self, start: int, end: int) -> AsyncIterator[bytes]:
        try:
            for at in range(start, end, len(self.chunk)):
                await asyncio.sleep(0)
                self.asked.append(at)
                yield self.chunk[: end - at]
        finally:
            self.closed = True


class FakeApi:
    """Echoes requests; keeps uploads; raises what it is told to raise."""

    def __init__(self) -> None:
        self.blobs: dict[str, Blob] = {}
        self.error: Exception | None = None
        self.base_urls: list[str] = []
        self.sizes: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.waiting = 0
        self.ended: list[str] = []

    async def session(self, identity: Identity, base_url: str) -> tuple[bytes, str]:
        self._raise()
        self.base_urls.append(base_url)
        return msgspec.json.encode(
            {"username": identity.user, "apiUrl": f"{base_url}/jmap", "state": "s"}
        ), "s"

    async def process(self, body: bytes, identity: Identity, base_url: str) -> bytes:
        await self._wait("process")
        self._raise()
        return body

    async def upload(
        self, identity: Identity, account: str, type: str, chunks: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        await self._wait("upload")
        self._raise()
        if account == "Anobody":
            raise LookupError("no such account")
        data = bytearray()
        self.sizes = []
        try:
            async for chunk in chunks:
                await self._wait("chunk")
                self.sizes.append(len(chunk))
                if len(data) < 1000:
                    data += chunk
        except BaseException as error:
            self.ended.append(type_name(error))
            raise
        self.blobs["Bnew"] = Blob(len(data), bytes(data))
        return {"accountId": account, "blobId": "Bnew", "type": type, "size": sum(self.sizes)}

    async def download(self, identity: Identity, account: str, blob_id: str) -> Blob | None:
        self._raise()
        return self.blobs.get(blob_id) if account == "A" + identity.user else None

    async def _wait(self, where: str) -> None:
        if self.hold.is_set():
            return
        self.waiting += 1
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.ended.append(f"cancelled in {where}")
            raise
        finally:
            self.waiting -= 1

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error


def type_name(value: object) -> str:
    return type(value).__name__


class Running:
    """A server on a free port."""

    def __init__(self, api: FakeApi, app: HttpApp, server: HttpServer) -> None:
        self.api, self.app, self.server = api, app, server
        self.address = server.addresses[0]
        self.port = 0 if self.address.startswith("unix:") else int(self.address.rpartition(":")[2])
        self.problems: list[str] = []

    def client(self, **options: Any) -> httpx.AsyncClient:
        # verify: reading the certificates of the machine takes longer than most tests.
        return httpx.AsyncClient(base_url=f"http://{self.address}", trust_env=False, verify=False, **options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, octets: bytes) -> bytes:
        """Send these octets; everything that comes back until the server closes."""
        reader, writer = await self.connect()
        writer.write(octets)
        try:
            async with asyncio.timeout(10):
                return await reader.read(-1)
        finally:
            writer.close()

    async def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    registry: CollectorRegistry


@contextlib.asynccontextmanager
async def running(
    *,
    listen: str = "127.0.0.1:0",
    tls: tuple[str, str] | None = None,
    timeouts: Timeouts | None = None,
    access_log: AccessLog | None = None,
    **settings: Any,
) -> AsyncIterator[Running]:
    api, registry = FakeApi(), CollectorRegistry()
    defaults: dict[str, Any] = {
        "max_size_request": 1_000_000,
        "max_size_upload": 50_000_000,
        "max_concurrent_requests": 4,
        "max_concurrent_upload": 2,
    }
    problems: list[str] = []

    async def ready() -> list[str]:
        return problems

    app = HttpApp(
        Edge(api, Passwords(), HttpSettings(**{**defaults, **settings})),
        ready=ready,
        registry=registry,
        access_log=access_log,
    )
    server = await serve(app, [listen], tls=tls, timeouts=timeouts)
    made = Running(api, app, server)
    made.problems, made.registry = problems, registry
    try:
        yield made
    finally:
        api.hold.set()
        await server.close()


def test_over_quota_is_what_the_fake_raises_for_a_full_account() -> None:
    assert SetError.over_quota().type == "overQuota"
