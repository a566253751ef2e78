"""The checks find what they are for: each of them fails on a stream that is wrong in its way."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from faults import checks
from faults.nats import NatsProcess
from faults.seeding import made, seed
from jmap import open_server
from sockets import http

pytestmark = pytest.mark.service


class World:
    """A seeded account and a NATS; ``publish`` does what a bridge does, but for the ``skew``."""

    def __init__(self, jmap: HttpJmap, nats: Client) -> None:
        self.jmap, self.nats, self.names = jmap, nats, checks.Names()
        self.js = nats.jetstream()
        self.ids: list[str] = []

    async def open(self) -> None:
        names = self.names
        await self.js.add_stream(StreamConfig(name=names.stream, subjects=[f"{names.prefix}.>"]))
        self.objects = await self.js.create_object_store(names.bucket)
        self.kv = await self.js.create_key_value(bucket=names.cursor_bucket)

    async def publish(self, email: Any, message_id: str = "") -> None:
        body = {"id": email["id"], "attachments": [], "textBody": [], "htmlBody": []}
        for kind in ("attachments", "textBody", "htmlBody"):
            for part in email[kind]:
                if not part["blobId"]:
                    continue
                key = f"{self.jmap.account}/{email['id']}/{part['blobId']}"
                if kind != "attachments" and part["type"].startswith("text/"):
                    data = email["bodyValues"][part["partId"]]["value"].replace("\r\n", "\n").encode()
                else:
                    data = await self.jmap.download(part["blobId"])
                await self.objects.put(key, data)
                body[kind].append({**part, "objectKey": key})
        headers = {
            "Nats-Msg-Id": message_id or f"{self.jmap.account}/{email['id']}",
            "Jmap-Email-Id": email["id"],
        }
        await self.js.publish(
            f"{self.names.prefix}.{self.jmap.account}", msgspec.json.encode(body), headers=headers
        )

    async def emails(self) -> list[Any]:
        got = await self.jmap.call(
            "Email/get", ids=self.ids, fetchTextBodyValues=True, fetchHTMLBodyValues=True,
            properties=["id", "attachments", "textBody", "htmlBody", "bodyValues"],
        )  # fmt: skip
        by_id = {email["id"]: email for email in got["list"]}
        return [by_id[id] for id in self.ids]

    async def set_cursor(self, state: str) -> None:
        key = "account." + base64.urlsafe_b64encode(self.jmap.account.encode()).decode().rstrip("=")
        await self.kv.put(key, state.encode())

    async def check(self, **more: Any) -> list[checks.Published]:
        return await checks.every_email_is_in_stream(self.jmap, self.nats, self.ids, self.names, **more)


@asynccontextmanager
async def opened(directory: Path, count: int = 6) -> AsyncIterator[World]:
    """The mail is there, and nothing is published."""
    async with NatsProcess.started(directory) as server, open_server("memory", directory / "data") as app:
        await app.add_account("alice@example.com", "secret")
        async with http(app) as url:
            jmap, nats = HttpJmap(url, ("alice@example.com", "secret")), await server.connect()
            try:
                await jmap.session()
                world = World(jmap, nats)
                await world.open()
                start = (await jmap.call("Email/get", ids=[]))["state"]
                await seed(jmap, count, random.Random(4), big=False)
                world.ids = await checks.created_since(jmap, start)
                yield world
            finally:
                await jmap.close()
                await nats.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All is well, with a cursor at the end."""
    async with opened(tmp_path) as world:
        for email in await world.emails():
            await world.publish(email)
        await world.set_cursor((await world.jmap.call("Email/get", ids=[]))["state"])
        yield world


async def test_a_stream_that_is_right_passes(world: World) -> None:
    found = await world.check()
    assert [one.email for one in found] == world.ids
    stored = [await checks.parts_are_stored(world.jmap, world.nats, one, world.names) for one in found]
    assert sum(stored) > len(found)


async def test_a_lost_email_is_found(world: World) -> None:
    await world.nats.jetstream().delete_msg(world.names.stream, 3)
    with pytest.raises(AssertionError, match=f"1 of {len(world.ids)} Emails are not in the stream"):
        await world.check()


async def test_a_lost_email_may_be_parked(world: World) -> None:
    await world.nats.jetstream().delete_msg(world.names.stream, 3)
    await world.js.add_stream(StreamConfig(name=world.names.dead_letters, subjects=["jmap.dlq.>"]))
    await world.js.publish("jmap.dlq.a.email", b"{}", headers={"Jmap-Email-Id": world.ids[2]})
    await world.check(parked=[world.ids[2]])
    with pytest.raises(AssertionError, match="dead letters that were not expected"):
        await world.check()


async def test_another_order_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path, 4) as world:
        emails = await world.emails()
        for email in [emails[0], emails[2], emails[1], emails[3]]:
            await world.publish(email)
        await world.set_cursor((await world.jmap.call("Email/get", ids=[]))["state"])
        with pytest.raises(AssertionError, match="2 Emails are not in order"):
            await world.check()


async def test_a_repetition_under_another_name_is_found(world: World) -> None:
    email = (await world.emails())[0]
    await world.publish(email)  # the server drops it: the same Nats-Msg-Id
    await world.check()
    await world.publish(email, "another")
    with pytest.raises(AssertionError, match="has two Nats-Msg-Ids"):
        await world.check()


async def test_octets_that_are_not_the_servers_are_found(world: World) -> None:
    found = await world.check()
    key = next(part["objectKey"] for one in found for part in one.body["textBody"])
    await world.objects.put(key, b"something else")
    with pytest.raises(AssertionError, match="octets that are not the"):
        await world.check()
    await world.objects.delete(key)
    with pytest.raises(AssertionError, match="was deleted"):
        await world.check()


async def test_a_part_that_only_has_an_error_is_found(world: World) -> None:
    subject = f"{world.names.prefix}.{world.jmap.account}"
    body = {"id": "x", "attachments": [{"blobId": "b", "error": "put: the bucket is full"}]}
    headers = {"Nats-Msg-Id": "x", "Jmap-Email-Id": "x"}
    await world.js.publish(subject, msgspec.json.encode(body), headers=headers)
    with pytest.raises(AssertionError, match="put: the bucket is full"):
        await world.check()
    await world.check(parts_may_fail=True)


async def test_what_is_published_by_reference_is_looked_up(world: World) -> None:
    subject = f"{world.names.prefix}.{world.jmap.account}"
    whole = {"id": "x", "attachments": [{"blobId": "b", "objectKey": "nowhere"}]}
    await world.objects.put("whole", msgspec.json.encode(whole))
    body = {"id": "x", "truncated": True, "objectKey": "whole"}
    headers = {"Nats-Msg-Id": "x", "Jmap-Email-Id": "x"}
    await world.js.publish(subject, msgspec.json.encode(body), headers=headers)
    with pytest.raises(AssertionError, match="there is no object nowhere"):
        await world.check()


async def test_chunks_of_no_object_are_found(world: World) -> None:
    await world.js.publish(f"$O.{world.names.bucket}.C.orphan", b"left behind")
    with pytest.raises(AssertionError, match="chunks of no object"):
        await world.check()
    await world.check(orphans_before=datetime.now(UTC) - timedelta(hours=1))


async def test_a_cursor_that_is_behind_is_found(world: World) -> None:
    await world.set_cursor("behind")
    with pytest.raises(AssertionError, match="the cursor is at behind"):
        await world.check()


async def test_what_was_stored_is_there_after_a_kill(tmp_path: Path) -> None:
    async with NatsProcess.started(tmp_path) as server:
        nats = await server.connect()
        await nats.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
        await nats.jetstream().publish("s", b"kept")
        url = server.url
        await server.restart()
        assert server.url == url
        await nats.close()
        nats = await server.connect()
        assert (await nats.jetstream().get_msg("S", 1)).data == b"kept"
        await nats.close()


async def test_a_server_that_is_paused_answers_again_later(tmp_path: Path) -> None:
    async with NatsProcess.started(tmp_path) as server:
        await server.pause()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.3)
            server.resume()
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"INFO ")
        finally:
            writer.close()
            await writer.wait_closed()


async def test_the_limit_of_a_message_is_the_one_that_was_set(tmp_path: Path) -> None:
    async with NatsProcess.started(tmp_path, max_payload=1000) as server:
        nats = await server.connect()
        assert nats.max_payload == 1000
        await nats.close()


def test_seeded_mail_is_the_same_for_the_same_seed() -> None:
    first, second = (made(20, random.Random(1)) for _ in range(2))
    assert [data.split(b"boundary")[0] for data in first] == [data.split(b"boundary")[0] for data in second]
    assert max(map(len, first)) > 2_000_000


async def test_the_server_takes_every_kind_of_seeded_mail(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path) as server:
        async with server.opened() as app:
            await app.add_account("alice@example.com", "secret")
        await server.start()
        jmap = HttpJmap(server.url, ("alice@example.com", "secret"))
        await jmap.session()
        start = (await jmap.call("Email/get", ids=[]))["state"]
        chance = random.Random(2)
        taken = await seed(jmap, 20, chance, lmtp_port=server.ports["lmtp"], to="alice@example.com")
        assert taken >= 18
        assert len(await checks.created_since(jmap, start)) == taken
        await jmap.close()
