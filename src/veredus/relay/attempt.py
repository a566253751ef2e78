"""One attempt at all recipients of a parcel: transactions, and the fate of each (RFC 5321 §3.3, RFC 2920)."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from veredus.ports import Address, BeforeText, Fate, Parcel
from veredus.relay import commands
from veredus.relay.commands import Refused
from veredus.relay.reply import NO_ANSWER, HostTrouble, Reply
from veredus.relay.session import Session

# Text is handed over in pieces, so that a host that stopped reading is noticed.
_BLOCK = 64 * 1024
# "Too many recipients" (RFC 5321 §4.5.3.1.10), and not a mailbox that is full.
_CROWDED = re.compile(r"452 (?!\d\.\d)|452 4\.5\.3\b")


class Attempt:
    """``fates`` fills up; recipients without one are ``undecided``."""

    def __init__(self, parcel: Parcel, before_text: BeforeText | None) -> None:
        self._parcel = Parcel(parcel.sender, parcel.recipients, commands.normal(parcel.data))
        self._before_text = before_text
        self._recipients = {recipient.email: recipient for recipient in parcel.recipients}
        self._needs_utf8 = commands.needs_utf8(self._parcel)
        self.fates: dict[str, Fate] = {}

    @property
    def undecided(self) -> list[Address]:
        return [it for email, it in self._recipients.items() if email not in self.fates]

    async def run(self, session: Session) -> HostTrouble | None:
        """Go as far as this session leads. The trouble that ended it; None: it may be kept.

        Exceptions of ``before_text`` pass, and break the connection: the host must not take half a message.
        """
        try:
            # More than one transaction: some hosts take only so many recipients at a time.
            while undecided := self.undecided:
                await self._transact(session, undecided)
        except HostTrouble as trouble:
            session.wire.abort(trouble.reply)
            return trouble
        except BaseException:
            session.wire.abort("451 4.3.0 Given up")
            raise
        return None

    async def _transact(self, session: Session, undecided: Sequence[Address]) -> None:
        """One mail transaction; at least one recipient is decided after it. Raises HostTrouble."""
        is_utf8 = self._needs_utf8 or (
            session.offers("SMTPUTF8") and any(commands.needs_utf8_path(it.email) for it in undecided)
        )
        try:
            mail = commands.mail(self._parcel, session, is_utf8=is_utf8)
        except Refused as refused:
            self._set((it.email for it in undecided), refused.fate)
            return
        lines: dict[str, str] = {}
        for recipient in undecided:
            try:
                lines[recipient.email] = commands.rcpt(recipient, session, is_utf8=is_utf8)
            except Refused as refused:
                self._set([recipient.email], refused.fate)
        if lines:
            await self._envelope(session, mail, lines)

    async def _envelope(self, session: Session, mail: str, lines: dict[str, str]) -> None:
        """MAIL, RCPT and DATA; ``lines``: RCPT commands by recipient."""
        dialogue = _Dialogue(session, mail, lines.values())
        reply = await dialogue.say(mail)
        if not reply.is_positive:
            self._set(lines, _refusal(reply, session, "MAIL"))
            await dialogue.skip()
            return
        accepted: dict[str, Fate] = {}
        for recipient, line in lines.items():
            reply = await dialogue.say(line)
            folded = reply.folded()
            if reply.is_positive:
                accepted[recipient] = Fate("relayed", folded, session.host, session.offers("DSN"))
            elif not (accepted and _CROWDED.match(folded)):
                self._set([recipient], _refusal(reply, session, "RCPT"))
        if not accepted:
            await dialogue.skip()
            return
        reply = await dialogue.say("DATA")
        if reply.code != 354:
            session.needs_reset = True
            self._set(accepted, _refusal(reply, session, "DATA"))
            return
        await self._text(session, accepted)

    async def _text(self, session: Session, accepted: dict[str, Fate]) -> None:
        """The text and what is said to it. Whoever has its last octet may have the message."""
        if self._before_text is not None:
            await self._before_text(tuple(accepted))
        text = memoryview(commands.stuffed(self._parcel.data))
        wire = session.wire
        last = (len(text) - 1) // _BLOCK * _BLOCK
        try:
            for start in range(0, last, _BLOCK):
                wire.write(text[start : start + _BLOCK], replies=0)
                await wire.drain(session.timeouts.block)
            wire.write(text[last:])
        except HostTrouble:
            if (reply := wire.last_words()) is not None and not reply.is_positive:
                self._set(accepted, _refusal(reply, session, "the text"))
            raise
        try:
            reply = await wire.reply(session.timeouts.end)
            if reply.code // 100 == 3:
                raise HostTrouble(NO_ANSWER.format("the text", reply.folded()))
        except HostTrouble as trouble:
            self._set(accepted, Fate("unknown", trouble.reply, session.host))
            raise
        if reply.is_positive:
            # RFC 8621 §7: the reply to RCPT counts, unless the message as a whole was refused.
            self.fates.update(accepted)
        else:
            kind: Literal["later", "failed"] = "failed" if reply.code >= 500 else "later"
            self._set(accepted, Fate(kind, reply.folded(), session.host))
        if reply.is_closing:
            raise HostTrouble.said(reply, session.host)

    def _set(self, recipients: Iterable[str], fate: Fate) -> None:
        for recipient in recipients:
            self.fates[recipient] = fate

    def put_off(self, trouble: HostTrouble) -> None:
        """No other host is left to be asked about the undecided."""
        self._set((it.email for it in self.undecided), Fate("later", trouble.reply, trouble.host))


class _Dialogue:
    """The commands of an envelope, sent at once to a host with PIPELINING, else one after the other."""

    def __init__(self, session: Session, mail: str, recipients: Iterable[str]) -> None:
        self._session = session
        self._unread = 0
        self._resets = session.needs_reset
        if not session.offers("PIPELINING"):
            return
        lines = [*(["RSET"] if self._resets else []), mail, *recipients, "DATA"]
        session.wire.write("".join(f"{line}\r\n" for line in lines).encode(), len(lines))
        self._unread = len(lines)

    async def say(self, line: str) -> Reply:
        """The reply to ``line``. Raises HostTrouble: there is none, or the session is over."""
        if self._resets:
            self._resets = self._session.needs_reset = False
            await self._reply("RSET")
        return await self._reply(line)

    async def _reply(self, line: str) -> Reply:
        session = self._session
        if self._unread:
            self._unread -= 1
        else:
            session.wire.write(f"{line}\r\n".encode())
        timeouts = session.timeouts
        reply = await session.wire.reply(timeouts.data if line == "DATA" else timeouts.command)
        if reply.is_closing:
            raise HostTrouble.said(reply, session.host)
        return reply

    async def skip(self) -> None:
        """Nobody was accepted: read what was asked already, and end an empty text (RFC 2920 §3.1)."""
        self._session.needs_reset = True
        reply = None
        while self._unread:
            reply = await self._reply("")
        if reply is not None and reply.code == 354:
            self._session.wire.write(b".\r\n")
            await self._session.wire.reply(self._session.timeouts.end)


def _refusal(reply: Reply, session: Session, command: str) -> Fate:
    """Raises HostTrouble: the reply means nothing here."""
    if reply.code < 400:
        raise HostTrouble(NO_ANSWER.format(command, reply.folded()), session.host)
    return Fate("failed" if reply.code >= 500 else "later", reply.folded(), session.host)
