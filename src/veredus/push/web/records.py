"""How PushSubscriptions (RFC 8620 §7.2) are kept: in the account of the server's own.

What a client has asked for and how far delivery has come are two records. The first is logged, so that the
process that pushes hears of a change at once. The second changes with every push: it has no log, and no
transaction of a client waits for it or overwrites it.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from veredus.conditions import Eq
from veredus.ports import Access, Identity, Snapshot, Table, Transaction
from veredus.push.web.outcome import Urgency
from veredus.wire.types import Id, JsonObject, UTCDate

TYPE = "PushSubscription"
_PROGRESS = "PushProgress"
TABLES = (Table(TYPE, scalars=("user",)), Table(_PROGRESS, logged=False))


class EmailPushConfig(Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Which new Emails of an account are pushed, and what of them (draft-ietf-jmap-emailpush §4)."""

    filter: JsonObject | None = None
    properties: list[str]
    urgency: Urgency = "normal"


class Record(Struct, frozen=True, rename="camel", kw_only=True):
    """A PushSubscription. ``code`` is the server's, ``verification_code`` what the client has written back.

    ``vapid``: the id of the VAPID key that was current when it was made. ``email_since``: by account, the
    state of Email when EmailPush was asked for.
    """

    id: Id
    user: str
    credential: str
    scope: Access
    device_client_id: str
    url: str
    keys: dict[str, str] | None
    vapid: str
    code: str
    verification_code: str | None = None
    created: UTCDate
    expires: UTCDate
    types: list[str] | None = None
    email_push: dict[Id, EmailPushConfig] | None = None
    email_since: dict[Id, int] = {}

    @property
    def identity(self) -> Identity:
        return Identity(self.user, self.credential, self.scope)

    @property
    def is_verified(self) -> bool:
        return self.verification_code is not None

    def __repr__(self) -> str:
        return f"Record({self.id})"  # the URL and the keys belong into no log


class Progress(Struct, rename="camel", kw_only=True):
    """How far delivery to a subscription has come.

    ``position``: what its URL was told (push.position). ``emails``: by account, up to which state of Email.
    ``gap_s``: how far apart requests have to be, since it asked for fewer. ``failing_since``: of the requests
    since then, none was accepted.
    """

    id: Id
    position: str | None = None
    emails: dict[Id, int] = field(default_factory=dict)
    verification_sent: bool = False
    attempted: UTCDate | None = None
    outcome: str | None = None
    failures: int = 0
    failing_since: UTCDate | None = None
    gap_s: float = 0
    next_attempt: UTCDate | None = None


def _encoded(value: Struct) -> JsonObject:
    encoded: JsonObject = msgspec.to_builtins(value)
    return encoded


def _records(found: list[JsonObject]) -> list[Record]:
    return [msgspec.convert(record, Record) for record in found]


async def load(snapshot: Snapshot, ids: list[Id] | None = None) -> list[Record]:
    """The subscriptions with these ids (None: all)."""
    return _records(await snapshot.get(TYPE, ids))


async def of_user(snapshot: Snapshot, user: str) -> list[Record]:
    """All subscriptions of a user, the oldest first."""
    return _records(await snapshot.get(TYPE, await snapshot.select(TYPE, Eq("user", user))))


async def progress_of(snapshot: Snapshot, ids: list[Id] | None = None) -> dict[Id, Progress]:
    """By subscription; nothing for those to which nothing was ever sent."""
    found = await snapshot.get(_PROGRESS, ids)
    return {record["id"]: msgspec.convert(record, Progress) for record in found}


async def put(tx: Transaction, record: Record) -> None:
    await tx.put(TYPE, _encoded(record))


async def save_progress(tx: Transaction, all_progress: list[Progress]) -> None:
    """Of those subscriptions that still exist."""
    ids = [progress.id for progress in all_progress]
    there = {record["id"] for record in await tx.get(TYPE, ids, {"id"})}
    for progress in all_progress:
        if progress.id in there:
            await tx.put(_PROGRESS, _encoded(progress))


async def destroy(tx: Transaction, id: Id) -> bool:
    """Remove a subscription with its URL and keys; whether it was there."""
    if not await tx.get(TYPE, [id], {"id"}):
        return False
    await tx.delete(TYPE, id)
    if await tx.get(_PROGRESS, [id], {"id"}):
        await tx.delete(_PROGRESS, id)
    return True


async def destroy_all(tx: Transaction) -> None:
    for type in (TYPE, _PROGRESS):
        for record in await tx.get(type, None, {"id"}):
            await tx.delete(type, record["id"])


def moment(date: UTCDate) -> datetime:
    """Raises ValueError: there is no such day or second."""
    return datetime.fromisoformat(date)


def public(record: Record) -> dict[str, Any]:
    """What a client may read of it (§7.2.1): neither ``url`` nor ``keys``, nor a code it does not know."""
    return {
        "id": record.id,
        "deviceClientId": record.device_client_id,
        "verificationCode": record.verification_code,
        "expires": record.expires,
        "types": record.types,
        "emailPush": msgspec.to_builtins(record.email_push),
    }
