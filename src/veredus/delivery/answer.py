"""Who is answered while the recipient is away, and what (RFC 3834, RFC 5230, RFC 8621 §8)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from veredus.delivery.compose import Heading, compose, mime_entity, text, text_and_html
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.email import convenience
from veredus.formats.mime.header import Header
from veredus.formats.sieve.outcome import Vacation
from veredus.mail.identity import may_use
from veredus.mail.vacation import VacationResponse

RESPONSE_SECONDS: Final = 7 * 86_400
"""How long a sender has had the VacationResponse: see docs/silent.md#how-often-a-sender-is-answered."""
_NO_TEXT: Final = "This is an automatic reply: I have got your message, and will read it later."
_TO = frozenset("to cc bcc resent-to resent-cc resent-bcc".split())
_ROBOTS = frozenset(
    "mailer-daemon postmaster listserv majordomo noreply no-reply donotreply do-not-reply bounces".split()
)
_BULK = frozenset({"bulk", "list", "junk"})


class Own(Struct, frozen=True):
    """The addresses of an account, ``*@`` and a domain among them (ports.Directory).

    ``separator``: of sub-addresses, which are the account's as well. Of a domain, ``has`` is true of what may
    be somebody else's, too.
    """

    addresses: tuple[str, ...]
    separator: str | None

    def has(self, address: str) -> bool:
        return may_use(self.addresses, address.strip(), self.separator or "")


def addressed(headers: Sequence[Header], own: Own) -> Iterator[str]:
    """The addresses of the recipient in the fields that name recipients (RFC 5230 §4.5)."""
    for name, value in headers:
        if name.lower() in _TO:
            yield from (found["email"] for found in as_addresses(value) if own.has(found["email"]))


def is_automatic(headers: Sequence[Header]) -> bool:
    """Whether a machine made the message by itself (RFC 3834 §5)."""
    for name, value in headers:
        if name.lower() == "auto-submitted":
            return value.partition(";")[0].strip().lower() != "no"
    return False


def may_answer(sender: str, headers: Sequence[Header]) -> bool:
    """Whether a person would like to have the message answered by a machine (RFC 3834 §2)."""
    if _is_robot(sender) or is_automatic(headers):
        return False
    return not any(_tells_of_many(name.lower(), value.strip().lower()) for name, value in headers)


def _is_robot(sender: str) -> bool:
    """Those that RFC 5230 §4.6 names, and what mailing lists and newsletters send from."""
    local = sender.rpartition("@")[0].lower()
    return (
        local in _ROBOTS
        or local.startswith(("owner-", "bounce-", "bounces+", "bounce+"))
        or local.endswith(("-request", "-owner", "-bounces", "-bounce"))
    )


def _tells_of_many(name: str, value: str) -> bool:
    match name:
        case "precedence":
            return value in _BULK
        case "content-type":
            return value.startswith("multipart/report")
        case "x-auto-response-suppress":
            return any(word in value for word in ("all", "oof", "autoreply"))
    return name.startswith("list-")


def subject_of(given: str | None, headers: Sequence[Header]) -> str:
    """RFC 5230 §4.3: what it was about, after "Auto: "."""
    if given:
        return given
    about = convenience(headers)["subject"]
    return f"Auto: {about}" if about else "Automatic reply"


class Answering(Struct, frozen=True, kw_only=True):
    """What an answer needs beside its text. ``own_address``: that it comes from.

    ``names``: of the account's Identities, by address.
    """

    sender: str
    own_address: str
    names: Mapping[str, str]
    headers: Sequence[Header]
    hostname: str
    now: datetime

    def _heading(self, subject: str | None) -> Heading:
        return Heading(
            sender=self.own_address,
            sender_name=self.names.get(self.own_address.lower()),
            to=self.sender,
            subject=subject_of(subject, self.headers),
            hostname=self.hostname,
            date=self.now,
            auto_submitted="auto-replied",
            about=self.headers,
        )

    def by_script(self, vacation: Vacation) -> bytes:
        body = mime_entity(vacation.reason) if vacation.mime else text(vacation.reason)
        return compose(self._heading(vacation.subject), body)

    def by_response(self, response: VacationResponse) -> bytes:
        body = text_and_html(response.text_body, response.html_body) or text(_NO_TEXT)
        return compose(self._heading(response.subject), body)
