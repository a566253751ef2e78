"""`veredus db copy`, `veredus index`, and backups of PostgreSQL."""

import asyncio
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import Run, Runner
from contract import postgres
from veredus.app import App, open_app
from veredus.conditions import Text
from veredus.config.settings import Config, Storage
from veredus.wire.types import Id

TO = ("--to", "alice@example.com")
_numbers = itertools.count(1)


@pytest.fixture
def url() -> Iterator[str]:
    """A new PostgreSQL database."""
    name = f"copy{os.getpid()}x{next(_numbers)}"
    yield postgres.server().create(name)
    postgres.server().drop(name)


@pytest.fixture
def filled(run: Runner, alice: str) -> str:
    """An account with two messages; its id."""
    Path("one.eml").write_bytes(b"Subject: zebra\n\nof one giraffe\n")
    Path("two.eml").write_bytes(b"Subject: two\n\n" + b"x" * 70_000)
    assert run("import", "eml", "one.eml", "two.eml", *TO).code == 0
    return alice


@pytest.fixture
def on(run: Runner, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """A command with other storage."""

    def command(url: str, *words: object) -> Run:
        with monkeypatch.context() as patch:
            patch.setenv("VEREDUS__STORAGE__URL", url)
            return run(*words)

    return command


def ask(data: Path, url: str, work: Callable[[App], Any]) -> Any:
    """What the store says."""

    async def main() -> Any:
        async with open_app(Config(data_dir=data, storage=Storage(url=url)), types=()) as app:
            return await work(app)

    return asyncio.run(main())


def found(data: Path, url: str, account: Id) -> list[Id]:
    """The Emails with two words."""

    async def work(app: App) -> list[Id]:
        async with app.store.read(account) as snapshot:
            return await snapshot.select("Email", Text(("subject", "body"), (("zebra",), ("giraffe",))))

    result: list[Id] = ask(data, url, work)
    return result


def states(data: Path, url: str, account: Id) -> dict[str, int]:
    async def work(app: App) -> dict[str, int]:
        async with app.store.read(account) as snapshot:
            return dict(await snapshot.states())

    result: dict[str, int] = ask(data, url, work)
    return result


def test_a_copy_is_the_same_and_its_words_are_found(
    run: Runner, on: Callable[..., Run], filled: str, url: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    done = run("db", "copy", "--to", url)
    assert done.code == 0
    assert "every record, state and entry of the log is the same" in done.err
    assert f'url = "{url}"' in done.out
    assert on(url, "db", "check", "--read-blobs").out == "good\n"
    assert states(data, url, filled) == states(data, "sqlite", filled)
    assert found(data, url, filled) == found(data, "sqlite", filled) != []
    # And back.
    assert on(url, "db", "copy", "--to", "back").code == 0
    assert states(tmp_path / "back", "sqlite", filled) == states(data, "sqlite", filled)
    assert found(tmp_path / "back", "sqlite", filled) == found(data, "sqlite", filled)


def test_a_second_run_copies_what_has_changed(run: Runner, filled: str, url: str, tmp_path: Path) -> None:
    run("db", "copy", "--to", url)
    done = run("db", "copy", "--to", url)
    assert "copied 0 records of 0 accounts" in done.err
    run("import", "eml", "one.eml", *TO)
    done = run("db", "copy", "--to", url, "--compare")
    assert done.code == 0
    # The Email, its Thread, the Mailbox and two Quotas.
    assert "copied 5 records of 1 accounts" in done.err
    assert "every record, state and entry of the log is the same" in done.err
    assert states(tmp_path / "data", url, filled) == states(tmp_path / "data", "sqlite", filled)
    assert len(found(tmp_path / "data", url, filled)) == 2


@pytest.mark.usefixtures("filled")
def test_a_target_that_is_used_is_left_alone(run: Runner, on: Callable[..., Run], url: str) -> None:
    run("db", "copy", "--to", url)
    assert on(url, "import", "eml", "one.eml", *TO).code == 0
    done = run("db", "copy", "--to", url)
    assert done.code == 1
    assert "has been changed since: a server uses the target" in done.err
    assert on(url, "account", "show", "alice@example.com", "--json").json["messages"] == 3


@pytest.mark.usefixtures("filled")
def test_a_target_with_other_data_is_left_alone(run: Runner) -> None:
    assert run("account", "add", "bob@example.com", "--data-dir", "other").code == 0
    done = run("db", "copy", "--to", "other")
    assert done.code == 1
    assert "has data that no copy has brought" in done.err
    assert "bob@example.com" in run("account", "ls", "--data-dir", "other").out


@pytest.mark.usefixtures("filled")
def test_words_can_be_indexed_later(run: Runner, tmp_path: Path, filled: str) -> None:
    done = run("db", "copy", "--to", "new", "--no-index")
    assert "no search finds words" in done.err
    assert found(tmp_path / "new", "sqlite", filled) == []
    run("backup", "create", "b")
    shutil.rmtree("new/blobs")
    Path("new/blobs").symlink_to(tmp_path / "b" / "blobs")
    status = run("index", "status", "--data-dir", "new", "--json")
    assert status.code == 3
    assert status.json == [{"account": filled, "type": "Email", "missing": 2}]
    assert run("index", "rebuild", "--data-dir", "new").code == 0
    assert run("index", "status", "--data-dir", "new").out == "complete\n"
    expected = found(tmp_path / "new", "sqlite", filled)
    assert len(expected) == 1
    assert run("index", "rebuild", "--all", "--data-dir", "new").code == 0
    assert found(tmp_path / "new", "sqlite", filled) == expected
    assert run("db", "check", "--data-dir", "new").out == "good\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either --to URL or --to-file FILE"),
        (("--to", "data"), "name another"),
        (("--to", "postgresql://u:secret@h:port/d"), "expected a URL such as"),
        (("--to", "postgresql://u:secret@127.0.0.1:1/d"), "PostgreSQL at 127.0.0.1:1/d"),
        (("--to-file", "nowhere"), "nowhere: No such file"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_a_target_that_cannot_be_is_named(run: Runner, words: tuple[str, ...], said: str) -> None:
    done = run("db", "copy", *words)
    assert done.code in (1, 2)
    assert said in done.err
    assert "secret" not in done.err


def test_a_backup_of_postgresql_comes_back(
    run: Runner, on: Callable[..., Run], filled: str, url: str, tmp_path: Path
) -> None:
    run("db", "copy", "--to", url)
    assert on(url, "backup", "create", "b").code == 0
    assert "good" in on(url, "backup", "verify", "b").out
    before = states(tmp_path / "data", url, filled)
    # Into SQLite, as it was.
    assert run("backup", "restore", "b", "--same-ids", "--data-dir", "new").code == 0
    assert run("db", "check", "--read-blobs", "--data-dir", "new").out == "good\n"
    assert states(tmp_path / "new", "sqlite", filled) == before
    assert len(found(tmp_path / "new", "sqlite", filled)) == 1
    # What is damaged is noticed.
    dump = Path("b/accounts") / f"{filled}.dump"
    dump.write_bytes(dump.read_bytes()[:-30])
    damaged = run("backup", "verify", "b")
    assert damaged.code == 3
    assert "it ends in the middle" in damaged.err


def test_a_backup_of_sqlite_is_restored_into_postgresql_under_new_ids(
    run: Runner, on: Callable[..., Run], filled: str, url: str, tmp_path: Path
) -> None:
    run("backup", "create", "b")
    done = on(url, "backup", "restore", "b", "--data-dir", "new")
    assert done.code == 0
    assert "with new account ids" in done.out
    alice = on(url, "account", "show", "alice@example.com", "--data-dir", "new", "--json").json
    assert alice["account"] != filled
    assert alice["messages"] == 2
    assert on(url, "db", "check", "--read-blobs", "--data-dir", "new").out == "good\n"
    assert len(found(tmp_path / "new", url, alice["account"])) == 1
    again = on(url, "backup", "restore", "b", "--data-dir", "new")
    assert again.code == 1
    assert "there is data in the target" in again.err


def test_a_backup_without_blobs_is_verified_with_those_that_are_configured(run: Runner, filled: str) -> None:
    assert run("backup", "create", "b", "--no-blobs").code == 0
    assert not Path("b/blobs").exists()
    assert "good" in run("backup", "verify", "b").out
    Path("data/blobs").rename("data/gone")
    damaged = run("backup", "verify", "b")
    assert damaged.code == 3
    assert filled in damaged.out
    assert "missing" in damaged.out
