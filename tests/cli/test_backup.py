"""`veredus backup`, `veredus db` and `veredus doctor`."""

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.running import Runner, free_port
from veredus.app import App, open_app
from veredus.cli.certificate import expiry
from veredus.config.settings import Config
from veredus.outgoing import records
from veredus.outgoing.records import Queued, Recipient
from veredus.ports import Address, Identity

TO = ("--to", "alice@example.com")


@pytest.fixture
def filled(run: Runner, alice: str) -> str:
    """An account with a small and a large message; its id."""
    Path("small.eml").write_bytes(b"Subject: small\n\nx\n")
    Path("large.eml").write_bytes(b"Subject: large\n\n" + b"x" * 70_000)
    assert run("import", "eml", "small.eml", "large.eml", *TO).code == 0
    return alice


def change(tmp_path: Path, work: Callable[[App], Awaitable[None]]) -> None:
    """Do something to the data that no command does."""

    async def main() -> None:
        async with open_app(Config(data_dir=tmp_path / "data"), types=()) as app:
            await work(app)

    asyncio.run(main())


def test_a_restored_backup_is_the_same_under_new_ids(run: Runner, filled: str) -> None:
    run("account", "add", "bob@example.com")
    run("account", "grant", "bob@example.com", "alice@example.com")
    assert run("backup", "create", "b").code == 0
    assert "good" in run("backup", "verify", "b").out
    done = run("backup", "restore", "b", "--data-dir", "new")
    assert done.code == 0
    assert "new account ids" in done.out
    alice = run("account", "show", "alice@example.com", "--data-dir", "new", "--json").json
    assert alice["account"] != filled
    assert alice["messages"] == 2
    bob = run("account", "show", "bob@example.com", "--data-dir", "new", "--json").json
    assert bob["grants"] == {alice["account"]: "read"}
    assert run("db", "check", "--read-blobs", "--data-dir", "new").out == "good\n"
    assert run("export", "eml", "out", "--from", "alice@example.com", "--data-dir", "new").code == 0
    assert len(list(Path("out").rglob("*.eml"))) == 2
    assert (Path("new").stat().st_mode & 0o777, Path("b").stat().st_mode & 0o777) == (0o700, 0o700)


def test_what_is_queued_belongs_to_the_restored_account_and_reports_are_verified(
    run: Runner, filled: str, tmp_path: Path
) -> None:
    """An EmailSubmission names several blobs in one property, and a row of the queue names its account."""
    now = "2026-11-21T22:00:00Z"

    async def main() -> None:
        async with open_app(Config(data_dir=tmp_path / "data")) as app:
            report = (await app.blobs.put(b"Subject: report\r\n\r\n", max_size=100)).id
            row = Queued(
                id="q1-0", departure="q1", account=filled, submission="s1", origin="submission",
                sender=Address("alice@example.com"), recipients=[Recipient(email="bob@example.org")],
                blob_id=report, size=21, created_at=now, send_at=now, slot=f"example.org {now}",
                expires=f"example.org {now}", warns=None, needs_release=False,
            )  # fmt: skip
            async with app.store.write(filled) as tx:
                await tx.put("EmailSubmission", {"id": "s1", "emailId": "e1", "dsnBlobIds": [report]})
            async with app.store.write("system") as tx:
                await records.put_row(tx, row)

    asyncio.run(main())
    assert run("backup", "create", "b").code == 0
    assert "good" in run("backup", "verify", "b").out
    assert "good" in run("blob", "verify").out
    assert run("backup", "restore", "b", "--data-dir", "new").code == 0
    alice = run("account", "show", "alice@example.com", "--data-dir", "new", "--json").json["account"]
    assert alice != filled
    assert [row["account"] for row in run("queue", "ls", "--data-dir", "new", "--json").json] == [alice]


def test_same_ids_are_kept_when_asked_for(run: Runner, filled: str) -> None:
    run("backup", "create", "b")
    run("backup", "restore", "b", "--same-ids", "--data-dir", "new")
    assert (
        run("account", "show", "alice@example.com", "--data-dir", "new", "--json").json["account"] == filled
    )


@pytest.mark.parametrize(("options", "kept"), [((), 0), (("--same-ids",), 1)])
@pytest.mark.usefixtures("alice")
def test_push_subscriptions_and_their_urls_are_restored_only_by_a_move(
    run: Runner, tmp_path: Path, options: tuple[str, ...], kept: int
) -> None:
    async def subscribe(app: App) -> None:
        identity = Identity("alice@example.com", "token", "write")
        given = {"deviceClientId": "d", "url": "https://push.example.com/a-secret"}
        calls = [["PushSubscription/set", {"create": {"a": given}}, "0"]]
        request = {"using": ["urn:ietf:params:jmap:core"], "methodCalls": calls}
        answer = json.loads(await app.engine.process(json.dumps(request).encode(), identity, ""))
        id = answer["methodResponses"][0][1]["created"]["a"]["id"]
        async with app.store.write("system") as tx:
            await tx.put("PushProgress", {"id": id})

    change(tmp_path, subscribe)
    run("backup", "create", "b")
    assert run("backup", "restore", "b", *options, "--data-dir", "new").code == 0
    assert len(run("push", "ls", "--json", "--data-dir", "new").json) == kept
    restored = b"".join(path.read_bytes() for path in Path("new").glob("veredus.db*"))
    assert (b"a-secret" in restored) == bool(kept)


@pytest.mark.usefixtures("filled")
def test_nothing_is_overwritten_and_no_half_backup_restored(run: Runner) -> None:
    run("backup", "create", "b")
    assert "not empty" in run("backup", "create", "b").err
    assert "there is data in" in run("backup", "restore", "b").err
    assert run("backup", "restore", "b", "--data-dir", "b").code == 2
    Path("b/backup.json").unlink()
    for verb in ("verify", "restore"):
        assert "was not finished" in run("backup", verb, "b", "--data-dir", "new").err
    Path("b/backup.json").write_text('{"format": 3}')
    assert "another version" in run("backup", "verify", "b").err


@pytest.mark.usefixtures("filled")
def test_verify_finds_a_changed_and_a_missing_blob(run: Runner, tmp_path: Path) -> None:
    run("backup", "create", "b")
    (blob,) = [path for path in Path("b/blobs").glob("??/*") if path.is_file()]
    data = blob.read_bytes()
    blob.unlink()  # it may be a link to the original
    blob.write_bytes(data[:-1] + b"y")
    done = run("backup", "verify", "b")
    assert done.code == 3
    assert "another digest" in done.out
    blob.unlink()
    done = run("backup", "verify", "b", "--json")
    assert done.code == 3
    assert "is missing" in done.json["problems"][0]
    assert run("db", "check", "--read-blobs").code == 0


def test_db_check_finds_numbers_that_do_not_agree(run: Runner, filled: str, tmp_path: Path) -> None:
    async def harm(app: App) -> None:
        async with app.store.write(filled) as tx:
            (inbox,) = [box for box in await tx.get("Mailbox", None) if box["role"] == "inbox"]
            await tx.update("Mailbox", inbox["id"], {"totalEmails": 7, "unreadThreads": 0})
            threads = await tx.get("Thread", None)
            await tx.delete("Thread", threads[0]["id"])
            await tx.put("Thread", {**threads[1], "emailIds": []})
            await tx.update("Quota", "count", {"used": 9})
        async with app.store.write("a0") as tx:
            await tx.put("Mailbox", inbox)

    change(tmp_path, harm)
    done = run("db", "check", "--json")
    text = "\n".join(done.json["problems"])
    assert done.code == 3
    for words in (
        "totalEmails is 7, counted 2", "unreadThreads is 0, counted 2", "there is no such Thread",
        "lists 0 Emails, 1 belong", "used is 9, the Emails take 2", "account a0: has Mailboxes",
    ):  # fmt: skip
        assert words in text, text


def levels(run: Runner, *argv: object) -> dict[str, tuple[str, str]]:
    found = run("doctor", "--json", *argv).json
    return {one["name"]: (one["level"], one["text"]) for one in found}


def test_doctor_is_content_with_a_good_installation(
    run: Runner, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEREDUS__HTTP__LISTEN", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("VEREDUS__LMTP__LISTEN", f"127.0.0.1:{free_port()}")
    assert levels(run)["backup"][0] == "warning"
    run("backup", "create", "b")
    assert {level for level, _ in levels(run).values()} <= {"ok", "warning"}
    assert levels(run)["backup"][0] == "ok"
    assert run("doctor").code == 0


def test_doctor_names_what_is_wrong(run: Runner, filled: str, tmp_path: Path) -> None:
    os.utime(tmp_path / "data" / "veredus.db", (4_000_000_000, 4_000_000_000))
    (tmp_path / "data").chmod(0o755)
    found = levels(run)
    assert found["clock"][0] == "problem"
    assert "set the clock" in found["clock"][1]
    assert "chmod 700" in found["data directory"][1]
    os.utime(tmp_path / "data" / "veredus.db", (4_000_000_000, 4_000_000_000))  # doctor has opened it
    assert run("doctor").code == 3
    assert levels(run, "--data-dir", "nowhere")["data directory"][0] == "problem"
    Path("veredus.toml").write_text("[smtp]\nmax_sise = 1\n")
    assert "did you mean" in levels(run)["settings"][1]


def test_doctor_looks_at_the_certificate(run: Runner, filled: str) -> None:
    Path("veredus.toml").write_text('[tls]\nmode = "files"\ncert = "c.pem"\nkey = "k.pem"\n')
    for days, level in ((60, "ok"), (5, "warning")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
             "-days", str(days), "-keyout", "k.pem", "-out", "c.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        assert levels(run)["certificate"][0] == level
    assert expiry(Path("c.pem"), Path("k.pem")).tzinfo is not None
    Path("c.pem").write_text("nonsense")
    assert levels(run)["certificate"][0] == "problem"


def test_the_time_of_the_last_backup_is_kept_with_the_data(run: Runner, filled: str, tmp_path: Path) -> None:
    run("backup", "create", "b")
    last = json.loads((tmp_path / "data" / "last-backup.json").read_text())
    assert last["directory"] == str(tmp_path / "b")
    (tmp_path / "data" / "last-backup.json").write_text('{"at": "2020-01-01T00:00:00Z", "directory": "b"}')
    assert "days old" in levels(run)["backup"][1]
