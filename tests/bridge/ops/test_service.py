"""What a running bridge tells and takes by NATS itself: heartbeats, and the micro service."""

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.ops.setup import PATIENCE_S, Setup
from veredus.bridge.nats.errors import NoStream
from veredus.bridge.nats.link import Link, Reply
from veredus.bridge.nats.message import decoded_headers
from waiting import until

pytestmark = pytest.mark.service


async def ask(link: Link, subject: str, body: bytes = b"") -> Reply:
    """The service may not be there yet."""
    found: list[Reply] = []

    async def answers() -> bool:
        try:
            found.append(await link.request(subject, body))
        except NoStream:
            return False
        return True

    await until(answers)
    return found[0]


async def answer(link: Link, subject: str, body: bytes = b"") -> Any:
    return msgspec.json.decode((await ask(link, subject, body)).data)


async def test_the_service_is_found_and_answers_for_each_account(setup: Setup) -> None:
    verbs = f"jmap.ctl.{setup.account}"
    async with setup.process() as process, setup.link() as link:
        await process.until_it_says("active")
        told = await answer(link, f"{verbs}.status")
        assert told["accounts"][setup.account]["mode"] == "active"
        assert (await answer(link, "$SRV.PING.jmap-bridge"))["metadata"] == {"bridge": "one"}
        subjects = [one["subject"] for one in (await answer(link, "$SRV.INFO.jmap-bridge"))["endpoints"]]
        assert subjects == [f"{verbs}.{verb}" for verb in ("status", "snapshot", "pause", "resume", "retry")]


async def test_the_service_pauses_resumes_reads_anew_and_retries(setup: Setup) -> None:
    setup.configure('snapshot = { mode = "none" }')
    ids = await setup.world.add_emails(3)
    verbs = f"jmap.ctl.{setup.account}"
    async with setup.process() as process, setup.link() as link:
        await process.until_it_says("active")
        assert await answer(link, f"{verbs}.pause") == {"changed": True, "paused": True}
        await process.until_it_says("paused")
        assert (await answer(link, f"{verbs}.snapshot", b'{"after":"2026-03-01T00:00:01Z"}'))["state"]
        assert await answer(link, f"{verbs}.resume", b"{}") == {"changed": True, "paused": False}
        assert await setup.until_emails(2) == ids[1:]
        assert await answer(link, f"{verbs}.retry") == {"letters": 0, "outcomes": {}}


async def test_the_service_says_what_is_wrong_in_a_request(setup: Setup) -> None:
    """And leaves nothing of it: a reader gets no further with a date that no server takes."""
    async with setup.process() as process, setup.link() as link:
        await process.until_it_says("active")
        for body, said in (
            (b"no json", "the request is no JSON object"),
            (b'{"after":5}', "after must be a UTCDate"),
            (b'{"after":"yesterday"}', "'yesterday' is no date: 2026-01-31, or 2026-01-31T08:00:00Z"),
        ):
            reply = await ask(link, f"jmap.ctl.{setup.account}.snapshot", body)
            headers = decoded_headers(reply.headers or b"")
            assert headers["Nats-Service-Error-Code"] == "400"
            assert said in headers["Nats-Service-Error"]
        assert "to be done" not in (await setup.cli("status")).out


async def test_heartbeats_tell_how_it_is(setup: Setup) -> None:
    setup.configure('monitor = { heartbeat = "1s", control = false }')
    beats: asyncio.Queue[bytes] = asyncio.Queue()
    async with setup.link() as link, setup.process():
        link.listen("jmap.hb.*", lambda _subject, _reply, _headers, data: beats.put_nowait(data))
        async with asyncio.timeout(PATIENCE_S):
            while (beat := msgspec.json.decode(await beats.get()))["mode"] != "active":
                pass
    assert (beat["bridge"], beat["push"]) == ("one", "websocket")
    assert beat["accounts"][setup.account]["error"] is None
