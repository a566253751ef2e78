"""The headers of jmap2nats, ``Jmap-*``: what a consumer can filter by without the payload.

The NATS client of Go makes every value one line; ours does it here, and in the same way. Where the order of a
list was the accident of a Go map (generations 0a and 0), it is sorted, which is one of those accidents.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from veredus.bridge.wire import go_json, times, values
from veredus.wire.types import JsonObject

SCHEMA_VERSION = "Jmap2nats-Schema-Version"

# ADR-4 of NATS: printable ASCII without a colon; the client of Go refuses these, too.
_NAME_CHARACTERS = frozenset(map(chr, range(33, 127))) - frozenset('"()/,:;<=>?@[\\]{}')
_ONE_LINE = str.maketrans("\r\n\0", "   ")


class BadHeaderName(ValueError):
    """A name that NATS does not take, or that is NATS's own (``Nats-``)."""


def clean(value: str) -> str:
    """``value`` as one line: CR, LF and NUL are spaces, no blanks at the ends.

    Go leaves a NUL as it is; everything else is as its client does it. Other text stays UTF-8.
    """
    return go_json.scrub(value).translate(_ONE_LINE).strip(" \t")


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """``headers`` with clean values; raises BadHeaderName."""
    for name in headers:
        if not name or not _NAME_CHARACTERS.issuperset(name) or name.lower().startswith("nats-"):
            raise BadHeaderName(f"{name!r} cannot be the name of a header.")
    return {name: clean(value) for name, value in headers.items()}


def email_headers(email: JsonObject, account_id: str, email_id: str) -> dict[str, str]:
    """The headers of an Email that all generations have, in the order in which jmap2nats sets them."""
    headers = {"Jmap-Account-Id": account_id, "Jmap-Email-Id": email_id}
    headers |= {name: value for name, value in _optional(email) if value is not None}
    headers["Jmap-Has-Attachment"] = "true" if email.get("hasAttachment") is True else "false"
    headers["Jmap-Size"] = str(values.octets(email.get("size")))
    return {name: clean(value) for name, value in headers.items()}


def _optional(email: JsonObject) -> Iterator[tuple[str, str | None]]:
    yield "Jmap-Thread-Id", values.text(email.get("threadId")) or None
    for name, property in (("Jmap-From", "from"), ("Jmap-To", "to"), ("Jmap-Cc", "cc")):
        yield name, _addresses(email.get(property)) or None
    yield "Jmap-Subject", values.text(email.get("subject")) or None
    # A date that cannot be read must not cost the message: it is in the payload, verbatim.
    yield "Jmap-Received-At", times.in_header(email.get("receivedAt")) or None
    yield "Jmap-Sent-At", times.in_header(email.get("sentAt")) or None
    yield "Jmap-Message-Id", _joined(email.get("messageId"))
    yield "Jmap-In-Reply-To", _joined(email.get("inReplyTo"))
    yield "Jmap-References", _joined(email.get("references"))
    mailboxes, keywords = values.flags(email.get("mailboxIds")), values.flags(email.get("keywords"))
    yield "Jmap-Mailbox-Ids", ",".join(mailboxes) if mailboxes else None
    # An empty header when all are false: jmap2nats looks at the number of keywords, not of true ones.
    yield "Jmap-Keywords", ",".join(word for word, is_set in keywords.items() if is_set) if keywords else None


def _joined(value: Any) -> str | None:
    items = values.texts(value)
    return ",".join(items) if items else None


def _addresses(value: Any) -> str:
    return ", ".join(_address(item) for item in values.objects(value) if item is not None)


def _address(address: JsonObject) -> str:
    name, email = values.text(address.get("name")), values.text(address.get("email"))
    return f"{name} <{email}>" if name else email
