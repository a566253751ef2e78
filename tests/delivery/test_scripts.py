"""What scripts do with mail: mailboxes, keywords, departures, replies (RFC 5228 and its extensions)."""

import asyncio
import smtplib

import pytest

from delivery.world import ALICE, BOB, MESSAGE, SENDER, World
from veredus.delivery import memory, places
from veredus.delivery.filing import Again
from veredus.smtp.server import serve as serve_smtp

_REQUIRE = (
    'require ["fileinto", "copy", "mailbox", "special-use", "mailboxid", "imap4flags", "editheader", "reject", "ereject",'
    ' "envelope", "variables", "subaddress", "body", "duplicate", "include", "enotify", "environment"];\n'
)

# Script, and what comes of MESSAGE.
TABLE: dict[str, tuple[str, list[str]]] = {
    "nothing": ("", ["Inbox"]),
    "keep": ("keep;", ["Inbox"]),
    "discard": ("discard;", []),
    "discard and keep": ("discard; keep;", ["Inbox"]),
    "fileinto": ('fileinto "Archive";', ["Archive"]),
    "fileinto two": ('fileinto "Archive"; fileinto "Sent";', ["Archive, Sent"]),
    "fileinto copy": ('fileinto :copy "Archive";', ["Archive, Inbox"]),
    "the same twice": ('fileinto "Archive"; fileinto "Archive";', ["Archive"]),
    "inbox in any case": ('fileinto "iNbOx";', ["Inbox"]),
    "missing mailbox": ('fileinto "Nowhere";', ["Inbox"]),
    "missing, and one that is there": ('fileinto "Nowhere"; fileinto "Sent";', ["Inbox, Sent"]),
    "create": ('fileinto :create "Lists/Python";', ["Lists/Python"]),
    "create below the inbox": ('fileinto :create "INBOX/Friends";', ["Inbox/Friends"]),
    "create with an empty name": ('fileinto :create "Lists//Python";', ["Inbox"]),
    "create with a control character": ('fileinto :create "Li\tsts";', ["Inbox"]),
    "create too deep": (f'fileinto :create "{"/".join("abcdefghijklmnopqrstuvw")}";', ["Inbox"]),
    "create too long a name": (f'fileinto :create "{"x" * 500}";', ["Inbox"]),
    "special use": ('fileinto :specialuse "\\\\Junk" "Spam";', ["Junk"]),
    "special use that is nowhere": ('fileinto :specialuse "\\\\Flagged" "Sent";', ["Sent"]),
    "mailboxexists": ('if mailboxexists "Archive" { fileinto "Archive"; }', ["Archive"]),
    "not mailboxexists": ('if not mailboxexists ["Archive", "No"] { discard; }', []),
    "mailbox of an id": (
        'if mailboxidexists "nothing" { discard; } fileinto :mailboxid "nothing" "Sent";',
        ["Sent"],
    ),
    "special use exists": (
        'if specialuse_exists ["\\\\Junk", "\\\\Sent"] { fileinto "Sent"; }',
        ["Sent"],
    ),
    "special use of another mailbox": (
        'if specialuse_exists "Sent" "\\\\Junk" { fileinto "Sent"; }',
        ["Inbox"],
    ),
    "a global script": ('include :optional :global "all"; fileinto "Sent";', ["Sent"]),
    "a path that is too long": (f'fileinto "{"a/" * 3000}";', ["Inbox"]),
    "a path in another form": ('fileinto :create "Caf\u00e9"; fileinto "Cafe\u0301";', ["Caf\u00e9"]),
    "flags": (
        'keep :flags ["\\\\Seen", "\\\\Flagged", "Work", "\\\\Deleted"];',
        ["Inbox $flagged $seen work"],
    ),
    "addflag": ('addflag "\\\\Answered"; fileinto "Sent";', ["Sent $answered"]),
    "flags that differ": (
        'fileinto :flags "\\\\Seen" "Archive"; fileinto "Sent"; keep;',
        ["Archive $seen", "Inbox, Sent"],
    ),
    "what is no keyword": ('keep :flags ["a(b", "good"];', ["Inbox good"]),
    "redirect": ('redirect "carol@example.org";', ["redirect carol@example.org"]),
    "redirect copy": ('redirect :copy "carol@example.org";', ["Inbox", "redirect carol@example.org"]),
    "redirect twice": ('redirect "c@example.org"; redirect "C@example.org";', ["redirect c@example.org"]),
    "redirect two": (
        'redirect "c@example.org"; redirect "d@example.org";',
        ["redirect c@example.org", "redirect d@example.org"],
    ),
    "redirect to oneself": ('redirect "alice@example.com";', ["Inbox"]),
    "redirect to one's sub-address": ('redirect "alice+x@example.com";', ["Inbox"]),
    "redirect to a neighbour": ('redirect "bob@example.com";', ["redirect bob@example.com"]),
    "an error": ('fileinto "Archive"; redirect "not an address";', ["Inbox"]),
    "envelope": (f'if envelope "from" "{SENDER}" {{ fileinto "Archive"; }}', ["Archive"]),
    "environment": ('if environment "remote-ip" "192.0.2.1" { fileinto "Archive"; }', ["Archive"]),
    "body": ('if body :contains "meet" { fileinto "Archive"; }', ["Archive"]),
    "variables": (
        'if header :matches "subject" "* on *" { fileinto :create "By day/${2}"; }',
        ["By day/Friday"],
    ),
    "notify": (
        'notify :message "You have mail" "mailto:pager@example.org";',
        ["Inbox", "notification pager@example.org"],
    ),
    "notify and discard": (
        'notify "mailto:a@example.org,b@example.org?cc=c@example.org"; discard;',
        ["notification a@example.org", "notification b@example.org", "notification c@example.org"],
    ),
}


@pytest.mark.parametrize("case", TABLE)
async def test_a_script_decides_where_a_message_goes(world: World, case: str) -> None:
    text, expected = TABLE[case]
    await world.script(_REQUIRE + text)
    [reply] = await world.deliver()
    assert reply.is_success
    assert await world.outcome() == expected


async def test_what_is_long_is_filed_alike(world: World) -> None:
    """Messages and scripts that are parsed, compiled and run in a thread."""
    comment = "# A long story.\n" * 3000
    await world.script(_REQUIRE + comment + 'if body :contains "the end" { fileinto "Archive"; }')
    await world.vacation()
    await world.deliver(MESSAGE + "A long story.\n" * 30_000 + "the end\n")
    assert await world.outcome() == ["Archive", f"vacation {SENDER}"]


async def test_an_edited_message_is_stored_as_the_script_left_it(every: World) -> None:
    world = every
    await world.script(
        _REQUIRE + 'fileinto "Archive"; addheader "X-Filed" "yes"; deleteheader "Subject"; keep;'
    )
    await world.deliver()
    by_subject = {email["subject"]: email for email in await world.emails()}
    assert set(by_subject) == {"Lunch on Friday", None}
    edited = await world.app.blobs.get(by_subject[None]["blobId"])
    assert edited is not None
    assert b"X-Filed: yes\r\n" in edited
    assert edited.endswith(b"Shall we meet?\r\n")
    assert by_subject[None]["size"] == len(edited)


async def test_what_is_redirected_has_its_sender_and_a_mark_and_no_return_path(world: World) -> None:
    await world.script('redirect "carol@example.org";')
    await world.deliver(MESSAGE, "alice+work@example.com")
    [sent] = await world.sent()
    assert sent.departure.sender.email == SENDER
    assert sent.data.startswith(b"Delivered-To: alice+work@example.com\r\nReceived: ")
    assert sent.field("Return-Path") is None


@pytest.mark.parametrize("mark", [ALICE, "ALICE+again@Example.com"])
async def test_what_has_passed_the_account_is_not_redirected_again(world: World, mark: str) -> None:
    await world.script('redirect "carol@example.org";')
    await world.deliver(f"Delivered-To: {mark}\n" + MESSAGE)
    assert await world.outcome() == ["Inbox"]
    await world.deliver(f"Delivered-To: {BOB}\n" + MESSAGE)
    assert await world.outcome() == ["Inbox", "redirect carol@example.org"]


async def test_redirects_to_each_other_end(world: World) -> None:
    """Alice to bob to alice: what comes back is kept."""
    await world.script(f'redirect "{BOB}";')
    await world.script(f'redirect "{ALICE}";', account=world.bob)
    await world.deliver()
    [first] = await world.sent()
    await world.deliver(first.data, BOB)
    [second] = await world.sent(world.bob)
    await world.deliver(second.data)
    assert await world.stored() == ["Inbox"]
    assert len(await world.sent()) == 1


@pytest.mark.parametrize("protocol", ["LMTP", "ESMTP"])
@pytest.mark.parametrize("action", ["reject", "ereject"])
async def test_a_rejection_is_the_reply_to_a_message_for_one(
    world: World, action: str, protocol: str
) -> None:
    await world.script(_REQUIRE + f'{action} "Not today.\nAsk again.";')
    [reply] = await world.deliver(protocol=protocol)
    assert (reply.code, reply.enhanced, reply.text) == (550, "5.7.1", "Not today.\nAsk again.")
    assert await world.outcome() == []


async def test_by_lmtp_each_recipient_rejects_alone(world: World) -> None:
    await world.script(_REQUIRE + 'reject "No";')
    replies = await world.deliver(MESSAGE, ALICE, BOB)
    assert [reply.code for reply in replies] == [550, 250]
    assert await world.stored(world.bob) == ["Inbox"]


@pytest.mark.parametrize(
    ("action", "type"),
    [("reject", "disposition-notification"), ("ereject", "delivery-status")],
)
async def test_a_rejection_for_one_of_many_is_a_message_to_the_sender(
    world: World, action: str, type: str
) -> None:
    await world.script(_REQUIRE + f'{action} "No lunch";')
    replies = await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    assert await world.outcome() == [f"reject {SENDER}"]
    [sent] = await world.sent()
    assert sent.departure.sender.email == ""
    assert f"report-type={type}" in (sent.field("Content-Type") or "")
    assert b"No lunch" in sent.data


async def test_a_reason_that_ascii_cannot_say_goes_by_mail(world: World) -> None:
    await world.script(_REQUIRE + 'reject "Kein Grüner";')
    [reply] = await world.deliver()
    assert reply.is_success
    assert await world.outcome() == [f"reject {SENDER}"]


async def test_who_cannot_be_told_of_a_rejection_is_delivered(world: World) -> None:
    await world.script(_REQUIRE + 'reject "No";')
    replies = await world.deliver(MESSAGE, ALICE, BOB, sender="", protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    assert await world.outcome() == ["Inbox"]


async def test_what_is_rejected_beyond_all_measure_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invented senders are not sent a flood of refusals."""
    monkeypatch.setattr(memory, "RATES", {"reject": 2})
    await world.script(_REQUIRE + 'reject "No";')
    for _ in range(3):
        await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert await world.outcome() == ["Inbox", f"reject {SENDER}", f"reject {SENDER}"]


async def test_a_duplicate_is_known_until_it_expires(every: World) -> None:
    world = every
    await world.script(_REQUIRE + 'if duplicate :seconds 3600 { fileinto "Trash"; }')
    for minutes, expected in (
        (0, ["Inbox"]),
        (30, ["Inbox", "Trash"]),
        (31, ["Inbox", "Inbox", "Trash"]),
    ):
        world.clock.pass_by(minutes=minutes)
        await world.deliver()
        assert await world.stored() == expected


async def test_a_duplicate_that_came_while_the_script_ran_is_one(
    every: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other copy is stored between the decision and the transaction."""
    world = every
    await world.script(_REQUIRE + "if duplicate { discard; }")
    carry_out = world.inbound._carry_out
    rounds = []

    async def overtaken(*arguments: object) -> object:
        if not rounds:
            rounds.append("other")
            world.configure()
            await world.deliver()
        try:
            return await carry_out(*arguments)  # type: ignore[arg-type]
        except Again:
            rounds.append("again")
            raise

    monkeypatch.setattr(world.inbound, "_carry_out", overtaken)
    [reply] = await world.deliver()
    assert reply.is_success
    assert rounds == ["other", "again"]
    assert await world.stored() == ["Inbox"]


async def test_scripts_include_one_another(every: World) -> None:
    world = every
    await world.script('require ["include"]; include "second";')
    await world.script('require ["include"]; include "third";', name="second", is_active=False)
    await world.script('require ["fileinto"]; fileinto "Archive";', name="third", is_active=False)
    await world.deliver()
    assert await world.stored() == ["Archive"]
    await world.script("discard;", name="third", is_active=False)
    await world.deliver()
    assert await world.stored() == ["Archive"]


async def test_scripts_that_include_themselves_end(world: World) -> None:
    await world.script('require ["include"]; include "main";')
    [reply] = await world.deliver()
    assert reply.is_success
    assert await world.stored() == ["Inbox"]


async def test_another_script_counts_for_the_next_message(every: World) -> None:
    world = every
    await world.deliver()
    await world.script("discard;")
    await world.deliver()
    await world.script("keep;")
    await world.deliver()
    await world.script("discard;", is_active=False)
    await world.deliver()
    assert await world.stored() == ["Inbox"] * 3


async def test_a_script_that_is_not_valid_any_more_keeps(world: World) -> None:
    await world.script('require "vnd.of.another.server"; discard;')
    await world.deliver()
    assert await world.stored() == ["Inbox"]


@pytest.mark.parametrize(
    ("reach", "expected"), [("nobody", ["Inbox"]), ("here", ["redirect bob@example.com"])]
)
async def test_what_cannot_leave_is_kept(world: World, reach: str, expected: list[str]) -> None:
    world.configure(reach=reach)
    await world.vacation()
    await world.script(_REQUIRE + 'redirect "carol@example.org"; notify "mailto:p@example.org";')
    await world.deliver()
    assert await world.outcome() == ["Inbox"]
    await world.script(_REQUIRE + f'redirect "{BOB}";')
    await world.deliver()
    assert await world.outcome() == sorted(["Inbox", *expected])


async def test_a_bomb_is_bounded(world: World) -> None:
    """Redirects, mailboxes, actions, steps: each ends at its limit, and the message is in the inbox."""
    world.configure(max_steps=1000)
    limits = world.terms
    many = "".join(f'redirect "r{n}@example.org";' for n in range(limits.max_redirects + 1))
    await world.script(many)
    await world.deliver()
    assert await world.outcome() == ["Inbox"]
    # Two steps each.
    tests = " ".join('if header :contains "subject" "a" { keep; }' for _ in range(limits.max_steps))
    await world.script(tests)
    await world.deliver()
    assert await world.outcome() == ["Inbox", "Inbox"]


async def test_senders_cannot_make_mailboxes_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MOST", 8)
    await world.script(_REQUIRE + 'if header :matches "subject" "*" { fileinto :create "${1}"; }')
    for number in range(4):
        await world.deliver(MESSAGE.replace("Lunch on Friday", f"Box {number}"))
    assert await world.stored() == ["Box 0", "Box 1", "Inbox", "Inbox"]


async def test_a_mailbox_that_goes_while_the_script_runs_is_the_inbox(
    every: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = every
    box = await world.mailbox("Work")
    await world.script(_REQUIRE + 'if mailboxexists "Work" { fileinto "Work"; } else { discard; }')
    plan = world.inbound._decisions.plan

    async def overtaken(*arguments: object) -> object:
        made = await plan(*arguments)  # type: ignore[arg-type]
        async with world.app.store.write(world.alice) as tx:
            await tx.delete("Mailbox", box)
        return made

    monkeypatch.setattr(world.inbound._decisions, "plan", overtaken)
    await world.deliver()
    assert await world.stored() == ["Inbox"]


async def test_a_client_hears_the_reason_of_a_rejection(world: World) -> None:
    """Over a socket, in lines (RFC 5429 §2.1)."""
    await world.script(_REQUIRE + 'ereject "Not today.\nAsk again.";')
    server = await serve_smtp(["127.0.0.1:0"], world.inbound, hostname="mx.example.com")
    host, _, port = server.addresses[0].rpartition(":")

    def send() -> tuple[int, bytes]:
        with smtplib.SMTP(host, int(port), local_hostname="mail.example.net") as smtp:
            smtp.ehlo()
            smtp.mail(SENDER)
            smtp.rcpt(ALICE)
            return smtp.data(MESSAGE)

    assert await asyncio.to_thread(send) == (550, b"5.7.1 Not today.\n5.7.1 Ask again.")
    await server.close()
