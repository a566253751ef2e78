"""Upload and download (RFC 8620 §6; RFC 9110 §13, §14; RFC 6266, RFC 8187)."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from edges.test_http_support import ALICE, Blob, Running, running
from veredus.http import fields
from veredus.ports import TooLarge
from veredus.wire.errors import SetError
from waiting import until

MIB = 1024 * 1024


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        server.api.blobs["B1"] = Blob(10, b"0123456789")
        server.api.blobs["Bbig"] = Blob(30 * MIB, chunk=bytes(256 * 1024))
        yield server


@pytest_asyncio.fixture
async def client(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with server.client(headers=ALICE) as client:
        yield client


# -------------------------------------------------------------------- upload


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, "application/octet-stream"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("nonsense", "application/octet-stream"),
        ("a/b; c", "application/octet-stream"),
        ("text/html\t;x", "application/octet-stream"),
    ],
)
@pytest.mark.rfc("8620", "6.1")
async def test_an_upload_is_answered_with_what_was_kept(
    client: httpx.AsyncClient, sent: str | None, kept: str
) -> None:
    headers = {} if sent is None else {"content-type": sent}
    for path in ("/jmap/upload/Aalice/", "/jmap/upload/Aalice", "/jmap/upload/%41alice/"):
        response = await client.post(path, content=b"hello", headers=headers)
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {"accountId": "Aalice", "blobId": "Bnew", "type": kept, "size": 5}


async def test_an_empty_upload_is_a_blob_too(client: httpx.AsyncClient) -> None:
    assert (await client.post("/jmap/upload/Aalice/")).json()["size"] == 0


@pytest.mark.parametrize("path", ["Anobody/", "Aalice/x", "", "a%20b/", "%FF/", "A/%2e%2e/"])
async def test_an_upload_to_no_account_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post("/jmap/upload/" + path, content=b"x")).status_code == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [(PermissionError("read-only"), 403), (SetError.over_quota("Full."), 507), (SetError.rate_limit(), 500)],
)
async def test_refused_uploads(
    server: Running, client: httpx.AsyncClient, error: Exception, status: int
) -> None:
    server.api.error = error
    response = await client.post("/jmap/upload/Aalice/", content=b"x")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("how", ["declared", "chunked", "engine"])
async def test_an_upload_over_the_limit_is_refused(
    server: Running, client: httpx.AsyncClient, how: str
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(51):
            yield bytes(1_000_000)

    if how == "engine":
        server.api.error = TooLarge()
    content = {"declared": bytes(50_000_001), "chunked": pieces(), "engine": b"x"}[how]
    response = await client.post("/jmap/upload/Aalice/", content=content)
    assert response.status_code == 413
    assert response.json()["limit"] == "maxSizeUpload"


async def test_so_many_uploads_at_a_time(server: Running, client: httpx.AsyncClient) -> None:
    server.api.hold.clear()
    held = [asyncio.ensure_future(client.post("/jmap/upload/Aalice/", content=b"x")) for _ in range(2)]
    await until(lambda: server.api.waiting == 2)
    refused = await client.post("/jmap/upload/Aalice/", content=b"x")
    assert (refused.status_code, refused.json()["limit"]) == (429, "maxConcurrentUpload")
    server.api.hold.set()
    assert [response.status_code for response in await asyncio.gather(*held)] == [201, 201]


async def test_an_upload_is_streamed_and_a_slow_store_holds_the_client_back(server: Running) -> None:
    server.api.hold.clear()
    reader, writer = await server.connect()
    size = 30 * MIB
    head = f"POST /jmap/upload/Aalice/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE['authorization']}\r\n"
    writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < size:
            writer.write(bytes(MIB))
            await writer.drain()
            sent += MIB

    sending = asyncio.ensure_future(send())
    await until(lambda: server.api.waiting == 1)
    await asyncio.sleep(0.2)
    assert sent < 16 * MIB, "only the socket buffers were filled"
    server.api.hold.set()
    await sending
    assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    assert sum(server.api.sizes) == size
    assert max(server.api.sizes) <= 512 * 1024
    writer.close()


async def test_a_client_that_goes_away_ends_its_upload(server: Running) -> None:
    _, writer = await server.connect()
    head = f"POST /jmap/upload/Aalice/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE['authorization']}\r\n"
    writer.write(f"{head}content-length: 100\r\n\r\nabc".encode())
    await until(lambda: server.api.sizes == [3])
    writer.close()
    await until(lambda: server.api.ended == ["Disconnected"])
    await until(
        lambda: server.registry.get_sample_value(
            "veredus_http_requests_total",
            {"method": "POST", "route": "/jmap/upload/{accountId}/", "status": "499"},
        )
    )


async def test_a_client_that_expects_100_continue_is_told_or_refused_first(server: Running) -> None:
    head = f"POST /jmap/upload/Aalice/ HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE['authorization']}\r\n"
    reader, writer = await server.connect()
    writer.write(f"{head}content-length: 5\r\nexpect: 100-continue\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()
    reader, writer = await server.connect()
    writer.write(f"{head}content-length: 50000001\r\nexpect: 100-continue\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


# -------------------------------------------------------------------- download


@pytest.mark.rfc("8620", "6.2")
async def test_a_download_has_the_type_and_name_that_were_asked_for(client: httpx.AsyncClient) -> None:
    response = await client.get(
        "/jmap/download/Aalice/B1/report.txt?accept=text%2Fplain%3B%20charset%3Dutf-8"
    )
    assert response.status_code == 200
    assert response.content == b"0123456789"
    expected = {
        "content-type": "text/plain; charset=utf-8",
        "content-disposition": 'attachment; filename="report.txt"',
        "cache-control": "private, immutable, max-age=31536000",
        "content-length": "10",
        "etag": '"B1"',
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    assert {name: response.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("query", "type"),
    [
        ("", "application/octet-stream"),
        ("?accept=", "application/octet-stream"),
        ("?x=1&accept=image/svg+xml", "image/svg+xml"),
        ("?accept=text%2Fhtml%0D%0AX-Evil:%201", "application/octet-stream"),
        ("?accept=text/html%C3%A9", "application/octet-stream"),
        ('?accept=text/plain;%20name="a%20b"', 'text/plain; name="a b"'),
    ],
)
async def test_the_type_is_never_more_than_a_media_type(
    client: httpx.AsyncClient, query: str, type: str
) -> None:
    response = await client.get("/jmap/download/Aalice/B1/x" + query)
    assert response.headers["content-type"] == type


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("", "attachment"),
        ("a%20b.txt", 'attachment; filename="a b.txt"'),
        ("na%C3%AFve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("%E6%97%A5%E6%9C%AC", "attachment; filename=\"__\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
        ("a%22b%5C.txt", "attachment; filename=\"a_b_.txt\"; filename*=UTF-8''a%22b%5C.txt"),
        ("a%2Fb", "attachment; filename=\"a_b\"; filename*=UTF-8''a%2Fb"),
        ("a/b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%2Fb"),
        ("a%0D%0AX:y", "attachment; filename=\"a__X_y\"; filename*=UTF-8''a%0D%0AX%3Ay"),
        ("%FF", "attachment; filename=\"_\"; filename*=UTF-8''%EF%BF%BD"),
        ("100%25", "attachment; filename=\"100_\"; filename*=UTF-8''100%25"),
    ],
)
async def test_the_file_name(client: httpx.AsyncClient, name: str, disposition: str) -> None:
    response = await client.get(f"/jmap/download/Aalice/B1/{name}")
    assert response.headers["content-disposition"] == disposition


@pytest.mark.parametrize(
    "path", ["Aalice/Bnone/x", "Abob/B1/x", "Aalice/B1%0a/x", "Aalice", "Aalice/", "/B1/x", "Aalice/..%2fx/x"]
)
async def test_what_cannot_be_seen_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get("/jmap/download/" + path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("field", ['"B1"', '"x", "B1"', 'W/"B1"', "*"])
async def test_a_client_that_has_it_already_gets_a_304(client: httpx.AsyncClient, field: str) -> None:
    response = await client.get("/jmap/download/Aalice/B1/x", headers={"if-none-match": field})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"B1"')
    assert "immutable" in response.headers["cache-control"]
    response = await client.get("/jmap/download/Aalice/B1/x", headers={"if-none-match": '"B2"'})
    assert response.status_code == 200


@pytest.mark.parametrize("blob", ["B1", "Bstream"])
@pytest.mark.parametrize(
    ("range", "content", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-999999999999", b"56789", "bytes 5-9/10"),
    ],
)
async def test_a_range(
    server: Running, client: httpx.AsyncClient, blob: str, range: str, content: bytes, content_range: str
) -> None:
    if blob == "Bstream":
        data = b"0123456789"

        class Stream(Blob):
            async def open(self, start: int, end: int) -> AsyncIterator[bytes]:
                for at in data[start:end]:
                    yield bytes((at,))

        server.api.blobs[blob] = Stream(10)
    response = await client.get(f"/jmap/download/Aalice/{blob}/x", headers={"range": range})
    assert (response.status_code, response.content) == (206, content)
    assert response.headers["content-range"] == content_range
    assert response.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("range", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_range_outside_is_a_416(client: httpx.AsyncClient, range: str) -> None:
    response = await client.get("/jmap/download/Aalice/B1/x", headers={"range": range})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */10")
    assert "immutable" not in response.headers["cache-control"]


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-1,3-4"},
        {"range": "lines=0-1"},
        {"range": "bytes=4-2"},
        {"range": "bytes=-"},
        {"range": "bytes=a-b"},
        {"range": "bytes=0-1", "if-range": '"other"'},
    ],
)
async def test_a_range_that_is_not_understood_is_ignored(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.get("/jmap/download/Aalice/B1/x", headers=headers)
    assert (response.status_code, response.content) == (200, b"0123456789")


async def test_head_reads_nothing(server: Running, client: httpx.AsyncClient) -> None:
    response = await client.head("/jmap/download/Aalice/Bbig/x")
    assert (response.status_code, response.headers["content-length"]) == (200, str(30 * MIB))
    assert server.api.blobs["Bbig"].asked == []
    response = await client.head("/jmap/download/Aalice/B1/x", headers={"range": "bytes=0-1"})
    assert (response.status_code, response.headers["content-length"]) == (200, "10")


async def test_a_large_blob_arrives_whole(server: Running, client: httpx.AsyncClient) -> None:
    response = await client.get("/jmap/download/Aalice/Bbig/x")
    assert len(response.content) == 30 * MIB
    assert server.api.blobs["Bbig"].closed


async def test_a_reader_that_stalls_stops_the_reading_and_one_that_goes_ends_it(server: Running) -> None:
    blob = server.api.blobs["Bbig"]
    _, writer = await server.connect()
    head = (
        f"GET /jmap/download/Aalice/Bbig/x HTTP/1.1\r\nhost: x\r\nauthorization: {ALICE['authorization']}\r\n"
    )
    writer.write(f"{head}\r\n".encode())
    await until(lambda: len(blob.asked) > 2)
    await asyncio.sleep(0.2)
    read = len(blob.asked)
    await asyncio.sleep(0.2)
    assert len(blob.asked) == read < 60, "only the socket buffers were filled, of 120 chunks"
    writer.transport.abort()
    await until(lambda: blob.closed)
    assert len(blob.asked) <= read + 2


async def test_a_blob_that_fails_half_way_is_seen_to_be_cut(
    server: Running, client: httpx.AsyncClient
) -> None:
    class Failing(Blob):
        async def open(self, start: int, end: int) -> AsyncIterator[bytes]:
            yield b"01"
            raise OSError("bad sector")

    server.api.blobs["Bbad"] = Failing(10)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/jmap/download/Aalice/Bbad/x")


# -------------------------------------------------------------------- fields


def test_a_media_type_made_to_be_slow_is_not() -> None:
    assert fields.media_type("a/b" + ";  " * 80 + "\x00") is None
    assert fields.media_type("a/b" + "; x=" * 60 + "(") is None
    assert fields.media_type("a/" + "b" * 260) is None
