"""Views that may be overtaken by a change, and calls that are made again when they were."""

import asyncio
from pathlib import Path

import pytest

from contract.stores import NEWEST, FakeClock, Make, announced, clock, durable, message, put, store
from jmap import Jmap, new_user, open_server
from jmap import message as mail
from veredus.conditions import Has
from veredus.ports import Overtaken, Store
from veredus.store.postgres.glance import Glance

__all__ = ["announced", "clock", "durable", "store"]


async def test_an_optimistic_view_sees_what_is_there(store: Store) -> None:
    await put(store, message("a"), message("b", 1, tags={"x": True}))
    async with store.read("A", optimistic=True) as view:
        assert await view.select("Message", Has("tags", "x")) == ["b"]
        assert await view.select("Message", order=NEWEST, limit=5) == ["b", "a"]
        assert await view.count("Message") == 2
        assert await view.get("Message", ["b", "none", "a"]) == [
            message("b", 1, tags={"x": True}),
            message("a"),
        ]
        assert (await view.changes("Message", 1, 10)).created == ["b"]  # type: ignore[union-attr]
        assert await view.owns_blob(["Ba", "Bnone"]) == {"Ba"}
        assert await view.get("Box", None) == []
    async with store.read("nobody", optimistic=True) as view:
        assert await view.get("Message", ["a"]) == []
        assert await view.select("Message") == []


async def test_what_was_told_is_never_mixed_with_what_came_later(durable: Make, tmp_path: Path) -> None:
    """Another process may write at any time; it is told of, or not seen."""
    one, two = await durable(tmp_path, FakeClock()), await durable(tmp_path, FakeClock())
    await put(one, message("a"))
    overtaken = False
    async with one.read("A", optimistic=True) as view:
        assert await view.state("Message") == 1
        await put(two, message("b", 1))
        try:
            assert await view.select("Message") == ["a"]
        except Overtaken:
            overtaken = True
    async with one.read("A", optimistic=True) as view:
        assert await view.select("Message") == ["a", "b"]
        assert await view.state("Message") == 2
    assert overtaken == (type(one).__name__ == "PostgresStore")
    await one.close()
    await two.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_call_that_is_overtaken_is_made_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ids are of the Emails and the total of the Mailbox: of one moment they agree."""
    overtaken = 0
    fetch = Glance.fetch

    async def slow(self: Glance, *statement: object) -> list[object]:
        nonlocal overtaken
        await asyncio.sleep(0.002)
        try:
            return await fetch(self, *statement)  # type: ignore[arg-type]
        except Overtaken:
            overtaken += 1
            raise

    monkeypatch.setattr(Glance, "fetch", slow)
    async with open_server(kind, tmp_path) as app:
        user = await new_user(app)
        (inbox,) = (await user.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
        writing = asyncio.create_task(_write(user, inbox))
        found = 0
        while not writing.done():
            await asyncio.sleep(0)  # SQLite is read without waiting
            response = await user.call(
                "Email/query", filter={"inMailbox": inbox}, calculateTotal=True, limit=200
            )
            assert response["total"] == len(response["ids"])
            found = len(response["ids"])
        await writing
        assert found > 0
    assert (overtaken > 0) == (kind == "postgresql")


async def _write(user: Jmap, inbox: str) -> None:
    for number in range(25):
        blob = await user.upload(mail(f"number {number}"))
        await user.call("Email/import", emails={"m": {"blobId": blob, "mailboxIds": {inbox: True}}})
