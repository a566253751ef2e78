"""Servers that answer what they must not, and callers who ask for what cannot be: one clear error each."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from client.canned import CORE, MAIL, SESSION, TOKEN, Asked, Said, api, canned, error_of, nothing, responses
from client.world import World
from veredus.client import (
    Bearer,
    Client,
    Email,
    JMAPError,
    ProtocolError,
    SetResult,
)
from veredus.client import sync as blocking

# ---------------------------------------------------------------- what is no JMAP


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(b"<!doctype html><p>hi", type="text/html"), "a page of HTML"),
        (Said(b""), "an empty answer"),
        (Said([]), "Expected `object`"),
        (Said(b"", status=401), "refused"),
        (Said({"detail": "this token may only read"}, status=403), "this token may only read"),
        (Said(b"", status=404, type="text/plain"), "is this the address of a JMAP server?"),
    ],
)
async def test_what_is_no_session_is_named(said: Said, words: str) -> None:
    async with canned(lambda _: said) as url:
        message = await error_of(url)
    assert words in message
    assert url.removeprefix("http://") in message


async def test_missing_credentials_are_not_called_wrong() -> None:
    async with canned(lambda _: Said(status=401)) as url:
        assert "none were given" in await error_of(url, token=None)


async def test_html_from_the_api_is_named() -> None:
    async with canned(api(lambda _: Said(b"<html>", type="text/html"))) as url:
        assert "a page of HTML" in await error_of(url)


async def test_an_api_without_tls_gets_no_credentials() -> None:
    from veredus.client.templates import api_url

    assert api_url("/api", "https://h/session") == "https://h/api"
    with pytest.raises(ProtocolError, match="without TLS"):
        api_url("http://h/api", "https://h/session")
    async with canned(api(nothing, apiUrl="ftp://h/api")) as url:
        assert "apiUrl" in await error_of(url)


@pytest.mark.parametrize(
    "session",
    [
        {"username": None, "eventSourceUrl": None, "state": None},
        {"primaryAccounts": None},
        {"primaryAccounts": {MAIL: None}},
        {"accounts": {"a": {"name": None, "isReadOnly": None, "accountCapabilities": {MAIL: None}}}},
        {"capabilities": {CORE: None, MAIL: None}},
        {"capabilities": {CORE: {"maxSizeUpload": None, "maxObjectsInGet": 0}, MAIL: {}}},
        {"unheardOf": [1, {"x": None}]},
    ],
)
async def test_null_in_a_session_is_the_same_as_absent(session: dict[str, Any]) -> None:
    async with canned(api(nothing, **session)) as url, Client.connect(url, token=TOKEN) as client:
        assert (await client.get(Email, ["x"])).list == []
        assert client.session.limits.max_size_upload == 50_000_000


async def test_limits_that_are_no_numbers_are_a_protocol_error() -> None:
    capabilities = {CORE: {"maxSizeUpload": "much"}, MAIL: {}}
    async with canned(api(nothing, capabilities=capabilities)) as url:
        assert "maxSizeUpload" in await error_of(url)


async def test_a_record_that_is_no_object_is_a_protocol_error() -> None:
    answer = ["Email/get", {"accountId": "a", "state": "s", "list": [None], "notFound": []}, "0"]
    async with canned(api(lambda _: responses(answer))) as url:
        assert "Email/get" in await error_of(url)


async def test_a_value_of_another_kind_is_no_python_error() -> None:
    record = {"id": "x", "receivedAt": "not a date", "from": "bob", "to": [None]}
    answer = ["Email/get", {"accountId": "a", "state": "s", "list": [record], "notFound": []}, "0"]
    async with canned(api(lambda _: responses(answer))) as url, Client.connect(url, token=TOKEN) as client:
        [email] = (await client.get(Email, ["x"])).list
        for name in ("received_at", "from_", "to"):
            with pytest.raises(JMAPError, match="of Email x"):
                getattr(email, name)


async def test_a_page_that_repeats_is_not_read_for_ever() -> None:
    def answer(asked: Asked) -> Said:
        query = {"accountId": "a", "queryState": "s", "ids": ["x", "y"], "position": 0}
        return responses(["Email/query", query, "0"])

    async with canned(api(answer)) as url, Client.connect(url, token=TOKEN) as client:
        with pytest.raises(ProtocolError, match="Email/query"):
            async with asyncio.timeout(20):
                [id async for id in client.query(Email, page=2).ids()]


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_what_is_found_may_be_destroyed_on_the_way(world: World, page: int) -> None:
    emails = await world.add_emails(9)
    async with world.connect() as client:
        found = []
        async for email in client.query(
            Email, sort=[{"property": "receivedAt"}], properties=["id"], page=page
        ):
            found.append(email.id)
            await client.mail.destroy(email)
    assert found == emails


async def test_ids_and_names_may_be_of_any_characters() -> None:
    paths: list[str] = []

    def answer(asked: Asked) -> Said:
        paths.append(asked.path)
        return Said(b"octets", type="text/plain") if asked.path.startswith("/d/") else Said(SESSION)

    async with (
        canned(answer) as url,
        Client.connect(url, token=TOKEN) as client,
        client.download("a/b ?#%é", name="räksmörgås/../x.txt") as blob,
    ):
        assert await blob.read() == b"octets"
    assert paths[1].startswith("/d/a/a%2Fb%20%3F%23%25%C3%A9/r%C3%A4ksm%C3%B6rg%C3%A5s%2F..%2Fx.txt")


async def test_a_server_is_reached_by_its_ipv6_address() -> None:
    async with canned(api(nothing), host="::1") as url, Client.connect(url, token=TOKEN) as client:
        await client.get(Email, ["x"])
        assert client.host == url.removeprefix("http://")


# ---------------------------------------------------------------- what callers get wrong


async def test_text_where_a_list_belongs_destroys_nothing() -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Said:
        asked.append(request)
        return nothing(request)

    wrong: list[dict[str, Any]] = [{"destroy": "abc"}, {"update": ["a"]}, {"create": "a"}]
    async with canned(api(answer)) as url, Client.connect(url, token=TOKEN) as client:
        for arguments in wrong:
            with pytest.raises(ValueError, match=next(iter(arguments))):
                await client.set(Email, **arguments)
        with pytest.raises(ValueError, match="page"):
            client.query(Email, page=0)
        with pytest.raises(ValueError, match="data type"):
            await client.get(Email({}))  # type: ignore[call-overload]
        for data in ("text", None, 5):
            with pytest.raises(ValueError, match="bytes"):
                await client.upload(data)  # type: ignore[arg-type]
    assert asked == []


def test_text_is_no_upload_without_async_either(jmap_server: Any, jmap_account: Any) -> None:
    basic = (jmap_account.address, jmap_account.password)
    with blocking.Client.connect(jmap_server.session_url, basic=basic) as client:
        assert client.upload(bytearray(b"octets")).size == 6
        assert client.upload([b"oc", b"tets"]).size == 6
        with pytest.raises(ValueError, match="bytes"):
            client.upload("text")  # type: ignore[arg-type]


async def test_null_is_sent_as_it_was_given() -> None:
    sent: list[Any] = []

    def answer(asked: Asked) -> Said:
        sent.extend(asked.calls)
        return nothing(asked)

    async with canned(api(answer)) as url, Client.connect(url, token=TOKEN) as client:
        await client.call("Core/echo", {"a": None})
        await client.call("Email/query", {"filter": None})
    assert sent == [
        ["Core/echo", {"a": None}, "0"],
        ["Email/query", {"accountId": "a", "filter": None}, "0"],
    ]


def test_push_subscriptions_belong_to_no_account(jmap_server: Any, jmap_account: Any) -> None:
    basic = (jmap_account.address, jmap_account.password)
    with blocking.Client.connect(jmap_server.session_url, basic=basic) as client:
        assert client.get("PushSubscription").list == []
        assert isinstance(client.set("PushSubscription", destroy=["x"], raise_errors=False), SetResult)


async def test_a_file_that_shrinks_is_not_taken_for_a_silent_server(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(bytes(10_000_000))

    def answer(asked: Asked) -> Said:
        raise AssertionError("not all of it came")

    async def shrink() -> str:
        file.write_bytes(b"")
        return TOKEN

    async with (
        canned(lambda asked: Said(SESSION) if asked.method == "GET" else answer(asked)) as url,
        Client.connect(url, token=TOKEN) as client,
    ):
        client.connection.credentials = Bearer(shrink)  # asked between the size and the octets
        with pytest.raises(OSError, match=r"became shorter .*blob"):
            await client.upload(file)


# ---------------------------------------------------------------- several at once


async def test_a_session_that_has_changed_is_fetched_once_for_all_that_wait() -> None:
    fetched = 0

    def answer(asked: Asked) -> Said:
        nonlocal fetched
        if asked.method == "POST":
            return responses(*nothing(asked).body["methodResponses"], state="s2")
        fetched += 1
        return Said(SESSION | {"state": "s" if fetched == 1 else "s2"})

    async with canned(answer) as url, Client.connect(url, token=TOKEN) as client:
        await client.get(Email, ["x"])
        await asyncio.gather(*(client.get(Email, ["x"]) for _ in range(5)))
    assert fetched == 2


async def test_no_more_uploads_at_once_than_the_server_takes() -> None:
    now = Counter[str]()

    async def slowly() -> Any:
        now["open"] += 1
        now["most"] = max(now["most"], now["open"])
        yield b"x"
        await asyncio.sleep(0.01)
        now["open"] -= 1

    def answer(asked: Asked) -> Said:
        return Said({"accountId": "a", "blobId": "b", "type": "t", "size": 1})

    capabilities = {CORE: {"maxConcurrentUpload": 2}, MAIL: {}}
    async with (
        canned(api(answer, capabilities=capabilities)) as url,
        Client.connect(url, token=TOKEN) as client,
    ):
        await asyncio.gather(*(client.upload(slowly()) for _ in range(8)))
    assert now["most"] == 2


async def test_a_get_in_pieces_that_fails_leaves_nothing_running() -> None:
    def answer(asked: Asked) -> Said:
        [[_, arguments, id]] = asked.calls
        if "7" in arguments["ids"]:
            return responses(["error", {"type": "serverFail"}, id])
        return nothing(asked)

    capabilities = {CORE: {"maxObjectsInGet": 1, "maxConcurrentRequests": 1}, MAIL: {}}
    async with (
        canned(api(answer, capabilities=capabilities)) as url,
        Client.connect(url, token=TOKEN) as client,
    ):
        before = asyncio.all_tasks()
        with pytest.raises(JMAPError, match="serverFail"):
            await client.get(Email, [str(n) for n in range(50)])
        left = [task for task in asyncio.all_tasks() - before if "serve" not in repr(task)]
    assert left == []


async def test_a_large_refusal_is_not_read_to_its_end() -> None:
    body = b'{"detail": "' + b"x" * 50_000_000
    async with canned(lambda _: Said(body, status=400)) as url:
        message = await error_of(url)
    assert "HTTP 400" in message
    assert len(message) < 1000


def test_a_client_that_was_closed_is_opened_again_and_shared(jmap_server: Any, jmap_account: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    basic = (jmap_account.address, jmap_account.password)
    client = blocking.Client.connect(jmap_server.session_url, basic=basic)
    for _ in range(2):
        with client, ThreadPoolExecutor(16) as threads:
            futures = [threads.submit(client.refresh_session) for _ in range(40)]
            futures += [threads.submit(client.mail.mailboxes) for _ in range(40)]
            assert all(future.result() for future in futures)
