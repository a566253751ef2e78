"""Old values, between memory and a bucket."""

from typing import Any

import pytest

from bridge.events.world import Stage
from veredus.bridge.events.before import CACHE, LARGEST, Before
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.resources import ensure, key_value

pytestmark = pytest.mark.service


def _email(n: int) -> dict[str, Any]:
    return {"id": f"e{n}", "keywords": {"$seen": True}, "mailboxIds": {f"m{n}": True}, "subject": "not kept"}


async def _bucket(ground: Stage) -> KeyValue:
    await ensure(ground.link, key_value("JMAP_STATE"))
    return KeyValue(ground.link, "JMAP_STATE")


async def test_only_what_can_change_of_an_email_is_kept(ground: Stage) -> None:
    bucket = await _bucket(ground)
    before = Before("a1", "Email", bucket, CACHE)
    await before.write({"e1": _email(1)})
    assert await before.read(["e1", "e2"]) == {
        "e1": {"keywords": {"$seen": True}, "mailboxIds": {"m1": True}}
    }
    assert await bucket.keys() == ["a1.email.e1"]


async def test_memory_is_bounded_and_the_bucket_has_the_rest(ground: Stage) -> None:
    before = Before("a1", "Email", await _bucket(ground), 2_000)
    emails = {f"e{n}": _email(n) for n in range(500)}
    await before.write(emails)
    assert len(before._cache) < 10
    assert len(await before.read(list(emails))) == 500
    assert len(before._cache) < 10
    alone = Before("a1", "Email", None, 2_000)
    await alone.write(emails)
    assert 0 < len(await alone.read(list(emails))) < 10


async def test_what_is_gone_or_too_large_is_not_kept(ground: Stage) -> None:
    bucket = await _bucket(ground)
    before = Before("a1", "Thread", bucket, CACHE)
    await before.write({"t1": {"id": "t1", "emailIds": ["e1"]}, "t2": {"id": "t2", "emailIds": ["e2"]}})
    await before.write({"t1": None, "t2": {"id": "t2", "emailIds": ["e" * 100] * (LARGEST // 100)}})
    assert await before.read(["t1", "t2"]) == {}
    assert await bucket.keys() == []


async def test_ids_that_are_none_and_values_of_others_do_no_harm(ground: Stage) -> None:
    bucket = await _bucket(ground)
    await bucket.put("a1.email.e1", b"no json")
    before = Before("a1", "Email", bucket, CACHE)
    await before.write({"not an id": _email(1)})
    assert await before.read(["e1", "not an id", ""]) == {}
    assert [ids async for ids in before.known()] == [["e1"]]
