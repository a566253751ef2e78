"""`veredus jmap` against a real server."""

import io
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from cli.running import PROGRAM, Runner
from veredus.pytest_plugin.server import JmapAccount, JmapServer

MESSAGE = b"From: Bob <bob@example.org>\nSubject: number %d\n\nbody\n"


@pytest.fixture
def jmap(
    run: Runner, jmap_server: JmapServer, jmap_account: JmapAccount, monkeypatch: pytest.MonkeyPatch
) -> Runner:
    """A command of `veredus jmap` as alice, who has three Emails."""
    for n in range(3):
        jmap_server.deliver(MESSAGE % n, jmap_account.address)
    for name, value in environment(jmap_server, jmap_account).items():
        monkeypatch.setenv(name, value)
    return lambda *argv: run("jmap", *argv)


def environment(server: JmapServer, account: JmapAccount) -> dict[str, str]:
    return {
        "VEREDUS_JMAP_SERVER": server.url,
        "VEREDUS_JMAP_USER": account.address,
        "VEREDUS_JMAP_PASSWORD": account.password,
    }


def give(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_the_session_is_shown(jmap: Runner, jmap_account: JmapAccount) -> None:
    shown = jmap("session").json
    assert shown["primaryAccounts"]["urn:ietf:params:jmap:mail"] == jmap_account.id
    assert shown["apiUrl"]


def test_emails_are_found_by_search_and_by_filter(jmap: Runner) -> None:
    found = jmap("query", "Email", "in:inbox from:@example.org", "-p", "subject", "--sort", "subject").lines
    assert [email["subject"] for email in found] == ["number 0", "number 1", "number 2"]
    by_filter = jmap("query", "Email", "--filter", '{"subject": "1"}').lines
    assert [email["subject"] for email in by_filter] == ["number 1"]
    assert "bodyValues" not in by_filter[0]
    assert [mailbox["role"] for mailbox in jmap("query", "Mailbox", "-f", '{"role": "inbox"}').lines] == [
        "inbox"
    ]
    assert len(jmap("query", "Email", "--limit", "2").lines) == 2


def test_ids_of_one_command_are_what_another_reads(jmap: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = jmap("query", "Email", "--ids").out
    give(monkeypatch, ids.encode())
    got = jmap("get", "Email", "-", "--properties", "subject").lines
    assert [email["id"] for email in got] == ids.split()
    missing = jmap("get", "Email", ids.split()[0], "nobody", "-p", "id")
    assert (len(missing.lines), missing.code, missing.err) == (1, 1, "veredus: not found: nobody\n")


def test_a_method_is_called_with_arguments_from_everywhere(
    jmap: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "args.json").write_text('{"limit": 1}')
    give(monkeypatch, b'{"limit": 2}')
    counts = [len(jmap("call", "Email/query", given).json["ids"]) for given in ("@args.json", "-", "{}")]
    assert counts == [1, 2, 3]


def test_records_are_set_and_changes_told(jmap: Runner) -> None:
    state = jmap("call", "Mailbox/get", '{"ids": []}').json["state"]
    done = jmap(
        "set", "Mailbox", '{"create": {"a": {"name": "Work", "parentId": null}}, "destroy": ["nobody"]}'
    )
    assert (done.code, done.err) == (1, "veredus: 1 failed\n")
    id = done.json["created"]["a"]["id"]
    assert done.json["notDestroyed"]["nobody"]["type"] == "notFound"
    assert [page["created"] for page in jmap("changes", "Mailbox", state).lines] == [[id]]


def test_octets_go_up_and_come_down_and_overwrite_nothing(
    jmap: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    blob = jmap("upload", "a.bin", "--type", "image/png").json
    assert (blob["size"], blob["type"]) == (256, "image/png")
    give(monkeypatch, bytes(range(256)))
    assert jmap("upload", "-").json["size"] == 256
    assert jmap("download", blob["blobId"], "-o", "b.bin").code == 0
    assert (tmp_path / "b.bin").read_bytes() == bytes(range(256))
    again = jmap("download", blob["blobId"], "-o", "b.bin")
    assert (again.code, again.err) == (
        1, "veredus: b.bin is there already - name a new one, or move it away first\n",
    )  # fmt: skip
    gone = jmap("download", "Gnothing", "-o", "c.bin")
    assert gone.code == 1
    assert "HTTP 404" in gone.err
    assert not (tmp_path / "c.bin").exists()


def test_watching_goes_on_where_it_stopped(
    jmap: Runner, jmap_server: JmapServer, jmap_account: JmapAccount
) -> None:
    watch = ("watch", "Email", "--cursor", "cursor.json", "--all", "-p", "subject")
    first = jmap(*watch, "--limit", "3").lines
    assert {event["record"]["subject"] for event in first} == {"number 0", "number 1", "number 2"}
    assert {event["event"] for event in first} == {"created"}
    jmap("set", "Email", json.dumps({"destroy": [first[0]["record"]["id"]]}))
    # What was not yet behind the cursor comes again; and then Ctrl-C ends it without a word.
    argv = [*PROGRAM, "jmap", *watch]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    events = map(json.loads, iter(process.stdout.readline, ""))
    destroyed = next(event for event in events if event["event"] == "destroyed")
    assert destroyed == {
        "event": "destroyed",
        "type": "Email",
        "account": jmap_account.id,
        "id": first[0]["record"]["id"],
    }
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (err, process.returncode) == ("", 130)
    jmap_server.deliver(MESSAGE % 9, jmap_account.address)
    assert "number 9" in jmap(*watch, "--limit", "1").out


def test_a_reader_that_has_enough_is_no_error(jmap: Runner) -> None:
    command = " ".join([*PROGRAM, "jmap", "query", "Email", "-p", "subject", "|", "head", "-n", "1"])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout)["subject"].startswith("number")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("query", "Email", "form:bob"), 2, "at character 1: no operator 'form'"),
        (("query", "Email", "in:Play"), 2, "no Mailbox 'Play'"),
        (("query", "Mailbox", "bob"), 2, "a search is for Email"),
        (("call", "Email/query", "{"), 2, "the arguments are no JSON"),
        (("call", "Email/query", "[]"), 2, "must be a JSON object"),
        (("call", "Email/nonsense"), 1, "unknownMethod"),
        (("get", "ContactCard"), 1, "no capability urn:ietf:params:jmap:contacts"),
        (("get", "Email", "--account", "nobody"), 2, "has no account 'nobody'; there are:"),
        (("get", "Email", "--password-file", "missing"), 1, "missing: No such file or directory"),
        (("watch", "Email", "Email"), 2, "a data type is named twice"),
        (("set", "Email", '{"destroy": "a"}'), 2, "destroy must be a JSON array"),
        (("set", "Email", '{"chunk": true}'), 2, "no /set has an argument chunk"),
        (("session", "--user", "a:b"), 2, "a user name with a colon"),
        (("session", "--server", "http://127.0.0.1:9"), 1, "cannot connect"),
        (("session", "--user", "mallory"), 1, "HTTP 401: the credentials are refused"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(jmap: Runner, argv: tuple[str, ...], code: int, said: str) -> None:
    done = jmap(*argv)
    assert done.code == code
    assert said in done.err
    assert done.err.startswith("veredus: ")
    assert done.err.count("\n") == 1


def test_what_is_missing_is_asked_for(run: Runner, jmap_server: JmapServer, tmp_path: Path) -> None:
    assert "which server?" in run("jmap", "session").err
    assert "as whom?" in run("jmap", "session", "-s", jmap_server.url).err
    assert "the password of alice?" in run("jmap", "session", "-s", jmap_server.url, "-u", "alice").err


def test_a_token_comes_from_a_file_or_the_environment(
    run: Runner, jmap_server: JmapServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("wrong\n")
    assert "HTTP 401" in run("jmap", "session", "-s", jmap_server.url, "--token-file", "token").err
    monkeypatch.setenv("VEREDUS_JMAP_TOKEN", "wrong")
    assert "HTTP 401" in run("jmap", "session", "-s", jmap_server.url).err
