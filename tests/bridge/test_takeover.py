"""The program `jmap2nats` takes over a deployment of each generation where it stands, and can be taken over again."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as Nats
from nats.js.api import StreamConfig

from client.world import World, new_world
from faults.nats import NatsProcess
from veredus.bridge.settings import PartsSettings, Wire
from veredus.bridge.wire.generation import Generation

pytestmark = pytest.mark.service
_DAY_NS = 24 * 3600 * 10**9


class Deployment:
    """A server with mail, and the NATS that an earlier jmap2nats has filled from it."""

    def __init__(self, world: World, server: NatsProcess, nats: Nats, directory: Path, wire: Wire) -> None:
        self.world, self.server, self.nats, self.directory = world, server, nats, directory
        self.js = nats.jetstream()
        self.generation = Generation.of(wire)
        self.config: dict[str, Any] = {
            "jmap": {"session_url": f"{world.url}/.well-known/jmap", "token_file": str(directory / "token")},
            "nats": {"url": server.url},
        }
        if wire == "0a":  # its configuration holds the token itself
            self.config["jmap"] = {"session_url": self.config["jmap"]["session_url"], "token": world.token}
        (directory / "token").write_text(world.token)

    async def was_running(self, ids: list[str]) -> None:
        """What it has left behind: a stream with these Emails, and in generation 1 a cursor."""
        await self.js.add_stream(
            StreamConfig(
                "JMAP_EMAILS", subjects=["jmap.email.>"], max_age=7 * 24 * 3600, max_bytes=64 * 1024 * 1024,
                duplicate_window=24 * 3600,
            )
        )  # fmt: skip
        alice = self.world.alice
        answer = await alice.call("Email/get", ids=ids, fetchTextBodyValues=True)
        for email in answer["list"]:
            plans = self.generation.parts_of(email, PartsSettings())
            assert plans
            message = self.generation.message("jmap.email", alice.account, email, {})
            # Its duplicate window is over: nothing but the bridge itself keeps from repeating.
            headers = {**message.headers}
            await self.js.publish(message.subject, message.payload, headers=headers)
        if self.generation.name == "1":
            bucket = await self.js.create_key_value(bucket="JMAP_EMAILS_CURSOR", history=1)
            await bucket.put(self.cursor_key, answer["state"].encode())

    @property
    def cursor_key(self) -> str:
        account = self.world.alice.account.encode()
        return "account." + base64.urlsafe_b64encode(account).decode().rstrip("=")

    @asynccontextmanager
    async def bridge(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """`jmap2nats -config jmap2nats.json`; it ends with success when it is asked to."""
        path = self.directory / "jmap2nats.json"
        path.write_text(json.dumps(self.config))
        with (self.directory / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "veredus.cli.jmap2nats", "-config", str(path), stderr=log
            )
        try:
            yield process
            process.terminate()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def caught_up(self) -> None:
        """Returns when the cursor is that of the account."""
        state = (await self.world.alice.call("Email/get", ids=[]))["state"]
        async with asyncio.timeout(60):
            while await self.cursor() != state:
                await asyncio.sleep(0.05)

    async def cursor(self) -> str | None:
        try:
            bucket = await self.js.key_value("JMAP_EMAILS_CURSOR")
            value = (await bucket.get(self.cursor_key)).value
        except Exception:  # not made yet
            return None
        return None if value is None else value.decode()

    async def stream(self) -> list[tuple[str, Mapping[str, str], dict[str, Any]]]:
        """Subject, headers and payload of every message, oldest first."""
        info = await self.js.stream_info("JMAP_EMAILS")
        subscription = await self.js.subscribe("jmap.email.>", ordered_consumer=True)
        found = []
        for _ in range(info.state.messages):
            message = await subscription.next_msg(10)
            found.append((message.subject, message.headers or {}, json.loads(message.data)))
        await subscription.unsubscribe()
        return found


@asynccontextmanager
async def deployment(directory: Path, wire: Wire) -> AsyncIterator[Deployment]:
    async with new_world(directory) as world, NatsProcess.started(directory) as server:
        nats = await server.connect()
        try:
            yield Deployment(world, server, nats, directory, wire)
        finally:
            await nats.close()


@pytest.mark.parametrize("wire", ["0a", "0", "1"])
async def test_it_goes_on_where_the_other_stopped_and_repeats_nothing(tmp_path: Path, wire: Wire) -> None:
    async with deployment(tmp_path, wire) as running:
        old = await running.world.add_emails(5)
        await running.was_running(old)
        missed = await running.world.add_emails(3)
        async with running.bridge():
            await running.caught_up()
            live = await running.world.add_emails(2)
            await running.caught_up()
        found = await running.stream()
        assert [payload["id"] for _, _, payload in found] == old + missed + live
        account = running.world.alice.account
        for subject, headers, payload in found[5:]:
            assert subject == running.generation.subject("jmap.email", account, payload["id"])
            assert headers["Nats-Msg-Id"] == running.generation.msg_id(account, payload["id"])
            assert headers.get("Jmap2nats-Schema-Version", "") == running.generation.schema_version
            key = running.generation.object_key(account, payload["id"], payload["textBody"][0]["blobId"])
            assert payload["textBody"][0]["objectKey"] == key
            store = await running.js.object_store("email-parts")
            assert (await store.get(key)).data


async def test_the_other_can_go_on_where_it_stopped(tmp_path: Path) -> None:
    async with deployment(tmp_path, "1") as running:
        await running.world.add_emails(2)
        async with running.bridge():
            await running.caught_up()
        # jmap2nats 1.0 reads this key, as the plain state, and asks for the changes since.
        cursor = await running.cursor()
        assert cursor is not None
        new = await running.world.add_emails(1)
        changes = await running.world.alice.call("Email/changes", sinceState=cursor)
        assert changes["created"] == new


async def test_the_stream_and_its_buckets_are_made_as_jmap2nats_makes_them(tmp_path: Path) -> None:
    async with deployment(tmp_path, "1") as running:
        async with running.bridge():
            await running.caught_up()
        config = (await running.js.stream_info("JMAP_EMAILS")).config
        assert (config.subjects, config.retention, config.discard) == (["jmap.email.>"], "limits", "old")
        assert (config.max_age, config.max_bytes) == (168 * 3600, 64 * 1024 * 1024)
        assert config.duplicate_window == 24 * 3600
        parts = (await running.js.stream_info("OBJ_email-parts")).config
        assert (parts.max_bytes, parts.max_age, parts.discard) == (960 * 1024 * 1024, 168 * 3600, "new")
        cursor = (await running.js.stream_info("KV_JMAP_EMAILS_CURSOR")).config
        assert cursor.max_msgs_per_subject == 1
