"""JMAP over WebSocket (RFC 8887 §3, §4)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from jmap import Jmap, message
from veredus.app import App
from websocket_peer import CORE, LIMIT, Peer, Server, echo, server

WEBSOCKET = "urn:ietf:params:jmap:websocket"
ERROR = "urn:ietf:params:jmap:error:"


@pytest.fixture
async def there(app: App) -> AsyncIterator[Server]:
    async with server(app) as running:
        yield running


@pytest.fixture
async def peer(there: Server) -> AsyncIterator[Peer]:
    async with there.connect() as connected:
        yield connected


async def add_mail(there: Server) -> Any:
    """Something changes: Email, Mailbox, Thread and more have new states."""
    return await Jmap(there.app, "alice@example.com", there.account).import_email(message())


def pushed(change: Any, there: Server) -> set[str]:
    """The types of which a StateChange tells."""
    assert change["@type"] == "StateChange", change
    assert set(change["changed"]) == {there.account}
    return set(change["changed"][there.account])


# -------------------------------------------------------------------- §3, §4.1, §4.2


@pytest.mark.rfc("8887", "3")
@pytest.mark.must
async def test_the_session_tells_where_the_websocket_is(there: Server, peer: Peer) -> None:
    session, _ = await there.app.engine.session(await identity(there), f"http://{there.address}")
    found = json.loads(session)["capabilities"][WEBSOCKET]
    assert found == {"url": there.url, "supportsPush": True}
    secure, _ = await there.app.engine.session(await identity(there), "https://mail.example.com")
    assert json.loads(secure)["capabilities"][WEBSOCKET]["url"] == "wss://mail.example.com/jmap/ws"
    response = await peer.ask(echo("R", using=[CORE, WEBSOCKET]))
    assert response["@type"] == "Response"


async def identity(there: Server) -> Any:
    return await there.app.authenticator.authenticate(there.headers["Authorization"])


@pytest.mark.rfc("8887", "4.1")
@pytest.mark.must
@pytest.mark.parametrize("authorization", [None, "Bearer nobody"])
async def test_a_handshake_without_good_credentials_is_refused(
    there: Server, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with pytest.raises(InvalidStatus) as refused:
        async with there.connect(additional_headers=headers):
            pass
    assert refused.value.response.status_code == 401
    assert "www-authenticate" in refused.value.response.headers


@pytest.mark.rfc("8887", "4.2")
@pytest.mark.must
async def test_the_subprotocol_is_jmap(there: Server, peer: Peer) -> None:
    assert peer.connection.subprotocol == "jmap"
    handshake = {
        **there.headers,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    async with httpx.AsyncClient(base_url=f"http://{there.address}", trust_env=False) as client:
        for offered in ({}, {"Sec-WebSocket-Protocol": "chat"}):
            refused = await client.get("/jmap/ws", headers={**handshake, **offered})
            assert refused.status_code == 400
            assert "jmap" in refused.json()["detail"]


# -------------------------------------------------------------------- §4.3.1


@pytest.mark.rfc("8887", "4.3.1")
@pytest.mark.must
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The quick brown fox jumps over the lazy dog.", "notJSON"),
        ('{"@type":"Request","id":"A","id":"B"}', "notJSON"),
        ("[]", "notRequest"),
        ("{}", "notRequest"),
        ('{"@type":"Response"}', "notRequest"),
    ],
)
async def test_what_is_no_message_is_answered_with_an_error_and_the_connection_goes_on(
    peer: Peer, text: str, kind: str
) -> None:
    error = await peer.ask(text)
    assert (error["@type"], error["requestId"]) == ("RequestError", None)
    assert (error["type"], error["status"]) == (ERROR + kind, 400)
    assert (await peer.ask(echo("R")))["requestId"] == "R"


@pytest.mark.rfc("8887", "4.3.1")
@pytest.mark.must
async def test_binary_messages_end_the_connection(peer: Peer) -> None:
    await peer.connection.send(json.dumps(echo("R")).encode())
    assert (await peer.closed())[0] == 1003


# -------------------------------------------------------------------- §4.3.2, §4.3.3


@pytest.mark.rfc("8887", "4.3.3")
@pytest.mark.must
async def test_a_response_names_its_request(peer: Peer) -> None:
    response = await peer.ask(echo('R "1" \u2028', createdIds={}))
    assert response["@type"] == "Response"
    assert response["requestId"] == 'R "1" \u2028'
    assert response["methodResponses"] == [["Core/echo", {}, "0"]]
    assert (set(response), response["createdIds"]) == (
        {"@type", "requestId", "methodResponses", "sessionState", "createdIds"},
        {},
    )


@pytest.mark.rfc("8887", "4.3.3")
@pytest.mark.must
async def test_a_request_without_an_id_is_answered_without_one(peer: Peer) -> None:
    assert "requestId" not in await peer.ask(echo())


@pytest.mark.rfc("8887", "4.3.2")
async def test_requests_are_answered_as_they_are_done(there: Server, peer: Peer) -> None:
    await peer.echo("slow", hold=True)
    await peer.echo("quick")
    assert (await peer.receive())["requestId"] == "quick"
    there.engine.go.set()
    assert (await peer.receive())["requestId"] == "slow"


# -------------------------------------------------------------------- §4.3.4


@pytest.mark.rfc("8887", "4.3.4")
@pytest.mark.must
@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"using": ["urn:nobody:knows"]}, "unknownCapability"),
        ({"methodCalls": 5}, "notRequest"),
        ({"methodCalls": [["Core/echo", {}, str(n)] for n in range(65)]}, "limit"),
    ],
)
async def test_an_error_of_a_request_names_it(peer: Peer, members: dict[str, Any], kind: str) -> None:
    error = await peer.ask(echo("R", **members))
    assert (error["@type"], error["requestId"], error["type"]) == ("RequestError", "R", ERROR + kind)
    assert (error["status"], bool(error["detail"])) == (400, True)


@pytest.mark.rfc("8887", "4.3.4")
@pytest.mark.must
async def test_an_id_that_is_no_string_is_refused(peer: Peer) -> None:
    error = await peer.ask(echo() | {"id": 5})
    assert (error["type"], error["requestId"]) == (ERROR + "notRequest", None)


@pytest.mark.rfc("8887", "4.3.2")
@pytest.mark.must
async def test_concurrent_requests_of_all_connections_are_counted_together(there: Server, peer: Peer) -> None:
    async with there.connect() as other:
        for n in range(2):
            await peer.echo(f"P{n}", hold=True)
            await other.echo(f"O{n}", hold=True)
        while there.engine.held < 4:
            await asyncio.sleep(0.01)
        error = await other.ask(echo("more"))
        assert (error["requestId"], error["type"]) == ("more", ERROR + "limit")
        assert error["limit"] == "maxConcurrentRequests"
        async with httpx.AsyncClient(headers=there.headers, trust_env=False) as client:
            response = await client.post(f"http://{there.address}/jmap", json=echo())
        assert response.status_code == 429
        there.engine.go.set()
        assert {(await peer.receive())["requestId"] for _ in range(2)} == {"P0", "P1"}


@pytest.mark.rfc("8887", "4.3.2")
@pytest.mark.must
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_request_may_have_so_many_octets_uncompressed(there: Server, compression: Any) -> None:
    size = LIMIT - len(json.dumps(echo("R", pad="")))
    async with there.connect(compression=compression) as peer:
        assert (await peer.ask(echo("R", pad="x" * size)))["requestId"] == "R"
        error = await peer.ask(echo("R", pad="x" * (size + 1)))
        assert (error["type"], error["limit"]) == (ERROR + "limit", "maxSizeRequest")
        assert (await peer.closed())[0] == 1009


# -------------------------------------------------------------------- §4.3.5


@pytest.mark.rfc("8887", "4.3.5")
@pytest.mark.must
async def test_nothing_is_pushed_before_it_is_asked_for(there: Server, peer: Peer) -> None:
    await add_mail(there)
    assert await peer.is_silent()


@pytest.mark.rfc("8887", "4.3.5.2")
@pytest.mark.must
async def test_enabled_push_tells_of_the_types_that_were_named(there: Server, peer: Peer) -> None:
    await peer.enable(["Mailbox", "Tasks"])
    await add_mail(there)
    change = await peer.receive()
    assert pushed(change, there) == {"Mailbox"}
    assert isinstance(change["pushState"], str)
    mailbox = await Jmap(there.app, "alice@example.com", there.account).state("Mailbox")
    assert change["changed"][there.account]["Mailbox"] == mailbox


@pytest.mark.rfc("8887", "4.3.5.2")
@pytest.mark.must
async def test_null_is_all_types_and_the_last_message_counts(there: Server, peer: Peer) -> None:
    await peer.enable(["Mailbox"])
    await peer.send({"@type": "WebSocketPushDisable"})
    await peer.enable(None)
    await add_mail(there)
    assert {"Email", "Mailbox", "Thread"} <= pushed(await peer.receive(), there)
    assert await peer.is_silent()


@pytest.mark.rfc("8887", "4.3.5.2")
@pytest.mark.must
async def test_a_push_state_tells_at_once_what_was_missed(there: Server) -> None:
    async with there.connect() as peer:
        await peer.enable(["Email"])
        await add_mail(there)
        state = (await peer.receive())["pushState"]
    async with there.connect() as peer:
        await peer.enable(["Email"], state)
        assert await peer.is_silent()
    await add_mail(there)
    async with there.connect() as peer:
        await peer.enable(["Email"], state)
        change = await peer.receive()
        assert pushed(change, there) == {"Email"}
        assert change["pushState"] != state
        assert await peer.is_silent()


@pytest.mark.rfc("8887", "4.3.5.2")
@pytest.mark.must
async def test_a_push_state_of_another_server_tells_all(there: Server, peer: Peer) -> None:
    await add_mail(there)
    await peer.enable(None, "aaa")
    assert {"Email", "Mailbox"} <= pushed(await peer.receive(), there)


@pytest.mark.rfc("8887", "4.3.5.3")
@pytest.mark.must
async def test_disabled_push_tells_nothing(there: Server, peer: Peer) -> None:
    await peer.enable()
    await add_mail(there)
    assert (await peer.receive())["@type"] == "StateChange"
    await asyncio.sleep(0.3)
    await peer.send({"@type": "WebSocketPushDisable"})
    await peer.ask(echo())
    await add_mail(there)
    assert await peer.is_silent()


@pytest.mark.rfc("8887", "4.3.5.2")
@pytest.mark.parametrize(
    "members", [{"dataTypes": "Email"}, {"dataTypes": [5]}, {"pushState": 5}, {"dataTypes": ["x" * 300]}]
)
async def test_wrong_members_are_refused_and_the_connection_goes_on(
    peer: Peer, members: dict[str, Any]
) -> None:
    error = await peer.ask({"@type": "WebSocketPushEnable", **members})
    assert (error["@type"], error["type"]) == ("RequestError", ERROR + "notRequest")
    assert (await peer.ask(echo("R")))["requestId"] == "R"
