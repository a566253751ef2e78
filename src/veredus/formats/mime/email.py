"""Email and EmailBodyPart properties of a parsed message (RFC 8621 §4.1.3-4.1.4)."""

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from veredus.formats.mime.header import FORMS, Header, last_fields, parse_header_property
from veredus.formats.mime.part import Part

CONVENIENCE: dict[str, tuple[str, str]] = {
    "messageId": ("message-id", "asMessageIds"),
    "inReplyTo": ("in-reply-to", "asMessageIds"),
    "references": ("references", "asMessageIds"),
    "sender": ("sender", "asAddresses"),
    "from": ("from", "asAddresses"),
    "to": ("to", "asAddresses"),
    "cc": ("cc", "asAddresses"),
    "bcc": ("bcc", "asAddresses"),
    "replyTo": ("reply-to", "asAddresses"),
    "subject": ("subject", "asText"),
    "sentAt": ("date", "asDate"),
}
"""Convenience property -> the header field (lower case) and the form that it stands for."""

_CONVENIENCE = [(prop, field, FORMS[form]) for prop, (field, form) in CONVENIENCE.items()]


def convenience(headers: Iterable[Header]) -> dict[str, Any]:
    """All convenience properties; of the last instance of each field, None if there is none."""
    fields = last_fields(headers)
    return {prop: form(fields[field]) if field in fields else None for prop, field, form in _CONVENIENCE}


def headers_json(headers: Iterable[Header]) -> list[dict[str, str]]:
    """EmailHeader objects (§4.1.3)."""
    return [{"name": name, "value": value} for name, value in headers]


def part_json(part: Part, blob_id: Callable[[Part], str], properties: Collection[str]) -> dict[str, Any]:
    """The EmailBodyPart object of ``part`` with ``properties``; ValueError if one of them is none."""
    return _part_json(part, blob_id, _getters(tuple(properties)))


def _part_json(part: Part, blob_id: Callable[[Part], str], getters: "_Getters") -> dict[str, Any]:
    json = {prop: get(part) for prop, get in getters}
    if part.is_multipart:
        if "subParts" in json:
            json["subParts"] = [_part_json(sub_part, blob_id, getters) for sub_part in part.sub_parts]
    elif "blobId" in json:
        json["blobId"] = blob_id(part)
    return json


_Getters = tuple[tuple[str, Callable[[Part], Any]], ...]


@lru_cache(maxsize=128)
def _getters(properties: tuple[str, ...]) -> _Getters:
    """What to call for each of ``properties``, of which a server is asked for few different lists."""
    return tuple([(prop, _getter(prop)) for prop in properties])


def _getter(prop: str) -> Callable[[Part], Any]:
    if getter := _GETTERS.get(prop):
        return getter
    header_property = parse_header_property(prop)
    if header_property is None:
        raise ValueError(f"unknown EmailBodyPart property: {prop!r}")
    return lambda part: header_property.value(part.headers)


_GETTERS: dict[str, Callable[[Part], Any]] = {
    "partId": attrgetter("part_id"),
    "size": attrgetter("size"),
    "name": attrgetter("name"),
    "type": attrgetter("type"),
    "charset": attrgetter("charset"),
    "disposition": attrgetter("disposition"),
    "cid": attrgetter("cid"),
    "language": attrgetter("language"),
    "location": attrgetter("location"),
    "headers": lambda part: headers_json(part.headers),
    # These two take more than the part: _part_json fills them in.
    "blobId": lambda part: None,
    "subParts": lambda part: None,
}
