"""The MDN object (RFC 9007 §2) as a client gives it, and as it is given to one."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from veredus.formats.mime.build_headers import one_line
from veredus.formats.report import Mdn, extension_problem, line_problem
from veredus.schema import Access
from veredus.wire.errors import SetError
from veredus.wire.types import Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:mdn"

MODES = ("manual-action", "automatic-action")
SENDING_MODES = ("mdn-sent-manually", "mdn-sent-automatically")
TYPES = ("deleted", "dispatched", "displayed", "processed")

_SERVER_SET = ("mdnGateway", "originalRecipient", "originalMessageId", "error")
_MAX_SUBJECT = 900


class Disposition(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The Disposition object; these strings are case-sensitive."""

    action_mode: Literal["manual-action", "automatic-action"]
    sending_mode: Literal["mdn-sent-manually", "mdn-sent-automatically"]
    type: Literal["deleted", "dispatched", "displayed", "processed"]


class Wanted(Struct, frozen=True, kw_only=True):
    """An MDN to be sent. ``given``: the names of the properties that the client gave."""

    for_email_id: Id
    subject: str | None
    text_body: str | None
    include_original_message: bool
    reporting_ua: str | None
    disposition: Disposition
    final_recipient: str | None
    extension_fields: Mapping[str, str]
    given: frozenset[str]


# What a client may set, of what type, and what it is if it is left out.
_PROPERTIES: dict[str, tuple[Any, Any]] = {
    "forEmailId": (str, None),
    "subject": (str | None, None),
    "textBody": (str | None, None),
    "includeOriginalMessage": (bool, False),
    "reportingUA": (str | None, None),
    "disposition": (Disposition, None),
    "finalRecipient": (str | None, None),
    "extensionFields": (dict[str, str] | None, None),
}
_REQUIRED = ("forEmailId", "disposition")


def wanted(ctx: Access, given: JsonObject) -> Wanted:
    """The MDN that a client gave. Raises SetError invalidProperties with all that is wrong."""
    values: dict[str, Any] = {}
    problems = dict.fromkeys(_not_settable(given), "is not a property of an MDN that may be set")
    for name, (type_, default) in _PROPERTIES.items():
        if name not in given and name not in _REQUIRED:
            values[name] = default
            continue
        try:
            values[name] = msgspec.convert(given.get(name), type_)
        except msgspec.ValidationError as error:
            problems[name] = str(error)
    problems |= {name: problem for name in values if (problem := _problem(name, values[name]))}
    if problems:
        first = next(iter(problems))
        raise SetError.invalid_properties(problems, f"{first}: {problems[first]}")
    return Wanted(
        for_email_id=resolved(ctx, values["forEmailId"]),
        subject=values["subject"],
        text_body=values["textBody"],
        include_original_message=values["includeOriginalMessage"],
        reporting_ua=values["reportingUA"],
        disposition=values["disposition"],
        final_recipient=values["finalRecipient"],
        extension_fields=values["extensionFields"] or {},
        given=frozenset(name for name in given if given[name] is not None),
    )


def _not_settable(given: JsonObject) -> list[str]:
    """What the server sets may be given as null, as a client has it that sends what it was given."""
    return [
        name
        for name in given
        if name not in _PROPERTIES and not (name in _SERVER_SET and given[name] is None)
    ]


def _problem(name: str, value: Any) -> str | None:
    """What the type of a property cannot say of its value."""
    if value is None:
        return None
    if name == "extensionFields":
        return extension_problem(value)
    if name == "reportingUA":
        return line_problem(value)
    if name == "subject":
        try:
            one_line(value)
        except ValueError as error:
            return str(error)
        return f"must have at most {_MAX_SUBJECT} characters" if len(value) > _MAX_SUBJECT else None
    return None


def resolved(ctx: Access, id: str) -> Id:
    """An Email may be one that the same request created (RFC 8620 §5.3)."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


def as_json(mdn: Mdn, **properties: Any) -> JsonObject:
    """The MDN object. ``properties``: forEmailId, subject, textBody and includeOriginalMessage."""
    message_id = mdn.original_message_id
    return {
        **properties,
        "reportingUA": mdn.reporting_ua,
        "disposition": {
            "actionMode": mdn.disposition.action_mode,
            "sendingMode": mdn.disposition.sending_mode,
            "type": mdn.disposition.type,
        },
        "mdnGateway": mdn.gateway,
        "originalRecipient": mdn.original_recipient,
        "finalRecipient": mdn.final_recipient,
        "originalMessageId": f"<{message_id}>" if message_id else None,
        "error": list(mdn.errors) or None,
        "extensionFields": dict(mdn.extension_fields) or None,
    }
