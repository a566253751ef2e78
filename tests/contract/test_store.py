"""What every Store does: transactions, and what they write. The specification of the port."""

import asyncio
from functools import partial
from typing import Any

import pytest

from contract.stores import (
    NEWEST,
    FakeClock,
    Make,
    announced,
    clock,
    durable,
    ids,
    message,
    put,
    state,
    store,
)
from veredus.conditions import Eq, Has, Text
from veredus.ports import Cursor, Store
from veredus.store.dump_files import DumpFiles

__all__ = ["announced", "clock", "durable", "store"]


# ---------------------------------------------------------------- transactions


async def test_what_was_put_is_got(store: Store) -> None:
    record = message("a", note='é日本\x00\n"', nested={"a": [1, 2.5, None, True]})
    await put(store, record)
    async with store.read("A") as snapshot:
        assert await snapshot.get("Message", ["a"]) == [record]


async def test_the_dicts_belong_to_the_caller(store: Store) -> None:
    record = message("a")
    await put(store, record)
    record["tags"]["mine"] = True
    async with store.read("A") as snapshot:
        (got,) = await snapshot.get("Message", ["a"])
        got["boxIds"].clear()
        (again,) = await snapshot.get("Message", ["a"])
    assert again == message("a")


async def test_a_failed_transaction_leaves_no_trace(store: Store) -> None:
    await put(store, message("a"), message("b"))
    before = await state(store)

    async def fail() -> None:
        async with store.write("A") as tx:
            await tx.put("Message", message("c", blobId="Bnew"), {"subject": "unseen"})
            await tx.update("Message", "a", {"tags": {"x": True}})
            await tx.delete("Message", "b")
            await tx.put("Box", {"id": "box", "name": "n"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await ids(store) == ["a", "b"]
    assert await ids(store, Has("tags", "x")) == []
    assert await ids(store, Text(("subject",), (("unseen",),))) == []
    assert await state(store) == before
    assert await state(store, "Box") == 0
    assert await store.referenced_blobs(["Bnew", "Bb"]) == {"Bb"}
    found, _ = await store.feed(Cursor(), 100)
    assert [change.id for change in found] == ["a", "b"]


async def test_a_failed_first_transaction_makes_no_account(store: Store) -> None:
    async def fail() -> None:
        async with store.write("new") as tx:
            await tx.put("Message", message("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await store.accounts() == []
    await put(store, message("b"), account="other")
    assert await ids(store, account="new") == []
    assert await ids(store, account="other") == ["b"]


async def test_a_transaction_sees_its_own_writes_and_others_do_not(store: Store) -> None:
    await put(store, message("a"))
    async with store.write("A") as tx:
        await tx.put("Message", message("b", 1), {"subject": "own"})
        await tx.update("Message", "a", {"tags": {"x": True}})
        assert await tx.select("Message") == ["a", "b"]
        assert await tx.select("Message", Text(("subject",), (("own",),))) == ["b"]
        assert await tx.select("Message", Has("tags", "x")) == ["a"]
        assert await tx.count("Message") == 2
        assert await tx.owns_blob(["Bb"]) == {"Bb"}
        assert (await tx.get("Message", ["a"]))[0]["tags"] == {"x": True}
        since = await tx.changes("Message", 1, 10)
        assert since is not None
        assert (since.created, since.updated) == (["b"], ["a"])
        assert await ids(store) == ["a"]
        assert await state(store) == 1
    assert await ids(store) == ["a", "b"]


async def test_a_snapshot_does_not_change(store: Store) -> None:
    await put(store, message("a"))
    async with store.read("A") as snapshot:
        assert await snapshot.state("Message") == 1
        await put(store, message("b"))
        assert await snapshot.state("Message") == 1
        assert await snapshot.select("Message") == ["a"]
        assert await snapshot.get("Message", None) == [message("a")]
        assert (await snapshot.changes("Message", 0, 10)).created == ["a"]  # type: ignore[union-attr]
    assert await ids(store) == ["a", "b"]


async def test_accounts_do_not_see_each_other(store: Store) -> None:
    await put(store, message("a"), account="A")
    await put(store, message("a", size=7), account="B")
    async with store.write("B") as tx:
        await tx.put("Message", message("b", blobId="Bonly"), {"subject": "words"})
    async with store.read("A") as snapshot:
        assert await snapshot.select("Message", Has("boxIds", "in")) == ["a"]
        assert await snapshot.select("Message", Text(("subject",), (("words",),))) == []
        assert await snapshot.get("Message", ["a", "b"]) == [message("a")]
        assert await snapshot.owns_blob(["Bonly", "Ba"]) == {"Ba"}
        assert await snapshot.count("Message") == 1
    assert await store.referenced_blobs(["Bonly", "Ba", "Bnone"]) == {"Bonly", "Ba"}
    assert sorted(await store.accounts()) == ["A", "B"]


async def test_many_writers_lose_nothing(store: Store) -> None:
    await put(store, {"id": "n", "name": 0}, type="Box")

    async def add(number: int) -> None:
        async with store.write("A") as tx:
            (box,) = await tx.get("Box", ["n"])
            await asyncio.sleep(0)
            await tx.update("Box", "n", {"name": box["name"] + 1})
            await tx.put("Message", message(f"m{number}", number))

    await asyncio.gather(*(add(number) for number in range(60)))
    async with store.read("A") as snapshot:
        assert await snapshot.get("Box", ["n"]) == [{"id": "n", "name": 60}]
        assert await snapshot.select("Message") == [f"m{number}" for number in range(60)]


async def test_only_the_failing_one_of_many_writers_fails(store: Store) -> None:
    async def add(number: int) -> None:
        async with store.write("A") as tx:
            await tx.put("Message", message(f"m{number:02}", number), {"subject": "x"})
            if number % 3 == 0:
                raise ZeroDivisionError

    results = await asyncio.gather(*(add(number) for number in range(30)), return_exceptions=True)
    assert [isinstance(result, ZeroDivisionError) for result in results] == [n % 3 == 0 for n in range(30)]
    assert await ids(store) == [f"m{number:02}" for number in range(30) if number % 3]
    assert await state(store) == 20


async def test_cancelled_writers_leave_all_or_nothing(store: Store) -> None:
    async def add(number: int) -> None:
        async with store.write("A") as tx:
            await tx.put("Message", message(f"m{number:02}", number))
            await asyncio.sleep(0)
            await tx.put("Box", {"id": f"m{number:02}", "name": "x"})

    for patience in range(12):
        tasks = [asyncio.create_task(add(patience * 10 + number)) for number in range(10)]
        for _ in range(patience):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        async with store.read("A") as snapshot:
            messages = await snapshot.select("Message")
            assert sorted(messages) == sorted(await snapshot.select("Box"))
        for number, result in enumerate(results):
            if result is None:
                assert f"m{patience * 10 + number:02}" in messages
    await put(store, message("last"))
    assert "last" in await ids(store)


async def test_a_cancelled_reader_leaves_the_store_usable(store: Store) -> None:
    await put(store, *(message(f"m{n}", n) for n in range(50)))

    async def read() -> None:
        async with store.read("A") as snapshot:
            for _ in range(50):
                await snapshot.select("Message", Text(("body",), (("some", "words"),)))
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(read()) for _ in range(5)]
    await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(await ids(store)) == 50


# ---------------------------------------------------------------- writing


async def test_put_replaces_the_record_and_its_indexes(store: Store) -> None:
    await put(store, message("a", tags={"old": True}, size=1, note="n"), message("b"))
    new = message("a", tags={"new": True}, size=2, blobId="Bother", boxIds=[])
    del new["note"], new["headers"]
    async with store.write("A") as tx:
        await tx.put("Message", new, {"subject": "fresh"})
    async with store.read("A") as snapshot:
        assert await snapshot.get("Message", ["a"]) == [new]
        assert await snapshot.select("Message", Has("tags", "old")) == []
        assert await snapshot.select("Message", Has("tags", "new")) == ["a"]
        assert await snapshot.select("Message", Has("boxIds", "in")) == ["b"]
        assert await snapshot.select("Message", Eq("size", 1)) == []
        assert await snapshot.select("Message", Eq("size", 2)) == ["a"]
        assert await snapshot.select("Message", Text(("subject",), (("about",),))) == ["b"]
        assert await snapshot.select("Message", Text(("subject",), (("fresh",),))) == ["a"]
        assert await snapshot.owns_blob(["Ba", "Bother"]) == {"Bother"}
        found = await snapshot.changes("Message", 2, 10)
        assert found is not None
        assert (found.created, found.updated, found.names) == ([], ["a"], None)


async def test_put_without_texts_leaves_what_is_indexed(store: Store) -> None:
    await put(store, message("a"))
    async with store.write("A") as tx:
        await tx.put("Message", message("a", size=5))
    assert await ids(store, Text(("subject",), (("about",),))) == ["a"]
    async with store.write("A") as tx:
        await tx.put("Message", message("a", size=5), {})
    assert await ids(store, Text(("subject",), (("about",),))) == []


@pytest.mark.parametrize(
    "properties",
    [
        {"tags": {"x": True}},
        {"tags": {"x": True}, "boxIds": {}},
        {"note": "changed"},
        {"size": 8, "seen": True},
        {"threadId": "other"},
        {"blobId": "Bnew"},
        {"headers": []},
        {"tags": {"x": True}, "size": 3, "headers": None, "added": 1},
    ],
)
async def test_update_replaces_properties(store: Store, properties: dict[str, Any]) -> None:
    await put(store, message("a", tags={"old": True}), message("b"))
    async with store.write("A") as tx:
        await tx.update("Message", "a", properties)
    after = message("a", tags={"old": True}) | properties
    async with store.read("A") as snapshot:
        assert await snapshot.get("Message", ["a"]) == [after]
        for key in ("old", "x"):
            assert await snapshot.select("Message", Has("tags", key)) == (
                ["a"] if key in after["tags"] else []
            )
        assert await snapshot.select("Message", Eq("size", after["size"]), limit=1) == ["a"]
        assert await snapshot.select("Message", Has("boxIds", "in"), distinct="threadId") == (
            ["a", "b"] if after["boxIds"] else ["b"]
        )
        assert await snapshot.owns_blob([after["blobId"]]) == {after["blobId"]}
        assert await snapshot.select("Message", Text(("subject",), (("about", "a"),))) == ["a"]
        found = await snapshot.changes("Message", 2, 10)
        assert found is not None
        assert (found.updated, found.names) == (["a"], frozenset(properties))


async def test_delete_takes_all_traces_away(store: Store) -> None:
    await put(store, message("a", tags={"x": True}), message("b"))
    async with store.write("A") as tx:
        await tx.delete("Message", "a")
    async with store.read("A") as snapshot:
        assert await snapshot.get("Message", ["a", "b"]) == [message("b")]
        assert await snapshot.select("Message", Has("tags", "x")) == []
        assert await snapshot.select("Message", Has("boxIds", "in")) == ["b"]
        assert await snapshot.select("Message", Eq("threadId", "ta")) == []
        assert await snapshot.select("Message", Text(("subject",), (("about",),))) == ["b"]
        assert await snapshot.owns_blob(["Ba"]) == set()
    assert await store.referenced_blobs(["Ba"]) == set()
    await put(store, message("a"))
    assert await ids(store, Text(("subject",), (("about",),))) == ["b", "a"]


async def test_a_list_of_blobs_keeps_each_of_them(store: Store) -> None:
    async with store.write("A") as tx:
        await tx.put("Message", message("a", reports=["B1", "B2", "B1"]))
        await tx.put("Message", message("b", reports=["B2"], blobId="B2"))
        assert await tx.owns_blob(["B1", "B2", "B3"]) == {"B1", "B2"}
    async with store.write("A") as tx:
        await tx.update("Message", "a", {"reports": ["B3"]})
    assert await store.referenced_blobs(["Ba", "B1", "B2", "B3"]) == {"Ba", "B2", "B3"}
    async with store.write("A") as tx:
        await tx.delete("Message", "b")
    assert await store.referenced_blobs(["Ba", "B1", "B2", "B3"]) == {"Ba", "B3"}


async def test_update_and_delete_need_the_record(store: Store) -> None:
    await put(store, message("a"))
    async with store.write("A") as tx:
        for properties in ({"tags": {}}, {"size": 1}):
            with pytest.raises(KeyError):
                await tx.update("Message", "b", properties)
        with pytest.raises(KeyError):
            await tx.delete("Message", "b")
    async with store.write("new") as tx:
        with pytest.raises(KeyError):
            await tx.delete("Message", "a")
    assert await state(store) == 1


async def test_the_order_property_never_changes(store: Store) -> None:
    await put(store, message("a"))
    async with store.write("A") as tx:
        with pytest.raises(ValueError, match="never changes"):
            await tx.update("Message", "a", {"sentAt": "2026-01-01T00:00:00Z"})
        with pytest.raises(ValueError, match="never changes"):
            await tx.put("Message", message("a", 5))


async def test_an_unknown_type_is_a_mistake(store: Store) -> None:
    async with store.read("A") as snapshot:
        with pytest.raises(KeyError):
            await snapshot.select("Nothing")
        with pytest.raises(KeyError):
            await snapshot.state("Nothing")


# ---------------------------------------------------------------- stores that outlive a process


async def test_reopened_everything_is_there(durable: Make, tmp_path: Any, clock: FakeClock) -> None:
    store = await durable(tmp_path, clock)
    await put(store, message("a"), message("b", 1))
    await put(store, message("other"), account="B")
    await store.close()
    store = await durable(tmp_path, clock)
    assert await store.check() == []
    assert await ids(store, Text(("subject",), (("about",),)), NEWEST) == ["b", "a"]
    assert await state(store) == 2
    await put(store, message("c"))
    assert await state(store) == 3
    assert [change.id for change in (await store.feed(Cursor(), 10))[0]] == ["a", "b", "other", "c"]
    await store.close()


async def test_a_backup_is_a_store(durable: Make, tmp_path: Any, clock: FakeClock) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "copy").mkdir()
    store = await durable(tmp_path / "live", clock)
    await put(store, *(message(f"m{number}", number) for number in range(300)))

    async def write() -> None:
        for number in range(30):
            await put(store, message(f"during{number}"))

    await asyncio.gather(store.backup(str(tmp_path / "copy")), write())
    await store.close()
    copy = await durable(tmp_path / "copy", clock)
    # A database on another machine is not copied as it is, but dumped.
    dumps = DumpFiles(tmp_path / "copy")
    for account in await dumps.accounts():
        await copy.load(account, partial(dumps.dump, account))
    assert await copy.check() == []
    assert len(await ids(copy, Text(("body",), (("some",),)))) >= 300
    await copy.close()
