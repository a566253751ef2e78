"""Spam filters, as servers that speak the protocols of Rspamd and of SpamAssassin's spamd; and without them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog
from aiohttp import web
from multidict import CIMultiDictProxy

from veredus.formats.smtp import Envelope
from veredus.inspection import rspamd, spamd
from veredus.inspection.inspector import Inspected, Inspector
from veredus.inspection.spam import Opinion
from veredus.resolver import Resolver

ENVELOPE = Envelope(
    "alice@example.com", ("bob@here.example", "eve@here.example"), "192.0.2.1", "x.example", "ESMTP"
)
MESSAGE = b"Received: from x\r\nFrom: alice@example.com\r\nX-Spam-Status: No\r\nX-Spam: \r\n a\r\nX-Rspamd-Score: 0\r\nSubject: x\r\n\r\nX-Spam-Flag: body\r\n"


async def inspect(url: str, envelope: Envelope = ENVELOPE, message: bytes = MESSAGE) -> Inspected:
    inspector = Inspector(spam_url=url, hostname="here.example", resolver=Resolver(["127.0.0.1:9"]))
    assert inspector.problem() is None
    try:
        return await inspector.inspect(envelope, message)
    finally:
        await inspector.close()


class RspamdServer:
    """As its documentation describes POST /checkv2."""

    def __init__(self) -> None:
        self.answer: object = {}
        self.status = 200
        self.headers: CIMultiDictProxy[str] | None = None
        self.body = b""
        self.is_stuck = False
        self.url = ""

    async def check(self, request: web.Request) -> web.Response:
        self.headers, self.body = request.headers, await request.read()
        if self.is_stuck:
            await asyncio.Event().wait()
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(text=text, status=self.status, content_type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[RspamdServer]:
    server = RspamdServer()
    app = web.Application()
    app.router.add_post("/checkv2", server.check)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"rspamd://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def reply(action: str, score: float = 7.25) -> dict[str, object]:
    symbols = {name: {"name": name, "score": 1.0, "options": ["x"]} for name in ("BAD_WORDS", "FORGED")}
    return {"is_skipped": False, "score": score, "required_score": 15.0, "action": action, "symbols": symbols}


async def test_rspamd_is_told_the_envelope_and_the_message(server: RspamdServer) -> None:
    server.answer = reply("no action")
    inspected = await inspect(server.url.replace("//", "//:secret@"))
    assert server.headers is not None
    assert server.body == MESSAGE
    told = {
        name: server.headers.getall(name) for name in ("From", "Rcpt", "IP", "Helo", "MTA-Name", "Password")
    }
    assert told == {
        "From": ["alice@example.com"], "Rcpt": ["bob@here.example", "eve@here.example"], "IP": ["192.0.2.1"],
        "Helo": ["x.example"], "MTA-Name": ["here.example"], "Password": ["secret"],
    }  # fmt: skip
    assert inspected.verdict == "accept"
    assert inspected.spam_score == 7.25
    assert inspected.fields == b"X-Spam-Status: No, score=7.2 required=15.0\r\n\ttests=BAD_WORDS,FORGED\r\n"


async def test_rspamd_does_not_take_our_mta_for_the_sender(server: RspamdServer) -> None:
    server.answer = reply("no action")
    odd = replace(
        ENVELOPE, protocol="LMTPS", client="127.0.0.1", sender="j\u00fcrgen@example.com\r\nIP: 127.0.0.1"
    )
    await inspect(server.url, odd)
    assert server.headers is not None
    assert not {"IP", "Helo"} & set(server.headers)


@pytest.mark.parametrize(
    ("action", "verdict", "code", "by_lmtp"),
    [
        ("no action", "accept", None, "accept"),
        ("greylist", "accept", None, "accept"),
        ("a word of its own", "accept", None, "accept"),
        ("add header", "junk", None, "junk"),
        ("rewrite subject", "junk", None, "junk"),
        ("discard", "junk", None, "junk"),
        ("soft reject", "defer", (451, "4.7.1"), "defer"),
        ("reject", "reject", (550, "5.7.1"), "junk"),
    ],
)
async def test_what_rspamd_asks_for_is_done(
    action: str, verdict: str, code: tuple[int, str] | None, by_lmtp: str, server: RspamdServer
) -> None:
    server.answer = reply(action)
    inspected = await inspect(server.url)
    assert inspected.verdict == verdict
    assert (inspected.reply and inspected.reply[:2]) == code
    assert inspected.fields.startswith(b"X-Spam-Flag: YES\r\n") == (verdict in ("junk", "reject"))
    assert (await inspect(server.url, replace(ENVELOPE, protocol="LMTP"))).verdict == by_lmtp


async def test_what_the_sender_says_of_spam_is_taken_out(server: RspamdServer) -> None:
    server.answer = reply("add header")
    cleaned = b"Received: from x\r\nFrom: alice@example.com\r\nSubject: x\r\n\r\nX-Spam-Flag: body\r\n"
    for protocol in ("ESMTP", "LMTP"):
        assert (await inspect(server.url, replace(ENVELOPE, protocol=protocol))).message == cleaned


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", "not JSON", '{"action": "reject"}', '{"action": "reject", "score": "x", "required_score": 1}',
     '{"action": "reject", "score": NaN, "required_score": 15}', '"reject"', "null"],
)  # fmt: skip
async def test_an_answer_without_sense_lets_mail_in(answer: str, server: RspamdServer) -> None:
    server.answer = answer
    await unheard(server.url, "makes no sense")


async def unheard(url: str, why: str) -> None:
    with structlog.testing.capture_logs() as lines:
        inspected = await inspect(url)
    assert (inspected.verdict, inspected.fields, inspected.spam_score) == ("accept", b"", None)
    (line,) = lines
    assert (line["log_level"], line["event"]) == ("warning", "spam filter not asked")
    assert why in line["error"]
    assert "example.com" not in str(line)


async def test_a_filter_that_is_not_there_or_does_not_answer_lets_mail_in(
    server: RspamdServer, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(rspamd, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(spamd, "_PATIENCE_S", 0.2)
    server.status = 503
    await unheard(server.url, "503")
    server.is_stuck = True
    await unheard(server.url, "Timeout")
    for scheme in ("rspamd", "spamd"):
        await unheard(f"{scheme}://127.0.0.1:{unused_tcp_port}", "onnect")


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def spamd_server(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its URL, and the requests it got, each to its end. ``answer``: None, it says nothing."""
    got: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            got.append(await reader.read())
            if answer is None:
                await asyncio.Event().wait()
            else:
                for start in range(0, len(answer), 7):  # in pieces, as networks do
                    writer.write(answer[start : start + 7])
                    await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"spamd://127.0.0.1:{listener.sockets[0].getsockname()[1]}", got
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


@pytest.mark.parametrize(
    ("answer", "verdict", "score", "fields"),
    [
        (b"SPAMD/1.1 0 EX_OK\r\nContent-length: 16\r\nSpam: True ; 15.3 / 5.0\r\n\r\nBAD,FORGED,OTHER", "junk", 15.3,
         b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=15.3 required=5.0\r\n\ttests=BAD,FORGED,OTHER\r\n"),
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; -2 / 5\r\n\r\nGOOD\r\n\r\n", "accept", -2,
         b"X-Spam-Status: No, score=-2.0 required=5.0\r\n\ttests=GOOD\r\n"),
        (b"SPAMD/1.5 0 EX_OK\r\nUnknown: x\r\nspam: yes;5/5\r\n\r\n", "junk", 5,
         b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=5.0 required=5.0\r\n"),
    ],
)  # fmt: skip
async def test_spamassassin_is_asked_as_spamc_asks(
    answer: bytes, verdict: str, score: float, fields: bytes
) -> None:
    async with spamd_server(answer) as (url, got):
        inspected = await inspect(url)
    assert got == [b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(MESSAGE) + MESSAGE]
    assert (inspected.verdict, inspected.spam_score, inspected.fields) == (verdict, score, fields)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "makes no sense"),
        (b"SPAMD/1.0 76 Bad header line: (EOF during headers)\r\n", "76 Bad header"),
        (b"SPAMD/1.1 0 EX_OK\r\n\r\nSpam: True ; 15 / 5\r\n", "makes no sense"),
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1.2.3 / 5\r\n\r\n", "makes no sense"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "makes no sense"),
        (None, "no answer"),
    ],
)
async def test_a_spamassassin_in_trouble_lets_mail_in(
    answer: bytes | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spamd, "_PATIENCE_S", 0.3)
    async with spamd_server(answer) as (url, _):
        await unheard(url, why)


async def test_spamassassin_is_not_asked_of_large_messages() -> None:
    async with spamd_server(b"") as (url, got):
        inspected = await inspect(url, message=MESSAGE + b"x" * 600_000)
    assert (inspected.verdict, inspected.fields, got) == ("accept", b"", [])


def test_names_of_rules_cannot_break_the_field() -> None:
    opinion = Opinion(
        "junk", 1, 2, ["A\r\nX-Evil: yes", "B" * 300, *(f"RULE_{number}" for number in range(200))]
    )
    lines = opinion.fields().split(b"\r\n")
    assert lines[2] == b"\ttests=A__X-Evil__yes,"
    assert all(line.startswith((b"X-Spam-", b"\t")) and len(line) < 140 for line in lines[:-1])
    assert lines[-1] == b""
