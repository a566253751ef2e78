"""The exchange that AUTH begins: SASL PLAIN and LOGIN (RFC 4954, RFC 4616).

LOGIN is older than its description and in no RFC; clients that know nothing else are still about.
"""

import base64
import binascii
from typing import Literal

from veredus.formats.smtp_syntax import Refusal
from veredus.formats.smtp_values import LoginOffered, Reply

MECHANISMS = ("PLAIN", "LOGIN")
# RFC 4954 §4: the base64 of what is asked; PLAIN asks nothing.
_ASK_NAME = Reply(334, "", base64.b64encode(b"Username:").decode())
_ASK_PASSWORD = Reply(334, "", base64.b64encode(b"Password:").decode())
_GO_AHEAD = Reply(334, "", "")


class Exchange:
    """One AUTH command and the lines that follow it. Every method raises Refusal, which ends the exchange."""

    def __init__(self, mechanism: Literal["PLAIN", "LOGIN"]) -> None:
        self._mechanism = mechanism
        self._user: str | None = None

    @classmethod
    def begin(cls, argument: str) -> "tuple[Exchange, Reply | LoginOffered]":
        """What follows from the argument of AUTH: a challenge, or all that is needed."""
        name, _, initial = argument.partition(" ")
        match name.upper():
            case "PLAIN":
                exchange = cls("PLAIN")
            case "LOGIN":
                exchange = cls("LOGIN")
            case "":
                raise Refusal(501, "5.5.4", "Syntax: AUTH mechanism")
            case _:
                raise Refusal(504, "5.5.4", f"AUTH is done with {' or '.join(MECHANISMS)}")
        if not initial:
            return exchange, _GO_AHEAD if exchange._mechanism == "PLAIN" else _ASK_NAME
        # §4: "=" is an initial response without an octet in it.
        return exchange, exchange.respond("" if initial == "=" else initial)

    def respond(self, line: str) -> Reply | LoginOffered:
        """What follows from a line of the client: the next challenge, or all that is needed."""
        if line == "*":
            raise Refusal(501, "5.7.0", "Authentication cancelled")
        text = _decoded(line)
        if self._mechanism == "PLAIN":
            return _plain(text)
        if self._user is None:
            self._user = text
            return _ASK_PASSWORD
        return LoginOffered(self._user, text)


def _decoded(line: str) -> str:
    try:
        return base64.b64decode(line, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refusal(501, "5.5.2", "Not the base64 of UTF-8") from None


def _plain(text: str) -> LoginOffered:
    """RFC 4616 §2: authorization identity, NUL, authentication identity, NUL, password."""
    fields = text.split("\0")
    if len(fields) != 3:
        raise Refusal(501, "5.5.2", "Syntax of PLAIN: [identity] NUL user NUL password")
    identity, user, password = fields
    if identity not in ("", user):
        raise Refusal(535, "5.7.8", "One user does not act for another")
    return LoginOffered(user, password)
