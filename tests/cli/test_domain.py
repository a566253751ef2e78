"""`veredus domain`: the domains that mail is signed for."""

from pathlib import Path

from cli.running import Runner


def test_a_domain_is_added_listed_shown_and_removed(run: Runner) -> None:
    added = run("domain", "add", "Bücher.example")
    assert added.out.startswith("added xn--bcher-kva.example; mail is signed with ")
    assert "veredus dns records xn--bcher-kva.example" in added.err
    made = run("domain", "add", "example.com", "--json").json
    assert [key["algorithm"] for key in made["keys"]] == ["rsa-sha256", "ed25519-sha256"]
    assert run("domain", "show", "example.com", "--json").json == made
    assert [one["name"] for one in run("domain", "ls", "--json").json] == [
        "example.com",
        "xn--bcher-kva.example",
    ]
    assert "xn--bcher-kva.example  (bücher.example)  signs with " in run("domain", "ls").out
    assert "rsa-sha256  signing since 2" in run("domain", "show", "bücher.example").out
    assert run("domain", "rm", "example.com").code == 2  # nobody to ask
    assert run("domain", "rm", "example.com", "--yes").out == "mail from example.com is not signed any more\n"
    gone = run("domain", "show", "example.com")
    assert (gone.code, "`veredus domain add example.com` begins it" in gone.err) == (1, True)


def test_keys_are_changed_in_two_steps(run: Runner) -> None:
    first = run("domain", "add", "example.com", "--json").json
    begun = run("domain", "rotate", "example.com")
    assert begun.out.startswith("new keys of example.com, not used yet: ")
    assert "new keys wait" in run("domain", "ls").out
    used = run("domain", "rotate", "example.com", "--now", "--json").json
    status = {key["selector"]: key["status"] for key in used["keys"]}
    assert all(status[key["selector"]] == "retired" for key in first["keys"])
    assert sorted(status.values()) == ["retired", "retired", "signing", "signing"]


def test_no_command_shows_a_private_key(run: Runner, tmp_path: Path) -> None:
    run("domain", "add", "example.com")
    run("domain", "rotate", "example.com")
    told = "".join(
        run("domain", *words).out for words in (("ls", "--json"), ("show", "example.com", "--json"))
    )
    told += "".join(run("domain", *words).out for words in (("ls",), ("show", "example.com")))
    assert "MIIE" not in told  # how PKCS #8 of an RSA key begins
    assert "MC4CAQ" not in told  # and that of an Ed25519 key
    assert '"key"' not in told


def test_what_cannot_be_done_is_one_line(run: Runner) -> None:
    run("domain", "add", "example.com")
    for words in (
        ("add", "localhost"),
        ("add", "a b"),
        ("rotate", "example.org"),
        ("rm", "x.example", "--yes"),
    ):
        failed = run("domain", *words)
        assert failed.code == 1
        assert failed.err.startswith("veredus: ")
        assert failed.err.count("\n") == 1
    assert run("domain", "add", "example.com").err == "veredus: example.com is there already\n"
