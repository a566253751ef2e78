"""What becomes of an item that failed again and again: a dead letter in JMAP_DLQ, to be retried or dropped.

It holds ids and the error, and nothing of the content: whoever retries it reads the record anew.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from veredus.bridge.wire import go_json, headers, times
from veredus.bridge.wire.change import state_hash
from veredus.bridge.wire.event import require_type
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.values import require_id
from veredus.wire.types import JsonObject

SCHEMA = "dead-letter/1"
_MAX_TEXT = 1000


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A parked item. ``pipeline``: the stream it was meant for; ``error``: text of ours, never of the mail.

    ``id`` is as the server gave it, and may be the very thing that is wrong with the item.
    """

    server: str
    account_id: str
    type: str
    op: str
    id: str
    pipeline: Literal["emails", "events"]
    error_type: str
    error: str
    attempts: int
    first_at: datetime
    last_at: datetime
    old_state: str | None = None
    new_state: str | None = None


def dead_letter(prefix: str, letter: DeadLetter) -> Message:
    """The message ``<prefix>.<accountId>.<type>``; its id is the same when it is parked again."""
    account, type = require_id(letter.account_id, "account id"), require_type(letter.type)
    which = state_hash(f"{letter.id}\n{letter.op}\n{letter.new_state or ''}")
    msg_id = f"{account}/{type}/parked/{letter.pipeline}/{which}"
    fields = {
        "Jmap-Account-Id": account,
        "Jmap-Type": type,
        "Jmap-Op": letter.op,
        "Jmap-Id": letter.id[:255],
        "Jmap-Pipeline": letter.pipeline,
        "Jmap-Error": letter.error_type,
        "Jmap-Attempts": str(letter.attempts),
        "Jmap-Server": letter.server,
    }
    return Message(
        subject=f"{prefix}.{account}.{type.lower()}",
        msg_id=msg_id,
        headers=headers.checked(fields),
        payload=go_json.plain(_body(letter)),
        spill_key=f"{msg_id}.json",
    )


def _body(letter: DeadLetter) -> JsonObject:
    members = {
        "schema": SCHEMA,
        "account": letter.account_id,
        "type": letter.type,
        "op": letter.op,
        "id": letter.id,
        "oldState": letter.old_state,
        "newState": letter.new_state,
        "pipeline": letter.pipeline,
        "errorType": letter.error_type,
        "error": letter.error[:_MAX_TEXT],
        "attempts": letter.attempts,
        "firstAt": times.utc(letter.first_at),
        "lastAt": times.utc(letter.last_at),
        "server": letter.server,
    }
    return {name: value for name, value in members.items() if value is not None}
