"""`veredus account undelete`."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.running import Runner
from jmap import Jmap, message
from veredus.app import open_app
from veredus.app.clock import SystemClock
from veredus.config.settings import Config

UNDELETE = ("account", "undelete", "alice@example.com")


def in_app(directory: Path, account: str, *subjects: str) -> list[str]:
    """Destroy a new Email of each subject; the subjects of the Emails that are there then."""

    async def work() -> list[str]:
        async with open_app(Config(data_dir=directory), types=[]) as app:
            alice = Jmap(app, "alice@example.com", account)
            for subject in subjects:
                made = await alice.import_email(message(subject))
                await alice.set("Email", destroy=[made["id"]])
            emails = await alice.call("Email/get", ids=await alice.query("Email"), properties=["subject"])
            return sorted(email["subject"] for email in emails["list"])

    return asyncio.run(work())


@pytest.fixture
def ids(run: Runner, alice: str, tmp_path: Path) -> dict[str, str]:
    """The ids of destroyed mail by subject."""
    assert in_app(tmp_path / "data", alice, "One", "Two", "Three") == []
    return {one["subject"]: one["id"] for one in run(*UNDELETE, "--json").json}


def test_destroyed_mail_is_listed_and_restored(
    run: Runner, alice: str, tmp_path: Path, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = run(*UNDELETE, "--list").out.splitlines()
    assert sorted(line.split("  ")[0] for line in listed) == sorted(ids.values())
    assert all("Alice" in line for line in listed)
    done = run(*UNDELETE, ids["Two"])
    assert done.code == 0
    assert done.out.startswith(f"{ids['Two']}  restored as e")
    assert in_app(tmp_path / "data", alice) == ["Two"]
    with monkeypatch.context() as three_hours_later:
        later = datetime.now(UTC) + timedelta(hours=3)
        three_hours_later.setattr(SystemClock, "now", lambda _: later)
        assert run(*UNDELETE, "--all", "--since", "2h", "--json").json == {"restored": {}, "notRestored": {}}
    assert len(run(*UNDELETE, "--all", "--since", "2h", "--json").json["restored"]) == 2
    assert in_app(tmp_path / "data", alice) == ["One", "Three", "Two"]
    assert run(*UNDELETE).err == "nothing is kept\n"
    assert "nothing is kept that could be restored" in run(*UNDELETE, "--all").out
    assert run("db", "check").code == 0


def test_what_cannot_be_restored_is_said(run: Runner, ids: dict[str, str]) -> None:
    run("account", "quota", "alice@example.com", "1B")
    done = run(*UNDELETE, ids["One"], "d-none")
    assert done.code == 1
    assert f"{ids['One']} not restored: Size of all messages: the limit is 1" in done.err
    assert "d-none not restored: there is no such id" in done.err


@pytest.mark.parametrize(
    "options", [("--all", "d1"), ("--list", "--all"), ("--list", "d1"), ("--since", "yesterday")]
)
def test_wrong_use(run: Runner, alice: str, options: tuple[str, ...]) -> None:
    done = run(*UNDELETE, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_a_user_that_is_none(run: Runner, alice: str) -> None:
    assert "no user" in run("account", "undelete", "bob@example.com").err


def test_a_removed_account_leaves_nothing(
    run: Runner, alice: str, tmp_path: Path, ids: dict[str, str]
) -> None:
    assert ids
    assert run("account", "rm", "alice@example.com", "--yes").code == 0

    async def left() -> list[str]:
        async with (
            open_app(Config(data_dir=tmp_path / "data"), types=[]) as app,
            app.store.read(alice) as snapshot,
        ):
            return [name for name in ("DestroyedEmail", "RetentionFound") if await snapshot.get(name, None)]

    assert asyncio.run(left()) == []
