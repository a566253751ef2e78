"""The commands of operators, each by its command line, and everything they can say is wrong."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.ops.setup import Setup
from veredus.bridge.check import check
from veredus.bridge.cursor import email_cursor
from veredus.bridge.dead_letters import DeadLetters
from veredus.bridge.nats.message import Message
from veredus.bridge.nats.publish import Publisher
from veredus.bridge.wire.dead_letter import DeadLetter
from waiting import until

pytestmark = pytest.mark.service


async def park(setup: Setup, id: str, **members: Any) -> None:
    now = datetime.now(UTC)
    letter = DeadLetter(
        **{
            "server": "s", "account_id": setup.account, "type": "Email", "op": "created", "id": id,
            "pipeline": "emails", "error_type": "TransportError", "error": "HTTP 500", "attempts": 5,
            "first_at": now, "last_at": now, "old_state": "1", "new_state": "2", **members,
        }
    )  # fmt: skip
    async with setup.streams() as streams:
        await DeadLetters(streams.link, setup.settings.dlq).park(letter)


async def cursor(setup: Setup) -> str | None:
    async with setup.streams() as streams:
        return await email_cursor(streams.cursors, setup.account).load()


# ---------------------------------------------------------------- settings


async def test_a_configuration_that_cannot_be_used_is_one_line(setup: Setup) -> None:
    setup.file.write_text('[[bridge]]\nname = "one"\nlease_s = "3s"\n')
    ended = await setup.cli("status")
    assert ended.code == 2
    assert "lease_s is unknown" in ended.err
    setup.file.unlink()
    ended = await setup.cli("run")
    assert (ended.code, ended.err) == (
        2,
        f"veredus: read config {setup.file}: No such file or directory\n",
    )


async def test_of_several_bridges_one_must_be_named(setup: Setup) -> None:
    other = 'state_bucket = "B"\nstream = { name = "B", subject_prefix = "b" }\ncursor = { bucket = "C" }\n'
    other += 'parts = { bucket = "b" }\ndlq = { name = "D", subject_prefix = "d" }\nmailboxes_bucket = "none"'
    setup.configure(also=setup.table(other, name="two"))
    ended = await setup.cli("pause")
    assert ended.code == 2
    assert "has several bridges, name one with --bridge: one, two" in ended.err
    ended = await setup.cli("dlq", "ls", "--bridge", "three")
    assert ended.code == 2
    assert "has no bridge 'three', but one, two" in ended.err
    assert [one["bridge"] for one in (await setup.cli("status", "--json")).json] == ["one", "two"]


# ---------------------------------------------------------------- check


async def test_check_finds_all_well_and_changes_nothing(setup: Setup) -> None:
    ended = await setup.cli("check")
    assert ended.code == 0, ended.out
    assert all(line.startswith("ok ") for line in ended.out.splitlines()), ended.out
    for said in ("push: websocket is connected", f"account: {setup.account}", "clock: as that of"):
        assert said in ended.out
    assert "stream JMAP_EMAILS: is not there yet: `bridge run` makes it" in ended.out
    assert all(not one["exists"] for one in (await setup.cli("status", "--json")).json[0]["streams"])


async def test_check_tries_permissions_without_leaving_anything(setup: Setup) -> None:
    async with setup.streams():
        pass
    ended = await setup.cli("check")
    assert "may publish to jmap.email.>" in ended.out
    assert "may publish to $KV.JMAP_BRIDGE.>" in ended.out
    assert await setup.count() == await setup.count("JMAP_DLQ") == await setup.count("KV_JMAP_BRIDGE") == 0


async def test_check_finds_what_is_wrong(setup: Setup) -> None:
    async with setup.streams():
        pass
    setup.write_token("nobody's")
    setup.configure(
        'mailboxes_bucket = "NAMES"\nstream = { max_bytes = "32MiB" }\n'
        "events = { enabled = true, externally_managed = true }"
    )
    forbidden = 'publish: {deny: ["jmap.dlq.>", "$JS.API.STREAM.CREATE.KV_NAMES"]}'
    setup.nats.configure(
        f"authorization {{ users: [{{user: u, password: p, permissions: {{{forbidden}}}}}] }}"
    )
    await setup.nats.restart()
    password = setup.directory / "password"
    password.write_text("p")
    login = f'url = "{setup.nats.url}", user = "u", password = {{ file = "{password}" }}'
    setup.file.write_text(setup.file.read_text().replace(f'url = "{setup.nats.url}"', login))
    ended = await setup.cli("check")
    assert ended.code == 3
    wrong = [line for line in ended.out.splitlines() if not line.startswith("ok ")]
    for said in (
        "HTTP 401: the credentials are refused - see jmap.token",
        "FAIL  stream JMAP_EVENTS: is not there, and externally_managed is set - create it",
        "not allowed to publish to jmap.dlq.check - allow it",
        "not allowed to publish to $JS.API.STREAM.CREATE.KV_NAMES - allow it",
        "warn  stream JMAP_EMAILS: max_bytes is 67108864, and would be 33554432 - `bridge run` changes it",
    ):
        assert any(said in line for line in wrong), f"{said}\n{ended.out}"


async def test_check_says_which_server_does_not_answer(setup: Setup) -> None:
    await setup.nats.kill()
    setup.configure(url="http://127.0.0.1:9/jmap")
    ended = await setup.cli("check")
    assert ended.code == 3
    jmap, nats = ended.out.splitlines()
    assert jmap.startswith("FAIL  jmap: 127.0.0.1:9: cannot connect")
    assert nats.startswith(f"FAIL  nats: NATS server 127.0.0.1:{setup.nats.port}: ")


async def test_check_shows_the_settings_without_secrets(setup: Setup) -> None:
    ended = await setup.cli("check", "--show")
    assert ended.code == 0
    assert setup.world.token not in ended.out
    assert ended.json[0]["jmap"]["token"] == {"file": str(setup.token)}
    assert ended.json[0]["stream"]["max_bytes"] == "64MiB"


async def test_check_compares_the_clocks(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("veredus.bridge.check.time", SimpleNamespace(time=lambda: now - 100))
    findings = {finding.name: finding async for finding in check(setup.settings)}
    assert findings["clock"].level == "warn"
    assert "s behind 127.0.0.1" in findings["clock"].text


async def test_check_warns_of_a_bucket_that_is_nearly_full(setup: Setup) -> None:
    setup.configure('parts = { max_bytes = "1MiB", on_full = "skip", max_per_part = "500KiB" }')
    async with setup.streams() as streams:
        await streams.objects.put("a", bytes(1000 * 1024))
    ended = await setup.cli("check")
    assert ended.code == 0
    assert "of max_bytes - raise parts.max_bytes; when full: skip" in ended.out


async def test_check_finds_rules_that_name_a_mailbox_which_is_not_there(setup: Setup) -> None:
    setup.configure('filter = { include = "in:inbox", exclude = "in:spam" }')
    findings = {finding.name: finding async for finding in check(setup.settings)}
    assert findings["filter.exclude"].level == "warn"
    assert "no Mailbox 'spam': there are " in findings["filter.exclude"].text
    assert "filter.include" not in findings


async def test_check_says_when_nothing_pushes(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("veredus.client.session.Session.websocket_url", None)
    monkeypatch.setattr("veredus.client.push.run.Run._event_source_url", lambda *_: None)
    findings = {finding.name: finding async for finding in check(setup.settings)}
    assert findings["push"].level == "warn"
    assert "changes are found by asking each minute" in findings["push"].text


# ---------------------------------------------------------------- status


async def test_status_without_nats_is_one_line(setup: Setup) -> None:
    await setup.nats.kill()
    ended = await setup.cli("status")
    assert ended.code == 1
    assert ended.err.startswith(f"veredus: NATS server 127.0.0.1:{setup.nats.port}: ")


async def test_status_tells_all_that_nats_knows(setup: Setup) -> None:
    setup.configure('monitor = { heartbeat = "2s" }')
    await setup.world.add_emails(2)
    async with setup.process() as process:
        await setup.until_emails(2)
        await process.until_it_says("active")
        status: Any = {}

        async def is_active() -> bool:  # a heartbeat tells it
            status.update((await setup.cli("status", "--json")).json[0])
            return bool(status["instances"]) and status["instances"][0]["mode"] == "active"

        await until(is_active)
        [instance] = status["instances"]
        assert (instance["alive"], instance["push"]) == (True, "websocket")
        account = status["accounts"][setup.account]
        assert account["lease"]["instance"] == instance["instance"]
        assert account["cursor"] == await cursor(setup)
        assert {one["name"]: one.get("messages") for one in status["streams"]}["JMAP_EMAILS"] == 2
        told = (await setup.cli("status")).out
        assert f"process {instance['instance']}: active, push websocket, " in told
        assert f"cursor of emails: {account['cursor']}\n" in told
        assert "stream JMAP_EMAILS: 2 messages, " in told
        assert "of 64 MiB" in told


# ---------------------------------------------------------------- snapshot, replay, pause


async def test_a_snapshot_is_left_for_the_next_run(setup: Setup) -> None:
    """Of what is missing: the mail that the settings leave out, and no other."""
    setup.configure('snapshot = { mode = "none" }')
    ids = await setup.world.add_emails(5)
    async with setup.process() as process:
        await process.until_it_says("active")
        await setup.cli("status")
        [new] = await setup.world.add_emails(1)
        assert await setup.until_emails(1) == [new]
        await process.stop()
    ended = await setup.cli("snapshot", "--after", "2026-03-01T00:00:03Z")
    assert ended.code == 0
    assert "received since 2026-03-01T00:00:03Z will be published" in ended.out
    assert "snapshot of emails/Email to be done" in (await setup.cli("status")).out
    async with setup.process():
        assert await setup.until_emails(3) == [new, *ids[3:]]
        assert (await setup.cli("snapshot", "--full")).code == 0
        assert await setup.until_emails(6) == [new, *ids[3:], *ids[:3]]


async def test_replay_goes_through_the_changes_once_more(setup: Setup) -> None:
    setup.configure('snapshot = { mode = "none" }')
    state = (await setup.world.alice.call("Email/get", ids=[]))["state"]
    ids = await setup.world.add_emails(3)
    async with setup.process() as process:
        await process.until_it_says("active")
        ended = await setup.cli("replay", "--since", state, "--account", setup.account)
        assert ended.code == 0, ended.err
        assert f"and is {state} now" in ended.out
        assert await setup.until_emails(3) == ids
        assert (await setup.cli("replay", "--since", state)).code == 0  # what is there is not repeated
        ids += await setup.world.add_emails(1)
        assert await setup.until_emails(4) == ids


_CANNOT = [
    ("snapshot", 2, "say from when: --after DATE, or --full"),
    ("snapshot --full --after 2026-01-01", 2, "say from when"),
    ("snapshot --after yesterday", 2, "--after 'yesterday' is no date"),
    ("snapshot --after 2026-02-31", 2, "is no date"),
    ("snapshot --full --type Mailbox", 2, "bridge one has no stream of events"),
    ("snapshot --full --account nobody", 1, "this bridge reads no account 'nobody', but "),
    ("replay", 2, "say from where: --since STATE, or --from-date DATE"),
    ("replay --since never", 1, "cannot calculate changes since 'never': use --from-date"),
    ("pause --account nobody", 1, "this bridge reads no account 'nobody', but "),
    ("dlq show 7", 1, "stream JMAP_DLQ has no letter 7: see `bridge dlq ls`"),
    ("dlq retry", 2, "name sequences, or --all"),
    ("dlq drop 1 --all", 2, "name sequences, or --all"),
    ("schema show nope/1", 1, "There is no schema 'nope/1'; there are dead-letter/1, "),
]


async def test_what_cannot_be_done_is_said_in_one_line(setup: Setup) -> None:
    async def fails(words: str, code: int, said: str) -> None:
        async with two_at_once:
            ended = await setup.cli(*words.split())
        assert ended.code == code, (words, ended.err)
        assert said in ended.err, words
        assert len(ended.err.splitlines()) == 1, (words, ended.err)

    two_at_once = asyncio.Semaphore(2)
    async with asyncio.TaskGroup() as tasks:
        for words, code, said in _CANNOT:
            tasks.create_task(fails(words, code, said))


# ---------------------------------------------------------------- dead letters


async def test_a_letter_is_listed_shown_and_dropped(setup: Setup) -> None:
    assert (await setup.cli("dlq", "ls")).out == ""
    await park(setup, "e1")
    await park(setup, "e2", error="bad\x1b[31mcolour")
    listed = (await setup.cli("dlq", "ls")).out
    assert f"1  {setup.account}  Email e1  created\n   5 attempts, the last at 20" in listed
    assert "bad?[31mcolour" in listed
    assert (await setup.cli("dlq", "show", 2)).json["id"] == "e2"
    assert (await setup.cli("dlq", "drop", 1)).out == "1 dropped\n"
    assert [one["id"] for one in (await setup.cli("dlq", "ls", "--json")).json] == ["e2"]
    assert (await setup.cli("dlq", "drop", "--all")).out == "1 dropped\n"


async def test_a_retried_letter_is_published_and_then_removed(setup: Setup) -> None:
    """One that can be published, one that is there already, one that is gone."""
    first, second = await setup.world.add_emails(2)
    for id in (first, second, "gone"):
        await park(setup, id)
    assert (await setup.cli("dlq", "retry", 2)).out == f"2  Email {second}  published\n"
    assert await setup.emails() == [second]
    await park(setup, second, new_state="3")
    ended = await setup.cli("dlq", "retry", "--all")
    assert [line.split()[-1] for line in ended.out.splitlines()] == ["published", "gone", "known"]
    assert ended.code == 0
    assert await setup.emails() == [second, first]
    assert await setup.count("JMAP_DLQ") == 0


async def test_a_letter_that_fails_again_stays(setup: Setup) -> None:
    await park(setup, "not an id")
    await park(setup, "m1", type="Mailbox", pipeline="events")
    ended = await setup.cli("dlq", "retry", "--all")
    assert ended.code == 3
    assert "2  Mailbox m1  failed: there is no stream of events: set events.enabled" in ended.out
    assert await setup.count("JMAP_DLQ") in (1, 2)  # of an id that is none a server may say that it is gone


async def test_a_letter_of_the_stream_of_events_is_retried_there(setup: Setup) -> None:
    setup.configure("events = { enabled = true }")
    inbox = await setup.world.inbox()
    for op in ("created", "updated", "snapshot"):
        await park(setup, inbox, type="Mailbox", pipeline="events", op=op)
    await park(setup, "gone", type="Mailbox", pipeline="events", op="destroyed")
    ended = await setup.cli("dlq", "retry", "--all")
    assert ended.code == 3
    lines = ended.out.splitlines()
    assert [line.split()[3] for line in lines] == ["published", "published", "failed:", "published"]
    assert "`bridge snapshot --events --type Mailbox --full` publishes it" in lines[2]
    assert (await setup.count("JMAP_EVENTS"), await setup.count("JMAP_DLQ")) == (3, 1)


# ---------------------------------------------------------------- migrate


async def seed(setup: Setup, ids: list[str], received: list[str]) -> None:
    """As generation 0 wrote it."""
    async with setup.streams() as streams:
        for id, date in zip(ids, received, strict=True):
            headers = {"Jmap-Account-Id": setup.account, "Jmap-Email-Id": id, "Jmap-Received-At": date}
            message = Message(f"jmap.email.{setup.account}", b"{}", headers, id)
            await Publisher(streams.link).publish(message)


async def test_migrate_continues_a_stream_without_repeating_or_skipping(setup: Setup) -> None:
    """Generation 0 published the newest first at its start, so its last message is the oldest of them."""
    ids = await setup.world.add_emails(6)
    dates = [f"2026-03-01T00:00:0{n}Z" for n in range(6)]
    await seed(setup, ids[3:0:-1], dates[3:0:-1])
    explained = (await setup.cli("migrate")).out
    assert "generation 0: the one before schema 1, without a cursor" in explained
    assert f"the last message is 3, Email {ids[1]}, received 2026-03-01T00:00:01Z" in explained
    assert "received since then: 2 missing in the stream, 3 in it already" in explained
    assert await cursor(setup) is None
    done = (await setup.cli("migrate", "--yes")).out
    assert "done: `bridge run` publishes what is missing, then follows" in done
    async with setup.process() as process:
        assert await setup.until_emails(5) == [*ids[3:0:-1], *ids[4:]]
        await process.until_it_says("active")
        new = await setup.world.add_emails(1)
        assert (await setup.until_emails(6))[5:] == new
    assert "there is nothing to migrate" in (await setup.cli("migrate", "--yes")).out


async def test_migrate_of_an_empty_stream_says_what_a_run_begins_with(setup: Setup) -> None:
    told = (await setup.cli("migrate", "--yes")).out
    assert "`bridge run` begins with the newest 100 Emails (snapshot.mode when_needed)" in told


# ---------------------------------------------------------------- schema


async def test_each_schema_that_is_listed_can_be_shown(setup: Setup) -> None:
    names = (await setup.cli("schema", "ls", "--json")).json
    assert "email.created/1" in names
    shown = (await setup.cli("schema", "show", "email.created/1")).json
    assert shown["$id"] == "urn:veredus:bridge:email.created:1"


def test_commands_find_the_usual_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from veredus.cli.bridge.common import _found
    from veredus.cli.common import Failure

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JMAP2NATS_CONFIG", raising=False)
    with pytest.raises(Failure, match=r"VEREDUS_BRIDGE_CONFIG, or have bridge.toml or jmap2nats.json here"):
        _found()
    (tmp_path / "jmap2nats.json").touch()
    assert _found() == Path("jmap2nats.json")
    monkeypatch.setenv("JMAP2NATS_CONFIG", "other.json")
    assert _found() == Path("other.json")
