"""What one change becomes in JMAP_EVENTS: ``<prefix>.<accountId>.<type>.<op>``, and what changed."""

import re
from collections.abc import Mapping

from veredus.bridge.wire import extra, go_json, headers, times
from veredus.bridge.wire.change import Change, Difference, difference, state_hash
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.schema import schema_of
from veredus.bridge.wire.values import require_id
from veredus.wire.types import JsonObject

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


class NotAType(ValueError):
    """A name that cannot be that of a data type, and so not the token of a subject."""


def event(prefix: str, change: Change, roles: Mapping[str, str] | None = None) -> Message:
    """The message of ``change``; ``roles`` as in ``extra.for_email``. Raises NotAnId and NotAType.

    The state is part of the message id: a record is updated many times, and some servers give a destroyed
    id to the same message when it comes again.
    """
    account = require_id(change.source.account_id, "account id")
    id = "-" if change.op == "resync" else require_id(change.id, f"{change.type} id")
    msg_id = f"{account}/{require_type(change.type)}/{id}/{change.op}/{state_hash(change.new_state)}"
    diff = difference(change)
    return Message(
        subject=f"{prefix}.{account}.{change.type.lower()}.{change.op}",
        msg_id=msg_id,
        headers=headers.checked(_of_email(change) | extra.for_event(change, diff, msg_id, roles)),
        payload=go_json.plain(body(change, diff)),
        spill_key=f"{msg_id}.json",
    )


def body(change: Change, diff: Difference | None) -> JsonObject:
    """The payload; ``changed``, ``diff`` and ``before`` are in it only where they are known."""
    members: JsonObject = {
        "schema": schema_of(change.type, change.op),
        "op": change.op,
        "account": change.source.account_id,
        "type": change.type,
        "id": change.id,
        "oldState": change.old_state,
        "newState": change.new_state,
        "at": times.utc(change.at),
        "changed": None if diff is None else diff.properties,
        "diff": diff.sets if diff is not None and diff.sets else None,
        "after": _without_values(change.after),
        "before": _without_values(change.before),
    }
    source = {
        "server": change.source.server,
        "transport": change.source.transport,
        "snapshot": change.op == "snapshot",
    }
    return {name: value for name, value in members.items() if value is not None} | {"source": source}


def require_type(type: str) -> str:
    """``type``, which must be fit for a subject; raises NotAType."""
    if not _TYPE.match(type):
        raise NotAType("The name of a data type is letters, digits, - and _, 64 at most.")
    return type


def _without_values(record: JsonObject | None) -> JsonObject | None:
    """``record`` without bodyValues: the text of a message is in the object store, if anywhere."""
    return None if record is None else {name: value for name, value in record.items() if name != "bodyValues"}


def _of_email(change: Change) -> dict[str, str]:
    """The headers of jmap.email, of the properties that were fetched."""
    if change.type != "Email" or change.id is None:
        return {}
    email = change.after or {}
    found = headers.email_headers(email, change.source.account_id, change.id)
    # These two are always there in jmap.email; of a property that was not fetched they would be a lie.
    for name, property in (("Jmap-Has-Attachment", "hasAttachment"), ("Jmap-Size", "size")):
        if property not in email:
            del found[name]
    return found
