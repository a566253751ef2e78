"""`veredus serve` and `veredus dev` as real processes."""

import signal
import smtplib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.running import Runner, free_port, server, wait_for
from veredus.cli import busy, dev
from veredus.cli.common import Failure

ALICE, BOB = ("alice@localhost", "alice"), ("bob@localhost", "bob")
MESSAGE = "From: x@example.org\nSubject: {}\n\nhello\n"


class Jmap:
    """Just enough of a client."""

    def __init__(self, port: int, auth: tuple[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._options: dict[str, Any] = {"auth": auth, "trust_env": False, "follow_redirects": True}
        self.session = self._request("GET", f"{self.url}/.well-known/jmap")
        (self.account,) = self.session["accounts"]

    def _request(self, verb: str, url: str, **arguments: Any) -> Any:
        return httpx.request(verb, url, **self._options, **arguments).raise_for_status().json()

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        request = {
            "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
            "methodCalls": [[method, {"accountId": self.account, **arguments}, "0"]],
        }
        response = self._request("POST", self.session["apiUrl"], json=request)
        name, result, _ = response["methodResponses"][0]
        assert name == method, result
        found: dict[str, Any] = result
        return found

    def subjects(self, **filter: Any) -> list[str]:
        ids = self.call("Email/query", filter=filter, limit=1000)["ids"]
        return [one["subject"] for one in self.call("Email/get", ids=ids, properties=["subject"])["list"]]


def send(
    kind: Callable[..., smtplib.SMTP], port: int, subject: str, *to: str
) -> dict[str, tuple[int, bytes]]:
    with kind("127.0.0.1", port) as client:
        return client.sendmail("x@example.org", list(to), MESSAGE.format(subject))


def test_serve_runs_delivers_and_stops_when_told(run: Runner, tmp_path: Path) -> None:
    Path("password").write_text("secret")
    run("account", "add", "alice@example.com", "--password-file", "password")
    http, smtp, lmtp = free_port(), free_port(), free_port()
    Path("veredus.toml").write_text(
        f'[http]\nlisten = ["127.0.0.1:{http}"]\n[smtp]\nlisten = ["127.0.0.1:{smtp}"]\n'
        f'[lmtp]\nlisten = ["127.0.0.1:{lmtp}"]\n'
    )
    log = tmp_path / "log"
    with server("serve", "--pidfile", "pid", log=log, cwd=tmp_path) as process:
        wait_for(lmtp, process, log)
        assert httpx.get(f"http://127.0.0.1:{http}/readyz", trust_env=False).status_code == 200
        assert Path("pid").read_text() == f"{process.pid}\n"
        send(smtplib.SMTP, smtp, "by SMTP", "alice@example.com")
        send(smtplib.LMTP, lmtp, "by LMTP", "alice@example.com")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(smtplib.SMTP, smtp, "to nobody", "nobody@example.com")
        jmap = Jmap(http, ("alice@example.com", "secret"))
        assert sorted(jmap.subjects()) == ["by LMTP", "by SMTP"]
        # Other commands work on the data meanwhile.
        Path("a.mbox").write_text("".join(f"From -\n{MESSAGE.format(n)}\n" for n in range(150)))
        assert run("import", "mbox", "a.mbox", "--to", "alice@example.com").code == 0
        assert len(jmap.subjects()) == 152
        assert run("backup", "create", "b").code == 0
        assert "is running" in run("serve", "--pidfile", "pid").err
        second = run("serve")
        assert second.code == 1
        assert f"127.0.0.1:{http} is in use by" in second.err
        assert f"(pid {process.pid})" in second.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert '"event":"ready"' in log.read_text()
    assert '"event":"stopped"' in log.read_text()
    assert not Path("pid").exists()
    assert run("db", "check").out == "good\n"
    assert run("backup", "verify", "b").code == 0


def test_dev_catches_all_mail_and_keeps_it_until_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    http, smtp, lmtp = free_port(), free_port(), free_port()
    argv = ("dev", "--demo", "60", "--http-port", http, "--smtp-port", smtp, "--lmtp-port", lmtp)
    with server(*argv, log=log, cwd=tmp_path) as process:
        wait_for(lmtp, process, log)
        alice, bob = Jmap(http, ALICE), Jmap(http, BOB)
        assert len(alice.subjects()) == len(bob.subjects()) == 60
        send(smtplib.SMTP, smtp, "to both", "bob@localhost", "nobody@elsewhere.example")
        send(smtplib.LMTP, lmtp, "by name", "Bob+tag@elsewhere.example")
        inbox = alice.call("Mailbox/query", filter={"role": "inbox"})["ids"][0]
        assert alice.subjects(inMailbox=inbox, subject="both") == ["to both"]
        assert sorted(bob.subjects(**{"from": "x@example.org"})) == ["by name", "to both"]
        for tag, code in (("tempfail", 451), ("reject", 550), ("452", 452)):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                send(smtplib.SMTP, smtp, "refused", f"bob+{tag}@localhost")
            assert refused.value.recipients[f"bob+{tag}@localhost"][0] == code
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert f"JMAP session  http://127.0.0.1:{http}/.well-known/jmap" in log.read_text()
    with server(*argv, log=log, cwd=tmp_path) as process:
        wait_for(lmtp, process, log)
        assert len(Jmap(http, ALICE).subjects()) == 61


def test_dev_ephemeral_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    http = free_port()
    argv = ("dev", "--ephemeral", "--demo", "20", "--smtp-port", "0", "--lmtp-port", "0", "--http-port", http)
    with server(*argv, log=log, cwd=tmp_path) as process:
        wait_for(http, process, log)
        assert len(Jmap(http, BOB).subjects()) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_dev_offers_ports_that_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = (f"127.0.0.1:{port}", "127.0.0.1:0", "127.0.0.1:0")
        with pytest.raises(
            Failure, match=r"is in use by .*\(pid \d+\) - these are free: veredus dev --http-port"
        ):
            dev._free(wanted, Path("d"))
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
        assert dev._free(wanted, Path("d"))[0] == busy.next_free(wanted[0]) != wanted[0]


def test_a_port_or_address_that_cannot_be_had_is_explained() -> None:
    assert busy.explain(["127.0.0.1:0"]) is None
    assert "no address of this machine" in (busy.explain(["192.0.2.1:25"]) or "")


@pytest.mark.parametrize("content", [None, "no PEM"])
@pytest.mark.usefixtures("alice")
def test_a_certificate_that_cannot_be_read_is_named(
    run: Runner, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        Path("cert.pem").write_text(content)
    for name, value in (("TLS__MODE", "files"), ("TLS__CERT", "cert.pem"), ("TLS__KEY", "key.pem")):
        monkeypatch.setenv(f"VEREDUS__{name}", value)
    for section in ("HTTP", "LMTP"):
        monkeypatch.setenv(f"VEREDUS__{section}__LISTEN", "127.0.0.1:0")
    failed = run("serve")
    assert failed.code == 1
    assert "cert.pem, tls.key " in failed.err


def test_demo_mail_is_the_same_each_time_and_varied() -> None:
    from datetime import UTC, datetime

    from veredus.cli.demo.mail import demo_mail

    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    mail = demo_mail(("Alice", "alice@localhost"), 300, now)
    assert mail == demo_mail(("Alice", "alice@localhost"), 300, now)
    assert len(mail) == 300
    assert all(one.received and one.received <= now for one in mail)
    assert {one.mailbox[0] for one in mail} >= {
        "INBOX",
        "Sent",
        "Drafts",
        "Junk",
        "Lists",
        "Newsletters",
        "Archive",
    }
    joined = b"".join(one.data for one in mail)
    for kind in (
        b"multipart/alternative",
        b"multipart/mixed",
        b"image/png",
        b"application/pdf",
        b"References:",
    ):
        assert kind in joined
    unread = sum("$seen" not in one.keywords for one in mail)
    assert 20 < unread < 150
    assert any("$flagged" in one.keywords for one in mail)
