"""Header fields: splitting a header block, and header:* properties (RFC 8621 §4.1.2-4.1.3)."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from veredus.formats.mime.addresses import as_addresses, as_grouped_addresses
from veredus.formats.mime.date import as_date
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.identifiers import as_message_ids, as_urls

__all__ = [
    "FORMS",
    "Header",
    "HeaderProperty",
    "allowed_form",
    "as_addresses",
    "as_date",
    "as_grouped_addresses",
    "as_message_ids",
    "as_raw",
    "as_text",
    "as_urls",
    "last_fields",
    "parse_header_property",
    "split_header_block",
]


class Header(NamedTuple):
    """One header field: its name as in the message, its value in Raw form (§4.1.2.1)."""

    name: str
    value: str


# A field name may be followed by white space (obsolete, RFC 5322 §4.5.3); a value goes on in
# lines that begin with white space. Anything else in the block is not a field and is skipped.
_FIELD = re.compile(r"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)


def split_header_block(block: bytes) -> tuple[list[Header], int]:
    """(fields in order, octets that they take) of a header block with LF or CRLF line ends.

    Lines that follow the last field belong to a body whose blank line is missing.
    """
    text = block.decode("latin-1")
    fields = _FIELD.findall(text)
    if not fields:
        return [], 0
    size = len(block)
    last = fields[-1][1]
    if not text.endswith((last, last + "\n")):
        *_, match = _FIELD.finditer(text)
        size = min(match.end() + 1, size)
    headers = [
        Header(name, value[:-1] if value.endswith("\r") else value)
        if value.isascii() and "\0" not in value
        else _eight_bit(name, value.removesuffix("\r"))
        for name, value in fields
    ]
    return headers, size


def _eight_bit(name: str, value: str) -> Header:
    """A field with octets outside ASCII, here as Latin-1; NUL octets are dropped (§4.1.2.1)."""
    octets = value.encode("latin-1").replace(b"\0", b"")
    return Header(name, octets.decode("utf-8", "replace"))


def last_fields(headers: Iterable[Header]) -> dict[str, str]:
    """The raw value of the last instance of each field, by lower-case name."""
    return {name.lower(): value for name, value in headers}


def as_raw(value: str) -> str:
    """The Raw form (§4.1.2.1)."""
    return value


FORMS: Mapping[str, Callable[[str], Any]] = {
    "asRaw": as_raw,
    "asText": as_text,
    "asAddresses": as_addresses,
    "asGroupedAddresses": as_grouped_addresses,
    "asMessageIds": as_message_ids,
    "asDate": as_date,
    "asURLs": as_urls,
}

_ADDRESS_FIELDS = ("from", "sender", "reply-to", "to", "cc", "bcc")
_ADDRESSES = frozenset({"asAddresses", "asGroupedAddresses"})
# The fields that RFC 5322 and RFC 2369 define, with the parsed forms that RFC 8621 §4.1.2 lets them have.
_ALLOWED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("subject", "comments", "keywords"), frozenset({"asText"})),
    **dict.fromkeys(_ADDRESS_FIELDS, _ADDRESSES),
    **dict.fromkeys([f"resent-{name}" for name in _ADDRESS_FIELDS], _ADDRESSES),
    **dict.fromkeys(
        ("message-id", "in-reply-to", "references", "resent-message-id"), frozenset({"asMessageIds"})
    ),
    **dict.fromkeys(("date", "resent-date"), frozenset({"asDate"})),
    **dict.fromkeys(
        ("list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive"),
        frozenset({"asURLs"}),
    ),
    **dict.fromkeys(("return-path", "received"), frozenset()),
}


def allowed_form(header_name: str, form: str) -> bool:
    """True if ``form`` may be asked of the field (§4.1.2); fields of other RFCs may have any form."""
    allowed = _ALLOWED.get(header_name.lower())
    return form == "asRaw" or allowed is None or form in allowed


class HeaderProperty(NamedTuple):
    """A ``header:{name}[:as{form}][:all]`` property (§4.1.3)."""

    name: str
    form: str
    all: bool

    def value(self, headers: Iterable[Header]) -> Any:
        """Its JSON value among ``headers``: of the last instance, or of all in order."""
        name = self.name.lower()
        found = [header for header in headers if header[0].lower() == name]
        if self.all:
            return [self._form_of(header) for header in found]
        return self._form_of(found[-1]) if found else None

    def _form_of(self, header: Header) -> Any:
        return FORMS[self.form](header.value)


_PROPERTY = re.compile(r"header:([!-9;-~]+)(?::(as[A-Za-z]+))?(:all)?")


def parse_header_property(prop: str) -> HeaderProperty | None:
    """``prop`` taken apart; None if it is no header property.

    ValueError, with a text for the client, if it is malformed or asks for a forbidden form.
    """
    if not prop.startswith("header:"):
        return None
    match = _PROPERTY.fullmatch(prop)
    if match is None:
        raise ValueError(f"malformed header property: {prop!r}")
    name, form, every = match[1], match[2] or "asRaw", match[3] is not None
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r} in {prop!r}")
    if not allowed_form(name, form):
        raise ValueError(f"the form {form} is not allowed for the header field {name}")
    return HeaderProperty(name, form, every)
