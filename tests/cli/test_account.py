"""`veredus account` and `veredus token`."""

import io
from pathlib import Path

import pytest

from cli.running import Runner


def test_add_makes_an_account_that_is_ready(run: Runner) -> None:
    done = run("account", "add", "Alice@Example.com", "--quota", "1GiB", "--json")
    assert done.code == 0
    assert done.json["user"] == "alice@example.com"
    assert len(done.json["password"]) == 19
    shown = run("account", "show", "alice@example.com", "--json").json
    assert shown["account"] == done.json["account"]
    assert (shown["maxOctets"], shown["messages"], shown["disabled"]) == (2**30, 0, False)
    assert shown["addresses"] == ["alice@example.com"]


def test_a_given_password_is_not_shown(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("correct horse\n")
    done = run("account", "add", "alice@example.com", "--password-file", "secret")
    assert "password" not in done.out + done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("battery staple\n"))
    assert run("account", "passwd", "alice@example.com", "--password-stdin").code == 0
    assert "password:" in run("account", "passwd", "alice@example.com").out


def test_what_cannot_be_done_is_one_line(run: Runner, alice: str) -> None:
    for argv, words in (
        (("account", "add", "alice@example.com"), "exists already"),
        (("account", "add", "nonsense"), "local@domain"),
        (("account", "show", "bob@example.com"), "no user"),
        (("account", "passwd", "bob@example.com"), "no user"),
        (("account", "disable", "bob@example.com"), "no user"),
        (("account", "grant", "alice@example.com", "bob@example.com"), "no user or account"),
        (("account", "revoke-grant", "alice@example.com", alice), "no grant"),
        (("account", "alias", "add", "alice@example.com", "alice@example.com"), "in use"),
        (("account", "alias", "rm", "info@example.com"), "nobody's"),
        (("token", "revoke", "k1"), "no token"),
    ):
        done = run(*argv)
        assert (done.code, done.out) == (1, ""), argv
        assert words in done.err, done.err
        assert done.err.count("\n") == 1, done.err


def test_a_command_on_no_data_says_so(run: Runner) -> None:
    done = run("account", "ls", "--data-dir", "elsewhere")
    assert done.code == 1
    assert "there is no data in elsewhere" in done.err
    assert not Path("elsewhere").exists()


def test_wrong_use_ends_with_2(run: Runner, alice: str) -> None:
    assert run("account", "quota", "alice@example.com", "5XiB").code == 2
    assert run("account", "quota", "alice@example.com", "5MiB", "--messages", "x").code == 2
    assert run("account", "rm", "alice@example.com").code == 2  # nobody to ask


def test_quota_changes_one_limit_and_keeps_the_other(run: Runner, alice: str) -> None:
    run("account", "quota", "alice@example.com", "5MiB", "--messages", "10")
    run("account", "quota", "alice@example.com", "none")
    shown = run("account", "show", "alice@example.com", "--json").json
    assert (shown["maxOctets"], shown["maxMessages"]) == (None, 10)


def test_grants_aliases_and_disabling(run: Runner, alice: str) -> None:
    run("account", "add", "bob@example.com")
    assert run("account", "grant", "bob@example.com", "alice@example.com", "--access", "write").code == 0
    assert run("account", "show", "bob@example.com", "--json").json["grants"] == {alice: "write"}
    run("account", "revoke-grant", "bob@example.com", "alice@example.com")
    assert run("account", "show", "bob@example.com", "--json").json["grants"] == {}
    run("account", "alias", "add", "Info@example.com", "alice@example.com")
    assert run("account", "alias", "ls", "--json").json["info@example.com"] == "alice@example.com"
    run("account", "alias", "rm", "info@example.com")
    assert "info@example.com" not in run("account", "alias", "ls").out
    run("account", "disable", "bob@example.com")
    assert "disabled" in run("account", "ls").out
    run("account", "enable", "bob@example.com")
    assert "disabled" not in run("account", "ls").out


def test_rm_takes_the_mail_along(run: Runner, alice: str) -> None:
    Path("a.eml").write_bytes(b"Subject: a\n\nb\n")
    assert run("import", "eml", "a.eml", "--to", "alice@example.com").code == 0
    assert run("account", "rm", "alice@example.com", "--yes").code == 0
    assert run("account", "ls", "--json").json == []
    assert run("db", "check").out == "good\n"
    again = run("account", "add", "alice@example.com", "--json").json["account"]
    assert again != alice


def test_a_token_is_shown_once_and_can_be_revoked(run: Runner, alice: str) -> None:
    made = run("token", "create", "alice@example.com", "--name", "laptop", "--scope", "read", "--json").json
    (listed,) = run("token", "ls", "--json").json
    assert (listed["id"], listed["scope"], listed["name"]) == (made["id"], "read", "laptop")
    assert made["token"] not in run("token", "ls").out
    assert run("token", "revoke", made["id"]).code == 0
    assert run("token", "ls", "alice@example.com", "--json").json == []
