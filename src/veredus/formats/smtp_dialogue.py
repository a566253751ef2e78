"""SMTP and LMTP commands and what they do to a session (RFC 5321 §4.1, RFC 2033 §4).

This module sees whole command lines; how they are cut out of the stream is ``smtp``'s business.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from veredus.formats import smtp_parameters as parameters_of
from veredus.formats import smtp_syntax as syntax
from veredus.formats.smtp_sasl import MECHANISMS, Exchange
from veredus.formats.smtp_syntax import Refusal
from veredus.formats.smtp_terms import Chunk, Terms, Transaction
from veredus.formats.smtp_text import NO_STORAGE, TOO_BIG, Text
from veredus.formats.smtp_values import (
    Body,
    Closed,
    Envelope,
    Event,
    Login,
    LoginOffered,
    Parameters,
    Protocol,
    RecipientOffered,
    Reply,
    Role,
    SenderOffered,
    TlsRequested,
    Wishes,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Looser than §4.1.3: many names sent are no domains, and nothing may depend on them (§4.1.4).
_HELO = re.compile(r"[!-~]{1,255}")
_OK = Reply(250, "2.0.0", "OK")
_START_MAIL = Reply(354, "", "Start mail input; end with <CRLF>.<CRLF>")
# Commands that carry no mail forward; see Limits.junk_commands.
_JUNK = frozenset({"EHLO", "EXPN", "HELO", "HELP", "LHLO", "NOOP", "RSET", "VRFY"})


class Dialogue:
    """The state that commands read and change, and the replies not sent yet."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.transaction: Transaction | None = None
        # What the octets that come next are: text, a chunk, or (neither) commands.
        self.in_text = False
        self.chunk: Chunk | None = None
        self.replies: list[bytes] = []
        # Who has logged in, and what AUTH is waiting for.
        self.login: Login | None = None
        self._exchange: Exchange | None = None
        self.failed_logins = 0
        self._tls = terms.tls
        self._helo = ""
        self._is_extended = False
        self._bad_commands = 0
        self._junk_commands = 0
        self.reply(Reply(220, "", f"{terms.hostname} {'LMTP' if terms.role == 'lmtp' else 'ESMTP'}"))

    def reply(self, reply: Reply) -> None:
        self.replies.append(reply.encode())

    def reset(self) -> None:
        """Forget the transaction and what it holds (§4.1.1.5)."""
        if self.transaction:
            self.transaction.text.release()
        self.transaction = None
        self.in_text = False
        self.chunk = None

    def mail_taken(self) -> None:
        self._junk_commands = 0

    def tls_started(self) -> None:
        """Nothing that was said in the clear counts any more (RFC 3207 §4.2)."""
        self.reset()
        self._tls = True
        self._helo = ""
        self.login = None

    def command(self, line: bytes) -> Event | None:
        """Obey one command line without its CRLF; what comes of it beyond a reply."""
        try:
            return self._obey(line)
        except Refusal as refusal:
            self.reply(refusal.reply)
            self._exchange = None
            # 500 to 504 say that the client does not speak the protocol, 555 that it guesses (§4.2.3).
            self._bad_commands += 500 <= refusal.reply.code <= 504 or refusal.reply.code == 555
        if self._bad_commands < self.terms.limits.bad_commands:
            return None
        self.reply(Reply(421, "4.7.0", f"{self.terms.hostname} Too many errors, closing"))
        return Closed("protocol")

    def _obey(self, line: bytes) -> Event | None:
        if len(line) > self.terms.limits.command_line:
            raise Refusal(500, "5.5.2", "Line too long")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Refusal(500, "5.5.2", "Not UTF-8") from None
        # Among them CR and LF: to obey the part before a bare LF, or after it, is to obey what a
        # relay in front of us let through as one line.
        if _CONTROL.search(text):
            raise Refusal(500, "5.5.2", "Control character in command")
        if self._exchange:
            return self._log_in(self._exchange.respond(text))
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        obey = _COMMANDS[self.terms.role].get(verb)
        if obey is None:
            raise Refusal(500, "5.5.1", "Command unrecognized")
        self._junk_commands += verb in _JUNK
        if self._junk_commands > self.terms.limits.junk_commands:
            self.reply(Reply(421, "4.7.0", f"{self.terms.hostname} Too many commands without mail, closing"))
            return Closed("limit")
        return obey(self, argument.strip(" "))

    # ------------------------------------------------------------ greeting

    def _helo_(self, argument: str) -> None:
        self._introduce(argument)
        self._is_extended = False
        self.reply(Reply(250, "", self.terms.hostname))

    def _ehlo(self, argument: str) -> None:
        """EHLO (§4.1.1.1) and LHLO (RFC 2033 §4.1)."""
        self._introduce(argument)
        self._is_extended = True
        extensions = [
            self.terms.hostname,
            "PIPELINING",
            f"SIZE {self.terms.limits.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
        ]
        if self.terms.offers_tls and not self._tls:
            extensions.append("STARTTLS")
        extensions += self._extensions_for_users() if self.terms.role == "submission" else ("BINARYMIME",)
        self.reply(Reply(250, "", "\n".join(extensions)))

    def _extensions_for_users(self) -> list[str]:
        """Not BINARYMIME: hardly a host takes it, and to convert a message is to break its signatures."""
        extensions = ["DSN"]
        if release := self.terms.release:
            latest = release.now() + timedelta(seconds=release.max_s)
            extensions.append(f"FUTURERELEASE {release.max_s} {latest:%Y-%m-%dT%H:%M:%SZ}")
        if self._may_log_in:
            extensions.append(f"AUTH {' '.join(MECHANISMS)}")
        return extensions

    @property
    def _may_log_in(self) -> bool:
        return self._tls or self.terms.is_private

    def _introduce(self, name: str) -> None:
        if not _HELO.fullmatch(name):
            raise Refusal(501, "5.5.4", "A domain or an address literal is missing")
        self.reset()
        self._helo = name

    def _starttls(self, argument: str) -> Event:
        if not self.terms.offers_tls:
            raise Refusal(502, "5.5.1", "STARTTLS is not offered")
        if self._tls:
            raise Refusal(503, "5.5.1", "TLS is on already")
        if argument:
            raise Refusal(501, "5.5.4", "STARTTLS takes no argument")
        self.reply(Reply(220, "2.0.0", "Ready to start TLS"))
        return TlsRequested()

    def _auth(self, argument: str) -> Event | None:
        """AUTH (RFC 4954 §4)."""
        if not self._helo or not self._is_extended:
            raise Refusal(503, "5.5.1", "Send EHLO first")
        if self.login:
            raise Refusal(503, "5.5.1", "You are logged in already")
        if self.transaction:
            raise Refusal(503, "5.5.1", "Not within a mail transaction")
        if not self._may_log_in:
            raise Refusal(538, "5.7.11", "Passwords are taken through TLS only")
        self._exchange, answer = Exchange.begin(argument)
        return self._log_in(answer)

    def _log_in(self, answer: Reply | LoginOffered) -> Event | None:
        if isinstance(answer, Reply):
            self.reply(answer)
            return None
        self._exchange = None
        return answer

    def _refuse_strangers(self) -> None:
        """RFC 6409 §4.3, RFC 3207 §4, RFC 4954 §6."""
        if not self._may_log_in:
            raise Refusal(530, "5.7.0", "Send STARTTLS first")
        if self.login is None:
            raise Refusal(530, "5.7.0", "Authentication required")

    # ------------------------------------------------------------ a mail transaction

    def _mail(self, argument: str) -> Event | None:
        """MAIL (§4.1.1.2)."""
        if not self._helo:
            raise Refusal(503, "5.5.1", f"Send {'LHLO' if self.terms.role == 'lmtp' else 'EHLO'} first")
        if self.transaction:
            raise Refusal(503, "5.5.1", "The sender is known already")
        if self.terms.role == "submission":
            self._refuse_strangers()
        sender, parameters = syntax.path("FROM", argument)
        size = syntax.size_parameter(parameters)
        body = syntax.body_parameter(parameters)
        smtputf8 = syntax.utf8_parameter(parameters)
        kept = self._parameters_of_users(parameters, body) if self.login else None
        syntax.refuse_parameters(parameters)
        if not smtputf8:
            syntax.refuse_utf8(sender)
        limit, in_flight = self.terms.limits.message_size, self.terms.in_flight
        if size is not None and size > limit:
            raise Refusal.of(TOO_BIG)
        if (size or 1) > in_flight.left:
            raise Refusal.of(NO_STORAGE)
        self.transaction = Transaction(sender, size, body, smtputf8, Text(limit, in_flight), parameters=kept)
        if self.login:
            return SenderOffered(self.login, sender)
        self.sender_taken()
        return None

    def sender_taken(self) -> None:
        self.reply(Reply(250, "2.1.0", "Sender OK"))

    def _parameters_of_users(self, parameters: dict[str, str | None], body: Body) -> Parameters:
        if body == "BINARYMIME":
            raise Refusal(555, "5.5.4", "BINARYMIME is not offered")
        parameters_of.trusted_sender(parameters)
        return {
            **parameters_of.dsn_of_mail(parameters),
            **parameters_of.hold(parameters, self.terms.release),
        }

    def _rcpt(self, argument: str) -> Event:
        """RCPT (§4.1.1.3)."""
        transaction = self.transaction
        if not transaction:
            raise Refusal(503, "5.5.1", "Send MAIL first")
        if transaction.has_chunks:
            raise Refusal(503, "5.5.1", "The message has begun")
        recipient, parameters = syntax.path("TO", argument)
        if self.login:
            transaction.of_offered = parameters_of.dsn_of_rcpt(parameters)
        syntax.refuse_parameters(parameters)
        if not transaction.smtputf8:
            syntax.refuse_utf8(recipient)
        if transaction.offered >= self.terms.limits.recipients:
            raise Refusal(452, "4.5.3", "Too many recipients")
        transaction.offered += 1
        return RecipientOffered(recipient)

    def _data(self, argument: str) -> None:
        """DATA (§4.1.1.4)."""
        if argument:
            raise Refusal(501, "5.5.4", "DATA takes no argument")
        if refusal := self._no_recipients():
            raise Refusal.of(refusal)
        assert self.transaction
        if self.transaction.has_chunks or self.transaction.body == "BINARYMIME":
            raise Refusal(503, "5.5.1", "Send BDAT")
        if self.terms.in_flight.left < 1:
            raise Refusal.of(NO_STORAGE)
        self.in_text = True
        self.reply(_START_MAIL)

    def _bdat(self, argument: str) -> Event | None:
        """BDAT (RFC 3030 §2). Its octets follow whether it is welcome or not."""
        found = syntax.chunk(argument)
        if found is None:
            # Where the chunk ends is unknown, so that a message would be read as commands.
            self.reply(Reply(501, "5.5.4", "Syntax: BDAT octets [LAST]; closing"))
            return Closed("protocol")
        size, is_last = found
        refusal = self._no_recipients()
        if self.transaction and not refusal and not self.transaction.has_chunks:
            self.transaction.has_chunks = True
            self.transaction.text.begin_chunks()
        self.chunk = Chunk(size, size, is_last, refusal)
        return None

    def _no_recipients(self) -> Reply | None:
        """Why no message can come now (§3.3; RFC 2033 §4.2 wants 503 where SMTP has 554)."""
        if not self.transaction:
            return Reply(503, "5.5.1", "Send MAIL first")
        if not self.transaction.recipients:
            return Reply(503 if self.terms.role == "lmtp" else 554, "5.5.1", "No valid recipients")
        return None

    def envelope(self, transaction: Transaction) -> Envelope:
        return Envelope(
            sender=transaction.sender,
            recipients=tuple(transaction.recipients),
            client=self.terms.client,
            helo=self._helo,
            protocol=self._protocol(transaction.smtputf8),
            smtputf8=transaction.smtputf8,
            body=transaction.body,
            size=transaction.size,
            tls=self._tls,
            wishes=Wishes(self.login, transaction.parameters or {}, transaction.of_recipients)
            if self.login
            else None,
        )

    def _protocol(self, smtputf8: bool) -> Protocol:
        if self.terms.role == "lmtp":
            if smtputf8:
                return "UTF8LMTPS" if self._tls else "UTF8LMTP"
            return "LMTPS" if self._tls else "LMTP"
        if self.login:
            if smtputf8:
                return "UTF8SMTPSA" if self._tls else "UTF8SMTPA"
            return "ESMTPSA" if self._tls else "ESMTPA"
        if smtputf8:
            return "UTF8SMTPS" if self._tls else "UTF8SMTP"
        if self._is_extended:
            return "ESMTPS" if self._tls else "ESMTP"
        return "SMTP"

    # ------------------------------------------------------------ the rest

    def _rset(self, argument: str) -> None:
        self.reset()
        self.reply(_OK)

    def _vrfy(self, argument: str) -> None:
        """§7.3: whether an address exists is told at RCPT alone."""
        if not argument:
            raise Refusal(501, "5.5.4", "Syntax: VRFY address")
        self.reply(Reply(252, "2.0.0", "Cannot verify, but will take mail and try"))

    def _expn(self, argument: str) -> None:
        raise Refusal(502, "5.5.1", "EXPN is not offered")

    def _help(self, argument: str) -> None:
        self.reply(Reply(214, "2.0.0", f"See RFC {'2033' if self.terms.role == 'lmtp' else '5321'}"))

    def _noop(self, argument: str) -> None:
        self.reply(_OK)

    def _quit(self, argument: str) -> Event:
        self.reply(Reply(221, "2.0.0", f"{self.terms.hostname} Bye"))
        return Closed("quit")


_Command = Callable[[Dialogue, str], Event | None]
_COMMON: Mapping[str, _Command] = {
    "STARTTLS": Dialogue._starttls,
    "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt,
    "DATA": Dialogue._data,
    "BDAT": Dialogue._bdat,
    "RSET": Dialogue._rset,
    "VRFY": Dialogue._vrfy,
    "EXPN": Dialogue._expn,
    "HELP": Dialogue._help,
    "NOOP": Dialogue._noop,
    "QUIT": Dialogue._quit,
}
# RFC 2033 §4.1: LHLO stands in the place of HELO and EHLO, which LMTP does not know.
_COMMANDS: Mapping[Role, Mapping[str, _Command]] = {
    "smtp": {**_COMMON, "HELO": Dialogue._helo_, "EHLO": Dialogue._ehlo},
    "lmtp": {**_COMMON, "LHLO": Dialogue._ehlo},
    "submission": {**_COMMON, "HELO": Dialogue._helo_, "EHLO": Dialogue._ehlo, "AUTH": Dialogue._auth},
}
