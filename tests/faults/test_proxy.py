"""The fault proxy itself: what it passes, and that each fault is what its name says."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from e2e.clients import HttpJmap
from faults.proxy import Proxy
from faults.rules import (
    HTML,
    TOO_MANY,
    UNAUTHORIZED,
    Answer,
    Cut,
    Damage,
    MethodFails,
    Replace,
    Rule,
    Silence,
    Stall,
    Throttle,
    Truncate,
)
from faults.steps import Step
from jmap import message, open_server
from sockets import http
from waiting import until

EVENTS = "/jmap/eventsource?types=*&closeafter=no&ping=0"


class World:
    """A server, the proxy before it, and a client that knows only the proxy."""

    def __init__(self, proxy: Proxy, client: HttpJmap, app: Any, direct: HttpJmap) -> None:
        self.proxy, self.client, self.app, self.direct = proxy, client, app, direct

    async def email(self, subject: str) -> str:
        """Import a message behind the proxy's back; the Email's id."""
        blob = await self.direct.upload(message(subject))
        [inbox] = (await self.direct.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
        emails = {"e": {"blobId": blob, "mailboxIds": {inbox: True}}}
        return str((await self.direct.call("Email/import", emails=emails))["created"]["e"]["id"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_server("memory", tmp_path) as app:
        await app.add_account("alice@example.com", "secret")
        async with http(app) as url, Proxy.open(url, seed=1) as proxy:
            auth = ("alice@example.com", "secret")
            client, direct = HttpJmap(proxy.url, auth), HttpJmap(url, auth)
            await client.session()
            await direct.session()
            yield World(proxy, client, app, direct)
            await client.close()
            await direct.close()


async def post(client: HttpJmap, *names: str) -> httpx.Response:
    calls = [[name, {"accountId": client.account, "ids": []}, name] for name in names]
    using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
    return await client.http.post("/jmap", json={"using": using, "methodCalls": calls})


# ------------------------------------------------------------------ what passes


async def test_every_url_of_the_session_leads_back_through_the_proxy(world: World) -> None:
    session = await world.client.session()
    own = world.proxy.url.removeprefix("http")
    for name in ("apiUrl", "downloadUrl", "uploadUrl", "eventSourceUrl"):
        assert session[name].startswith(f"http{own}/"), name
    socket = session["capabilities"]["urn:ietf:params:jmap:websocket"]["url"]
    assert socket.startswith(f"ws{own}/")


async def test_what_goes_up_comes_down_octet_by_octet(world: World) -> None:
    data = bytes(range(256)) * 5000

    async def pieces() -> AsyncIterator[bytes]:  # sent in chunks
        for start in range(0, len(data), 100_001):
            yield data[start : start + 100_001]

    path = f"/jmap/upload/{world.client.account}/"
    answer = await world.client.http.post(path, content=pieces(), headers={"expect": "100-continue"})
    assert await world.client.download(answer.json()["blobId"]) == data
    assert world.proxy.requests[path] == 1


async def test_requests_are_counted_by_method(world: World) -> None:
    await post(world.client, "Email/get", "Mailbox/get")
    await post(world.client, "Email/get")
    assert world.proxy.requests["Email/get"] == 2
    assert world.proxy.requests["Mailbox/get"] == 1


# ------------------------------------------------------------------ rules


async def test_a_rule_begins_at_the_nth_and_ends_after_so_many_times(world: World) -> None:
    rule = Rule(fault=Answer(500), method="Email/*", nth=2, times=2)
    world.proxy.add(rule)
    found = [(await post(world.client, "Email/get")).status_code for _ in range(4)]
    assert (await post(world.client, "Mailbox/get")).status_code == 200
    assert found == [200, 500, 500, 200]
    assert world.proxy.applied[rule] == 2


async def test_the_same_seed_chooses_the_same_requests(world: World) -> None:
    async def run() -> list[int]:
        async with Proxy.open(world.direct.http.base_url.__str__(), seed=7) as proxy:
            proxy.add(Rule(fault=TOO_MANY, probability=0.5))
            async with httpx.AsyncClient(base_url=proxy.url, trust_env=False, verify=False) as client:
                return [(await client.get("/healthz")).status_code for _ in range(20)]

    first = await run()
    assert first == await run()
    assert set(first) == {200, 429}


async def test_a_rule_for_a_path_is_for_no_other(world: World) -> None:
    world.proxy.add(Rule(fault=UNAUTHORIZED, path="/jmap/download/*"))
    blob = await world.client.upload(b"x")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await world.client.download(blob)
    world.proxy.clear()
    assert await world.client.download(blob) == b"x"


# ------------------------------------------------------------------ answers


async def test_an_answer_of_its_own_does_not_reach_the_server(world: World) -> None:
    world.proxy.add(Rule(fault=TOO_MANY, path="/jmap/upload/*"))
    answer = await world.client.http.post(f"/jmap/upload/{world.client.account}/", content=b"x")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    world.proxy.clear()
    world.proxy.add(Rule(fault=HTML))
    answer = await post(world.client, "Email/get")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html"


@pytest.mark.parametrize("fault", [Truncate(), Replace()])
async def test_broken_json_comes_as_a_complete_answer(world: World, fault: Any) -> None:
    world.proxy.add(Rule(fault=fault, method="Email/get"))
    answer = await post(world.client, "Email/get")  # httpx checks the length
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_one_response_of_several_becomes_an_error(world: World) -> None:
    fault = MethodFails("cannotCalculateChanges", "Email/get")
    world.proxy.add(Rule(fault=fault, method="Email/get", times=1))
    responses = (await post(world.client, "Mailbox/get", "Email/get")).json()["methodResponses"]
    assert responses[0][0] == "Mailbox/get"
    assert responses[1] == ["error", {"type": "cannotCalculateChanges"}, "Email/get"]


async def test_one_value_of_several_is_damaged(world: World) -> None:
    ids = [await world.email(subject) for subject in "abc"]
    world.proxy.add(Rule(fault=Damage("receivedAt", "yesterday", nth=2), method="Email/get"))
    found = (await world.client.call("Email/get", ids=ids, properties=["receivedAt"]))["list"]
    assert [email["receivedAt"] == "yesterday" for email in found] == [False, True, False]


async def test_a_fault_waits_for_an_answer_that_it_is_for(world: World) -> None:
    damage = Rule(fault=Damage("receivedAt", "yesterday"), method="Email/get", times=1)
    error = Rule(fault=MethodFails("serverFail", "Mailbox/get"), times=1)
    world.proxy.add(damage, error)
    assert (await world.client.call("Email/get", ids=[]))["list"] == []
    assert (world.proxy.applied[damage], world.proxy.applied[error]) == (0, 0)
    id = await world.email("damaged")
    found = await world.client.call("Email/get", ids=[id], properties=["receivedAt"])
    assert found["list"][0]["receivedAt"] == "yesterday"
    assert (await world.client.error("Mailbox/get", ids=[]))["type"] == "serverFail"


# ------------------------------------------------------------------ time and connections


async def test_a_request_that_is_cut_was_never_seen_by_the_server(world: World) -> None:
    before = (await world.direct.call("Email/get", ids=[]))["state"]
    for place, is_done in (("request", False), ("answer", True)):
        world.proxy.add(Rule(fault=Cut(place), method="Mailbox/set", times=1))
        with pytest.raises(httpx.RemoteProtocolError):
            await world.client.call("Mailbox/set", create={"a": {"name": place}})
        names = [box["name"] for box in (await world.direct.call("Mailbox/get"))["list"]]
        assert (place in names) is is_done
    assert (await world.client.call("Email/get", ids=[]))["state"] == before


async def test_half_of_a_body_comes_before_the_cut(world: World) -> None:
    blob = await world.client.upload(b"x" * 1000)
    world.proxy.add(Rule(fault=Cut("body"), path="/jmap/download/*"))
    path = f"/jmap/download/{world.client.account}/{blob}/a?accept=text%2Fplain"
    async with world.client.http.stream("GET", path) as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"x" * 500
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)


@pytest.mark.parametrize("place", ["request", "head", "after_head", "body"])
async def test_a_stall_lasts_until_the_client_gives_up(world: World, place: Any) -> None:
    rule = Rule(fault=Stall(at=place), method="Email/get", times=1)
    world.proxy.add(rule)
    world.client.http.timeout = httpx.Timeout(0.2)
    with pytest.raises(httpx.ReadTimeout):
        await post(world.client, "Email/get")
    world.client.http.timeout = httpx.Timeout(30)
    assert (await post(world.client, "Email/get")).status_code == 200
    assert world.proxy.applied[rule] == 1


async def test_a_short_stall_only_takes_time(world: World) -> None:
    world.proxy.add(Rule(fault=Stall(0.2, "body"), method="Email/get"))
    begun = asyncio.get_running_loop().time()
    assert (await post(world.client, "Email/get")).json()["methodResponses"]
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_a_throttled_body_arrives_whole(world: World) -> None:
    blob = await world.client.upload(b"x" * 2000)
    world.proxy.add(Rule(fault=Throttle(10_000), path="/jmap/download/*"))
    begun = asyncio.get_running_loop().time()
    assert await world.client.download(blob) == b"x" * 2000
    assert asyncio.get_running_loop().time() - begun >= 0.15


async def test_refused_connections_are_taken_again_later(world: World) -> None:
    world.proxy.refuse()
    await world.proxy.cut_all()
    with pytest.raises(httpx.TransportError):
        await post(world.client, "Email/get")
    world.proxy.clear()
    assert (await post(world.client, "Email/get")).status_code == 200


# ------------------------------------------------------------------ push


class Events:
    """An EventSource stream, read by hand."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def change(self, patience_s: float = 20) -> Any:
        """The next StateChange."""
        async with asyncio.timeout(patience_s):
            async for line in self._lines:
                if line.startswith("data:") and "StateChange" in line:
                    return json.loads(line[5:])
        raise EOFError


async def opened(world: World) -> None:
    await until(lambda: world.proxy.open_streams)


async def test_an_event_stream_passes_until_it_is_silenced(world: World) -> None:
    async with world.client.http.stream("GET", EVENTS) as answer:
        events = Events(answer)
        await opened(world)
        await world.email("first")
        assert "Email" in (await events.change())["changed"][world.client.account]
        assert world.proxy.silence_streams() == 1
        await world.email("second")
        with pytest.raises(TimeoutError):
            await events.change(0.3)
    async with world.client.http.stream("GET", EVENTS) as answer:
        events = Events(answer)
        await opened(world)
        await world.email("third")
        assert await events.change()


async def test_a_dropped_state_change_is_the_only_thing_that_is_missing(world: World) -> None:
    async with world.client.http.stream("GET", EVENTS) as answer:
        events = Events(answer)
        await opened(world)
        world.proxy.traffic.drop_state_changes = 1
        await world.email("dropped")
        await until(lambda: world.proxy.traffic.dropped)
        await world.email("passed")
        state = (await events.change())["changed"][world.client.account]["Email"]
        assert state == (await world.direct.call("Email/get", ids=[]))["state"]


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_client_that_leaves_a_stream_leaves_nothing_behind(world: World, is_silent: bool) -> None:
    async with world.client.http.stream("GET", EVENTS):
        await opened(world)
        if is_silent:
            world.proxy.silence_streams()
    await until(lambda: not (world.proxy.traffic.streams or world.app.hub.counts().subscribers))


async def test_a_silent_stream_begins_like_any_other(world: World) -> None:
    world.proxy.add(Rule(fault=Silence(), path="/jmap/eventsource"))
    async with world.client.http.stream("GET", EVENTS) as answer:
        assert answer.status_code == 200
        await world.email("unseen")
        with pytest.raises(TimeoutError):
            await Events(answer).change(0.3)


async def test_a_websocket_passes_requests_and_changes_until_it_is_silenced(world: World) -> None:
    token = base64.b64encode(b"alice@example.com:secret").decode()
    async with websockets.connect(
        f"ws{world.proxy.url.removeprefix('http')}/jmap/ws",
        subprotocols=["jmap"],
        additional_headers={"authorization": f"Basic {token}"},
        proxy=None,
    ) as socket:
        await socket.send('{"@type":"WebSocketPushEnable","dataTypes":["Email"]}')
        await socket.send(
            '{"@type":"Request","id":"1","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{},"c"]]}'
        )
        assert json.loads(await socket.recv())["requestId"] == "1"
        world.proxy.traffic.drop_state_changes = 1
        await world.email("dropped")
        await until(lambda: world.proxy.traffic.dropped)
        await world.email("passed")
        assert json.loads(await socket.recv())["@type"] == "StateChange"
        assert world.proxy.silence_streams() == 1
        await world.email("unseen")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)
        await world.proxy.cut_all()


# ------------------------------------------------------------------ observers


async def test_observers_see_each_step_and_may_stop_the_request(world: World) -> None:
    seen: list[Step] = []

    def observe(step: Step) -> bool:
        seen.append(step)
        return step == Step("jmap", "Mailbox/set", "arrived")

    world.proxy.traffic.observers.append(observe)
    await post(world.client, "Email/get")
    assert seen == [Step("jmap", "Email/get", stage) for stage in ("arrived", "forwarded", "answered")]
    with pytest.raises(httpx.RemoteProtocolError):
        await world.client.call("Mailbox/set", create={"a": {"name": "never"}})
    names = [box["name"] for box in (await world.direct.call("Mailbox/get"))["list"]]
    assert "never" not in names
