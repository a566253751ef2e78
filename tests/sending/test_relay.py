"""What becomes of each recipient, whatever a host does (RFC 5321 §3.3, RFC 8621 §7)."""

import asyncio
from collections.abc import Sequence

import pytest

from sending.peer import CLOSE, DROP, EXTENSIONS, HANG, STALL, Action, Last, Slow, on, peer
from sending.relays import BRIEF, TEXT, parcel, relaying
from veredus.ports import Address, Fate, Unreachable

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
HOST = "127.0.0.1"
# As hosts of all kinds speak: with PIPELINING and without.
SPEECHES = pytest.mark.parametrize("extensions", [EXTENSIONS, ()], ids=["pipelining", "plain"])
NO_SMTP = "451 4.5.0 What the host sent is no SMTP"


@SPEECHES
async def test_a_message_arrives_as_it_is(extensions: Sequence[str]) -> None:
    asked: list[Sequence[str]] = []

    async def before_text(accepted: Sequence[str]) -> None:
        asked.append(accepted)
        assert smtp.messages == []

    async with peer(extensions=extensions) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(ANN, BOB), before_text)
    [message] = smtp.messages
    assert (message.sender, message.recipients, message.data) == ("me@veredus.example", [ANN, BOB], TEXT)
    relayed = Fate("relayed", "250 2.1.5 recipient ok", HOST, reports="DSN" in extensions)
    assert fates == dict.fromkeys((ANN, BOB), relayed)
    assert [tuple(it) for it in asked] == [(ANN, BOB)]


@pytest.mark.parametrize(
    "text",
    [b"", b".", b".\r\n", b"\r\n", b"..\r\n.\r\n.x", b"no end", b"a\r\n.\r\nQUIT\r\n", b".a\r\n" * 100_000],
    ids=["empty", "dot", "dot line", "blank", "dots", "no end", "an end inside", "large"],
)
@SPEECHES
async def test_dots_are_dots(text: bytes, extensions: Sequence[str]) -> None:
    async with peer(extensions=extensions) as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel(data=text))
        await relay.send(HOST, parcel(BOB))
    expected = text if text.endswith(b"\r\n") else text + b"\r\n"
    assert [it.data for it in smtp.messages] == [expected, TEXT]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\n\r.\r\n"])
async def test_a_text_cannot_smuggle_another_message(end: bytes) -> None:
    text = b"Subject: x\r\n\r\nbefore" + end + b"MAIL FROM:<evil@example.org>\r\n"
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel(data=text))
    [message] = smtp.messages
    assert message.data.count(b"\r\n") == message.data.count(b"\n") == message.data.count(b"\r")
    assert message.data.endswith(b"\r\nMAIL FROM:<evil@example.org>\r\n")


@pytest.mark.parametrize("moment", ["RCPT", "MAIL", "DATA", "end"])
@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        ("450 4.2.0 later", Fate("later", "450 4.2.0 later", HOST)),
        ("550 5.7.1 no", Fate("failed", "550 5.7.1 no", HOST)),
        ("554", Fate("failed", "554", HOST)),
        ("421 4.3.2 closing", Fate("later", "421 4.3.2 closing", HOST)),
        (
            "550-5.7.1 Our system has detected that this message is\r\n550 5.7.1 likely spam.",
            Fate("failed", "550 5.7.1 Our system has detected that this message is likely spam.", HOST),
        ),
        ("550-Our\r\n550-\r\n550 Other\t\x07one", Fate("failed", "550 Our Other one", HOST)),
    ],
    ids=["4xx", "5xx", "bare", "421", "rfc8621", "odd lines"],
)
@SPEECHES
async def test_a_refusal_is_told(moment: str, reply: str, fate: Fate, extensions: Sequence[str]) -> None:
    async with peer(on(moment, reply, message=1), extensions=extensions) as smtp, relaying(smtp.url) as relay:
        assert await relay.send(HOST, parcel(ANN)) == {ANN: fate}
        # The next message is not hurt by it, on the same connection unless that is closed.
        assert (await relay.send(HOST, parcel(BOB)))[BOB].kind == "relayed"
    assert [it.recipients for it in smtp.messages] == [[BOB]]
    assert smtp.connections == (2 if reply.startswith("421") else 1)


@SPEECHES
async def test_a_bad_recipient_does_not_hurt_the_others(extensions: Sequence[str]) -> None:
    rules = [on("RCPT", "550 5.1.1 who?", contains="bob"), on("RCPT", "451 4.7.1 greylisted", contains="eve")]
    async with peer(*rules, extensions=extensions) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(ANN, BOB, EVE))
    assert {it: fate.kind for it, fate in fates.items()} == {ANN: "relayed", BOB: "failed", EVE: "later"}
    assert [it.recipients for it in smtp.messages] == [[ANN]]


@SPEECHES
async def test_a_host_that_takes_few_recipients_at_a_time_gets_all(extensions: Sequence[str]) -> None:
    async def before_text(accepted: Sequence[str]) -> None:
        texts.append(list(accepted))

    texts: list[list[str]] = []
    crowded = [on("RCPT", "452 4.5.3 too many", contains=it, message=1) for it in ("bob", "eve")]
    crowded.append(on("RCPT", "452 too many", contains="eve", message=2))
    async with peer(*crowded, extensions=extensions) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(ANN, BOB, EVE), before_text)
    assert {it.kind for it in fates.values()} == {"relayed"}
    assert [it.recipients for it in smtp.messages] == texts == [[ANN], [BOB], [EVE]]
    assert smtp.connections == 1
    # A mailbox that is full is another matter, and nobody at all is not asked again.
    async with peer(on("RCPT", "452 4.2.2 full", contains="bob")) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel(ANN, BOB)))[BOB].kind == "later"
        smtp.rules = [on("RCPT", "452 4.5.3 too many")]
        assert {it.kind for it in (await relay.send(HOST, parcel(ANN, BOB))).values()} == {"later"}
    assert smtp.mails == 2


BROKEN: list[tuple[Action, str]] = [
    (DROP, "451 4.4.2"),
    (CLOSE, "451 4.4.2"),
    (b"\x00\xff garbage\r\n", NO_SMTP),
    (b"HTTP/1.1 400 Bad Request\r\n", NO_SMTP),
    (b"250-more\r\n" * 1000, NO_SMTP),
    (b"250 " + b"x" * 100_000, NO_SMTP),
    ("199 what", NO_SMTP),
]
FLOOD = (b"250 ok\r\n" * 50, NO_SMTP)
BROKEN_IDS = ["drop", "close", "octets", "http", "endless lines", "endless line", "1xx"]


@pytest.mark.parametrize(("action", "reply"), [*BROKEN, FLOOD], ids=[*BROKEN_IDS, "flood"])
@pytest.mark.parametrize("moment", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
@SPEECHES
async def test_a_host_that_breaks_before_the_text_has_nothing(
    moment: str, action: Action, reply: str, extensions: Sequence[str]
) -> None:
    async with (
        peer(on(moment, action), extensions=extensions) as smtp,
        relaying(smtp.url) as relay,
    ):
        try:
            fate = (await relay.send(HOST, parcel()))[ANN]
        except Unreachable as unreachable:
            assert moment in ("connect", "EHLO")
            fate = Fate("failed" if unreachable.is_final else "later", str(unreachable))
    assert fate.kind == "later"
    assert fate.reply.startswith("451 4.")
    if moment == "MAIL" and not isinstance(action, bytes):
        assert fate.reply.startswith(reply)
    assert smtp.messages == []


@pytest.mark.parametrize(("action", "reply"), BROKEN, ids=BROKEN_IDS)
async def test_a_host_that_breaks_after_the_text_may_have_it(action: Action, reply: str) -> None:
    async with (
        peer(on("end", action, message=1)) as smtp,
        relaying(smtp.url) as relay,
    ):
        fate = (await relay.send(HOST, parcel()))[ANN]
        assert (fate.kind, fate.host) == ("unknown", HOST)
        assert fate.reply.startswith(reply)
        assert (await relay.send(HOST, parcel(BOB)))[BOB].kind == "relayed"
    assert smtp.connections == 2


async def test_a_host_that_says_nothing_is_left() -> None:
    async with asyncio.TaskGroup() as tasks:  # all at once, since each takes a second
        for moment in ("connect", "EHLO", "MAIL", "RCPT", "DATA", "text", "end"):
            tasks.create_task(_silence(moment))


async def _silence(moment: str) -> None:
    async with peer(on(moment, HANG)) as smtp, relaying(smtp.url, timeouts=BRIEF) as relay:
        if moment in ("connect", "EHLO"):
            with pytest.raises(Unreachable, match=r"451 4\.4\.2 The host did not answer in time"):
                await relay.send(HOST, parcel())
        else:
            kind = "unknown" if moment in ("text", "end") else "later"
            fate = (await relay.send(HOST, parcel()))[ANN]
            assert (fate.kind, fate.reply) == (kind, "451 4.4.2 The host did not answer in time")
    assert smtp.messages == []


@pytest.mark.parametrize("action", [DROP, CLOSE], ids=["drop", "close"])
async def test_a_host_that_breaks_in_the_middle_of_the_text_cannot_have_it(action: Action) -> None:
    large = parcel(data=b"Subject: large\r\n\r\n" + b"x" * 78 + b"\r\n" * 200_000 + b"y" * 20_000_000)
    async with peer(on("text", action)) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, large))[ANN].kind == "later"
    assert smtp.messages == []


async def test_a_host_that_stops_reading_cannot_have_it() -> None:
    large = parcel(data=b"Subject: large\r\n\r\n" + b"y" * 20_000_000)
    async with peer(on("text", STALL)) as smtp, relaying(smtp.url, timeouts=BRIEF) as relay:
        fate = (await relay.send(HOST, large))[ANN]
    assert (fate.kind, fate.reply) == ("later", "451 4.4.2 The host stopped reading")


async def test_what_a_host_says_before_it_hangs_up_counts() -> None:
    large = parcel(data=b"Subject: large\r\n\r\n" + b"y" * 20_000_000)
    async with peer(on("text", Last("552 5.3.4 too large for us"))) as smtp, relaying(smtp.url) as relay:
        fate = (await relay.send(HOST, large))[ANN]
    assert fate == Fate("failed", "552 5.3.4 too large for us", HOST)


async def test_a_slow_host_is_waited_for() -> None:
    slow = [on(it, Slow("250-slow\r\n250 ok", 0.001)) for it in ("EHLO", "MAIL", "RCPT", "end")]
    async with peer(*slow) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
    assert len(smtp.messages) == 1


async def test_a_host_that_answers_for_ever_is_left() -> None:
    """Each octet comes in time, and the reply never ends."""
    async with (
        peer(on("RCPT", Slow("250-" + "x" * 200, 0.02))) as smtp,
        relaying(smtp.url, timeouts=BRIEF) as relay,
    ):
        async with asyncio.timeout(5):
            assert (await relay.send(HOST, parcel()))[ANN].kind == "later"


@SPEECHES
async def test_a_host_without_ehlo_is_spoken_to_in_the_old_way(extensions: Sequence[str]) -> None:
    async with peer(on("EHLO", "500 what?"), extensions=extensions) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(Address(ANN, {"NOTIFY": "NEVER"})))
    assert fates[ANN].kind == "relayed"
    assert smtp.commands[:3] == [
        "EHLO veredus.example",
        "HELO veredus.example",
        "MAIL FROM:<me@veredus.example>",
    ]


@pytest.mark.parametrize("moment", ["connect", "EHLO"])
@pytest.mark.parametrize(
    ("reply", "is_final"), [("554 5.7.1 not you", False), ("421 busy", False), ("521 no mail here", True)]
)
async def test_a_host_that_does_not_want_us_is_unreachable(moment: str, reply: str, is_final: bool) -> None:
    rules = [on(moment, reply), on("HELO", reply)]
    async with peer(*rules) as smtp, relaying(smtp.url) as relay:
        with pytest.raises(Unreachable) as caught:
            await relay.send(HOST, parcel())
    assert (str(caught.value), caught.value.is_final) == (reply, is_final)
    assert smtp.connections == 1


async def test_nobody_listens() -> None:
    async with peer() as smtp:
        url = smtp.url
    async with relaying(url) as relay:
        with pytest.raises(Unreachable, match=r"451 4\.4\.1 127\.0\.0\.1 port \d+: Connection refused"):
            await relay.send(HOST, parcel())
    async with relaying("smtp://no-such-host.invalid:25") as relay:
        with pytest.raises(Unreachable, match=r"451 4\.4\.3 no-such-host\.invalid: "):
            await relay.send("no-such-host.invalid", parcel())


async def test_trouble_before_the_text_passes_on_and_nothing_is_sent() -> None:
    async def before_text(accepted: Sequence[str]) -> None:
        raise RuntimeError("the lease is lost")

    async with peer() as smtp, relaying(smtp.url) as relay:
        with pytest.raises(RuntimeError, match="the lease is lost"):
            await relay.send(HOST, parcel(), before_text)
        assert (await relay.send(HOST, parcel(BOB)))[BOB].kind == "relayed"
    assert [it.recipients for it in smtp.messages] == [[BOB]]
    assert smtp.connections == 2


@pytest.mark.parametrize("moment", ["connect", "MAIL", "end"])
async def test_whoever_gives_up_leaves_no_connection(moment: str) -> None:
    async with peer(on(moment, HANG)) as smtp, relaying(smtp.url) as relay:
        task = asyncio.create_task(relay.send(HOST, parcel()))
        if moment == "connect":
            while not smtp.connections:
                await asyncio.sleep(0)
        else:
            await smtp.seen(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert smtp.messages == []
