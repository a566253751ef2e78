"""Every operation on its subject, with its headers and a body that its schema takes."""

from collections import Counter
from typing import Any

import jsonschema
import msgspec
import pytest
from structlog.testing import capture_logs

from bridge.events.world import Stage
from jmap import message
from veredus.bridge.nats.jetstream import call
from veredus.bridge.nats.objects import ObjectStore
from veredus.bridge.settings import FilterSettings, PartsSettings, SnapshotSettings
from veredus.bridge.wire.schema import load
from waiting import until

pytestmark = pytest.mark.service


def ids(events: list[dict[str, Any]], op: str) -> list[str]:
    return [event["id"] for event in events if event["op"] == op]


async def test_every_operation_has_its_subject_headers_and_a_body_that_its_schema_takes(
    ground: Stage,
) -> None:
    alice, account = ground.world.alice, ground.world.alice.account
    old = await ground.world.add_emails(3)
    box = (await alice.create("Mailbox", name="Projects"))["id"]
    await ground.run_until_caught_up("Email", "Mailbox", "Thread")
    new = await ground.world.add_emails(1)
    await alice.update("Email", old[0], **{"keywords/$seen": True, f"mailboxIds/{box}": True})
    await alice.set("Email", destroy=[old[1]])
    await ground.run_until_caught_up("Email", "Mailbox", "Thread")
    messages = await ground.messages()
    for one in messages:
        body = msgspec.json.decode(one.data)
        jsonschema.validate(body, load(body["schema"]))
        assert one.subject == f"jmap.event.{account}.{body['type'].lower()}.{body['op']}"
        assert one.headers["Nats-Msg-Id"].startswith(f"{account}/{body['type']}/{body['id']}/{body['op']}/")
        assert (one.headers["Jmap-Type"], one.headers["Jmap-Op"]) == (body["type"], body["op"])
        assert one.headers["ce-id"] == one.headers["Nats-Msg-Id"]
    emails = await ground.events(f"jmap.event.{account}.email.>")
    assert [(event["op"], event["id"]) for event in emails] == [
        *(("snapshot", id) for id in old),
        ("created", new[0]),
        ("updated", old[0]),
        ("destroyed", old[1]),
    ]
    updated = emails[-2]
    assert updated["changed"] == ["keywords", "mailboxIds"]
    assert updated["diff"]["keywords"] == {"added": ["$seen"], "removed": []}
    assert updated["diff"]["mailboxIds"] == {"added": [box], "removed": []}
    assert emails[-1]["before"]["mailboxIds"] == {await ground.world.inbox(): True}
    [sent] = await ground.messages(f"jmap.event.{account}.email.updated")
    assert (sent.headers["Jmap-Keywords-Added"], sent.headers["Jmap-Mailbox-Added"]) == ("$seen", box)
    counters = {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
    of_box = await ground.events(f"jmap.event.{account}.mailbox.updated")
    assert of_box
    assert all(set(event["changed"]) <= counters for event in of_box)
    assert {event["type"] for event in await ground.events()} >= {"Email", "Mailbox", "Thread"}


async def test_nothing_old_is_told_when_no_snapshot_is_wanted(ground: Stage) -> None:
    ground.change(snapshot=SnapshotSettings(mode="none"))
    [id] = await ground.world.add_emails(1)
    await ground.run_until_caught_up("Email", "Mailbox")
    assert await ground.events() == []
    await ground.world.alice.update("Email", id, **{"keywords/$seen": True})
    await ground.run_until_caught_up("Email")
    [event] = await ground.events("jmap.event.*.email.>")
    assert (event["op"], "changed" in event, "before" in event) == ("updated", False, False)


async def test_push_tells_of_every_type(ground: Stage) -> None:
    ground.change(poll_s=600.0)
    async with ground.bridge() as bridge:
        await ground.caught_up(bridge, "Email", "Mailbox", "Thread")
        await ground.world.add_emails(1)
        await ground.caught_up(bridge, "Email", "Mailbox", "Thread")
    created = [event["type"] for event in await ground.events() if event["op"] == "created"]
    assert sorted(created) == ["Email", "Thread"]


@pytest.mark.parametrize(("before", "known"), [("kv", True), ("memory", False), ("none", False)])
async def test_a_restart_keeps_old_values_only_in_the_bucket(ground: Stage, before: str, known: bool) -> None:
    ground.change_events(before=before, types=("Email",))
    [id] = await ground.world.add_emails(1)
    await ground.run_until_caught_up("Email")
    await ground.world.alice.update("Email", id, **{"keywords/$flagged": True})
    async with ground.bridge() as bridge:
        await ground.caught_up(bridge, "Email")
        await ground.world.alice.update("Email", id, **{"keywords/$flagged": None})
        await ground.caught_up(bridge, "Email")
    first, second = await ground.events("jmap.event.*.email.updated")
    assert (first.get("diff") == {"keywords": {"added": ["$flagged"], "removed": []}}) is known
    assert ("changed" in first) is known
    assert (second.get("changed") == ["keywords"]) is (before != "none")


async def test_a_type_that_the_server_does_not_have_is_left_out_with_one_line(ground: Stage) -> None:
    ground.change_events(types=("Email", "CalendarEvent", "Nonsense"))
    await ground.world.add_emails(1)
    with capture_logs() as lines:
        await ground.run_until_caught_up("Email")
    assert Counter(line["type"] for line in lines if line["event"] == "type_left_out") == {
        "CalendarEvent": 1,
        "Nonsense": 1,
    }
    assert {event["type"] for event in await ground.events()} == {"Email"}


async def test_filters_hold_for_events_and_what_leaves_them_is_seen_to_leave(ground: Stage) -> None:
    ground.change(filter=FilterSettings(include="in:inbox", exclude="subject:secret"))
    ground.change_events(types=("Email",))
    alice, inbox = ground.world.alice, await ground.world.inbox()
    trash = await alice.mailbox("trash")
    seen = (await alice.import_email(message("Hello")))["id"]
    secret = (await alice.import_email(message("A secret")))["id"]
    await ground.run_until_caught_up("Email")
    elsewhere = (await alice.import_email(message("Elsewhere"), trash))["id"]
    await alice.update("Email", seen, mailboxIds={trash: True})
    await alice.update("Email", secret, **{"keywords/$seen": True})
    await ground.run_until_caught_up("Email")
    await alice.update("Email", seen, **{"keywords/$seen": True})
    await alice.set("Email", destroy=[seen, elsewhere])
    await ground.run_until_caught_up("Email")
    events = await ground.events()
    assert ids(events, "snapshot") == [seen]
    assert ids(events, "created") == []
    assert ids(events, "updated") == [seen]
    assert events[1]["diff"]["mailboxIds"] == {"added": [trash], "removed": [inbox]}
    assert sorted(ids(events, "destroyed")) == sorted([seen, elsewhere])


async def test_an_event_that_is_too_large_lies_in_the_object_store(ground: Stage) -> None:
    ground.change_events(types=("Email",))
    await ground.world.alice.import_email(_large())
    await ground.run_until_caught_up("Email")
    [slim] = await ground.messages()
    body = msgspec.json.decode(slim.data)
    jsonschema.validate(body, load(body["schema"]))
    assert (body["truncated"], slim.headers["Jmap-Payload"]) == (True, "ref")
    whole = msgspec.json.decode(await ObjectStore(ground.link, "email-parts").get(body["objectKey"]))
    jsonschema.validate(whole, load(whole["schema"]))
    assert len(whole["after"]["to"]) == RECIPIENTS


async def test_what_fails_again_and_again_is_parked_and_the_rest_goes_on(ground: Stage) -> None:
    ground.change_events(types=("Email",))
    # There is no room for the large one, whatever is tried.
    ground.change(
        parts=PartsSettings(max_bytes=100_000),
        dlq=msgspec.structs.replace(ground.settings.dlq, max_attempts=2),
        stream=msgspec.structs.replace(ground.settings.stream, enabled=False),
    )
    alice = ground.world.alice
    before = (await alice.import_email(message("Before")))["id"]
    large = (await alice.import_email(_large()))["id"]
    after = (await alice.import_email(message("After")))["id"]
    await ground.run_until_caught_up("Email")
    assert ids(await ground.events(), "snapshot") == [before, after]
    [letter] = await ground.messages("jmap.dlq.>", "JMAP_DLQ")
    parked = msgspec.json.decode(letter.data)
    jsonschema.validate(parked, load("dead-letter/1"))
    assert (parked["id"], parked["pipeline"], parked["attempts"]) == (large, "events", 1)


async def test_mail_goes_on_while_events_cannot_be_stored(ground: Stage) -> None:
    async with ground.bridge() as bridge:
        await ground.caught_up(bridge, "Email")
        await call(ground.link, "STREAM.DELETE.JMAP_EVENTS")
        [id] = await ground.world.add_emails(1)
        status = next(iter(bridge.status.accounts.values()))
        await until(lambda: status.track("emails", "Email").counts["published"] == 1)
        await until(lambda: status.track("events", "Email").error is not None)
        assert status.active
    await ground.run_until_caught_up("Email")
    assert ids(await ground.events("jmap.event.*.email.>"), "created") == [id]


RECIPIENTS = 40_000


def _large() -> bytes:
    """Its To is beyond what a NATS message may be."""
    to = ",\r\n ".join(f"recipient{n}@example.com" for n in range(RECIPIENTS))
    return message("Large", To=to)
