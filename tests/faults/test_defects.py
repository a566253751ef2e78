"""The nine defects of jmap2nats that `docs/bridge.md` names, each provoked.

Some are also ways of losing or repeating (`test_losing`, `test_repeating`); what those prove is not proved again.
"""

import asyncio
import random
import sys
from pathlib import Path

import httpx
import pytest

from faults import checks, replay
from faults.arena import Arena
from faults.rules import Answer, MethodFails, Rule
from faults.seeding import with_attachment
from waiting import until

pytestmark = pytest.mark.service
_ROOT = Path(__file__).parent.parent.parent


async def _command(arena: Arena, *words: str) -> str:
    """`veredus bridge ...` with the configuration of the arena's bridge; what it writes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "veredus", "bridge", *words, "--config", str(arena.bridge.config)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=arena.bridge.config.parent, env={"PYTHONPATH": str(_ROOT / "src")},
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode == 0, (out, error)
    return out.decode()


async def test_4_3_1_an_email_that_failed_is_kept_and_can_be_published_later(tmp_path: Path) -> None:
    """jmap2nats logs it and moves on; here its letter waits until somebody has mended the server."""
    async with Arena.running(tmp_path, "dlq = { max_attempts = 1 }\n") as arena:
        await arena.bridge.stop()
        ids = [await arena.email(with_attachment(b"%d" % number)) for number in range(3)]
        [second] = (await arena.jmap.call("Email/get", ids=ids[1:2], properties=["attachments"]))["list"]
        blob = second["attachments"][0]["blobId"]
        arena.proxy.add(Rule(fault=Answer(500), path=f"/jmap/download/*/{blob}/*"))
        await arena.bridge.start()
        await arena.ends_well(parked=ids[1:2])
        arena.proxy.clear()
        assert "published" in await _command(arena, "dlq", "retry", "--all")
        found = await arena.ends_well(in_order=False)
        assert [one.email for one in found] == [ids[0], ids[2], ids[1]]


async def test_4_3_2_mail_that_keeps_coming_during_the_first_start_is_not_lost(tmp_path: Path) -> None:
    async with Arena.open(tmp_path, more='snapshot = { mode = "full" }\n') as arena:
        for _ in range(5):
            await arena.email()
        await arena.bridge.start()
        for _ in range(100):
            await arena.email()
            await asyncio.sleep(0.01)
        await arena.ends_well(in_order=False)


async def test_4_3_3_the_first_start_publishes_the_oldest_first_and_a_restart_nothing(tmp_path: Path) -> None:
    async with Arena.open(tmp_path, more='stream = { dedup_window = "100ms" }\n') as arena:
        dates = [f"2026-01-{day:02}T00:00:00Z" for day in range(1, 13)]
        ids = {date: await arena.email(receivedAt=date) for date in random.Random(4).sample(dates, 12)}
        await arena.bridge.start()
        found = await arena.ends_well(in_order=False)
        assert [one.email for one in found] == [ids[date] for date in dates]
        await arena.bridge.stop()
        await arena.bridge.start()
        await arena.email()
        assert len(await arena.ends_well(in_order=False)) == 13


async def test_4_3_4_a_sync_that_failed_does_not_wait_for_the_next_push(tmp_path: Path) -> None:
    """There is one push, for the only Email; the next poll would be in ten minutes."""
    async with Arena.running(tmp_path) as arena:
        rule = Rule(fault=Answer(503), method="Email/changes", times=2)
        arena.proxy.add(rule)
        await arena.email()
        assert len(await arena.ends_well()) == 1
        assert arena.proxy.applied[rule] == 2


async def test_4_3_5_the_back_off_begins_again_after_each_success(tmp_path: Path) -> None:
    """Without that the eighth wait would be one of up to 30 s, and hardly all of them the shortest."""
    async with Arena.running(tmp_path) as arena:
        for _ in range(8):
            arena.proxy.add(
                Rule(fault=MethodFails("serverFail", "Email/changes"), method="Email/changes", times=1)
            )
            await arena.email()
            await arena.until_settled()
        waits = [line["seconds"] for line in arena.bridge.log if line.get("event") == "waiting"]
        assert len(waits) == 8
        assert max(waits) <= 0.5
        assert len(await arena.ends_well()) == 8


async def test_4_3_5_the_back_off_of_push_begins_again_too(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        for _ in range(6):
            await until(lambda: arena.proxy.open_streams)
            await arena.email()
            await arena.until_settled()
            await arena.proxy.cut_all()
        await arena.bridge.until_said("push_lost", 6)
        waits = [line["seconds"] for line in arena.bridge.log if line.get("event") == "push_lost"]
        assert max(waits) <= 1.0
        assert len(await arena.ends_well()) == 6


@pytest.mark.parametrize("path", ["none", "/jmap/ws"], ids=["websocket", "eventsource"])
async def test_4_3_6_silence_on_either_kind_of_push_stops_nothing(tmp_path: Path, path: str) -> None:
    """``path``: what is refused, so that the other kind is used."""
    async with Arena.open(tmp_path, more='poll = "1s"\n') as arena:
        arena.proxy.add(Rule(fault=Answer(404), path=path))
        await arena.bridge.start()
        await arena.until_settled()
        await until(lambda: arena.proxy.open_streams)
        used = "/jmap/ws" if path == "none" else "/jmap/eventsource"
        assert arena.proxy.requests[used] == 1
        arena.proxy.silence_streams()
        await arena.email()
        assert len(await arena.ends_well()) == 1


async def test_4_3_7_emails_are_fetched_together_and_parts_once(tmp_path: Path) -> None:
    async with Arena.open(tmp_path) as arena:
        # With the default lease: who holds it keeps it, however busy the machine is.
        await arena.bridge.start()
        await arena.until_settled()
        await arena.bridge.stop()
        for number in range(60):
            await arena.email(with_attachment(b"%d" % number))
        arena.proxy.requests.clear()
        (tmp_path / "second").mkdir()
        await arena.bridge.start()
        async with await arena.another(tmp_path / "second"):
            assert len(await arena.ends_well()) == 60
        assert arena.proxy.requests["Email/get"] <= 8
        assert sum(n for path, n in arena.proxy.requests.items() if "/download/" in path) == 60


@pytest.mark.parametrize("policy", ["evict-oldest", "error", "skip", "park"])
async def test_4_3_8_a_full_bucket_is_dealt_with_as_the_settings_say(tmp_path: Path, policy: str) -> None:
    parts = f'parts = {{ max_bytes = "1MiB", on_full = "{policy}" }}\ndlq = {{ max_attempts = 1 }}\n'
    async with Arena.running(tmp_path, parts) as arena:
        chance = random.Random(8)
        for _ in range(12):  # one by one: of twelve at once the last might have no room either
            await arena.email(with_attachment(chance.randbytes(150_000)))
            await arena.until_settled()
        async with arena.connection() as nats:
            parked = [letter.email for letter in await checks.messages(nats, arena.names.dead_letters)]
        newest = 2 if policy == "evict-oldest" else None
        found = await arena.ends_well(parked=parked, parts_may_fail=policy == "error", parts_of=newest)
        assert len(found) == 12 - len(parked)
        assert (policy == "park") is bool(parked)
        outcomes = {name for one in found for name in one.body["attachments"][0]}
        told = {"error": "error", "skip": "skipped"}.get(policy, "objectKey")
        assert told in outcomes
        if policy == "evict-oldest":
            async with arena.connection() as nats:
                with pytest.raises(AssertionError, match="there is no object"):
                    await checks.read_object(
                        nats, arena.names.bucket, found[0].body["attachments"][0]["objectKey"]
                    )


async def test_4_3_9_what_is_updated_and_destroyed_is_told_too(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, replay.table()) as arena:
        ids = [await arena.email() for _ in range(6)]
        await arena.until_settled()
        await arena.jmap.call("Email/set", update={ids[0]: {"keywords/$seen": True}}, destroy=ids[1:3])
        [box] = (await arena.jmap.call("Mailbox/set", create={"b": {"name": "Elsewhere"}}))[
            "created"
        ].values()
        await arena.jmap.call("Email/set", update={ids[4]: {"mailboxIds": {box["id"]: True}}})
        await arena.ends_well(in_order=False)
        async with arena.connection() as nats:
            told = [one.body for one in await checks.messages(nats, "JMAP_EVENTS")]
        ops = {(event["type"], event["op"], event["id"]) for event in told}
        assert {
            ("Email", "updated", ids[0]),
            ("Email", "destroyed", ids[1]),
            ("Email", "updated", ids[4]),
        } <= ops
        assert ("Mailbox", "created", box["id"]) in ops
        moved = next(event for event in told if event["op"] == "updated" and event["id"] == ids[4])
        assert moved["diff"]["mailboxIds"]["added"] == [box["id"]]


async def test_4_3_9_health_and_readiness_are_told(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'monitor = { listen = "127.0.0.1:0" }\n') as arena:
        [address] = (await arena.bridge.until_said("monitor_listens"))["addresses"]
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            await _until(http, 200)
            await arena.nats.kill()
            await _until(http, 503)
            assert (await http.get("/healthz")).status_code == 200
            await arena.nats.start()
            await _until(http, 200)
            await arena.email()
            await arena.until_settled()
            metrics = (await http.get("/metrics")).text
        assert "bridge_published_total{" in metrics
        assert len(await arena.ends_well()) == 1


async def _until(http: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(60):
        while (await http.get("/readyz")).status_code != status:
            await asyncio.sleep(0.05)
