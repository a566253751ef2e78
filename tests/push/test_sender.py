"""Deliveries to real HTTPS servers, good and bad."""

import asyncio
import socket
import time
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from contract.stores import FakeClock
from push.peers import CREATED, Request
from push.world import BODY, HERE, KEY, World
from unit.formats.test_webpush import parts
from veredus.formats.webpush import VapidKey, decrypt, new_keys
from veredus.push.web.sender import Outcome, PushSender
from veredus.push.web.target import Guard

# ------------------------------------------------------------ what is sent


@pytest.mark.rfc("8620", "7.2")
@pytest.mark.must
async def test_an_unencrypted_message_is_json_with_a_ttl(world: World) -> None:
    outcome = await world.send(ttl=3600, urgency="high", topic="a-B_9")
    assert (outcome.kind, outcome.status) == ("delivered", 201)
    request = world.push.requests[0]
    assert request.body == BODY
    assert request.path == "/secret-path"
    sent = request.headers
    assert (sent["content-type"], sent["ttl"], sent["urgency"]) == ("application/json", "3600", "high")
    assert sent["topic"] == "a-B_9"
    assert "content-encoding" not in sent
    assert sent["host"] == f"push.example:{world.push.port}"


@pytest.mark.rfc("8620", "7.2")
@pytest.mark.must
async def test_with_keys_all_is_encrypted_for_them(world: World) -> None:
    private_key, keys = new_keys()
    await world.send(keys=keys)
    request = world.push.requests[0]
    assert request.headers["content-encoding"] == "aes128gcm"
    assert request.headers["content-type"] == "application/octet-stream"
    assert decrypt(request.body, private_key, keys.auth) == BODY
    assert "topic" not in request.headers


@pytest.mark.rfc("9749", "4")
@pytest.mark.must
async def test_every_message_is_signed_for_the_origin_of_its_push_service(world: World) -> None:
    await world.send()
    await world.send(world.url(host="other.example"), key=VapidKey.generate())
    first, second = (parts(request.headers["authorization"]) for request in world.push.requests)
    assert first[1]["aud"] == f"https://push.example:{world.push.port}"
    assert second[1]["aud"] == f"https://other.example:{world.push.port}"
    assert first[2] == KEY.public != second[2]
    assert first[1]["sub"] == "mailto:admin@example.com"


async def test_a_token_is_used_again_and_renewed_long_before_it_ends(world: World) -> None:
    tokens = []
    for hours in (0, 5.9, 0.2, 5.9):
        world.clock.pass_by(hours=hours)
        await world.send()
        tokens.append(world.push.requests[-1].headers["authorization"])
        lifetime = parts(tokens[-1])[1]["exp"] - world.clock.now().timestamp()
        assert 6 * 3600 <= lifetime <= 12 * 3600
    assert tokens[0] == tokens[1] != tokens[2] == tokens[3]


async def test_a_connection_is_kept_and_no_cookie_is(world: World) -> None:
    world.answers("201 Created", "Set-Cookie: a=b")
    for _ in range(3):
        await world.send()
    assert world.push.connections == 1
    assert all("cookie" not in request.headers for request in world.push.requests)
    assert world.looked_up == ["push.example"]


async def test_proxies_of_the_environment_are_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{world.private.port}")
    assert (await world.send(sender=world.new_sender())).kind == "delivered"


@pytest.mark.parametrize(
    "wrong", [{"topic": "x" * 33}, {"topic": ""}, {"topic": "a b"}, {"topic": "a\r\nb"}, {"ttl": -1}]
)
async def test_what_no_push_service_may_be_sent_is_an_error_of_the_caller(
    world: World, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"TTL|Topic"):
        await world.send(**wrong)
    with pytest.raises(ValueError, match="3993"):
        await world.send(keys=new_keys()[1], body=b"x" * 3994)
    assert world.push.connections == 0


# ------------------------------------------------------------ what comes back


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("200 OK", "delivered"),
        ("202 Accepted", "delivered"),
        ("204 No Content", "delivered"),
        ("404 Not Found", "gone"),
        ("410 Gone", "gone"),
        ("429 Too Many Requests", "slow_down"),
        ("408 Request Timeout", "retry"),
        ("500 Oops", "retry"),
        ("503 Busy", "retry"),
        ("400 Bad Request", "refused"),
        ("401 Unauthorized", "refused"),
        ("403 Forbidden", "refused"),
        ("413 Too Large", "refused"),
        ("304 Not Modified", "refused"),
    ],
)
async def test_a_status_decides(world: World, status: str, kind: str) -> None:
    world.answers(status)
    outcome = await world.send()
    assert (outcome.kind, outcome.status) == (kind, int(status[:3]))
    assert outcome.detail == f"push.example answered {status[:3]}"
    assert world.sender.counts[outcome.kind] == 1
    assert sum(world.sender.counts.values()) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("9" * 5000, None),
        ("999999999", 86400),
        ("-5", None),
        ("soon", None),
        ("²", None),
    ],
)
async def test_retry_after_is_in_seconds(world: World, value: str, seconds: int | None) -> None:
    world.answers("429 Slow", f"Retry-After: {value}")
    assert (await world.send()).retry_after_s == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90), (-90, 0)])
async def test_retry_after_may_be_a_date(world: World, ahead: int, seconds: int) -> None:
    moment = world.clock.now() + timedelta(seconds=ahead)
    world.answers("503 Busy", f"Retry-After: {format_datetime(moment, usegmt=True)}")
    assert (await world.send()).retry_after_s == seconds
    # A date without a zone is none.
    world.answers("503 Busy", "Retry-After: Thu, 01 Jan 2026 00:00:00")
    assert (await world.send()).retry_after_s is None


async def test_a_huge_response_is_not_read(world: World) -> None:
    async def endless(request: Request) -> bytes:
        return b"HTTP/1.1 201 Created\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000

    world.push.answer = endless
    began = time.monotonic()
    assert (await world.send()).kind == "delivered"
    assert time.monotonic() - began < 10


async def test_a_body_that_drips_does_not_undo_what_the_status_said(world: World) -> None:
    world.push.answer = lambda request: b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nx"
    assert (await world.send()).kind == "delivered"
    world.push.answer = lambda request: CREATED
    assert (await world.send()).kind == "delivered"
    assert world.push.connections == 2


async def test_a_response_is_not_decompressed(world: World) -> None:
    """What claims to be gzip may be a bomb, or nothing of the kind."""
    data = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"
    world.push.answer = lambda request: data
    for _ in range(2):
        assert (await world.send()).kind == "delivered"
    assert world.push.connections == 1


async def test_endless_headers_end(world: World) -> None:
    world.push.answer = lambda request: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000
    outcome = await world.send()
    assert (outcome.kind, outcome.detail) == ("retry", "push.example does not speak HTTP")


async def test_a_slow_push_service_costs_so_much_time_and_no_more(world: World) -> None:
    async def never(request: Request) -> bytes:
        await asyncio.sleep(60)
        return CREATED

    world.push.answer = never
    began = time.monotonic()
    outcome = await world.send(sender=world.new_sender(total_timeout_s=0.2))
    assert time.monotonic() - began < 10
    assert outcome == Outcome("retry", None, None, "push.example took too long")


async def test_a_connection_closed_between_two_messages_is_made_again(world: World) -> None:
    answers = iter([CREATED, b"", CREATED])
    world.push.answer = lambda request: next(answers)
    assert (await world.send()).kind == "delivered"
    assert (await world.send()).kind == "delivered"
    assert world.push.connections == 2


async def test_a_push_service_that_hangs_up_is_asked_twice(world: World) -> None:
    world.push.answer = lambda request: b""
    assert await world.send() == Outcome("retry", None, None, "the connection to push.example broke")
    assert len(world.push.requests) == 2


async def test_nobody_listens(world: World) -> None:
    outcome = await world.send(f"https://push.example:{_free_port()}/secret-path")
    assert outcome.kind == "retry"
    assert outcome.detail.startswith("no connection to push.example: ")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_name_that_is_none(world: World) -> None:
    outcome = await world.send("https://nowhere.example/secret-path")
    assert outcome == Outcome("retry", None, None, "the name nowhere.example cannot be resolved")


async def test_a_certificate_of_another_name_is_not_trusted(world: World) -> None:
    world.names["impostor.example"] = [HERE]
    outcome = await world.send(world.url(host="impostor.example"))
    assert outcome.kind == "retry"
    assert "certificate of impostor.example is not trusted" in outcome.detail
    assert "mismatch" in outcome.detail
    assert world.push.requests == []


async def test_an_unknown_authority_is_not_trusted(world: World) -> None:
    sender = PushSender(world.guard, "mailto:a@example.com", world.clock)
    world.stack.push_async_callback(sender.close)
    outcome = await world.send(sender=sender)
    assert "is not trusted" in outcome.detail
    assert world.push.requests == []


async def test_no_tls_where_there_must_be(world: World) -> None:
    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, HERE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await world.send(f"https://push.example:{port}/secret-path")
    assert outcome == Outcome("retry", None, None, "no TLS connection to push.example")


def test_a_missing_ca_file_is_noticed_at_once(tmp_path: Path) -> None:
    async def make() -> None:
        PushSender(Guard(), "mailto:a@example.com", FakeClock(), ca_file=tmp_path / "none.pem")

    with pytest.raises(FileNotFoundError):
        asyncio.run(make())


async def test_closing_ends_what_is_under_way(world: World) -> None:
    arrived = asyncio.Event()

    async def never(request: Request) -> bytes:
        arrived.set()
        await asyncio.sleep(60)
        return CREATED

    world.push.answer = never
    sender = world.new_sender()
    sending = asyncio.create_task(world.send(sender=sender))
    await arrived.wait()
    await sender.close()
    assert (await asyncio.wait_for(sending, 10)).kind == "retry"
    assert (await world.send(sender=sender)).kind == "retry"


async def test_connections_to_one_push_service_are_limited(world: World) -> None:
    under_way = most = 0

    async def slow(request: Request) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return CREATED

    world.push.answer = slow
    sender = world.new_sender(connections_per_host=3)
    outcomes = await asyncio.gather(*(world.send(sender=sender) for _ in range(12)))
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    assert most == world.push.connections == 3
