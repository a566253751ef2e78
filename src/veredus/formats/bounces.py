"""Bounces without a machine-readable part, as mail systems wrote them before RFC 3464 and some still do.

There are some seventy forms, and they agree in little: who sends them, that they say of somebody that he was
not reached, and that what follows is the message itself. That is what is looked for, not the forms.
"""

import html
import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.header import Header
from veredus.formats.mime.message import Message, decode, decode_text
from veredus.formats.mime.part import Part
from veredus.formats.report_values import Action, Recipient

_MAX_NOTICE: Final = 32 * 1024
_MAX_PARTS: Final = 20
_MAX_RECIPIENTS: Final = 100
_MAX_DIAGNOSTIC: Final = 500

_DAEMON = re.compile(
    r"mailer[ ._-]?daemon|mail(?:er)?[ ._-]*deliver|delivery[ ._-]*(?:sub)?system|postmaster|mail[ _.-]system"
    r"|system administrator|smtp_mail_service|mail ?server|mailerdaemon|mdaemon@|^\W*<>\W*$",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|deliver\w* (?:problem|fail|status|delay)|(?:failed|failure) (?:notice|deliver)|returned mail"
    r"|mail system error|non.?deliver|not (?:be )?delivered|mail (?:deliver\w* )?fail|delayed"
    r"|deliver\w* (?:report|incomplete|temporar)|user unknown|returning message|error during delivery",
    re.IGNORECASE,
)
# That somebody was not reached, in the words of many systems.
_FAILED = re.compile(
    r"undeliver|not (?:be |been |yet been )?deliver|unable to deliver|can(?:no|')t deliver|deliver\w* fail"
    r"|fail\w* (?:to deliver|deliver|address|recipient)|(?:failed|failure) for"
    r"|(?:delivery|mail|message)\W+fail"
    r"|(?:couldn't|wasn't|can't) be delivered|user unknown|unknown (?:user|address|recipient)"
    r"|no such (?:user|mailbox|address|recipient|person)|permanent\w* (?:fatal )?(?:error|fail)"
    r"|fatal errors?|mailbox (?:is )?(?:full|unavailable|disabled|not)|over ?quota|quota exceeded"
    r"|invalid (?:recipient|address|user)|invalid final|returned to sender"
    r"|return\w* (?:to )?(?:you|the sender)|doesn't have a|does not exist"
    r"|(?:user|account|recipient) (?:is )?(?:not|un|inactive|disabled)"
    r"|(?:was|were|been) (?:rejected|refused)|error (?:sending|while)|giving up|problem (?:deliver|with)"
    r"|has been delayed|is delayed|still being retried|too many hops|host unknown"
    r"|\b[45]\.[0-7]\.\d{1,3}\b",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"delayed|delay\)|still being retried|(?:not|n't) (?:yet )?been delivered yet|not yet been delivered"
    r"|will (?:be retried|keep trying|continue|retry|be (?:re)?tried again)|temporarily|warning message only"
    r"|this is (?:only )?a warning|do not need to resend",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"permanent|giving up|not going to try again|too long|given up|returned to sender|delivery failed"
    r"|status notification \(fail"
    r"|could not be delivered|not be delivered|undeliverable|failure notice|returning message",
    re.IGNORECASE,
)

_EMAIL: Final = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9_-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-]|\.\w)"
)
_ADDRESS = re.compile(_EMAIL)
# An address that a line begins with, or that stands where a system names whom it failed for.
_NAMED = re.compile(
    rf"""^[ \t>*+-]*+
    (?:(?:recipient|rcpt|user|address|original-recipient|final-recipient)?[ \t]*+[:;=][ \t]*+)?
    (?:rfc822;[ \t]*+)?[<"'(]*+(?P<first>{_EMAIL})[>"')]*+[ \t]*+(?:$|[:;,.(-]|on[ ]|\.\.\.)
    |rcpt[ ]to:[ ]*+<?(?P<rcpt>{_EMAIL})
    |\b[45]\d\d[ -](?:[45]\.\d+\.\d+[ ])?<?(?P<reply>{_EMAIL})>?\.\.\.
    |\b(?:user|recipient|address|mailbox|account|unknown|failed[ ]for|delivered[ ]to|deliver[ ]to
       |delivery[ ]to|message[ ]to|mail[ ]to|invalid)(?![\w-])[ \t:]*+[<"'(]*+(?P<word>{_EMAIL})
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_EXPANDED = re.compile(rf"\s*\(expanded from:[ ]*<?({_EMAIL})", re.IGNORECASE)
# After such words the recipients follow; before them there may be the fields of the message.
_FOLLOWING = re.compile(
    r"(?:did not reach|not (?:be )?delivered to|(?:following|these) (?:recipient|address|user|person)).*",
    re.IGNORECASE,
)
# Not whom it failed for: who sent it, who said so, whom to ask.
_OTHERS = re.compile(r"\b(?:from|by|sender|contact|via|at|mailto:|to ask)[ :]*[<\"'(]*\Z", re.IGNORECASE)
_NEAR: Final = 400
_NEAR_TOP: Final = 2_000
_NOBODY = re.compile(r"(?:mailer-?daemon|postmaster|abuse|support|helpdesk|noreply|no-reply)@", re.IGNORECASE)
_STATUS = re.compile(r"\b[45]\.[0-7]\.\d{1,3}\b")
_REPLY = re.compile(r"(?<![\d.])([45])[0-5]\d[ -](?!\d\d\b)")

# Where the message itself begins: a line that says so, or fields of a header one after the other.
_RETURNED = re.compile(
    r"""^[ \t>*=_-]*+(?:(?:this[ ]is[ ]a[ ]copy[ ]of|below[ ]this[ ]line[ ]is|original[ ]message
      |unsent[ ]message|(?:the[ ])?(?:headers?|text|body)[ ](?:of|from)[ ](?:the|your)
      |returned[ ]message|undelivered[ ]message
      |message[ ]headers?|the[ ]original[ ]message[ ]headers|your[ ](?:original[ ])?message[ ]follows
      |your[ ](?:original[ ])?message[ ]reads
      |copy[ ]of[ ](?:the|your)|the[ ]attached[ ]file|message[ ]text[ ]follows|received:\ ).*)$
    |^(?:(?:Received|Return-Path|From|To|Cc|Subject|Date|Message-Id|MIME-Version|X-[A-Za-z0-9-]+|Delivered-To
      |DKIM-Signature|Reply-To|Sender|Organization|Precedence|List-[A-Za-z-]+|Errors-To|In-Reply-To|References
      |(?<!\n\n)Content-[A-Za-z-]+):.*\n(?:[ \t]+\S.*\n)*+){3}""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


class Bounce(Struct, frozen=True):
    """``returned``: the message that came back, from its header on, where it stands in the text."""

    recipients: tuple[Recipient, ...]
    returned: bytes = b""


def may_be_bounce(headers: Iterable[Header]) -> bool:
    """A first look, at a few header fields: whether ``find`` is worth its time."""
    for name, value in headers:
        match name.lower():
            case "from" | "sender":
                if _DAEMON.search(value):
                    return True
            case "return-path":
                if value.strip() == "<>":
                    return True
            case "x-failed-recipients":
                return True
    return False


def find(message: Message) -> Bounce | None:
    """Whom ``message`` says it could not reach; None: it does not say so.

    No recipients: it is a bounce, and does not say whose.
    """
    fields = {name.lower(): value for name, value in reversed(message.headers)}
    subject = as_text(fields.get("subject", ""))
    text = _text(message)
    cut = _RETURNED.search(text)
    notice, returned = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
    is_daemon = _DAEMON.search(fields.get("from", "") + fields.get("sender", "")) is not None
    addresses = _failed(fields, notice, subject, is_daemon)
    if is_daemon:
        says_so = bool(addresses or _SUBJECT.search(subject))
    else:
        says_so = bool(addresses and _FAILED.search(notice[:_NEAR_TOP]))
    if not says_so:
        return None
    whole = f"{subject}\n{notice}"
    delayed = _DELAYED.search(whole) is not None and not _FINAL.search(whole)
    recipients = [_recipient(address, notice, delayed) for address in addresses[:_MAX_RECIPIENTS]]
    return Bounce(tuple(recipients), _from_header(returned).encode("utf-8", "replace"))


def _text(message: Message) -> str:
    """What a person reads, and the machine-readable parts, as lines."""
    texts = []
    for part in message.root.walk()[:_MAX_PARTS]:
        if part.type.startswith("text/") or part.type == "message/delivery-status":
            text, _ = decode_text(_start_of(part), part.charset, part.encoding)
            if part.type == "text/html":
                text = lines_of_html(text)
            text = text.replace("\r", "\n")
            texts.append(text)
            if part.type != "text/html" and _RETURNED.search(text):
                break
    return "\n\n".join(texts)[: 2 * _MAX_NOTICE]


def _start_of(part: Part) -> bytes:
    return decode(part.data[part.start : min(part.end, part.start + _MAX_NOTICE)], part.encoding)


def lines_of_html(markup: str) -> str:
    """What HTML says, in lines; addresses in angle brackets that are not escaped are kept."""
    text = re.sub(r"<(?:br|p|/p|div|/div|tr|/tr|li|/li)\b[^<>]*>", "\n", markup, flags=re.IGNORECASE)
    text = re.sub(r"</?[A-Za-z!][^<>@]*>", "", text)
    return html.unescape(text).replace("\xa0", " ")


def _from_header(returned: str) -> str:
    """``returned`` from its first header field on."""
    found = re.search(r"^[A-Za-z][A-Za-z-]*:[ \t]", returned, re.MULTILINE)
    return returned[found.start() :] if found else ""


def _failed(fields: dict[str, str], notice: str, subject: str, is_daemon: bool) -> list[str]:
    """The addresses that failed, each once; any that is mentioned will do if a daemon writes."""
    if stated := fields.get("x-failed-recipients"):
        return list(dict.fromkeys(address["email"] for address in as_addresses(stated)))
    following = _FOLLOWING.search(notice)
    notice = notice[following.start() :] if following else notice
    own = {
        address["email"].lower()
        for name in ("from", "to", "sender", "reply-to", "return-path")
        for address in as_addresses(fields.get(name, ""))
    }
    for find_in in (_named, _any) if is_daemon else (_named,):
        found = {email.lower(): email for email in map(_stripped, find_in(notice, subject))}
        if other := [email for key, email in found.items() if key not in own]:
            return other
    return []


def _named(notice: str, subject: str) -> Iterator[str]:
    for match in _NAMED.finditer(notice):
        yield from (email for email in match.groups() if email)


def _any(notice: str, subject: str) -> Iterator[str]:
    for text in (notice[:_NEAR], subject):
        for match in _ADDRESS.finditer(text):
            before = text[max(match.start() - 20, 0) : match.start()]
            if not _NOBODY.match(match.group()) and not _OTHERS.search(before):
                yield match.group()


def _stripped(email: str) -> str:
    return email.strip(".'\"")


def _recipient(address: str, notice: str, delayed: bool) -> Recipient:
    start = notice.find(address)
    near = notice[start : start + 1_000] if start >= 0 else ""
    status = _STATUS.search(near) or _STATUS.search(notice)
    reply = _REPLY.search(near) or _REPLY.search(notice)
    action: Action = "delayed" if delayed else "failed"
    code = status.group() if status else f"{reply[1]}.0.0" if reply else "4.0.0" if delayed else "5.0.0"
    expanded = _EXPANDED.match(near, len(address))
    return Recipient(
        final_recipient=address,
        original_recipient=expanded[1] if expanded else None,
        action=action,
        status=code,
        diagnostic=_diagnostic(near[len(address) :]),
    )


def _diagnostic(text: str) -> str | None:
    """What is said right after an address, up to an empty line."""
    first, *more = re.split(r"\n[ \t]*\n", text.lstrip(">\"':;.,) \t\r\n"), maxsplit=2)
    if first.rstrip().endswith(":") and more:
        first = f"{first}\n{more[0]}"  # "For the following reason:"
    return " ".join(first.split())[:_MAX_DIAGNOSTIC] or None
