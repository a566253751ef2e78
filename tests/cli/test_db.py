"""`veredus db status|migrate`, and `doctor`, on SQLite and on PostgreSQL."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from cli.running import Runner, free_port
from contract import postgres

_numbers = itertools.count(1)


def execute(dsn: str, sql: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "veredus"})
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(main())


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, where the commands of this test keep their records."""
    (tmp_path / "data").mkdir(mode=0o700)
    name = f"cli{next(_numbers)}"
    dsn = postgres.server().create(name)
    monkeypatch.setenv("VEREDUS__STORAGE__URL", dsn)
    monkeypatch.setenv("VEREDUS__STORAGE__CONNECTIONS", "3")
    yield dsn
    postgres.server().drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        request.getfixturevalue("database")
    return str(request.param)


def test_status_says_what_there_is(run: Runner, backend: str) -> None:
    assert run("account", "add", "alice@example.com").code == 0
    found = run("db", "status", "--json").json
    assert found["backend"] == backend
    assert (found["accounts"], found["records"]["Mailbox"], found["records"]["User"]) == (2, 6, 1)
    assert found["log_entries"] > 6
    assert found["size"] > 10_000
    assert (found["pending"], found["refused"]) == ([], None)
    assert (found["server"] is None) == (backend == "sqlite")
    text = run("db", "status").out
    for words in ("version", "accounts     2", "Mailbox 6", "the oldest 0.0 days ago"):
        assert words in text


def test_migrate_says_what_it_would_do_and_does_it(run: Runner, backend: str) -> None:
    planned = run("db", "migrate", "--dry-run")
    assert planned.code == 0
    assert "would create" in planned.out
    assert "backup" in planned.err
    assert run("db", "migrate", "--json").json["done"]
    assert run("db", "migrate").out == "nothing to do\n"
    assert run("db", "check").out == "good\n"


@pytest.mark.usefixtures("database")
def test_status_is_of_the_schema_that_is_set(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEREDUS__STORAGE__SCHEMA", "mail")
    assert run("account", "add", "alice@example.com").code == 0
    assert run("db", "status", "--json").json["accounts"] == 2
    assert run("db", "migrate").out == "nothing to do\n"


def test_nothing_is_made_by_looking(run: Runner, database: str, tmp_path: Path) -> None:
    assert run("db", "status").code == 0
    run("doctor")
    execute(database, "DO $$ BEGIN ASSERT to_regclass('layout') IS NULL; END $$")
    assert not (tmp_path / "data" / "veredus.db").exists()


@pytest.mark.usefixtures("alice")
def test_a_newer_sqlite_file_is_refused_in_one_line(run: Runner, tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "data" / "veredus.db"))
    db.execute("PRAGMA user_version = 999")
    db.close()
    for argv in (("account", "ls"), ("db", "check"), ("db", "migrate"), ("serve",)):
        done = run(*argv)
        assert done.code == 1
        assert done.err.startswith("veredus: the database is of a newer version (999)")
        assert done.err.count("\n") == 1
        assert "run the newer program" in done.err
    assert "newer version" in run("db", "status").out
    assert ("database", "problem") in {(one["name"], one["level"]) for one in run("doctor", "--json").json}


def test_a_database_that_cannot_be_opened_is_one_line_with_a_remedy(
    run: Runner, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = database.rpartition("/")[0]
    for url, words in (
        (f"{place}/none", "CREATE DATABASE"),
        (database.replace("veredus@", "nobody@"), "check user and password"),
        (f"postgresql://veredus:secret@127.0.0.1:{free_port()}/x", "is it running"),
    ):
        monkeypatch.setenv("VEREDUS__STORAGE__URL", url)
        for argv in (
            ("account", "ls"),
            ("db", "status"),
            ("db", "migrate"),
            ("export", "eml", "o", "--from", "a"),
        ):
            done = run(*argv)
            assert done.code == 1, (argv, done.err)
            assert words in done.err
            assert (done.err.count("\n"), "secret" in done.err) == (1, False)


def findings(run: Runner) -> dict[str, Any]:
    return {one["name"]: (one["level"], one["text"]) for one in run("doctor", "--json").json}


def test_doctor_looks_at_postgresql(run: Runner, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("account", "add", "alice@example.com").code == 0
    monkeypatch.setenv("VEREDUS__STORAGE__REPLICAS", f"{database},{database}x")
    found = findings(run)
    assert found["database"][0] == "ok"
    assert "set full_page_writes = on" in found["postgresql"][1]  # the server of the tests is a quick one
    assert "room for 31 nodes" in found["connections"][1]
    assert found["blobs"][0] == "ok"
    assert "bus.url is not set" in found["bus"][1]
    assert found["replica"][0] == "problem"
    assert found["backup"][0] == "ok"
    monkeypatch.setenv("VEREDUS__STORAGE__CONNECTIONS", "300")
    assert "raise max_connections" in findings(run)["connections"][1]


def test_doctor_names_parts_that_do_not_answer(
    run: Runner, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").rmdir()
    port = free_port()
    monkeypatch.setenv("VEREDUS__BLOBS__URL", "s3://bucket/x")
    monkeypatch.setenv("VEREDUS__BLOBS__ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("VEREDUS__BLOBS__ACCESS_KEY", "a")
    monkeypatch.setenv("VEREDUS__BLOBS__SECRET_KEY", "b")
    monkeypatch.setenv("VEREDUS__BUS__URL", f"nats://127.0.0.1:{port}")
    monkeypatch.setenv("VEREDUS__STORAGE__URL", f"postgresql://veredus@127.0.0.1:{port}/x")
    found = findings(run)
    assert found["data directory"][0] == "ok"
    assert not (tmp_path / "data").exists()
    assert (found["database"][0], found["blobs"][0], found["bus"][0]) == ("problem", "problem", "warning")
    assert "check blobs.endpoint" in found["blobs"][1]
    assert "is it running" in found["database"][1]


def test_export_and_check_go_on_past_damage_in_postgresql(run: Runner, database: str) -> None:
    assert run("account", "add", "alice@example.com").code == 0
    for number in range(3):
        Path(f"{number}.eml").write_bytes(b"Subject: m%d\n\nx\n" % number)
    assert run("import", "eml", "0.eml", "1.eml", "2.eml", "--to", "alice@example.com").code == 0
    execute(
        database,
        """DO $$ DECLARE one record; BEGIN
      FOR one IN SELECT tablename AS name FROM pg_tables WHERE tablename LIKE 'rec:Email:%' LOOP
        EXECUTE format('UPDATE %1$I SET fixed = substring(fixed FOR 20)'
          ' WHERE rid = (SELECT max(rid) FROM %1$I)', one.name);
      END LOOP; END $$""",
    )
    done = run("export", "eml", "out", "--from", "alice@example.com")
    assert done.code == 3
    assert "its record is damaged" in done.err
    assert "2 exported, 1 damaged" in done.err
    checked = run("db", "check")
    assert checked.code == 3
    for told in ("its fixed part is damaged", "without 1 records", "totalEmails is 3, counted 2"):
        assert told in checked.out, checked.out
