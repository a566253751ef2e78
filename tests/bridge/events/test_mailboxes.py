"""The bucket in which consumers look up what the id of a Mailbox means."""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bridge.events.world import Stage
from veredus.bridge.nats.errors import Missing
from veredus.bridge.nats.kv import KeyValue

pytestmark = pytest.mark.service


async def _there(ground: Stage) -> dict[str, Any]:
    bucket = KeyValue(ground.link, "JMAP_MAILBOXES")
    return {entry.key: msgspec.json.decode(entry.value or b"") async for entry in bucket.entries()}


async def _wanted(ground: Stage) -> dict[str, Any]:
    alice = ground.world.alice
    properties = "id name parentId role sortOrder totalEmails unreadEmails totalThreads unreadThreads".split()
    boxes = (await alice.call("Mailbox/get", ids=None, properties=properties))["list"]
    return {f"{alice.account}.{box['id']}": box for box in boxes}


async def _agree(ground: Stage) -> None:
    async with asyncio.timeout(20):
        while await _there(ground) != await _wanted(ground):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("events", [True, False])
async def test_the_bucket_is_as_the_mailboxes_are(ground: Stage, events: bool) -> None:
    ground.change_events(enabled=events)
    alice = ground.world.alice
    async with ground.bridge():
        await _agree(ground)
        box = (await alice.create("Mailbox", name="Projects"))["id"]
        child = (await alice.create("Mailbox", name="Veredus", parentId=box))["id"]
        await _agree(ground)
        await alice.update("Mailbox", child, name="Issues")
        await ground.world.add_emails(2)
        await _agree(ground)
        await alice.set("Mailbox", destroy=[child])
        await _agree(ground)
    # What happens while no bridge runs is made up for.
    await alice.set("Mailbox", destroy=[box])
    await alice.create("Mailbox", name="New")
    async with ground.bridge():
        await _agree(ground)


async def test_the_bucket_can_be_watched(ground: Stage) -> None:
    async with ground.bridge():
        await _agree(ground)
        bucket = KeyValue(ground.link, "JMAP_MAILBOXES")
        async with asyncio.timeout(20), aclosing(bucket.watch(ground.world.alice.account)) as entries:
            while await anext(entries) is not None:
                pass
            box = (await ground.world.alice.create("Mailbox", name="Projects"))["id"]
            found = await anext(entries)
            assert found is not None
            assert found.key == f"{ground.world.alice.account}.{box}"
            assert msgspec.json.decode(found.value or b"")["name"] == "Projects"
            await ground.world.alice.set("Mailbox", destroy=[box])
            gone = await anext(entries)
            assert (gone.key, gone.value) == (found.key, None) if gone else False


async def test_without_a_name_there_is_no_bucket(ground: Stage) -> None:
    ground.change(mailboxes_bucket=None)
    ground.change_events(enabled=False)
    await ground.world.add_emails(1)
    async with ground.bridge():
        assert len(await ground.messages("jmap.email.>", "JMAP_EMAILS")) <= 1
    with pytest.raises(Missing):
        await _there(ground)


async def test_old_values_of_another_account_are_left_alone(ground: Stage) -> None:
    ground.change(stream=replace(ground.settings.stream, enabled=False))
    async with ground.bridge():
        await _agree(ground)
        bucket = KeyValue(ground.link, "JMAP_MAILBOXES")
        await bucket.put("another.m1", b"{}")
    async with ground.bridge() as bridge:
        await ground.caught_up(bridge, "Mailbox")
        await ground.world.alice.create("Mailbox", name="New")
        await ground.caught_up(bridge, "Mailbox")
        assert await bucket.get("another.m1") is not None
