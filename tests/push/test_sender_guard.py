"""Where no delivery goes: private addresses, whatever a name or a redirect makes of it."""

from collections.abc import Callable

import pytest

from push.peers import CREATED, Request, sink, two_sinks
from push.world import BODY, HERE, World
from unit.formats.test_webpush import parts
from veredus.push.web.sender import Outcome, PushSender
from veredus.push.web.target import Guard


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:{port}/", "https://[::ffff:127.0.0.1]:{port}/", "https://localhost:{port}/"]
)
async def test_private_addresses_are_refused(world: World, url: str) -> None:
    world.names["localhost"] = ["127.0.0.1"]
    outcome = await world.send(url.format(port=world.private.port))
    assert (outcome.kind, outcome.status) == ("refused", None)
    assert outcome.detail.endswith("is in no public network")


async def test_a_name_that_is_private_at_the_second_look_gets_nothing(world: World) -> None:
    world.answers("201 Created", "Connection: close")
    assert (await world.send()).kind == "delivered"
    world.names["push.example"] = ["127.0.0.1"]
    outcome = await world.send()
    assert outcome == Outcome("refused", None, None, "push.example is in no public network")
    assert len(world.push.requests) == 1


async def test_one_look_decides_where_a_message_goes(world: World) -> None:
    """A name server that answers in turn finds no moment between the check and the connection."""
    world.answers("201 Created", "Connection: close")
    turns = 0

    async def in_turn(host: str) -> list[str]:
        nonlocal turns
        turns += 1
        return [HERE] if turns % 2 else ["127.0.0.1"]

    guard = Guard([HERE], lookup=in_turn)
    sender = PushSender(guard, "mailto:a@example.com", world.clock, ca_file=world.authority.file)
    world.stack.push_async_callback(sender.close)
    kinds = [(await world.send(sender=sender)).kind for _ in range(4)]
    assert kinds == ["delivered", "refused", "delivered", "refused"]
    assert turns == 4


async def test_happy_eyeballs_tries_no_private_address(world: World) -> None:
    async with sink("127.0.0.1", None) as private:
        world.names["both.example"] = ["127.0.0.1", HERE, "::1"]
        outcome = await world.send(f"https://both.example:{private.port}/")
        assert outcome.kind == "retry"
        assert private.connections == 0


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_is_followed_with_method_body_and_a_token_of_its_own(
    world: World, status: int
) -> None:
    world.push.answer = _redirects(
        world, status, {"/secret-path": world.url("/b", "other.example"), "/b": "c?d"}
    )
    outcome = await world.send(topic="t")
    assert outcome.kind == "delivered"
    assert [request.path for request in world.push.requests] == ["/secret-path", "/b", "/c?d"]
    last = world.push.requests[-1]
    assert (last.body, last.headers["ttl"], last.headers["topic"]) == (BODY, "60", "t")
    assert parts(last.headers["authorization"])[1]["aud"] == f"https://other.example:{world.push.port}"


def _redirects(world: World, status: int, to: dict[str, str]) -> Callable[[Request], bytes]:
    def answer(request: Request) -> bytes:
        if request.path not in to:
            return CREATED
        return f"HTTP/1.1 {status} Go\r\nLocation: {to[request.path]}\r\nContent-Length: 0\r\n\r\n".encode()

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 300])
async def test_redirects_that_change_the_method_are_not_followed(world: World, status: int) -> None:
    world.push.answer = _redirects(world, status, {"/secret-path": "/b"})
    assert (await world.send()).detail == f"push.example answered {status}"
    assert len(world.push.requests) == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://127.0.0.1:{port}/", "127.0.0.1 is in no public network"),
        ("//127.0.0.1:{port}/", "127.0.0.1 is in no public network"),
        ("https://inner.example:{port}/", "inner.example is in no public network"),
        ("http://127.0.0.1:{port}/", "127.0.0.1 is in no public network"),
        ("http://push.example:{port}/", "push.example redirects from https: to http:"),
        ("https://a:b@push.example/", "the URL must not name a user"),
        ("file:///etc/passwd", "the URL must begin with https://"),
        ("https://[", "the URL is malformed"),
        ("/a b", "the URL has characters that no URL may have"),
        ("/ä", "the URL has characters that no URL may have"),
    ],
)
async def test_each_redirect_is_checked(world: World, location: str, reason: str) -> None:
    world.names["inner.example"] = ["127.0.0.1"]
    location = location.format(port=world.private.port)
    world.push.answer = _redirects(world, 307, {"/secret-path": location})
    outcome = await world.send()
    assert (outcome.kind, outcome.detail) == ("refused", reason)
    assert len(world.push.requests) == 1


async def test_what_fails_after_a_redirect_is_said_of_the_host_it_led_to(world: World) -> None:
    world.push.answer = _redirects(world, 307, {"/secret-path": "https://unknown.example/"})
    outcome = await world.send()
    assert (outcome.kind, outcome.detail) == ("retry", "the name unknown.example cannot be resolved")


async def test_a_redirect_loop_ends(world: World) -> None:
    world.push.answer = _redirects(world, 308, {"/secret-path": "/secret-path"})
    outcome = await world.send()
    assert outcome == Outcome("refused", 308, None, "more than 3 redirects")
    assert len(world.push.requests) == 4


async def test_plain_http_reaches_permitted_networks_alone(world: World) -> None:
    async with two_sinks(HERE, "127.0.0.1", None) as (plain, private):
        outcome = await world.send(f"http://push.example:{plain.port}/secret-path")
        assert outcome.kind == "delivered"
        world.names["public.example"] = ["8.8.8.8", "127.0.0.1"]
        outcome = await world.send(f"http://public.example:{plain.port}/")
        assert outcome.detail == "public.example is in no public network"
        assert private.connections == 0


async def test_without_permitted_networks_there_is_no_plain_http(world: World) -> None:
    guard = Guard(lookup=world.lookup)
    sender = PushSender(guard, "mailto:a@example.com", world.clock)
    world.stack.push_async_callback(sender.close)
    outcome = await world.send("http://push.example/", sender=sender)
    assert outcome == Outcome("refused", None, None, "the URL must begin with https://")
