"""`veredus import` and `veredus export`: in, and out again byte for byte."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from cli.running import Runner
from veredus.cli import imports
from veredus.cli.transfer import maildir
from veredus.cli.transfer.incoming import with_crlf

TO = ("--to", "alice@example.com")
FROM = ("--from", "alice@example.com")
MESSAGE = b"From: a@b\nSubject: x\n\nhello\n"


def contents(directory: Path, pattern: str = "**/*") -> Counter[bytes]:
    return Counter(path.read_bytes() for path in directory.glob(pattern) if path.is_file())


@pytest.fixture
def corpus(shared: Path, tmp_path: Path) -> Path:
    """Real messages, most of them strange, under names of their own."""
    target = tmp_path / "corpus"
    target.mkdir()
    found = [path for folder in ("cpython-test-email", "mox", "gluon", "flanker") for path in
             sorted((shared / "corpus" / "mail" / folder).rglob("*")) if path.is_file()]  # fmt: skip
    for number, path in enumerate(found):
        (target / f"{number:04}.eml").write_bytes(path.read_bytes())
    return target


@pytest.mark.usefixtures("alice")
def test_real_messages_come_out_as_they_went_in(run: Runner, corpus: Path, tmp_path: Path) -> None:
    done = run("import", "eml", corpus, *TO, "--mailbox", "Archive/Corpus")
    refused = {Path(line["failed"]).name for line in done.lines if "failed" in line}
    sent = Counter(with_crlf(path.read_bytes()) for path in corpus.iterdir() if path.name not in refused)
    assert len(refused) < 10
    assert done.code == (1 if refused else 0)
    assert done.lines[-1]["imported"] == sent.total()
    assert run("export", "eml", "eml", *FROM).code == 0
    assert contents(Path("eml")) == sent
    assert run("export", "maildir", "md", *FROM).code == 0
    assert contents(Path("md"), "**/cur/*") == sent
    run("account", "add", "bob@example.com")
    back = run("import", "maildir", "md", "--to", "bob@example.com")
    assert back.code == 0, back.err
    run("export", "eml", "again", "--from", "bob@example.com", "--mailbox", "Archive/Corpus")
    assert contents(Path("again")) == sent


@pytest.mark.usefixtures("alice")
def test_real_mboxes_survive_the_way_through_mbox(run: Runner, shared: Path) -> None:
    sources = sorted((shared / "corpus" / "threads").rglob("*.mbox"))
    done = run("import", "mbox", *sources, *TO)
    assert done.code == 0
    assert done.lines[-1]["imported"] == 317 + 53 + 12 + 3
    assert run("export", "mbox", "one.mbox", *FROM, "--mailbox", "INBOX").code == 0
    run("account", "add", "bob@example.com")
    assert run("import", "mbox", "one.mbox", "--to", "bob@example.com").code == 0
    run("export", "eml", "a", *FROM)
    run("export", "eml", "b", "--from", "bob@example.com")
    assert contents(Path("a")) == contents(Path("b"))


@pytest.mark.usefixtures("alice")
def test_a_maildir_keeps_folders_and_flags(run: Runner) -> None:
    for folder in ("", ".Work.Caf&AOk-", ".Trash"):
        for part in ("cur", "new", "tmp"):
            Path("in", folder, part).mkdir(parents=True)
    Path("in/.Work.Caf&AOk-/dovecot-keywords").write_text("0 $Label1\n1 urgent\n")
    for name, text in (
        ("new/1.a", b"Subject: new\n\n"),
        ("cur/2.b:2,FRS", b"Subject: flags\n\n"),
        ("cur/3.c:2,ST", b"Subject: deleted\n\n"),
        (".Work.Caf&AOk-/cur/4.d:2,Pab", b"Subject: keywords\n\n"),
    ):
        Path("in", name).write_bytes(text)
    os.utime("in/new/1.a", (1_500_000_000, 1_500_000_000))
    assert run("import", "maildir", "in", *TO).lines[-1]["imported"] == 4
    assert run("export", "maildir", "out", *FROM).code == 0
    found = {path.read_bytes().split()[1].decode(): path for path in Path("out").glob("**/cur/*")}
    names = {
        subject: (path.parent.parent.name, path.name.partition(":2,")[2]) for subject, path in found.items()
    }
    assert names == {
        "new": ("out", ""),
        "flags": ("out", "FRS"),
        "deleted": (".Trash", "S"),
        "keywords": (".Work.Caf&AOk-", "Pab"),
    }
    assert found["new"].stat().st_mtime == 1_500_000_000
    assert Path("out/.Work.Caf&AOk-/dovecot-keywords").read_text() == "0 $label1\n1 urgent\n"


@pytest.mark.parametrize("name", ["Café", "a.b/c", "~&~", "日本", ".", "x" * 50])
def test_any_mailbox_name_can_be_a_folder(name: str) -> None:
    folder = maildir.encode_name(name)
    assert folder.isascii()
    assert "." not in folder
    assert "/" not in folder
    assert maildir.decode_name(folder) == name


def test_a_folder_name_that_is_not_utf_7_is_taken_as_it_is() -> None:
    assert [maildir.decode_name(name) for name in ("Café", "R&D", "&!!-", "&A-")] == [
        "Café",
        "R&D",
        "&!!-",
        "&A-",
    ]


@pytest.mark.usefixtures("alice")
def test_resume_adds_only_what_is_missing(run: Runner) -> None:
    Path("d").mkdir()
    for number in range(3):
        Path(f"d/{number}.eml").write_bytes(MESSAGE + b"%d" % number)
    run("import", "eml", "d/0.eml", *TO)
    done = run("import", "eml", "d", *TO, "--resume")
    assert (done.lines[-1]["imported"], done.lines[-1]["skipped"]) == (2, 1)
    # In another Mailbox it is another thing.
    assert run("import", "eml", "d/0.eml", *TO, "--mailbox", "Archive", "--resume").lines[-1]["imported"] == 1


@pytest.mark.usefixtures("alice")
def test_bad_messages_are_named_and_the_others_come_in(run: Runner) -> None:
    Path("d").mkdir()
    Path("d/bad.eml").write_bytes(b"no header field here")
    Path("d/good.eml").write_bytes(MESSAGE)
    Path("d/link.eml").symlink_to("nowhere")
    done = run("import", "eml", "d", "d/link.eml", *TO)
    assert done.code == 1
    assert "there is no such file" in done.err
    done = run("import", "eml", "d", *TO)
    assert done.code == 1
    (failure,) = [line for line in done.lines if "failed" in line]
    assert failure["failed"] == "d/bad.eml"
    assert "not an RFC 5322 message" in failure["reason"]
    assert done.lines[-1] | {"done": 0, "total": 0} == {
        "done": 0, "total": 0, "imported": 1, "skipped": 0, "failures": 1,
    }  # fmt: skip


@pytest.mark.usefixtures("alice")
def test_a_full_account_ends_the_import_with_the_remedy(run: Runner) -> None:
    run("account", "quota", "alice@example.com", "60B")
    Path("a.mbox").write_bytes(b"".join(b"From -\n" + MESSAGE + b"%d\n\n" % number for number in range(5)))
    done = run("import", "mbox", "a.mbox", *TO)
    assert done.code == 1
    assert "the account is full" in done.err
    assert "--resume" in done.err
    assert run("db", "check").code == 0


@pytest.mark.usefixtures("alice")
def test_wrong_sources_and_targets_are_refused(run: Runner) -> None:
    Path("a.eml").write_bytes(MESSAGE)
    Path("full").mkdir()
    Path("full/x").touch()
    for argv, words in (
        (("import", "mbox", "nope", *TO), "no such file"),
        (("import", "maildir", "full", *TO), "is it a Maildir?"),
        (("import", "eml", "a.eml", "--to", "nobody@x"), "no user or account"),
        (("export", "maildir", "full", *FROM), "is there already"),
        (("export", "eml", "new", *FROM, "--mailbox", "Nope"), "there are: Archive, Drafts, INBOX"),
    ):
        done = run(*argv)
        assert words in done.err, done.err
        assert done.code == 1


@pytest.mark.usefixtures("alice")
def test_parsing_in_another_process_gives_the_same(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "IN_PROCESSES", 0)
    monkeypatch.setattr(imports, "BATCH_MESSAGES", 2)
    Path("a.mbox").write_bytes(b"".join(b"From -\n" + MESSAGE + b"%d\n\n" % number for number in range(9)))
    began = time.monotonic()
    assert run("import", "mbox", "a.mbox", *TO).lines[-1]["imported"] == 9
    assert time.monotonic() - began < 30
    assert run("db", "check", "--json").json == {"problems": []}


@pytest.mark.usefixtures("alice")
def test_hostile_mailbox_names_stay_inside_the_target(run: Runner) -> None:
    Path("a.eml").write_bytes(MESSAGE)
    run("import", "eml", "a.eml", *TO, "--mailbox", "../../.x")
    for format in ("eml", "mbox", "maildir"):
        assert run("export", format, f"out/{format}", *FROM).code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["a.eml", "data", "out"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["eml", "maildir", "mbox"]
