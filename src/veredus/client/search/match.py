"""A search decided here, on an Email as Email/get gives it; it means what its filter means on our server."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from veredus.client.errors import NotFetchedError
from veredus.client.search.context import Context
from veredus.client.search.nodes import (
    Address,
    And,
    Attachment,
    Header,
    In,
    Keyword,
    Node,
    Not,
    Or,
    Received,
    SearchError,
    Size,
    Term,
    Text,
    ThreadKeyword,
    terms,
)
from veredus.formats import search
from veredus.formats.html import html_to_text
from veredus.formats.mime.header import as_text
from veredus.wire.types import JsonObject

# So much text of a message do we look at, as our server does; in characters.
MAX_BODY = 1024 * 1024
_ADDRESSES = ("from", "to", "cc", "bcc")
_BODY = ("bodyValues", "textBody", "attachments")
_PROPERTY: dict[type, str] = {
    Keyword: "keywords",
    Attachment: "hasAttachment",
    In: "mailboxIds",
    Size: "size",
    Received: "receivedAt",
}
_BODY_PARTS = ("partId", "type", "name")


def match(node: Node, email: Mapping[str, Any], context: Context) -> bool:
    """Whether ``node`` selects ``email``, which has the ``needed_properties``.

    Raises NotFetchedError for one that it lacks, UnknownMailbox, and SearchError for ``thread:``.
    """
    match node:
        case And(of):
            return all(match(part, email, context) for part in of)
        case Or(of):
            return any(match(part, email, context) for part in of)
        case Not(of):
            return not match(of, email, context)
        case _:
            return _MEANING[type(node)](node, email, context)


def needed_properties(node: Node) -> frozenset[str]:
    """The properties of an Email that ``match`` reads; see ``get_arguments`` for those of the body."""
    return frozenset(name for term in terms(node) for name in _needed(term))


def get_arguments(node: Node) -> JsonObject:
    """What Email/get must be called with, besides the ids, so that ``match`` can decide."""
    properties = needed_properties(node)
    arguments: JsonObject = {"properties": ["id", *sorted(properties)]}
    if "bodyValues" in properties:
        arguments |= {"bodyProperties": list(_BODY_PARTS), "fetchAllBodyValues": True}
    return arguments


def require_decidable(node: Node, *, with_body: bool) -> None:
    """Raises SearchError if ``match`` cannot decide ``node``; ``with_body``: the text is fetched, too."""
    for term in terms(node):
        if isinstance(term, ThreadKeyword):
            raise SearchError("thread: is for the server to answer; one Email alone does not tell")
        if isinstance(term, Text) and term.field in ("text", "body") and not with_body:
            raise SearchError(
                f"{term.value!r} would be looked for in the body, which is not fetched here: "
                "say where, as in from: to: cc: bcc: subject: or header:"
            )


def _needed(term: Term) -> tuple[str, ...]:
    match term:
        case Text("text"):
            return (*_ADDRESSES, "subject", *_BODY)
        case Text("body"):
            return _BODY
        case Text(field) | Address(field):
            return (field,)
        case Header(name):
            return (_raw(name),)
        case ThreadKeyword():
            return ()
        case _:
            return (_PROPERTY[type(term)],)


def _raw(field: str) -> str:
    return f"header:{field}:asRaw:all"


def _read(mapping: Mapping[str, Any], key: str, property: str | None = None) -> Any:
    """``property``: what the error names, if it is not ``key``."""
    try:
        return mapping[key]
    except KeyError:
        raise NotFetchedError("Email", property or key) from None


def _text(term: Text, email: Mapping[str, Any], context: Context) -> bool:
    phrase = (tuple(search.words(term.value)),)
    fields = (*_ADDRESSES, "subject", "body") if term.field == "text" else (term.field,)
    return any(search.matches(search.normalize(_field(email, field)), phrase) for field in fields)


def _field(email: Mapping[str, Any], field: str) -> str:
    if field == "body":
        return "\n".join(_body(email))
    if field == "subject":
        return _read(email, "subject") or ""
    return " ".join(
        f"{address.get('name') or ''} {address.get('email') or ''}" for address in _read(email, field) or ()
    )


def _body(email: Mapping[str, Any]) -> Iterator[str]:
    """The text that a person reads, then attachments, by name and as text."""
    values = _read(email, "bodyValues")
    parts = {part["partId"]: part for name in _BODY[1:] for part in _read(email, name)}
    length = 0
    for id, part in parts.items():
        if part.get("name"):
            yield part["name"]
        if part["type"].startswith("text/") and length < MAX_BODY:
            # Without fetchAllBodyValues a server sends none, and "not found" would be a guess.
            text = _read(values, id, f"bodyValues/{id}")["value"]
            if part["type"] == "text/html":
                text = html_to_text(text, head_title=False)
            yield text[: MAX_BODY - length]
            length += len(text)


def _address(term: Address, email: Mapping[str, Any], context: Context) -> bool:
    return any(_is_address(term, address.get("email") or "") for address in _read(email, term.field) or ())


def _is_address(term: Address, email: str) -> bool:
    local, at, domain = email.rpartition("@")
    if not at or domain.casefold() != term.domain.casefold():
        return False
    return term.local is None or local.casefold() == term.local.casefold()


def _keyword(term: Keyword, email: Mapping[str, Any], context: Context) -> bool:
    return any(keyword.lower() == term.keyword for keyword in _read(email, "keywords"))


def _thread(term: ThreadKeyword, email: Mapping[str, Any], context: Context) -> bool:
    require_decidable(term, with_body=True)
    return False


def _attachment(term: Attachment, email: Mapping[str, Any], context: Context) -> bool:
    return bool(_read(email, "hasAttachment"))


def _in(term: In, email: Mapping[str, Any], context: Context) -> bool:
    return context.mailboxes.find(term.mailbox) in _read(email, "mailboxIds")


def _header(term: Header, email: Mapping[str, Any], context: Context) -> bool:
    values: list[str] = _read(email, _raw(term.name))
    if term.value is None:
        return bool(values)
    wanted = term.value.casefold()
    # As it stands there or decoded (RFC 2047).
    decoded = [as_text(value) for value in values if "=?" in value]
    return any(wanted in value.casefold() for value in (*values, *decoded))


def _size(term: Size, email: Mapping[str, Any], context: Context) -> bool:
    size = _read(email, "size")
    return (term.at_least is None or size >= term.at_least) and (term.below is None or size < term.below)


def _received(term: Received, email: Mapping[str, Any], context: Context) -> bool:
    # Without the Z, UTCDates sort by code point, those with a fraction of a second, too.
    received = _read(email, "receivedAt").rstrip("Z")
    if term.since is not None and received < context.utc(term.since).rstrip("Z"):
        return False
    return term.before is None or received < context.utc(term.before).rstrip("Z")


_MEANING: dict[type, Callable[[Any, Mapping[str, Any], Context], bool]] = {
    Text: _text,
    Address: _address,
    Keyword: _keyword,
    ThreadKeyword: _thread,
    Attachment: _attachment,
    In: _in,
    Header: _header,
    Size: _size,
    Received: _received,
}
