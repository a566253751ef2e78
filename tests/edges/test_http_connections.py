"""Connections: slow, endless, broken and pipelining clients, and the end of the server, over raw sockets."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvloop

from edges.test_http_support import ALICE, Blob, Running, running
from veredus.http.protocol import MAX_HEADERS
from veredus.http.server import serve
from veredus.http.settings import Timeouts
from waiting import until

QUICK = Timeouts(header_s=0.2, body_s=0.3, write_s=0.4, keep_alive_s=0.5, shutdown_s=0.5)
AUTH = f"authorization: {ALICE['authorization']}\r\n"
GET = f"GET /jmap/session HTTP/1.1\r\nhost: example.com\r\n{AUTH}\r\n".encode()


def post(body: bytes, *, declared: int | None = None, path: str = "/jmap", fields: str = "") -> bytes:
    size = len(body) if declared is None else declared
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{AUTH}content-type: application/json\r\ncontent-length: {size}\r\n"
    return f"{head}{fields}\r\n".encode() + body


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Running]:
    async with running(timeouts=QUICK) as server:
        yield server


async def assert_alive(server: Running) -> None:
    async with server.client(headers=ALICE) as client:
        assert (await client.get("/jmap/session")).status_code == 200
    await until(lambda: server.registry.get_sample_value("veredus_http_requests_in_flight") == 0)


# -------------------------------------------------------------------- slow


@pytest.mark.parametrize(
    "octets", [b"G", b"GET / HTTP/1.1\r\nhost: x\r\nx-y:", GET + b"GET /jm", post(b"{}") + b"\r\nPO"]
)
async def test_half_sent_headers_are_given_up(server: Running, octets: bytes) -> None:
    answer = await server.raw(octets)
    last = answer[answer.rindex(b"HTTP/1.1 ") :]
    assert last.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in last
    await assert_alive(server)


async def test_a_byte_now_and_then_does_not_keep_headers_alive(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nx: ")
    for _ in range(3):
        await asyncio.sleep(0.05)
        writer.write(b"y")
    assert (await asyncio.wait_for(reader.read(-1), 2)).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_connection_on_which_nothing_comes_is_closed(server: Running) -> None:
    assert await server.raw(b"") == b""
    await assert_alive(server)


async def test_an_idle_connection_is_closed(server: Running) -> None:
    assert (await server.raw(GET)).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("path", ["/jmap", "/jmap/upload/Aalice/"])
@pytest.mark.parametrize("body", [b"", b"{"])
async def test_a_body_that_stops_is_given_up(server: Running, path: str, body: bytes) -> None:
    assert (await server.raw(post(body, declared=10, path=path))).startswith(b"HTTP/1.1 408")
    await assert_alive(server)


async def test_a_slow_body_that_goes_on_is_waited_for(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(post(b"", declared=8))
    for _ in range(8):
        await asyncio.sleep(0.08)  # 0.64 s in all, more than body_s
        writer.write(b"1")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_slow_engine_is_not_taken_for_a_slow_client(server: Running) -> None:
    server.api.hold.clear()
    reader, writer = await server.connect()
    writer.write(post(bytes(300_000), path="/jmap/upload/Aalice/"))
    await until(lambda: server.api.waiting == 1)
    await asyncio.sleep(0.8)
    server.api.hold.set()
    assert (await asyncio.wait_for(reader.readline(), 2)).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_a_refused_body_is_read_past_for_a_while(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(post(b"{", declared=5, path="/nothing"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.write(b"1234" + GET)
    answer = await asyncio.wait_for(reader.read(-1), 2)
    assert answer.count(b"HTTP/1.1 200") == 1, "the connection is used again"
    writer.close()
    answer = await server.raw(post(b"{", declared=5, path="/nothing"))
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_client_that_takes_nothing_is_cut_off(server: Running) -> None:
    blob = server.api.blobs["Bbig"] = Blob(50_000_000, chunk=bytes(262_144))
    _, writer = await server.connect()
    writer.write(f"GET /jmap/download/Aalice/Bbig/x HTTP/1.1\r\nhost: x\r\n{AUTH}\r\n".encode())
    await until(lambda: blob.closed)
    assert len(blob.asked) < 100
    writer.transport.abort()


# -------------------------------------------------------------------- endless


async def test_endless_headers_are_refused(server: Running) -> None:
    many = b"x: y\r\n" * (MAX_HEADERS // 3)
    for octets in (b"GET / HTTP/1.1\r\n" + many, b"GET /" + b"x" * MAX_HEADERS):
        reader, writer = await server.connect()
        writer.write(octets)
        assert (await asyncio.wait_for(reader.readline(), 2)).startswith(b"HTTP/1.1 431")
        writer.close()
    await assert_alive(server)


async def test_endless_trailers_are_refused(server: Running) -> None:
    head = f"POST /jmap HTTP/1.1\r\nhost: x\r\n{AUTH}content-type: application/json\r\ntransfer-encoding: chunked\r\n"
    reader, writer = await server.connect()
    writer.write(f"{head}\r\n2\r\n{{}}\r\n0\r\n".encode())
    await until(lambda: server.registry.get_sample_value("veredus_http_requests_in_flight") == 1)
    writer.write(b"trailer: " + b"y" * MAX_HEADERS)
    assert (await asyncio.wait_for(reader.readline(), 2)).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_short_trailers_are_ignored(server: Running) -> None:
    head = f"POST /jmap HTTP/1.1\r\nhost: x\r\n{AUTH}content-type: application/json\r\ntransfer-encoding: chunked\r\n"
    answer = await server.raw(f"{head}connection: close\r\n\r\n2\r\n[]\r\n0\r\nhost: y\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200"), "a second Host among the header fields would be a 400"
    assert answer.endswith(b"\r\n\r\n[]")


# -------------------------------------------------------------------- malformed


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /jmap HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /jmap HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /jmap HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /jmap HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n y\r\nz\x00: 1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400(server: Running, octets: bytes) -> None:
    answer = await server.raw(octets)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert b"HTTP/1.1 200" not in answer
    await assert_alive(server)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "host: \r\n",
        "host: a\r\nhost: b\r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: u@h\r\n",
        "host: a:b\r\n",
    ],
)
async def test_a_bad_host_is_a_400(server: Running, host: str) -> None:
    answer = await server.raw(f"GET /jmap/session HTTP/1.1\r\n{host}{AUTH}connection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer
    assert server.api.base_urls == []


async def test_http_1_0_without_host_gets_the_address_it_came_to(server: Running) -> None:
    answer = await server.raw(f"GET /jmap/session HTTP/1.0\r\n{AUTH}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.api.base_urls == [f"http://127.0.0.1:{server.port}"]


async def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    requests = [post(b'{"n":%d}' % n) for n in range(20)]
    answer = await server.raw(b"".join(requests))
    assert answer.count(b"HTTP/1.1 200") == 20
    positions = [answer.index(b'{"n":%d}' % n) for n in range(20)]
    assert positions == sorted(positions)


async def test_garbage_after_a_request_does_not_get_into_its_answer(server: Running) -> None:
    server.api.hold.clear()
    reader, writer = await server.connect()
    writer.write(post(b"{}") + b"\x00\x01\x02")
    assert await asyncio.wait_for(reader.read(-1), 2) == b""
    writer.close()
    server.api.hold.set()
    await assert_alive(server)


async def test_a_client_that_leaves_before_its_answer_is_no_error(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    server.api.hold.clear()
    _, writer = await server.connect()
    writer.write(post(b"{}"))
    await until(lambda: server.api.waiting == 1)
    writer.transport.abort()
    await asyncio.sleep(0.05)
    server.api.hold.set()
    await assert_alive(server)
    assert "Traceback" not in capsys.readouterr().out


# -------------------------------------------------------------------- the end of the server


async def test_closing_lets_a_request_end_and_refuses_new_connections() -> None:
    async with running() as server:
        server.api.hold.clear()
        reader, writer = await server.connect()
        idle, idle_writer = await server.connect()
        writer.write(post(b'{"x":1}'))
        await until(lambda: server.api.waiting == 1)
        closing = asyncio.ensure_future(server.server.close())
        assert await asyncio.wait_for(idle.read(-1), 1) == b""
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        server.api.hold.set()
        answer = await asyncio.wait_for(reader.read(-1), 2)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'{"x":1}')
        await closing
        for each in (writer, idle_writer):
            each.close()


async def test_what_does_not_end_in_time_is_ended(server: Running) -> None:
    server.api.hold.clear()
    server.api.blobs["Bbig"] = Blob(50_000_000, chunk=bytes(262_144))
    held, writer = await server.connect()
    writer.write(post(b"{}"))
    _, stalled = await server.connect()
    stalled.write(f"GET /jmap/download/Aalice/Bbig/x HTTP/1.1\r\nhost: x\r\n{AUTH}\r\n".encode())
    await until(lambda: server.api.waiting == 1 and server.api.blobs["Bbig"].asked)
    await asyncio.wait_for(server.server.close(), 3)
    answer = await asyncio.wait_for(held.read(-1), 1)
    assert answer.startswith(b"HTTP/1.1 503")
    assert server.api.ended == ["cancelled in process"]
    assert server.api.blobs["Bbig"].closed
    for each in (writer, stalled):
        each.close()


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    async with running() as server:
        with pytest.raises(OSError, match="in use"):
            await serve(server.app, ["127.0.0.1:0", server.address])


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with running(listen=f"unix:{path}") as server:
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        headers = {**ALICE, "x-forwarded-proto": "https", "x-forwarded-host": "mail.example.com"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            assert (await client.get("/jmap/session")).status_code == 200
        assert server.server.addresses == [f"unix:{path}"]
        assert server.api.base_urls == ["https://mail.example.com"]
    assert not path.exists()


# -------------------------------------------------------------------- TLS


def make_certificate(directory: Path, name: str) -> tuple[str, str]:
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    new_key = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2"]
    subprocess.run([*new_key, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


async def test_tls_from_files_and_a_renewed_certificate(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "localhost")
    trust = ssl.create_default_context(cafile=files[0])
    async with running(tls=files) as server:
        url = f"https://localhost:{server.port}"
        async with httpx.AsyncClient(verify=trust, headers=ALICE, trust_env=False) as client:
            assert (await client.get(f"{url}/jmap/session")).json()["apiUrl"] == f"{url}/jmap"
        assert (await server.raw(GET)) == b""
        make_certificate(tmp_path, "mail.example.com")
        assert server.server._certificate is not None
        server.server._certificate.reload_if_changed()
        renewed = ssl.create_default_context(cafile=files[0])
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=renewed, server_hostname="mail.example.com"
        )
        writer.close()
        Path(files[0]).write_text("nonsense")
        server.server._certificate.reload_if_changed()
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=renewed, server_hostname="mail.example.com"
        )
        writer.close()


async def test_a_certificate_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    async with running() as server:
        with pytest.raises(OSError, match=r"tls\.cert .*tls\.key"):
            await serve(server.app, ["127.0.0.1:0"], tls=(str(tmp_path / "x"), str(tmp_path / "x")))


# -------------------------------------------------------------------- uvloop


@pytest.mark.parametrize(
    "check",
    [
        test_a_byte_now_and_then_does_not_keep_headers_alive,
        test_a_client_that_takes_nothing_is_cut_off,
        test_a_refused_body_is_read_past_for_a_while,
        test_endless_headers_are_refused,
        test_pipelined_requests_are_answered_in_order,
        test_what_does_not_end_in_time_is_ended,
    ],
)
def test_the_same_under_uvloop(check) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        async with running(timeouts=QUICK) as server:
            await check(server)

    uvloop.run(run())
