"""Base URLs behind proxies, CORS, the client's address, and the request log."""

import asyncio
import io
import json
from typing import Any

import pytest

from edges.test_http_support import ALICE, JSON, running
from veredus.http.access import JsonLines, RequestLine, now
from veredus.http.exchange import Exchange
from veredus.http.origins import Addresses
from veredus.http.problems import Problem


def request(peer: str | None, version: str = "1.1", scheme: str = "http", **fields: str) -> Exchange:
    async def unused(*_: Any) -> Any:
        raise AssertionError

    scope = {
        "method": "GET",
        "scheme": scheme,
        "http_version": version,
        "client": (peer, 5) if peer else None,
        "server": ("::1", 8580),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()],
    }
    return Exchange(scope, unused, unused, "1")


FORWARDED = {"x_forwarded_proto": "https", "x_forwarded_host": "mail.example.com"}


@pytest.mark.parametrize(
    ("peer", "fields", "url"),
    [
        ("10.0.0.7", {"host": "Inner:8580"}, "http://inner:8580"),
        ("10.0.0.7", {"host": "[::1]:8580"}, "http://[::1]:8580"),
        ("10.0.0.7", {"host": "inner", **FORWARDED}, "https://mail.example.com"),
        ("::ffff:10.0.0.7", {"host": "inner", **FORWARDED}, "https://mail.example.com"),
        (None, {"host": "inner", **FORWARDED}, "https://mail.example.com"),
        ("10.0.0.7", {"host": "inner", "x_forwarded_proto": "https"}, "https://inner"),
        ("10.0.0.7", {"host": "inner", "x_forwarded_proto": "http, HTTPS"}, "https://inner"),
        ("10.0.0.7", {"host": "inner", "x_forwarded_proto": "gopher"}, "http://inner"),
        (
            "10.0.0.7",
            {"host": "inner", "x_forwarded_host": "evil, mail.example.com"},
            "http://mail.example.com",
        ),
        ("192.0.2.1", {"host": "inner", **FORWARDED}, "http://inner"),
        ("fe80::1%eth0", {"host": "inner", **FORWARDED}, "http://inner"),
    ],
)
def test_the_base_url(peer: str | None, fields: dict[str, str], url: str) -> None:
    addresses = Addresses(None, ("10.0.0.0/8", "fd00::/8"))
    assert addresses.base_url(request(peer, **fields)) == url
    assert addresses.base_url(request(peer, **fields)) == url  # remembered
    assert Addresses("https://p.example/", ()).base_url(request(peer, **fields)) == "https://p.example"


@pytest.mark.parametrize(
    "host", ["", "a/b", "a b", "a@b", "-a", "a:", "a:999999", "[::1", "é", "a" * 300, 'a"']
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    for fields in ({"host": host}, {"host": "x", "x_forwarded_host": host}):
        with pytest.raises(Problem):
            Addresses(None, ("10.0.0.0/8",)).base_url(request("10.0.0.1", **fields))


def test_made_up_hosts_are_not_remembered_for_ever() -> None:
    addresses = Addresses(None, ())
    for n in range(3000):
        addresses.base_url(request("192.0.2.1", host=f"h{n}"))
    assert len(addresses._urls) <= 1024


def test_a_request_of_http_1_0_needs_no_host() -> None:
    assert Addresses(None, ()).base_url(request("192.0.2.1", "1.0")) == "http://[::1]:8580"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "1.2.3.4, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.7", "10.1.1.1", "10.1.1.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (None, "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "x" * 100, "x" * 45),
    ],
)
def test_the_address_of_the_client(peer: str | None, forwarded_for: str, client: str) -> None:
    addresses = Addresses(None, ("10.0.0.0/8",))
    assert addresses.client(request(peer, x_forwarded_for=forwarded_for)) == client


# -------------------------------------------------------------------- CORS

ORIGIN = "https://mail.example.com"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


async def test_an_allowed_origin_may_use_the_api() -> None:
    async with running(cors_origins=(ORIGIN,)) as server, server.client() as client:
        preflight = await client.options("/jmap", headers=PREFLIGHT)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in preflight.headers["access-control-allow-methods"]
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert "authorization" in allowed
        assert "content-type" in allowed
        assert int(preflight.headers["access-control-max-age"]) > 0
        for path, status in [("/jmap/session", 200), ("/nothing", 404), ("/jmap/download/A/B/x", 404)]:
            response = await client.get(path, headers={**ALICE, "origin": ORIGIN})
            assert response.status_code == status
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert response.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in response.headers
        refused = await client.get("/jmap/session", headers={"origin": ORIGIN})
        assert refused.headers["access-control-allow-origin"] == ORIGIN
        assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://mail.example.com.evil.example", "null"])
async def test_another_origin_may_not(origin: str) -> None:
    async with running(cors_origins=(ORIGIN,)) as server, server.client() as client:
        response = await client.options("/jmap", headers={**PREFLIGHT, "origin": origin})
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin"


async def test_every_origin() -> None:
    async with running(cors_origins=("*",)) as server, server.client() as client:
        response = await client.options("/jmap", headers=PREFLIGHT)
        assert response.headers["access-control-allow-origin"] == "*"


async def test_without_origins_there_is_no_cors() -> None:
    async with running() as server, server.client() as client:
        response = await client.options("/jmap", headers=PREFLIGHT)
        assert response.status_code == 204
        assert not any(name.startswith("access-control") for name in response.headers)


# -------------------------------------------------------------------- the log


async def test_one_line_for_each_request_and_no_secret_in_it() -> None:
    stream = io.BytesIO()
    async with running(access_log=JsonLines(stream), trusted_proxies=("127.0.0.1",)) as server:
        async with server.client(headers={**ALICE, **JSON, "x-forwarded-for": "203.0.113.9"}) as client:
            await client.post("/jmap", content=b'{"subject":"secret"}')
            await client.get("/jmap/download/Aalice/Bsecret/secret.txt?accept=secret")
            await client.get("/healthz")
        assert stream.getvalue() == b"", "lines are written together"
        await asyncio.sleep(0.15)
        assert stream.getvalue() != b""
        async with server.client() as client:
            await client.get("/secret")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    seen = [(line["method"], line["route"], line["status"], line["user"], line["client"]) for line in lines]
    assert seen == [
        ("POST", "/jmap", 200, "alice", "203.0.113.9"),
        ("GET", "/jmap/download/{accountId}/{blobId}/{name}", 404, "alice", "203.0.113.9"),
        ("GET", "unmatched", 404, None, "127.0.0.1"),
    ]
    assert (lines[0]["event"], lines[0]["received"], lines[0]["sent"]) == ("request", 20, 20)
    assert len({line["request"] for line in lines}) == 3
    for secret in (b"secret", b"YWxpY2U6YWxpY2U=", b"alice:alice"):
        assert secret not in stream.getvalue()


async def test_many_lines_do_not_wait_and_quiet_ones_are_for_debugging() -> None:
    for debug, lines in ((False, 0), (True, 500)):
        stream = io.BytesIO()
        access_log = JsonLines(stream, debug=debug)
        for n in range(501):
            line = RequestLine(now(), "debug", str(n), "GET", "/healthz", 200, 0.1, None, "unix", 0, 0)
            access_log.write(line)
        assert stream.getvalue().count(b"\n") == lines
        access_log.flush()
        assert stream.getvalue().count(b"\n") == lines + debug


async def test_through_structlog(capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as server, server.client(headers=ALICE) as client:
        await client.get("/jmap/session")
    output = capsys.readouterr().out
    assert "request" in output
    assert "alice" in output
    assert "/jmap/session" in output
