"""The payload of jmap.email: the fixed shape of jmap2nats's messageView, in the order of its struct.

``headers`` and ``bodyStructure`` are in the struct, but jmap2nats never asks for them: whoever wants the
payload byte for byte leaves them out of the Email. ``bodyValues`` are never in it: they are objects in the
store.
"""

from collections.abc import Mapping
from typing import Any

from veredus.bridge.wire import times, values
from veredus.bridge.wire.parts import MAX_DEPTH, Outcome
from veredus.bridge.wire.values import without_empty
from veredus.wire.types import JsonObject

_NONE = Outcome()


def view(email: JsonObject, account_id: str, email_id: str, outcomes: Mapping[str, Outcome]) -> JsonObject:
    """The payload as an object; ``outcomes`` are by blobId. hasAttachment is there, true or false."""
    get = email.get
    members = {
        "id": email_id,
        "accountId": account_id,
        "blobId": values.text(get("blobId")),
        "threadId": values.text(get("threadId")),
        "mailboxIds": values.flags(get("mailboxIds")) or None,
        "keywords": values.flags(get("keywords")) or None,
        "size": values.octets(get("size")),
        "receivedAt": times.in_json(get("receivedAt")),
        "headers": _named(get("headers"), "name", "value"),
        **{name: values.texts(get(name)) for name in ("messageId", "inReplyTo", "references")},
        **{name: _named(get(name), "name", "email") for name in _ADDRESSES},
        "subject": values.text(get("subject")),
        "sentAt": times.in_json(get("sentAt")),
        "bodyStructure": _part(get("bodyStructure"), outcomes, 0),
        **{name: _parts(get(name), outcomes, 0) for name in ("textBody", "htmlBody", "attachments")},
    }
    has_attachment = get("hasAttachment") is True
    preview = {"preview": values.text(get("preview"))}
    return without_empty(members) | {"hasAttachment": has_attachment} | without_empty(preview)


_ADDRESSES = ("sender", "from", "to", "cc", "bcc", "replyTo")


def _named(value: Any, *names: str) -> list[JsonObject | None]:
    return [
        None if item is None else without_empty({name: values.text(item.get(name)) for name in names})
        for item in values.objects(value)
    ]


def _parts(value: Any, outcomes: Mapping[str, Outcome], depth: int) -> list[JsonObject | None]:
    if depth > MAX_DEPTH:
        return []
    return [_part(item, outcomes, depth) for item in values.objects(value)]


def _part(part: Any, outcomes: Mapping[str, Outcome], depth: int) -> JsonObject | None:
    if not isinstance(part, dict):
        return None
    blob_id = values.text(part.get("blobId"))
    outcome = outcomes.get(blob_id, _NONE)
    return without_empty(
        {
            "partId": values.text(part.get("partId")),
            "blobId": blob_id,
            "size": values.octets(part.get("size")),
            "headers": _named(part.get("headers"), "name", "value"),
            **{
                name: values.text(part.get(name))
                for name in ("name", "type", "charset", "disposition", "cid")
            },
            "language": values.texts(part.get("language")),
            "location": values.text(part.get("location")),
            "subParts": _parts(part.get("subParts"), outcomes, depth + 1),
            "objectKey": outcome.object_key,
            "skipped": outcome.skipped,
            "error": outcome.error,
        }
    )
