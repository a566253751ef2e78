"""What only the SQLite store can show: failing disks, other processes, changed tables, bounded memory."""

import asyncio
import re
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from contract.stores import MESSAGE, NEWEST, TABLES, FakeClock, message, put
from veredus.conditions import Eq, Has, Text
from veredus.ports import Store, Table, Unavailable
from veredus.store import cache, order, sqlite, sqlite_connection, sqlite_reads
from veredus.store.sqlite import SQLiteStore


async def opened(path: Path, tables: tuple[Table, ...] = TABLES) -> SQLiteStore:
    return await SQLiteStore.open(path / "records.db", tables, FakeClock())


async def count(store: Store) -> int:
    async with store.read("A") as snapshot:
        return await snapshot.count("Message")


async def fill_until_full(store: Store) -> int:
    done = 0
    for number in range(1000):
        try:
            await put(store, message(f"m{number}", number, headers="x" * 3000))
        except Unavailable:
            break
        done += 1
    return done


async def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await put(store, message("first"))
    pages = store._writer._db.number("PRAGMA page_count")
    store._writer._db.run(f"PRAGMA max_page_count = {pages + 20}")
    done = await fill_until_full(store)
    assert 0 < done < 1000
    results = await asyncio.gather(
        *(put(store, message(f"full{n}", headers="x" * 30_000)) for n in range(8)), return_exceptions=True
    )
    assert {type(result) for result in results} == {Unavailable}
    assert await count(store) == done + 1
    assert await store.check() == []
    store._writer._db.run("PRAGMA max_page_count = 1000000")
    await put(store, message("last"))
    assert await count(store) == done + 2
    assert await store.check() == []
    await store.close()


async def test_a_failing_commit_fails_all_that_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    await put(store, message("first"))

    def refuse() -> None:
        store._writer._rollback()
        raise Unavailable("disk on fire")

    with monkeypatch.context() as patched:
        patched.setattr(store._writer, "_commit_now", refuse)
        results = await asyncio.gather(
            *(put(store, message(f"m{n}")) for n in range(8)), return_exceptions=True
        )
    assert {type(result) for result in results} == {Unavailable}
    assert await count(store) == 1
    await put(store, message("last"))
    assert await count(store) == 2
    assert await store.check() == []
    await store.close()


async def test_many_writers_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    commits = []
    commit = store._writer._commit_now
    monkeypatch.setattr(store._writer, "_commit_now", lambda: (commits.append(1), commit()))
    await asyncio.gather(*(put(store, message(f"m{n}")) for n in range(64)))
    assert len(commits) <= 3
    await store.close()


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    one, two = await opened(tmp_path), await opened(tmp_path)
    await put(one, message("a"))
    async with two.read("A") as snapshot:
        assert await snapshot.select("Message") == ["a"]
        assert await snapshot.project("Message", ["a"], ("tags",))
    async with one.write("A") as tx:
        await tx.update("Message", "a", {"tags": {"x": True}})
    async with two.read("A") as snapshot:
        assert await snapshot.select("Message", Has("tags", "x")) == ["a"]
        structs = await snapshot.project("Message", ["a"], ("tags",))
        assert msgspec.json.encode(structs) == b'[{"id":"a","tags":{"x":true}}]'

    async def write(store: Store, start: int) -> None:
        for number in range(start, start + 20):
            await put(store, message(f"m{number}"))

    await asyncio.gather(write(one, 0), write(two, 100))
    assert await count(two) == 41
    assert await one.check() == []
    await one.close()
    await two.close()


async def test_remembered_answers_tell_true_from_one(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await put(store, message("a", seen=True), message("b", seen=1))
    async with store.read("A") as snapshot:
        assert await snapshot.select("Message", Eq("seen", True)) == ["a"]
        assert await snapshot.select("Message", Eq("seen", 1)) == ["b"]
    await store.close()


async def test_remembered_answers_belong_to_their_state(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await put(store, message("a"), message("b"))

    async def seen(snapshot: Any) -> Any:
        structs = await snapshot.project("Message", ["a", "b", "c"], ("tags", "size"))
        return msgspec.json.decode(msgspec.json.encode(structs)), await snapshot.select(
            "Message", order=NEWEST
        )

    async with store.read("A") as older:
        before = await seen(older)
        async with store.write("A") as tx:
            await tx.update("Message", "a", {"tags": {"x": True}})
            await tx.put("Message", message("c"))
            await tx.delete("Message", "b")
        async with store.read("A") as newer:
            after = await seen(newer)
            assert after[1] == ["c", "a"]
            assert after[0][0]["tags"] == {"x": True}
            for _ in range(2):
                assert await seen(older) == before
                assert await seen(newer) == after
    await store.close()


async def test_what_is_remembered_is_bounded() -> None:
    small = cache.Cache(max_size=100_000)
    reader = sqlite_reads.projection.reader(("x",))
    for account in range(50):
        known = small.at(account, "T", 1, lambda since: None)
        assert known is not None
        for number in range(20):
            small.remember(known, ("x",), f"i{number}", reader.one(b'{"id":"i","x":1}'), 100)
            small.remember_result(known, f"q{number}", ["a"] * number)
        assert small._size == sum(known.size for known in small._known.values()) <= 100_000
    assert small._known


async def test_every_setting_is_in_force(tmp_path: Path) -> None:
    connection = sqlite_connection.Connection(str(tmp_path / "records.db"))
    for name, value in re.findall(r"PRAGMA (\w+) = (\S+);", sqlite_connection._SETTINGS):
        named = {"FULL": 2, "FAST": 2, "MEMORY": 2, "WAL": "wal"}
        expected = named[value] if value in named else int(value)
        assert connection.rows(f"PRAGMA {name}") == [(expected,)], name
    connection.close()


async def test_changed_declarations_index_anew(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await put(store, *(message(f"m{n}", n, origin=f"o{n % 2}") for n in range(6)))
    await store.close()
    changed = Table(
        "Message", order="sentAt", scalars=("origin", "size"), members=("tags", "boxIds"), covers=("origin",),
        live=("boxIds",), cold=("subject",), texts=MESSAGE.texts, blobs=("blobId", "threadId"),
    )  # fmt: skip
    store = await opened(tmp_path, (changed, *TABLES[1:]))
    assert await store.check() == []
    async with store.read("A") as snapshot:
        assert await snapshot.select("Message", Has("boxIds", "in"), distinct="origin") == ["m0", "m1"]
        assert await snapshot.get("Message", ["m3"]) == [message("m3", 3, origin="o1")]
        assert await snapshot.select("Message", Text(("subject",), (("about", "m4"),))) == ["m4"]
        assert await snapshot.owns_blob(["tm1"]) == {"tm1"}
        assert await snapshot.state("Message") == 6
    await store.close()
    with pytest.raises(ValueError, match="order"):
        await opened(tmp_path, (Table("Message"),))


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.close()
    db = apsw.Connection(str(tmp_path / "records.db"))
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(ValueError, match="newer"):
        await opened(tmp_path)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(Unavailable):
        await opened(tmp_path)


async def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    waiting = asyncio.gather(*(put(store, message(f"m{n}")) for n in range(5)))
    await asyncio.sleep(0)
    await waiting
    await store.close()
    with pytest.raises(Unavailable):
        await put(store, message("late"))


async def test_a_full_second_spills_into_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "RECORDS_OF_SECOND", 3)
    monkeypatch.setattr(order, "MAX_SPILL", 2)
    store = await opened(tmp_path)
    for number in range(9):
        await put(store, message(f"m{number}"))
    with pytest.raises(Unavailable, match="too many"):
        await put(store, message("m9"))
    async with store.read("A") as snapshot:
        assert await snapshot.select("Message", order=NEWEST) == [f"m{n}" for n in range(8, -1, -1)]
    await store.close()


async def test_the_wal_does_not_grow_without_bound(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    largest = 0
    for _ in range(60):
        await put(store, *(message(f"m{number}", headers="x" * 8000) for number in range(60)))
        largest = max(largest, (tmp_path / "records.db-wal").stat().st_size)
    assert largest < 24_000_000
    await store.close()


async def test_a_backup_ends_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that each write of another process starts anew would never end."""
    store = await opened(tmp_path)
    await put(store, *(message(f"m{number}", headers="x" * 9000) for number in range(50)))
    other = sqlite_connection.Connection(str(tmp_path / "records.db"))
    steps = 0

    class Backup:
        def __init__(self, backup: Any) -> None:
            self._backup = backup

        def __enter__(self) -> "Backup":
            return self

        def __exit__(self, *_: object) -> None:
            self._backup.close()

        @property
        def done(self) -> bool:
            done: bool = self._backup.done
            return done or steps > 1000

        def step(self, pages: int) -> None:
            nonlocal steps
            steps += 1
            self._backup.step(pages)
            other.run("UPDATE account SET id = id || 'x'")

    class Copy(apsw.Connection):
        def backup(self, *arguments: Any) -> Any:
            return Backup(super().backup(*arguments))

    monkeypatch.setattr(sqlite, "_BACKUP_PAGES", 5)
    (tmp_path / "copy").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(apsw, "Connection", Copy)
        await store.backup(str(tmp_path / "copy"))
    assert 5 < steps < 1000
    other.close()
    await store.close()
    copy = await opened(tmp_path / "copy")
    assert await copy.accounts() == ["A"]
    assert await count(copy) == 50
    assert await copy.check() == []
    await copy.close()
