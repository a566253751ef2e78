"""The session and the API endpoint over real sockets (RFC 8620 §2, §3; problem details of RFC 7807)."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from edges.test_http_support import ALICE, BOB, JSON, Running, running
from veredus.http.operations import OperationsApp
from veredus.http.server import serve
from veredus.ports import Unavailable
from veredus.wire.errors import RequestError
from waiting import until

LIMIT = "urn:ietf:params:jmap:error:limit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def problem(response: httpx.Response, status: int) -> dict[str, object]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["status"] == status
    return body


# -------------------------------------------------------------------- session


@pytest.mark.parametrize("path", ["/.well-known/jmap", "/jmap/session"])
@pytest.mark.rfc("8620", "2")
async def test_the_session_is_served_at_both_addresses_and_never_cached(server: Running, path: str) -> None:
    async with server.client(headers=ALICE) as client:
        response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["username"] == "alice"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert "date" in response.headers
    assert "server" not in response.headers


async def test_head_has_the_header_fields_of_get_and_no_content(server: Running) -> None:
    async with server.client(headers=ALICE) as client:
        get, head = await client.get("/jmap/session"), await client.head("/jmap/session")
    assert head.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.content == b""


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic YWxpY2U6Ym9i"}, {"authorization": "Bearer x"}]
)
async def test_without_credentials_there_is_a_challenge(server: Running, headers: dict[str, str]) -> None:
    async with server.client() as client:
        for method, path in [("GET", "/jmap/session"), ("POST", "/jmap"), ("POST", "/jmap/upload/Aalice/")]:
            response = await client.request(method, path, headers=headers)
            problem(response, 401)
            assert response.headers["www-authenticate"] == 'Basic realm="veredus", charset="UTF-8"'


async def test_two_authorization_fields_are_refused(server: Running) -> None:
    async with server.client() as client:
        both = [("authorization", ALICE["authorization"]), ("authorization", BOB["authorization"])]
        problem(await client.get("/jmap/session", headers=both), 400)


# -------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"]
)
async def test_a_request_is_given_to_the_engine_and_its_answer_back(
    server: Running, content_type: str
) -> None:
    async with server.client(headers=ALICE) as client:
        response = await client.post(
            "/jmap", content=b'{"a":"\xc3\xa9"}', headers={"content-type": content_type}
        )
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == b'{"a":"\xc3\xa9"}'


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonp", "application/x+json"])
@pytest.mark.rfc("8620", "3.6.1")
async def test_another_content_type_is_not_json(server: Running, content_type: str | None) -> None:
    async with server.client(headers=ALICE) as client:
        headers = {} if content_type is None else {"content-type": content_type}
        response = await client.post("/jmap", content=b"{}", headers=headers)
    assert problem(response, 415)["type"] == "urn:ietf:params:jmap:error:notJSON"


async def test_a_compressed_request_is_refused(server: Running) -> None:
    async with server.client(headers=ALICE) as client:
        response = await client.post("/jmap", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert problem(response, 415)["type"] == "urn:ietf:params:jmap:error:notJSON"


@pytest.mark.rfc("8620", "3.6.1")
async def test_request_errors_become_problem_details(server: Running) -> None:
    server.api.error = RequestError.over_limit("maxCallsInRequest", "Too many.")
    async with server.client(headers={**ALICE, **JSON}) as client:
        body = problem(await client.post("/jmap", content=b"{}"), 400)
    assert body == {"type": LIMIT, "limit": "maxCallsInRequest", "status": 400, "detail": "Too many."}


async def test_an_unavailable_resource_is_a_503_that_says_when_to_come_back(server: Running) -> None:
    server.api.error = Unavailable("disk on fire at /dev/sda1")
    async with server.client(headers={**ALICE, **JSON}) as client:
        response = await client.post("/jmap", content=b"{}")
    problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert "sda1" not in response.text


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), PermissionError(13, "secret")])
async def test_a_bug_is_a_500_that_tells_nothing_but_the_id_to_look_for(
    server: Running, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    server.api.error = error
    async with server.client(headers={**ALICE, **JSON}) as client:
        response = await client.post("/jmap", content=b"{}")
    body = problem(response, 500)
    assert "secret" not in response.text
    output = capsys.readouterr()
    assert str(body["requestId"]) in output.out + output.err
    async with server.client(headers=ALICE) as client:
        server.api.error = None
        assert (await client.get("/jmap/session")).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.rfc("8620", "3.6.1")
async def test_a_request_over_the_limit_is_refused_and_the_client_sees_why(
    server: Running, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(65536)

    async with server.client(headers={**ALICE, **JSON}) as client:
        response = await client.post("/jmap", content=pieces() if chunked else bytes(1_000_001))
        body = problem(response, 413)
        assert (body["type"], body["limit"]) == (LIMIT, "maxSizeRequest")
        assert (await client.post("/jmap", content=bytes(1_000_000))).status_code == 200


@pytest.mark.rfc("8620", "3.6.1")
async def test_a_user_may_have_so_many_requests_in_flight_and_others_are_not_touched(server: Running) -> None:
    server.api.hold.clear()
    async with server.client(headers=JSON, limits=httpx.Limits()) as client:
        held = [asyncio.ensure_future(client.post("/jmap", content=b"{}", headers=ALICE)) for _ in range(4)]
        await until(lambda: server.api.waiting == 4)
        refused = await client.post("/jmap", content=b"{}", headers=ALICE)
        body = problem(refused, 429)
        assert (body["type"], body["limit"]) == (LIMIT, "maxConcurrentRequests")
        assert "retry-after" in refused.headers
        bobs = asyncio.ensure_future(client.post("/jmap", content=b"{}", headers=BOB))
        await until(lambda: server.api.waiting == 5)
        server.api.hold.set()
        assert [response.status_code for response in await asyncio.gather(*held, bobs)] == [200] * 5
        assert (await client.post("/jmap", content=b"{}", headers=ALICE)).status_code == 200


# -------------------------------------------------------------------- routes


@pytest.mark.parametrize(
    "path", ["/", "/jmap/", "/jmap/x", "/jmap/uploads", "/favicon.ico", "/%2e%2e/etc/passwd"]
)
async def test_other_paths_are_not_found(server: Running, path: str) -> None:
    async with server.client(headers=ALICE) as client:
        problem(await client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/jmap", "POST, OPTIONS"),
        ("DELETE", "/jmap/session", "GET, HEAD, OPTIONS"),
        ("PUT", "/jmap/upload/Aalice/", "POST, OPTIONS"),
        ("POST", "/jmap/download/Aalice/B1/x", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_another_method_is_told_what_is_allowed(
    server: Running, method: str, path: str, allow: str
) -> None:
    async with server.client() as client:
        response = await client.request(method, path)
        problem(response, 405)
        assert response.headers["allow"] == allow
        options = await client.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")


# -------------------------------------------------------------------- operations


async def test_health_and_readiness(server: Running) -> None:
    async with server.client() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready", "problems": []})
        server.problems.append("the store does not answer")
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["problems"]) == (503, ["the store does not answer"])
        assert (await client.get("/healthz")).status_code == 200


async def test_metrics_count_routes_and_never_paths(server: Running) -> None:
    async with server.client(headers={**ALICE, **JSON}) as client:
        await client.post("/jmap", content=b"12345")
        await client.post("/jmap", content=b"12")
        for path in ("/wp-login.php", "/jmap/download/Aalice/Bsecret/x"):
            await client.get(path)
        text = (await client.get("/metrics")).text
    assert 'veredus_http_requests_total{method="POST",route="/jmap",status="200"} 2.0' in text
    assert 'veredus_http_received_bytes_total{route="/jmap"} 7.0' in text
    assert 'veredus_http_sent_bytes_total{route="/jmap"} 7.0' in text
    assert 'veredus_http_request_duration_seconds_count{route="/jmap"} 2.0' in text
    assert 'veredus_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "veredus_http_requests_in_flight 1.0" in text
    assert "wp-login" not in text
    assert "Bsecret" not in text


async def test_metrics_can_be_off() -> None:
    async with running(metrics=False) as server, server.client() as client:
        problem(await client.get("/metrics"), 404)


async def test_metrics_on_a_listener_of_their_own() -> None:
    async def ready() -> list[str]:
        return ["no"]

    server = await serve(OperationsApp(ready, CollectorRegistry()), ["127.0.0.1:0"])
    async with httpx.AsyncClient(
        base_url=f"http://{server.addresses[0]}", verify=False, trust_env=False
    ) as client:
        statuses = [
            (await client.get(path)).status_code for path in ("/metrics", "/healthz", "/readyz", "/jmap")
        ]
        assert statuses == [200, 200, 503, 404]
        problem(await client.post("/metrics"), 405)
    assert (await raw_octets(server.addresses[0], b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    await server.close()


async def raw_octets(address: str, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(octets)
    answer = await reader.read(-1)
    writer.close()
    return answer


async def test_the_json_of_a_problem_is_small_and_plain(server: Running) -> None:
    async with server.client() as client:
        response = await client.get("/nothing")
    assert json.loads(response.content) == {"type": "about:blank", "title": "Not Found", "status": 404}
