"""Who is answered while alice is away, and how often (RFC 3834, RFC 5230, RFC 8621 §8)."""

import asyncio
from typing import Any

import pytest

from delivery.world import ALICE, BOB, MESSAGE, SENDER, Sent, World
from veredus.conditions import EVERYTHING
from veredus.delivery import memory
from veredus.delivery.tables import REMEMBERED
from veredus.formats.mime import message as messages
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.encoded_word import as_text

AWAY = 'require ["vacation"]; vacation :days 7 :subject "Gone" "Back on Monday.";'


async def _answers(world: World) -> list[Sent]:
    return [sent for sent in await world.sent() if sent.departure.origin == "vacation"]


async def _use(world: World, kind: str) -> None:
    if kind == "script":
        await world.script(AWAY)
    else:
        await world.vacation(subject="Gone", textBody="Back on Monday.")


KINDS = ["script", "response"]


@pytest.mark.rfc("8621", "8")
@pytest.mark.must
@pytest.mark.parametrize("kind", KINDS)
async def test_a_sender_is_answered_once_in_a_week(every: World, kind: str) -> None:
    world = every
    await _use(world, kind)
    for days, expected in ((0, 1), (1, 1), (5.9, 1), (0.2, 2)):
        world.clock.pass_by(days=days)
        await world.deliver()
        await world.deliver(sender=SENDER.upper())
        assert len(await _answers(world)) == expected
    await world.deliver(sender="another@example.net")
    assert [sent.to for sent in await _answers(world)][-1] == ["another@example.net"]
    assert len(await world.stored()) == 9


@pytest.mark.parametrize("kind", KINDS)
async def test_the_answer_is_one(world: World, kind: str) -> None:
    await _use(world, kind)
    await world.deliver(MESSAGE.replace("Date:", "References: <m0@example.net>\nDate:"))
    [sent] = await _answers(world)
    assert (sent.to, sent.departure.sender.email) == ([SENDER], "")
    assert {name: sent.field(name) for name in ("From", "To", "Subject", "Auto-Submitted")} == {
        "From": ALICE,
        "To": SENDER,
        "Subject": "Gone",
        "Auto-Submitted": "auto-replied",
    }
    assert sent.field("In-Reply-To") == "<m1@example.net>"
    assert sent.field("References") == "<m0@example.net> <m1@example.net>"
    assert sent.data.endswith(b"\r\n\r\nBack on Monday.\r\n")
    assert (sent.field("Message-ID") or "").endswith("@mx.example.com>")


def _with(fields: str, message: str = MESSAGE) -> str:
    return fields + "\n" + message


NOT_ANSWERED: dict[str, dict[str, Any]] = {
    "the null sender": {"sender": ""},
    "a mailing list": {"message": _with("List-Id: <people.example.net>")},
    "a newsletter": {"message": _with("List-Unsubscribe: <mailto:off@example.net>")},
    "bulk": {"message": _with("Precedence: bulk")},
    "junk": {"message": _with("precedence:  JUNK")},
    "an answer": {"message": _with("Auto-Submitted: auto-replied")},
    "a notification": {"message": _with('Auto-Submitted: auto-notified; owner-email="a@example.net"')},
    "a robot": {"sender": "Mailer-Daemon@example.net"},
    "a list's robot": {"sender": "people-request@example.net"},
    "an owner": {"sender": "owner-people@example.net"},
    "herself": {"sender": ALICE},
    "herself with a tag": {"sender": "alice+x@example.com"},
    "what asks not to be": {"message": _with("X-Auto-Response-Suppress: DR, OOF")},
    "what is not for her": {
        "message": MESSAGE.replace("To: Alice <alice@example.com>", "To: list@example.net")
    },
}


@pytest.mark.rfc("8621", "8")
@pytest.mark.must
@pytest.mark.parametrize("case", NOT_ANSWERED)
async def test_who_is_not_answered(world: World, case: str) -> None:
    await world.vacation(textBody="Away")
    await world.deliver(**{"message": MESSAGE, **NOT_ANSWERED[case]})
    await world.script(AWAY)
    await world.deliver(**{"message": MESSAGE, **NOT_ANSWERED[case]})
    assert await world.sent() == []
    assert await world.stored() == ["Inbox", "Inbox"]


@pytest.mark.parametrize("to", ["Cc: x@example.net, ALICE@example.com", "Bcc: alice+tag@example.com"])
async def test_whoever_names_her_among_the_recipients_is_answered(world: World, to: str) -> None:
    await world.vacation(textBody="Away")
    await world.deliver(MESSAGE.replace("To: Alice <alice@example.com>", to))
    assert len(await _answers(world)) == 1


async def test_an_answer_comes_from_the_alias_that_was_written_to(world: World) -> None:
    await world.app.accounts.add_address("ally@example.com", world.alice)
    world.app.directory.drop()
    await world.vacation(textBody="Away")
    await world.deliver(MESSAGE.replace("Alice <alice@", "Ally <ally@"), ALICE)
    [sent] = await _answers(world)
    assert sent.field("From") == "ally@example.com"


async def test_an_answer_has_the_name_of_the_identity(world: World) -> None:
    async with world.app.store.write(world.alice) as tx:
        identity = {"id": "i1", "name": "Alice Ü.", "email": ALICE, "replyTo": None, "bcc": None}
        await tx.put("Identity", {**identity, "textSignature": "", "htmlSignature": "", "mayDelete": False})
    await world.vacation(textBody="Away")
    await world.deliver()
    [sent] = await _answers(world)
    [author] = as_addresses(sent.field("From") or "")
    assert author == {"name": "Alice Ü.", "email": ALICE}


async def test_who_has_a_whole_domain_does_not_speak_for_its_others(world: World) -> None:
    await world.app.accounts.add_address("*@example.com", world.alice)
    world.app.directory.drop()
    await world.script(
        f'require ["vacation", "enotify"]; vacation :from "{BOB}" "Away";'
        f'notify :from "{BOB}" "mailto:pager@example.org";'
    )
    message = MESSAGE.replace("To: Alice <alice@example.com>", f"To: {BOB}, sales@example.com")
    await world.deliver(message, "sales@example.com")
    assert [sent.field("From") for sent in await world.sent()] == ["sales@example.com"] * 2
    await world.deliver(
        message.replace(", sales@example.com", ""), "sales@example.com", sender="c@example.net"
    )
    assert len(await _answers(world)) == 1


async def test_script_and_response_give_one_answer_between_them(every: World) -> None:
    """And one memory: whom either has answered the other leaves alone."""
    world = every
    await world.vacation(textBody="The response")
    await world.script(AWAY)
    await world.deliver()
    await world.script("keep;")
    await world.deliver()
    assert [b"Back on Monday" in sent.data for sent in await _answers(world)] == [True]
    await world.deliver(sender="another@example.net")
    await world.script(AWAY)
    await world.deliver(sender="another@example.net")
    assert [b"The response" in sent.data for sent in await _answers(world)] == [False, True]


@pytest.mark.rfc("8621", "8")
@pytest.mark.parametrize("action", ["discard;", 'reject "no";', 'redirect "c@example.org";'])
async def test_the_response_answers_only_what_is_kept(world: World, action: str) -> None:
    await world.vacation(textBody="Away")
    await world.script('require "reject"; ' + action)
    await world.deliver()
    assert await _answers(world) == []
    await world.script('require "fileinto"; fileinto "Archive";')
    await world.deliver()
    assert len(await _answers(world)) == 1


@pytest.mark.rfc("8621", "8")
@pytest.mark.parametrize(
    ("script", "count"),
    [
        ('fileinto "Spam";', 0),
        ('fileinto :copy "Spam"; stop;', 1),
        ('fileinto "Spam"; fileinto "Lists";', 1),
        ('fileinto :specialuse "\\\\Trash" "Nowhere";', 0),
        ('fileinto :specialuse "\\\\Archive" :create "Old";', 1),
    ],
)
async def test_the_response_is_silent_to_what_a_script_puts_aside(
    world: World, script: str, count: int
) -> None:
    await world.mailbox("Spam", role="junk")
    await world.mailbox("Bin", role="trash")
    await world.mailbox("Lists")
    await world.vacation(textBody="Away")
    await world.script('require ["fileinto", "copy", "special-use", "mailbox"]; ' + script)
    await world.deliver()
    assert len(await _answers(world)) == count


async def test_two_handles_are_two_answers(world: World) -> None:
    first = 'require ["vacation", "variables"]; vacation :handle "one" "First";'
    await world.script(first)
    await world.deliver()
    await world.script(first.replace("one", "two"))
    await world.deliver()
    await world.script(first)
    await world.deliver()
    assert len(await _answers(world)) == 2


@pytest.mark.rfc("8621", "8")
@pytest.mark.must
async def test_the_response_has_its_days(world: World) -> None:
    await world.vacation(fromDate="2026-01-06T00:00:00Z", toDate="2026-01-08T00:00:00Z")
    for sender, expected in (("a@example.net", 0), ("b@example.net", 1), ("c@example.net", 2)):
        await world.deliver(sender=sender)
        assert len(await _answers(world)) == expected
        world.clock.pass_by(days=1)
    world.clock.pass_by(days=1)
    await world.deliver(sender="d@example.net")
    assert len(await _answers(world)) == 2


@pytest.mark.rfc("8621", "8")
@pytest.mark.should
@pytest.mark.parametrize(
    ("properties", "types", "subject"),
    [
        ({}, ["text/plain"], "Auto: Lunch on Friday"),
        ({"textBody": "Grüße"}, ["text/plain"], "Auto: Lunch on Friday"),
        (
            {"htmlBody": "<p>Away</p>"},
            ["multipart/alternative", "text/plain", "text/html"],
            "Ferien für all",
        ),
        (
            {"textBody": "a", "htmlBody": "<b>b</b>"},
            ["multipart/alternative", "text/plain", "text/html"],
            "x",
        ),
    ],
)
async def test_the_response_is_text_html_or_both(
    world: World, properties: dict[str, str], types: list[str], subject: str
) -> None:
    given = {} if subject.startswith("Auto") else {"subject": subject}
    await world.vacation(**properties, **given)
    await world.deliver()
    [sent] = await _answers(world)
    parsed = messages.parse(sent.data)
    assert [part.type for part in parsed.root.walk()] == types
    text = parsed.lists[0][0]
    assert messages.decode_text(text.content(), text.charset)[0].strip()
    assert as_text(dict(parsed.headers)["Subject"]) == subject


async def test_a_mime_entity_cannot_forge_header_fields(world: World) -> None:
    await world.script(
        'require ["vacation"]; vacation :mime "From: ceo@example.org\r\nContent-Type: text/html\r\n'
        'Bcc: x@example.org\r\n\r\n<p>Gone</p>";'
    )
    await world.deliver()
    [sent] = await _answers(world)
    assert (sent.field("From"), sent.field("Bcc")) == (ALICE, None)
    assert sent.field("Content-Type") == "text/html"
    assert sent.data.endswith(b"\r\n\r\n<p>Gone</p>\r\n")


async def test_an_entity_without_fields_is_a_text(world: World) -> None:
    await world.script('require ["vacation"]; vacation :mime "\r\nGr\u00fc\u00dfe";')
    await world.deliver()
    [sent] = await _answers(world)
    assert sent.field("Content-Type") == "text/plain; charset=utf-8"
    assert sent.field("Content-Transfer-Encoding") == "8bit"
    assert sent.data.decode().endswith("\r\n\r\nGr\u00fc\u00dfe\r\n")


async def test_of_no_seconds_nothing_is_remembered(world: World) -> None:
    await world.script('require "vacation-seconds"; vacation :seconds 0 "Always";')
    for _ in range(3):
        await world.deliver()
    assert len(await _answers(world)) == 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [("ceo@example.org", ALICE), ("Me <alice+away@example.com>", "alice+away@example.com")],
)
async def test_a_script_answers_from_its_owners_addresses_only(
    world: World, said: str, expected: str
) -> None:
    await world.script(f'require ["vacation"]; vacation :from "{said}" "Gone";')
    await world.deliver()
    [sent] = await _answers(world)
    assert sent.field("From") == expected


async def test_a_subject_from_outside_stays_one_line(world: World) -> None:
    await world.vacation(textBody="Away")
    await world.deliver(MESSAGE.replace("Lunch on Friday", "=?utf-8?q?a=0D=0ABcc:_x=40example.org?="))
    [sent] = await _answers(world)
    assert sent.field("Bcc") is None


async def test_a_storm_of_senders_is_bounded(every: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = every
    await world.vacation(textBody="Away")
    most = 10
    monkeypatch.setattr(memory, "RATES", {"vacation": most})
    for number in range(most + 20):
        await world.deliver(sender=f"s{number}@example.net")
    assert len(await _answers(world)) == most
    assert len(await world.stored()) == most + 20
    world.clock.pass_by(hours=1, seconds=1)
    await world.deliver(sender="later@example.net")
    assert len(await _answers(world)) == most + 1


async def test_what_is_remembered_goes_when_it_expires(every: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = every
    monkeypatch.setattr(memory, "MOST", 5)
    await world.script('require ["duplicate"]; if duplicate :seconds 60 { discard; }')

    async def count() -> int:
        async with world.app.store.read(world.alice) as snapshot:
            return await snapshot.count(REMEMBERED, EVERYTHING)

    for number in range(8):
        await world.deliver(MESSAGE.replace("<m1@", f"<m{number}@"))
    assert await count() <= 6
    world.clock.pass_by(hours=1)
    await world.deliver()
    assert await count() == 1


async def test_two_copies_at_once_are_answered_once(every: World) -> None:
    world = every
    await world.vacation(textBody="Away")
    await asyncio.gather(*(world.deliver() for _ in range(5)))
    assert len(await _answers(world)) == 1
    assert await world.stored() == ["Inbox"] * 5


async def test_two_accounts_answer_two(world: World) -> None:
    await world.vacation(textBody="Away")
    await world.script(AWAY, account=world.bob)
    await world.deliver(MESSAGE.replace("To: ", f"To: {BOB}, "), ALICE, BOB)
    assert len(await world.sent()) == len(await world.sent(world.bob)) == 1
