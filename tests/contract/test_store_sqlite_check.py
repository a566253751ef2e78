"""Every kind of damage to a SQLite database is told, and none hides another one."""

from pathlib import Path

import apsw
import pytest

from contract.stores import TABLES, FakeClock, message, put
from veredus.store.sqlite import SQLiteStore


async def opened(path: Path) -> SQLiteStore:
    return await SQLiteStore.open(path / "records.db", TABLES, FakeClock())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ('DELETE FROM "mem:Message:boxIds"', "not in the index"),
        ("UPDATE \"mem:Message:tags\" SET key = 'y'", "not in the record"),
        ('UPDATE "rec:Message" SET p_size = 7', "columns"),
        ("UPDATE \"rec:Message\" SET id = id || 'x'", "the record says id"),
        ('DELETE FROM "fts:Message"', "full text missing"),
        ('UPDATE "rec:Message" SET texts = 0', "full text of no record"),
        ("DELETE FROM blob", "blob reference missing"),
        ("INSERT INTO blob VALUES('B', 1, 'Message')", "blob reference of no record"),
        ("UPDATE state SET modseq = 99", "its last change"),
        ("UPDATE account SET modseq = 99", "its last state"),
        ("DELETE FROM state", "but no state"),
        ("DELETE FROM log WHERE modseq = 2", "does not follow"),
        ("DELETE FROM log WHERE modseq = 3", "modseq 3, its last change 2"),
        ("DELETE FROM log", "the state of Message is 3, its last change 0"),
        ("UPDATE log SET kind = 'x'", "is of no kind: x"),
        ("UPDATE log SET names = '['", "names of change 1 are damaged"),
        ("UPDATE log SET kind = 'destroyed'", "m1 of account 1 is there, but its last change says destroyed"),
        ("UPDATE state SET floor = 2 WHERE type = 'Message'", "up to 2 are forgotten"),
        ("DELETE FROM state WHERE type = 'Delivery'", "no state of Delivery"),
        ("INSERT INTO state VALUES(7, 'Message', 1, 0)", "account 7: a state of Message, but no account"),
        ("DELETE FROM account", "account 1: a log of Message, but no account"),
        ("DELETE FROM account", "is not of account 1"),
        ("INSERT INTO blob VALUES('B', 1, 'Gone')", "blob reference of no type: Gone"),
        ('DELETE FROM "cold:Message"', "m1: cold part missing"),
        ("INSERT INTO \"cold:Message\" VALUES(1, '{}')", "cold part of no record: 1"),
        ("UPDATE \"cold:Message\" SET json = '{'", "m1: its cold part is damaged"),
        ("UPDATE \"rec:Message\" SET live = '{\"id'", "m1: its live part is damaged"),
        ("UPDATE \"rec:Message\" SET fixed = CAST(x'ff' AS TEXT)", "m1: its fixed part is damaged"),
        ("UPDATE \"rec:Message\" SET fixed = '[]'", "m1: its fixed part is damaged"),
        ("UPDATE \"rec:Message\" SET fixed = '{\"sentAt\":\"x\"}'", "m1: sentAt is no date: x"),
        ("UPDATE \"rec:Message\" SET live = json_set(live, '$.size', 100)", "m1: size stands in the wrong part"),
        ('UPDATE "rec:Message" SET rid = rid + (1 << 22)', "is not of second"),
        ("DELETE FROM \"rec:Message\" WHERE id = 'm1'", "m1 of account 1 is not there, but its last change"),
        ("DELETE FROM \"rec:Message\" WHERE id = 'm1'", "blob reference of no record"),
        ("DELETE FROM \"rec:Message\" WHERE id = 'm1'", "'x' of m1 stands in the index"),
        ("DELETE FROM \"rec:Message\" WHERE id = 'm1'", "cold part of no record"),
        ("INSERT INTO \"fts:Message\"(rowid, subject) VALUES(1, 'x')", "full text of no record: 1"),
    ],
)  # fmt: skip
async def test_check_sees_damage(tmp_path: Path, damage: str, told: str) -> None:
    store = await opened(tmp_path)
    for number in range(3):
        await put(store, message(f"m{number}", tags={"x": True}))
    assert await store.check() == []
    store._writer._db.run(damage)
    assert told in "\n".join(await store.check())
    await store.close()


async def test_one_damage_does_not_hide_another_one(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for number in range(4):
        await put(store, message(f"m{number}", number, tags={"x": True}))
    for damage in (
        "UPDATE \"rec:Message\" SET fixed = '{' WHERE id = 'm0'",
        "UPDATE \"rec:Message\" SET p_size = 7 WHERE id = 'm1'",
        "DELETE FROM \"mem:Message:tags\" WHERE id = 'm2'",
        'DELETE FROM "cold:Message" WHERE rid = (SELECT max(rid) FROM "cold:Message")',
        "UPDATE state SET modseq = 99 WHERE type = 'Delivery'",
    ):
        store._writer._db.run(damage)
    problems = await store.check()
    assert len(problems) == 6, problems
    for told in (
        "m0: its fixed",
        "m1: columns",
        "'x' of m2 is not",
        "m3: cold part",
        "Delivery is 99",
        "modseq 4",
    ):
        assert any(told in problem for problem in problems), (told, problems)
    await store.close()


async def test_a_damaged_file_is_told_and_the_rest_checked(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for number in range(40):
        await put(store, message(f"m{number}", number, headers="x" * 5000))
    await store.close()
    file = tmp_path / "records.db"
    db = apsw.Connection(str(file))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ((page,),) = db.execute(
        "SELECT pageno FROM dbstat WHERE name = 'cold:Message' AND pagetype = 'leaf' ORDER BY pageno DESC LIMIT 1"
    ).fetchall()
    ((size,),) = db.execute("PRAGMA page_size").fetchall()
    db.execute("DELETE FROM blob WHERE blob = 'Bm7'")
    db.close()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xee" * 100)
    store = await opened(tmp_path)
    problems = "\n".join(await store.check())
    assert "sqlite:" in problems
    await store.close()
