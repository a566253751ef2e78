"""The client without async: the same names, in a thread of its own."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from veredus.client import Email, JMAPError, MethodError, TransportError, Unauthorized
from veredus.client.cursors import FileCursor
from veredus.client.sync import Client, Created, Replica
from veredus.pytest_plugin.server import JmapAccount, JmapServer

ROOT = Path(__file__).parent.parent.parent
MESSAGE = b"From: bob@example.org\nSubject: %d\n\nbody\n"


def connect(server: JmapServer, account: JmapAccount) -> Client:
    return Client.connect(server.session_url, basic=(account.address, account.password))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "veredus-client"]


def test_the_generated_files_are_new() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.sync_client", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_daily_work_is_done_without_async(
    jmap_server: JmapServer, jmap_account: JmapAccount, tmp_path: Path
) -> None:
    for n in range(5):
        jmap_server.deliver(MESSAGE % n, jmap_account.address)
    with connect(jmap_server, jmap_account) as client:
        found = client.mail.search("in:inbox", properties=["subject"], page=2)
        assert sorted(email.subject for email in found) == list("01234")
        client.mail.flag(found.ids())
        assert len(client.mail.search("is:flagged").all()) == 5
        client.mail.unflag(client.mail.search("is:flagged"))
        assert client.mail.search("is:flagged").all() == []
        with client.batch() as batch:
            query = batch.query(Email, limit=1)
            emails = batch.get(Email, query.ids_ref, ["blobId"])
        with client.mail.raw(emails.list[0]) as raw:
            assert raw.type == "message/rfc822"
            assert raw.size == len(b"".join(raw))
        blob = client.upload(iter([b"a" * 10, b"b"]))
        assert blob.size == 11
        with client.download(blob.blob_id) as download:
            assert download.read() == b"aaaaaaaaaab"
        draft = client.mail.compose(to="bob@example.org", subject="Hi", text="Hi")
        (tmp_path / "a.txt").write_bytes(b"text")
        draft.attach(tmp_path / "a.txt")
        [part] = client.mail.attachments(draft.save())
        assert client.mail.save(part, tmp_path).name == "a (2).txt"
        assert {len(changes.updated) for changes in client.changes(Email, "0")} <= {0, 1, 2, 3, 4, 5, 6}


def test_what_happens_is_watched_and_acknowledged(
    jmap_server: JmapServer, jmap_account: JmapAccount, tmp_path: Path
) -> None:
    cursor = FileCursor(tmp_path / "cursor")
    with connect(jmap_server, jmap_account) as client:
        for subjects in (["0", "1"], ["2"]):
            for subject in subjects:
                jmap_server.deliver(MESSAGE % int(subject), jmap_account.address)
            seen = []
            with closing(client.watch(Email, cursor=cursor, start="all", properties=["subject"])) as events:
                for event in events:
                    match event:
                        case Created(record=email):
                            seen.append(email.subject)
                            event.ack()
                    if len(seen) == len(subjects):
                        break
            assert sorted(seen) == subjects


def test_a_replica_answers_without_the_server(
    jmap_server: JmapServer, jmap_account: JmapAccount, tmp_path: Path
) -> None:
    jmap_server.deliver(MESSAGE % 1, jmap_account.address)
    path = tmp_path / "replica.sqlite"
    with connect(jmap_server, jmap_account) as client, Replica.open(client, path) as replica:
        assert replica.sync().created > 1
    with Replica.open(None, path) as replica:
        assert [email.subject for email in replica.search("subject:1")] == ["1"]
        assert threads() == ["veredus-client"]
    assert threads() == []
    with pytest.raises(JMAPError):
        Replica.open(None, path, {"Email": "form:bob"})
    assert threads() == []
    # Events that need no ack, and end with the loop.
    with connect(jmap_server, jmap_account) as client, Replica.open(client, path) as replica:
        jmap_server.deliver(MESSAGE % 2, jmap_account.address)
        for event in replica.follow():
            match event:
                case Created(record=Email() as email):
                    assert email.subject == "2"
                    break


def test_errors_are_those_of_the_client_and_no_thread_is_left(
    jmap_server: JmapServer, jmap_account: JmapAccount
) -> None:
    with pytest.raises(Unauthorized), Client.connect(jmap_server.session_url, token="wrong"):
        pass
    with pytest.raises(TransportError), Client.connect("http://127.0.0.1:9/", token="x"):
        pass
    client = connect(jmap_server, jmap_account)
    with pytest.raises(RuntimeError, match="closed"):
        client.refresh_session()
    with client:
        with pytest.raises(MethodError, match="failed with"):
            client.call("Email/query", {"filter": {"nonsense": 1}})
        assert threads() == ["veredus-client"]
        left_open = iter(client.mail.search())
        list(left_open)
    assert threads() == []
    client.open()
    client.close()
    client.close()
    assert threads() == []


def test_a_loop_that_is_left_leaves_nothing_running(
    jmap_server: JmapServer, jmap_account: JmapAccount
) -> None:
    for n in range(4):
        jmap_server.deliver(MESSAGE % n, jmap_account.address)
    with connect(jmap_server, jmap_account) as client:
        for _ in client.mail.search(page=1):
            break
        half_read = iter(client.mail.search(page=1))
        next(half_read)
    assert threads() == []
    with pytest.raises(RuntimeError, match="closed"):
        next(half_read)


def test_several_threads_share_a_client(jmap_server: JmapServer, jmap_account: JmapAccount) -> None:
    results: list[int] = []
    with connect(jmap_server, jmap_account) as client:

        def work() -> None:
            results.extend(len(client.mail.mailboxes()) for _ in range(5))

        others = [threading.Thread(target=work) for _ in range(4)]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join(30)
    assert len(results) == 20
    assert len(set(results)) == 1


SCRIPT = """
import sys
from veredus.client.sync import Client
client = Client.connect(sys.argv[1], basic=(sys.argv[2], sys.argv[3])).open()
print("open", flush=True)
try:
    for event in client.watch("Email", start="all"):
        print("event", flush=True)
except KeyboardInterrupt:
    print("interrupted", len(client.mail.mailboxes()) > 0, flush=True)
    if "forget" in sys.argv:
        sys.exit()
    client.close()
"""


@pytest.mark.parametrize("how", ["close", "forget"])
def test_ctrl_c_ends_a_program_that_waits(
    jmap_server: JmapServer, jmap_account: JmapAccount, how: str
) -> None:
    jmap_server.deliver(MESSAGE % 0, jmap_account.address)
    argv = [sys.executable, "-c", SCRIPT, jmap_server.session_url, jmap_account.address, "secret", how]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    assert process.stdout.readline() == "event\n"
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted True\n", "", 0)
