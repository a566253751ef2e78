"""No message is lost: it is stored, passed on, refused, or thrown away because a script says so."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from msgspec import Struct
from structlog.testing import capture_logs

from delivery.world import ALICE, BOB, MESSAGE, SENDER, World
from veredus.delivery import filing, memory
from veredus.delivery.tables import REMEMBERED
from veredus.formats.mime import message as messages
from veredus.formats.report import parse_report
from veredus.mail.email.admit import Admission
from veredus.ports import Unavailable
from veredus.quota.type import set_limits
from veredus.reception import Envelope

PARTS = [
    "keep;",
    "discard;",
    "stop;",
    'fileinto "Archive";',
    'fileinto "Nowhere";',
    'fileinto :create "New/Box";',
    'fileinto :copy "Sent";',
    'fileinto :flags ["\\\\Seen", "x"] "Archive";',
    'redirect "carol@example.org";',
    'redirect :copy "dave@example.org";',
    f'redirect "{ALICE}";',
    'reject "No";',
    'ereject "Nein, Grüße";',
    'vacation "Away";',
    'notify "mailto:pager@example.org";',
    'addheader "X-A" "b";',
    'deleteheader "Subject";',
    'addflag "\\\\Flagged";',
    "if duplicate { discard; stop; }",
    'if header :contains "subject" "lunch" { stop; }',
    'if not mailboxexists "Nowhere" { keep; }',
    'include :optional "nothing";',
    'redirect "${no}";',
]
REQUIRE = (
    'require ["fileinto", "mailbox", "copy", "imap4flags", "reject", "ereject", "vacation", "enotify",'
    ' "editheader", "duplicate", "include", "variables"];\n'
)


async def test_whatever_a_script_says_no_message_is_lost(world: World) -> None:
    chance = random.Random(5436)
    await world.vacation(textBody="Away")
    known = 0, 0
    for number in range(150):
        parts = chance.choices(PARTS, k=chance.randint(1, 5))
        await world.script(REQUIRE + "\n".join(parts), name=f"n{number % 3}")
        for other in {0, 1, 2} - {number % 3}:
            await world.script("keep;", name=f"n{other}", is_active=False)
        protocol = chance.choice(["LMTP", "ESMTP"])
        to = chance.choice([(ALICE,), (ALICE, BOB)])
        message = MESSAGE.replace("<m1@", f"<m{chance.randint(0, 20)}@")
        reply, *_ = await world.deliver(message, *to, sender=chance.choice([SENDER, ""]), protocol=protocol)
        stored, origins = len(await world.stored()), [sent.departure.origin for sent in await world.sent()]
        passed_on = sum(origin in ("redirect", "reject") for origin in origins)
        has_fate = stored > known[0] or passed_on > known[1] or reply.is_refusal or "discard;" in parts
        assert has_fate or "if duplicate { discard; stop; }" in parts, parts
        assert reply.code in (250, 550), (parts, reply)
        assert not (reply.is_refusal and stored > known[0]), parts
        known = stored, passed_on


# ------------------------------------------------------------ one transaction


def _fails(*_: object, **__: object) -> Any:
    raise Unavailable("the store is gone")


BREAKS: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("while an Email is counted", lambda patch: patch.setattr(Admission, "finish", _fails)),
    ("while a message leaves", lambda patch: patch.setattr(filing, "_let_leave", _fails)),
    ("while an answer is remembered", lambda patch: patch.setattr(memory, "answered", _fails)),
    ("while a duplicate is remembered", lambda patch: patch.setattr(memory, "remember", _fails)),
]


@pytest.mark.parametrize("break_off", [step for _, step in BREAKS], ids=[name for name, _ in BREAKS])
async def test_what_breaks_off_leaves_no_trace_and_comes_again(
    every: World, monkeypatch: pytest.MonkeyPatch, break_off: Callable[[pytest.MonkeyPatch], None]
) -> None:
    world = every
    await world.script(
        REQUIRE + 'if duplicate { discard; stop; } vacation "Away"; redirect :copy "carol@example.org";'
        'fileinto :create "New/Box"; keep;'
    )
    with monkeypatch.context() as patch:
        break_off(patch)
        [reply] = await world.deliver()
    assert reply.code == 451
    assert await world.outcome() == []
    async with world.app.store.read(world.alice) as snapshot:
        assert await snapshot.count(REMEMBERED) == 0
        assert "New" not in {box["name"] for box in await snapshot.get("Mailbox", None)}
    [reply] = await world.deliver()
    assert reply.is_success
    expected = ["Inbox, New/Box", "redirect carol@example.org", f"vacation {SENDER}"]
    assert await world.outcome() == expected
    await world.deliver()
    assert await world.outcome() == expected


# ------------------------------------------------------------ some of many fail


async def _fill(world: World, account: str) -> None:
    async with world.app.store.write(account) as tx:
        await set_limits(tx, 10, None)


async def test_who_fails_after_acceptance_is_told_of(world: World) -> None:
    """SMTP has one reply for all; the account that has no room sends the report."""
    await _fill(world, world.bob)
    replies = await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    assert (await world.stored(), await world.stored(world.bob)) == (["Inbox"], [])
    [sent] = await world.sent(world.bob)
    assert (sent.to, sent.departure.sender.email, sent.departure.origin) == ([SENDER], "", "report")
    report = parse_report(messages.parse(sent.data))
    assert report is not None
    assert report.message_id == "m1@example.net"
    [recipient] = report.recipients
    assert (recipient.final_recipient, recipient.action, recipient.status) == (BOB, "failed", "5.2.2")


async def test_by_lmtp_the_client_is_told_itself(world: World) -> None:
    await _fill(world, world.bob)
    replies = await world.deliver(MESSAGE, ALICE, BOB)
    assert [reply.code for reply in replies] == [250, 552]
    assert await world.sent(world.bob) == []


async def test_of_whom_no_account_is_left_another_tells(world: World) -> None:
    replies = await world.deliver(MESSAGE, "gone@example.com", ALICE, protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    [sent] = await world.sent()
    assert b"gone@example.com" in sent.data


async def test_nobody_is_told_of_what_nobody_sent(world: World) -> None:
    await _fill(world, world.bob)
    replies = await world.deliver(MESSAGE, ALICE, BOB, sender="", protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 552]
    assert await world.sent(world.bob) == []


def _unavailable_for(world: World, account: str) -> Callable[..., Awaitable[Any]]:
    plan = world.inbound._decisions.plan

    async def planned(of: str, *arguments: Any) -> Any:
        if of == account:
            raise Unavailable("its shard is gone")
        return await plan(of, *arguments)

    return planned


async def test_what_fails_for_the_first_for_now_comes_again_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.inbound._decisions, "plan", _unavailable_for(world, world.alice))
    replies = await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [451, 451]
    assert await world.stored(world.bob) == []


async def test_of_whose_account_is_unavailable_another_tells(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.inbound._decisions, "plan", _unavailable_for(world, world.bob))
    replies = await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    [sent] = await world.sent()
    assert b"Status: 4.3.0\r\n" in sent.data


async def test_what_can_be_neither_delivered_nor_told_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.inbound._decisions, "plan", _unavailable_for(world, world.bob))
    monkeypatch.setattr(filing, "_let_leave", _fails)
    replies = await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert [reply.code for reply in replies] == [451, 451]


async def test_while_the_directory_is_gone_nobody_is_refused_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = await world.inbound.recipient("nobody@example.com")
    assert nobody is not None
    assert nobody.code == 550
    assert await world.inbound.recipient(ALICE) is None
    monkeypatch.setattr(world.app.directory, "resolve", _fails)
    reply = await world.inbound.recipient(ALICE)
    assert reply is not None
    assert reply.code == 451
    [reply] = await world.deliver()
    assert reply.code == 451


async def test_what_is_no_message_is_refused(world: World) -> None:
    envelope = Envelope(SENDER, (ALICE,), "", "h", "LMTP")
    [reply] = await world.inbound.deliver(envelope, b"\x00\x01 nothing\r\n")
    assert (reply.code, reply.enhanced) == (550, "5.6.0")


async def test_two_addresses_of_one_account_are_one_copy(world: World) -> None:
    replies = await world.deliver(MESSAGE, ALICE, "alice+x@example.com", protocol="ESMTP")
    assert [reply.code for reply in replies] == [250, 250]
    assert await world.stored() == ["Inbox"]


# ------------------------------------------------------------ inspection


class Found(Struct, frozen=True):
    fields: bytes
    verdict: Literal["accept", "junk", "reject", "defer"]
    reply: tuple[int, str, str] | None
    message: bytes


class Scripted:
    """Says the same of every message."""

    def __init__(self, verdict: Any, reply: tuple[int, str, str] | None = None) -> None:
        self.verdict, self.reply = verdict, reply

    async def inspect(self, envelope: Envelope, message: bytes) -> Found:
        return Found(b"Authentication-Results: mx.example.com; none\r\n", self.verdict, self.reply, message)


@pytest.mark.parametrize(
    ("verdict", "script", "expected", "code"),
    [
        ("accept", "", ["Inbox"], 250),
        ("junk", "", ["Junk $junk"], 250),
        ("junk", "keep;", ["Junk $junk"], 250),
        ("junk", 'fileinto "Archive";', ["Archive"], 250),
        ("junk", 'redirect "carol@example.org";', ["Junk $junk"], 250),
        ("junk", 'reject "No";', ["Junk $junk"], 250),
        ("junk", 'vacation "Away"; notify "mailto:p@example.org";', ["Junk $junk"], 250),
        ("junk", "discard;", [], 250),
        ("reject", "", [], 550),
        ("defer", "", [], 451),
    ],
)
async def test_inspection_decides_before_the_script(
    world: World, verdict: str, script: str, expected: list[str], code: int
) -> None:
    reply = (550, "5.7.26", "DMARC") if verdict == "reject" else None
    world.configure(inspector=Scripted(verdict, reply))
    await world.vacation(textBody="Away", isEnabled=verdict == "junk")
    await world.script(REQUIRE + script)
    [given] = await world.deliver()
    assert given.code == code
    assert await world.outcome() == expected
    for email in await world.emails():
        data = await world.app.blobs.get(email["blobId"])
        assert data is not None
        assert data.startswith(b"Authentication-Results: mx.example.com; none\r\nReturn-Path:")


async def test_spam_is_rejected_in_the_dialogue_with_its_sender(world: World) -> None:
    world.configure(inspector=Scripted("junk"))
    await world.script(REQUIRE + 'reject "No";')
    [reply] = await world.deliver(protocol="ESMTP")
    assert reply.code == 550
    assert await world.outcome() == []


async def test_spam_is_not_answered_by_a_report(world: World) -> None:
    """One of many recipients rejects it: nobody is sent what the invented sender did not send."""
    world.configure(inspector=Scripted("junk"))
    await world.script(REQUIRE + 'reject "No";')
    await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert await world.outcome() == ["Junk $junk"]
    await _fill(world, world.bob)
    await world.deliver(MESSAGE, ALICE, BOB, protocol="ESMTP")
    assert await world.sent(world.bob) == []


# ------------------------------------------------------------ the log


async def test_nothing_of_a_message_is_logged(world: World) -> None:
    await world.vacation(textBody="Away")
    texts = [
        "keep;",
        'redirect "carol@example.org";',
        'reject "No secret";',
        'require ["fileinto", "variables"]; if header :matches "subject" "*" { fileinto "No ${1}"; }',
        'require "variables"; if header :matches "subject" "*" { redirect "${1}"; }',
        "nothing",
    ]
    with capture_logs() as lines:
        for text in texts:
            await world.script('require "reject"; ' + text)
            await world.deliver(MESSAGE, ALICE, BOB, "gone@example.com", protocol="ESMTP")
            await world.deliver(f"Delivered-To: {ALICE}\n" + MESSAGE)
    said = str(lines)
    assert {"script failed", "script not valid", "mailbox missing", "delivered"} <= {
        line["event"] for line in lines
    }
    for secret in ("Lunch", "example.net", "example.com", "carol", "secret", "m1@"):
        assert secret not in said
    [failure] = [line for line in lines if line["event"] == "script failed"][:1]
    assert (failure["account"], failure["line"]) == (world.alice, 1)
