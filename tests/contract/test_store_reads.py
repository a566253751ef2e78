"""What every Store does: reading, the log of changes, and forgetting it. The specification of the port."""

from typing import Any

import msgspec
import pytest

from contract.stores import (
    NEWEST,
    FakeClock,
    announced,
    changes,
    clock,
    durable,
    ids,
    message,
    put,
    state,
    store,
)
from veredus.conditions import EVERYTHING, Eq, Has, Order, Text
from veredus.ports import Cursor, Store

__all__ = ["announced", "clock", "durable", "store"]


# ---------------------------------------------------------------- reading


async def test_get_keeps_the_order_asked_for(store: Store) -> None:
    await put(store, message("a", 1), message("b", 2), message("c", 3))
    async with store.read("A") as snapshot:
        for wanted in (["c", "a", "none", "b"], ["b"], []):
            assert [r["id"] for r in await snapshot.get("Message", wanted)] == [
                i for i in wanted if i != "none"
            ]
        assert [r["id"] for r in await snapshot.get("Message", ["b", "a", "b"])] == ["b", "a"]
        assert [r["id"] for r in await snapshot.get("Message", None)] == ["a", "b", "c"]
        assert await snapshot.get("Box", None) == []
    async with store.read("unknown") as snapshot:
        assert await snapshot.get("Message", ["a"]) == []
        assert await snapshot.get("Message", None) == []
        assert await snapshot.count("Message") == 0
        assert (await snapshot.changes("Message", 0, 5)).new_state == 0  # type: ignore[union-attr]
        assert await snapshot.changes("Message", 1, 5) is None


@pytest.mark.parametrize(
    "names",
    [("subject", "tags"), ("tags",), ("headers",), ("headers", "tags"), (), ("missing", "id"), ("size",)],
)
async def test_project_gives_what_get_gives(store: Store, names: tuple[str, ...]) -> None:
    await put(store, message("a", note='q"\\é'), {"id": "b", "sentAt": "2026-01-01T00:00:00Z", "subject": ""})
    async with store.read("A") as snapshot:
        records = await snapshot.get("Message", ["b", "a"], frozenset(names))
        for wanted in (["b", "none", "a", "b"], None):
            structs = await snapshot.project("Message", wanted, names)
            assert msgspec.json.decode(msgspec.json.encode(structs)) == [
                {"id": record["id"]} | {name: record.get(name) for name in names} for record in records
            ]
        assert [struct.id for struct in structs] == ["b", "a"]  # type: ignore[attr-defined]
        one = await snapshot.project("Message", ["a"], names)
        assert msgspec.json.encode(one) == msgspec.json.encode(structs[1:])


async def test_a_record_of_nothing_but_its_id(store: Store) -> None:
    await put(store, {"id": "x"}, type="Box")
    async with store.read("A") as snapshot:
        assert await snapshot.get("Box", ["x"]) == [{"id": "x"}]
        assert (
            msgspec.json.encode(await snapshot.project("Box", None, ("name",))) == b'[{"id":"x","name":null}]'
        )


async def test_ties_of_the_own_order_are_broken_by_arrival(store: Store) -> None:
    for id in "cab":
        await put(store, message(id, 5))
    await put(store, message("z", 1))
    assert await ids(store) == ["z", "c", "a", "b"]
    assert await ids(store, order=NEWEST) == ["b", "a", "c", "z"]
    assert await ids(store, order=[Order("sentAt")]) == ["z", "c", "a", "b"]
    assert await ids(store, order=[Order("size")]) == ["z", "c", "a", "b"]
    assert await ids(store, order=[Order("sentAt", ascending=False), Order("subject")]) == [
        "a",
        "b",
        "c",
        "z",
    ]
    assert await ids(store, Has("boxIds", "in"), NEWEST, limit=2, offset=1) == ["a", "c"]


async def test_without_an_order_property_arrival_counts(store: Store) -> None:
    for id in "cab":
        await put(store, {"id": id, "name": "x"}, type="Box")
    await put(store, {"id": "a", "name": "y"}, type="Box")
    async with store.read("A") as snapshot:
        assert await snapshot.select("Box") == ["c", "a", "b"]
        assert [record["id"] for record in await snapshot.get("Box", None)] == ["c", "a", "b"]


async def test_dates_off_the_scale_count_as_its_ends(store: Store) -> None:
    dates = ["9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "1601-01-01T00:00:00Z"]
    for number, date in enumerate([*dates, "2016-12-31T23:59:60Z"]):
        await put(store, message(f"m{number}") | {"sentAt": date})
    assert await ids(store) == ["m1", "m3", "m4", "m0", "m2"]
    assert await ids(store, order=NEWEST) == ["m2", "m0", "m4", "m3", "m1"]


@pytest.mark.parametrize(
    "where", [EVERYTHING, Has("boxIds", "in"), Text(("body",), (("some", "words"),)), Eq("size", 1)]
)
async def test_distinct_comes_before_offset_and_limit(store: Store, where: Any) -> None:
    threads = ["x", "y", "x", None, "z", None, "y", "w"]
    await put(store, *(message(f"m{n}", n, threadId=thread, size=1) for n, thread in enumerate(threads)))
    first = ["m0", "m1", "m3", "m4", "m7"]
    last = ["m7", "m6", "m5", "m4", "m2"]
    for order, expected in (((), first), (NEWEST, last)):
        for offset in range(6):
            for limit in (None, 0, 1, 2, 5, 9):
                end = None if limit is None else offset + limit
                got = await ids(store, where, order, limit=limit, offset=offset, distinct="threadId")
                assert got == expected[offset:end]
    async with store.read("A") as snapshot:
        assert await snapshot.count("Message", where, distinct="threadId") == 5
        assert await snapshot.count("Message", where) == 8
        assert await snapshot.count("Message", where, distinct="missing") == 1


# ---------------------------------------------------------------- the log


async def test_every_logged_change_raises_the_modseq(store: Store) -> None:
    assert await state(store) == 0
    await put(store, message("a"), message("b"))
    assert await state(store) == 2
    await put(store, {"id": "x"}, type="Box")
    assert (await state(store), await state(store, "Box")) == (2, 3)
    async with store.write("A") as tx:
        await tx.delete("Message", "a")
        assert await tx.state("Message") == 4
        await tx.update("Message", "b", {"size": 4})
        assert await tx.state("Message") == 5
        await tx.update("Message", "b", {"size": 5})
        assert await tx.state("Message") == 6
    assert await state(store) == 6
    await put(store, message("c"), account="B")
    assert await state(store) == 6


async def test_an_empty_transaction_changes_nothing(store: Store) -> None:
    async with store.write("A"):
        pass
    assert await store.accounts() == []
    await put(store, message("a"))
    async with store.write("A"):
        pass
    assert await state(store) == 1


async def test_unlogged_records_have_no_state(store: Store) -> None:
    await put(store, {"id": "x", "v": 1}, type="Cache")
    async with store.write("A") as tx:
        await tx.update("Cache", "x", {"v": 2})
    assert await state(store, "Cache") == 0
    assert (await store.feed(Cursor(), 10))[0] == []
    assert await store.accounts() == ["A"]
    async with store.write("A") as tx:
        assert await tx.get("Cache", ["x"]) == [{"id": "x", "v": 2}]
        await tx.delete("Cache", "x")
    assert await store.accounts() == []


async def test_changes_say_one_thing_of_each_id(store: Store) -> None:
    await put(store, message("kept"), message("gone"), message("back"))
    since = await state(store)
    async with store.write("A") as tx:
        await tx.put("Message", message("new"))
        await tx.update("Message", "new", {"size": 2})
        await tx.put("Message", message("brief"))
        await tx.delete("Message", "brief")
        await tx.update("Message", "kept", {"size": 2})
        await tx.update("Message", "kept", {"tags": {}})
        await tx.update("Message", "gone", {"size": 2})
        await tx.delete("Message", "gone")
        await tx.delete("Message", "back")
        await tx.put("Message", message("back"))
    found = await changes(store, since)
    assert (found.created, found.updated, found.destroyed) == (["new"], ["kept", "back"], ["gone"])
    assert found.names is None
    assert (found.new_state, found.has_more) == (await state(store), False)
    same = await changes(store, found.new_state)
    assert (same.created, same.updated, same.destroyed, same.names) == ([], [], [], frozenset())


async def test_names_are_known_when_all_were_updates(store: Store) -> None:
    await put(store, message("a"), message("b"))
    for id, properties in (("a", {"size": 3}), ("b", {"tags": {}, "note": "x"}), ("a", {"seen": True})):
        async with store.write("A") as tx:
            await tx.update("Message", id, properties)
    assert (await changes(store, 2)).names == {"size", "tags", "note", "seen"}
    assert (await changes(store, 0)).names == frozenset()
    await put(store, message("a"))
    assert (await changes(store, 2)).names is None


async def test_a_state_that_was_never_given_out_is_not_known(store: Store) -> None:
    await put(store, message("a"))
    assert await changes(store, 2) is None
    assert await changes(store, -1) is None
    assert await changes(store, 1, type="Box") is None


async def test_pruned_history_is_not_known(store: Store, clock: FakeClock) -> None:
    await put(store, message("a"), message("b"))
    await put(store, {"id": "box", "name": "x"}, type="Box")
    clock.pass_by(days=40)
    await put(store, message("c"))
    await store.prune(clock.now())
    assert await changes(store, 0) is None
    assert await changes(store, 1) is None
    assert (await changes(store, 2)).created == ["c"]
    assert await changes(store, 0, type="Box") is None
    assert (await changes(store, 3, type="Box")).new_state == 3
    assert (await state(store), await state(store, "Box")) == (4, 3)
    found, cursor = await store.feed(Cursor(), 10)
    assert [change.id for change in found] == ["c"]
    await store.prune(clock.now())
    clock.pass_by(days=1)
    await store.prune(clock.now())
    await put(store, message("d"))
    assert [change.id for change in (await store.feed(cursor, 10))[0]] == ["d"]
    assert await state(store) == 5


async def test_prune_of_a_long_log(store: Store, clock: FakeClock) -> None:
    async with store.write("A") as tx:
        for number in range(1200):
            await tx.put("Box", {"id": f"b{number}"})
    clock.pass_by(days=1)
    await store.prune(clock.now())
    assert await changes(store, 1198, type="Box") is None
    assert (await changes(store, 1199, type="Box")).created == ["b1199"]


async def test_the_feed_has_the_changes_of_all_accounts_in_order(store: Store) -> None:
    expected = []
    for number in range(7):
        account = "AB"[number % 2]
        await put(store, message(f"m{number}"), account=account)
        expected.append((account, f"m{number}", "created", number // 2 + 1))
    async with store.write("B") as tx:
        await tx.update("Message", "m1", {"size": 0})
        await tx.delete("Message", "m3")
    expected += [("B", "m1", "updated", 4), ("B", "m3", "destroyed", 5)]
    for limit in (1, 2, 100):
        cursor, got = Cursor(), []
        while True:
            page, cursor = await store.feed(cursor, limit)
            if not page:
                break
            got += page
        assert [(change.account, change.id, change.kind, change.modseq) for change in got] == expected
        assert got[-2].names == {"size"}
    assert await store.feed(cursor, 5) == ([], cursor)


async def test_the_feed_of_some_types_is_behind_all_the_others(store: Store) -> None:
    for number in range(6):
        async with store.write("AB"[number % 2]) as tx:
            if number % 3 == 0:
                await tx.put("Box", {"id": f"b{number}"})
            else:
                await tx.put("Message", message(f"m{number}"))
    for limit in (1, 2, 100):
        cursor, got = Cursor(), []
        while True:
            page, cursor = await store.feed(cursor, limit, {"Box"})
            if not page:
                break
            got += page
        assert [change.id for change in got] == ["b0", "b3"]
    assert await store.feed(cursor, 5) == ([], cursor)
    await put(store, message("m9"))
    nothing, further = await store.feed(cursor, 5, {"Box"})
    assert nothing == []
    assert await store.feed(further, 5) == ([], further)
