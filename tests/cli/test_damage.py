"""Damaged data: commands say all of it, and save the rest."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from cli.running import Runner
from veredus.cli.transfer import outgoing

FROM = ("--from", "alice@example.com")
Damage = Callable[[str, str], None]


@pytest.fixture(params=["sqlite"])
def damage(request: pytest.FixtureRequest, run: Runner, alice: str, tmp_path: Path) -> Damage:
    """An account with five messages, m0 to m4; what is given spoils a property of one, or a whole Mailbox."""
    for number in range(5):
        size = 100_000 if number < 3 else 10
        Path(f"{number}.eml").write_bytes(b"Subject: m%d\n\n" % number + b"x" * size)
    assert run("import", "eml", *(f"{n}.eml" for n in range(5)), "--to", "alice@example.com").code == 0

    def spoil(type: str, where: str) -> None:
        db = apsw.Connection(str(tmp_path / "data" / "veredus.db"))
        db.execute(f'UPDATE "rec:{type}" SET fixed = substr(fixed, 1, 30) WHERE {where}')
        assert db.changes()
        db.close()

    return spoil


def subjects(directory: Path) -> list[str]:
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    lines = [line for text in texts for line in text.splitlines() if line.startswith(b"Subject: ")]
    return sorted(line[9:].decode() for line in lines)


def blob_files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "data" / "blobs").glob("??/*") if path.is_file())


@pytest.mark.parametrize("format", ["eml", "mbox", "maildir"])
def test_export_goes_on_past_damaged_messages(
    run: Runner, damage: Damage, tmp_path: Path, format: str
) -> None:
    missing, flipped, _ = blob_files(tmp_path)
    missing.unlink()
    flipped.write_bytes(b"y" + flipped.read_bytes()[1:])
    damage("Email", 'rid = (SELECT max(rid) FROM "rec:Email")')
    done = run("export", format, "out", *FROM)
    assert done.code == 3
    assert "2 exported, 3 damaged" in done.err
    for told in ("bytes are missing", "another digest", "its record is damaged"):
        assert told in done.err, done.err
        assert told in done.out
    assert (done.lines[-1]["exported"], done.lines[-1]["failures"]) == (2, 3)
    assert len(subjects(Path("out"))) == 2


def test_a_damaged_mailbox_keeps_its_messages(run: Runner, damage: Damage) -> None:
    damage("Mailbox", "fixed LIKE '%inbox%' OR live LIKE '%inbox%'")
    done = run("export", "eml", "out", *FROM)
    assert done.code == 3
    assert "5 exported, 1 damaged" in done.err
    assert subjects(Path("out")) == [f"m{n}" for n in range(5)]
    assert "0 exported, 1 damaged" in run("export", "eml", "archive", *FROM, "--mailbox", "Archive").err


def test_a_blob_store_that_is_gone_ends_the_export(
    run: Runner, damage: Damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "_MOST_IN_A_ROW", 2)
    for file in blob_files(tmp_path):
        file.unlink()
        file.mkdir()  # to read it fails, and not since it is missing
    done = run("export", "eml", "out", *FROM)
    assert done.code == 1
    assert done.err.startswith("Email "), done.err
    assert "veredus: " in done.err.splitlines()[-1]


def test_db_check_tells_all_damage(run: Runner, damage: Damage, tmp_path: Path) -> None:
    missing, flipped, _ = blob_files(tmp_path)
    missing.unlink()
    flipped.write_bytes(b"y" + flipped.read_bytes()[1:])
    damage("Email", 'rid = (SELECT max(rid) FROM "rec:Email")')
    damage("Mailbox", "fixed LIKE '%archive%' OR live LIKE '%archive%'")
    done = run("db", "check", "--read-blobs", "--json")
    assert done.code == 3
    problems = Counter(done.json["problems"])
    for told in (
        "store: Email: ", "store: Mailbox: ", "without 2 records that cannot be read",
        "is missing", "another digest", "totalEmails is 5, counted 4",
    ):  # fmt: skip
        assert any(told in problem for problem in problems), (told, problems)


def test_blob_verify_names_the_records_whose_blobs_nobody_knows(
    run: Runner, damage: Damage, tmp_path: Path
) -> None:
    missing, *_ = blob_files(tmp_path)
    missing.unlink()
    damage("Email", 'rid = (SELECT max(rid) FROM "rec:Email")')
    done = run("blob", "verify", "--json")
    assert done.code == 3
    assert sorted(problem.split(": ")[-1] for problem in done.json["problems"]) == [
        f"blob {missing.name} is missing",
        "the record cannot be read, so nobody knows its blobs",
    ]
