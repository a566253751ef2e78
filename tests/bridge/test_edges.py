"""What servers do within their rights, or nearly: none of it may lose an Email, or stop those behind it."""

import asyncio
import json
import random
from base64 import urlsafe_b64encode
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from nats.js.api import DiscardPolicy, ObjectMeta, ObjectMetaOptions, StreamConfig

from client.world import new_world
from faults.arena import Arena
from faults.bridge import Recording
from faults.rules import Answer, Damage, Hold, MethodFails, Rule
from faults.seeding import with_attachment
from jmap import message
from veredus.bridge.emails.fetch import EmailFetch
from veredus.bridge.follower import Follower
from veredus.bridge.nats.errors import NatsLost
from veredus.bridge.settings import BridgeSettings, JmapSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import TrackStatus
from veredus.client.credentials import Bearer
from veredus.client.errors import Unauthorized
from veredus.client.results import Changes
from veredus.conditions import Range
from veredus.mail.email.filters import FILTERS
from veredus.wire.types import JsonObject
from waiting import until

pytestmark = pytest.mark.service
_ROUTE = '[[bridge.route]]\nmatch = "has:attachment"\nsubject = "copies.{account}"\n'


async def test_a_copy_that_its_stream_refused_is_not_lost_by_a_restart(tmp_path: Path) -> None:
    """The message itself was stored: the reader that comes next finds it there."""
    async with Arena.open(tmp_path, more=f'lease = "1s"\n{_ROUTE}') as arena, arena.connection() as nats:
        js = nats.jetstream()
        copies = StreamConfig(name="COPIES", subjects=["copies.>"], discard=DiscardPolicy.NEW, max_msgs=1)
        await js.add_stream(copies)
        await arena.bridge.start()
        await arena.until_settled()
        for number in range(3):
            await arena.email(with_attachment(b"%d" % number))
        await arena.bridge.until_said("waiting")
        await arena.bridge.kill()
        copies.max_msgs = -1
        await js.update_stream(copies)
        await arena.free_lease()
        await arena.bridge.start()
        assert len(await arena.ends_well(in_order=False)) == 3
        assert (await js.stream_info("COPIES")).state.messages == 3


async def test_a_copy_too_large_for_its_stream_goes_into_the_object_store(tmp_path: Path) -> None:
    async with Arena.open(tmp_path, more=f'lease = "1s"\n{_ROUTE}') as arena, arena.connection() as nats:
        js = nats.jetstream()
        await js.add_stream(StreamConfig(name="COPIES", subjects=["copies.>"], max_msg_size=20_000))
        await arena.bridge.start()
        await arena.until_settled()
        large = with_attachment(b"x").replace(
            b"MIME-Version", b"References: " + b"<a@b>\r\n " * 5000 + b"\r\nMIME-Version"
        )
        await arena.email(large)
        await arena.email()
        assert len(await arena.ends_well()) == 2
        [copy] = [await js.get_msg("COPIES", 1)]
        assert copy.headers is not None
        assert copy.headers["Jmap-Payload"] == "ref"


async def test_a_server_that_never_calculates_changes_is_not_read_again_and_again(tmp_path: Path) -> None:
    """RFC 8620 §5.2 lets it. When nothing has changed nothing is read, and what has is found all the same."""
    async with Arena.running(tmp_path, 'poll = "100ms"\n') as arena:
        arena.proxy.add(
            Rule(fault=MethodFails("cannotCalculateChanges", "Email/changes"), method="Email/changes")
        )
        await arena.email()
        await arena.until_settled()
        seen = Recording()
        arena.observe(seen)

        def often(method: str) -> int:
            return sum(step.what == method and step.stage == "arrived" for step in seen.steps)

        await until(lambda: often("Email/changes") >= 10)
        assert often("Email/query") <= 1
        await arena.email()
        assert len(await arena.ends_well()) == 2


@pytest.mark.parametrize("cursor", [b"", b"\xff\xfe", b"x" * 5000])
async def test_a_cursor_that_cannot_be_one_is_read_anew(tmp_path: Path, cursor: bytes) -> None:
    async with Arena.running(tmp_path) as arena, arena.connection() as nats:
        await arena.bridge.stop()
        bucket = await nats.jetstream().key_value("JMAP_EMAILS_CURSOR")
        [key] = await bucket.keys()
        await bucket.put(key, cursor)
        await arena.email()
        await arena.bridge.start()
        async with asyncio.timeout(60):
            while (await bucket.get(key)).value == cursor:
                await asyncio.sleep(0.05)
        assert len(await arena.ends_well()) == 1


async def test_a_cursor_that_is_no_state_of_this_server_is_read_anew(tmp_path: Path) -> None:
    """Some servers answer ``invalidArguments`` then: Cyrus, to a state that is no number."""
    async with Arena.running(tmp_path) as arena:
        arena.proxy.add(Rule(fault=MethodFails("invalidArguments", "Email/changes"), method="Email/changes"))
        await arena.email()
        assert len(await arena.ends_well()) == 1


@pytest.mark.parametrize("type", ["serverFail", "requestTooLarge"])
async def test_changes_whose_records_cannot_be_read_together_are_read_alone(
    tmp_path: Path, type: str
) -> None:
    async with Arena.running(tmp_path) as arena:
        arena.proxy.add(Rule(fault=MethodFails(type, "Email/get"), method="Email/changes"))
        for _ in range(3):
            await arena.email()
        assert len(await arena.ends_well()) == 3


@pytest.mark.parametrize("nth", [1, 2])
async def test_an_email_that_is_neither_found_nor_not_found_is_asked_for_again(
    tmp_path: Path, nth: int
) -> None:
    """Once in the page of changes, once when it is fetched."""
    async with Arena.running(tmp_path) as arena:
        rule = Rule(fault=Damage("list", []), method="Email/get", nth=nth, times=1)
        arena.proxy.add(rule)
        await arena.email()
        assert len(await arena.ends_well()) == 1
        assert arena.proxy.applied[rule]


@pytest.mark.parametrize(("property", "value"), [("role", 5), ("role", ["inbox"]), ("name", None)])
async def test_a_mailbox_that_is_not_as_its_rfc_says_stops_nothing(
    tmp_path: Path, property: str, value: object
) -> None:
    events = "events = { enabled = true }\n"
    async with Arena.open(tmp_path, more=f'lease = "1s"\n{events}') as arena:
        for nth in range(1, 4):
            arena.proxy.add(Rule(fault=Damage(property, value, nth), method="Mailbox/get"))
        await arena.bridge.start()
        await arena.until_settled()
        await arena.email()
        assert len(await arena.ends_well()) == 1


async def test_large_texts_that_wait_for_slow_attachments_wait_at_the_server(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        hold = Hold()
        arena.proxy.add(Rule(fault=hold, path="/jmap/download/*"))
        await arena.bridge.stop()
        for number in range(8):  # as many as are downloaded at once
            await arena.email(with_attachment(b"slow %d" % number))
        text = ("z" * 70 + "\n") * 40_000
        for number in range(60):
            await arena.email(message(f"{number}", text))
        await arena.bridge.start()
        await hold.reached.wait()
        await asyncio.sleep(5)
        hold.released.set()
        await arena.until_settled(100)
        most = arena.bridge.most_memory
        assert len(await arena.ends_well()) == 68
        assert most < 200 * 2**20, f"{most >> 20} MiB"


async def test_a_payload_by_reference_finds_room_in_a_full_store(tmp_path: Path) -> None:
    more = 'parts = { mode = "none", max_bytes = "1MiB" }\n'
    async with Arena.running(tmp_path, more, max_payload=64 * 1024) as arena, arena.connection() as nats:
        store = await nats.jetstream().object_store("email-parts")
        for number in range(9):
            about = ObjectMeta(options=ObjectMetaOptions(max_chunk_size=32_768))
            await store.put(f"old/{number}", random.Random(number).randbytes(100_000), meta=about)
        large = message(References=" ".join(f"<{number}@example.org>" for number in range(10_000)))
        await arena.email(large.replace(b"> <", b">\r\n <"))
        found = await arena.ends_well()
        assert [one.headers["Jmap-Payload"] for one in found] == ["ref"]


async def test_a_snapshot_is_forgotten_only_when_the_cursor_stands(tmp_path: Path) -> None:
    """Else one that dies in between would begin anew, at a later state."""
    async with Arena.open(tmp_path, more='lease = "1s"\n') as arena:
        await arena.email()
        seen = Recording()
        arena.observe(seen)
        await arena.bridge.start()
        await arena.until_settled()
        await until(lambda: any(s.what.startswith("$KV.JMAP_EMAILS_CURSOR.") for s in seen.steps))
        await arena.bridge.stop()
        steps = [step.what for step in seen.steps if step.side == "nats" and step.stage == "arrived"]
        cursor = next(at for at, what in enumerate(steps) if what.startswith("$KV.JMAP_EMAILS_CURSOR."))
        snapshot = f"$KV.JMAP_BRIDGE.snap.{arena.jmap.account}.emails.Email"
        forgotten = max(at for at, what in enumerate(steps) if what == snapshot)
        assert steps.count(snapshot) >= 2
        assert cursor < forgotten


async def test_a_fetch_that_is_given_up_does_not_raise_what_the_next_request_met(tmp_path: Path) -> None:
    async with new_world(tmp_path) as world:
        ids = await world.add_emails(2)
        async with world.connect() as client:
            source = AccountSource(client, world.alice.account, 1)
            settings = BridgeSettings(name="test", jmap=JmapSettings(url=world.url), fetch_bytes=1)
            emails = EmailFetch(source, settings, ()).all([{"id": id, "size": 5} for id in ids])
            await anext(emails)
            client.connection.credentials = Bearer("another")  # the next request has not begun
            with pytest.raises(Unauthorized):
                await source.state("Email")
            await asyncio.sleep(0.2)
            await emails.aclose()


async def test_a_server_that_asks_to_be_spared_parks_nothing(tmp_path: Path) -> None:
    """429 for longer than all attempts of ours, each with its own retries, take."""
    async with Arena.running(tmp_path, "dlq = { max_attempts = 2 }\n") as arena:
        rule = Rule(fault=Answer(429, retry_after="0"), path="/jmap/download/*")
        arena.proxy.add(rule)
        await arena.email(with_attachment(b"x"))
        await until(lambda: arena.proxy.applied[rule] >= 10)
        arena.proxy.remove(rule)
        assert len(await arena.ends_well()) == 1


@pytest.mark.parametrize("is_exclusive", [True, False])
async def test_the_oldest_of_the_recent_is_read_wherever_after_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_exclusive: bool
) -> None:
    """RFC 8621 §4.4.1: "the same or after". Stalwart leaves out the same."""
    if is_exclusive:
        monkeypatch.setitem(
            FILTERS, "after", lambda value: Range("receivedAt", at_least=f"{value[:-2]}{int(value[-2]) + 1}Z")
        )
    more = 'lease = "1s"\nsnapshot = { mode = "recent", limit = 3 }\n'
    async with Arena.open(tmp_path, more=more) as arena, arena.connection() as nats:
        for second in range(6):
            await arena.email(receivedAt=f"2026-03-01T00:00:0{second}Z")
        await arena.bridge.start()
        await arena.until_settled()
        assert (await nats.jetstream().stream_info("JMAP_EMAILS")).state.messages == 3


async def test_parts_that_do_not_fit_into_the_store_together_are_not_all_promised(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'parts = { max_bytes = "1MiB" }\n') as arena:
        mail = EmailMessage(policy=SMTP)
        mail.set_content("See the attachments.")
        for number in range(4):
            octets = random.Random(number).randbytes(400_000)
            mail.add_attachment(octets, maintype="application", subtype="octet-stream", filename=f"{number}")
        await arena.email(mail.as_bytes())
        [found] = await arena.ends_well(parts_may_fail=True)
        outcomes = ["error" in part for part in found.body["attachments"]]
        assert True in outcomes
        async with arena.connection() as nats:
            store = await nats.jetstream().object_store("email-parts")
            for part in found.body["attachments"]:
                if "objectKey" in part:
                    await store.get_info(part["objectKey"])


async def test_a_part_that_is_named_again_is_as_young_as_its_message(tmp_path: Path) -> None:
    """Else the age limit of the store takes it long before that of the stream takes the message."""
    async with Arena.running(tmp_path, 'snapshot = { mode = "full" }\n') as arena, arena.connection() as nats:
        await arena.email(with_attachment(b"x"))
        await arena.until_settled()
        await arena.bridge.stop()
        js = nats.jetstream()
        metas = [f"$O.email-parts.M.{urlsafe_b64encode(info.name.encode()).decode()}"
                 for info in await (await js.object_store("email-parts")).list()]  # fmt: skip
        for subject in metas:
            meta = json.loads((await js.get_last_msg("OBJ_email-parts", subject)).data or b"")
            meta["mtime"] = "2020-01-01T00:00:00.123456789Z"
            await js.publish(subject, json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"})
        for stream in ("JMAP_EMAILS", "KV_JMAP_EMAILS_CURSOR"):
            await js.purge_stream(stream)
        await arena.bridge.start()
        await arena.until_settled()
        assert len(metas) == 2
        for subject in metas:
            meta = json.loads((await js.get_last_msg("OBJ_email-parts", subject)).data or b"")
            assert not meta["mtime"].startswith("2020"), subject


class _Anything:
    """A source without changes, a track without work, and a cursor that stands."""

    account = type = "Email"
    pipeline = "emails"
    properties = ()

    async def load(self) -> str:
        return "1"

    async def save(self, state: str) -> None:
        pass

    async def changes(self, type: str, since: str, properties: object) -> tuple[Changes, list[JsonObject]]:
        return Changes("1", "1"), []

    async def begin(self, old_state: str | None) -> str:
        self.begun_at = old_state
        return "1"

    async def begun(self) -> None:
        raise NatsLost("the end")


async def test_a_snapshot_asked_for_while_it_is_looked_up_whether_there_is_one_is_made() -> None:
    is_asked, thing = False, _Anything()

    async def asked() -> bool:
        nonlocal is_asked
        was, is_asked = is_asked, True
        if not was:
            follower.begin_anew()  # by whoever has just asked
        return was

    follower = Follower(thing, thing, thing, TrackStatus(), poll_s=0.01, asked=asked)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        with pytest.raises(NatsLost):
            await follower.run()
    assert thing.begun_at == "1"
