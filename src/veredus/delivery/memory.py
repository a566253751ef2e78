"""What an account remembers of messages that came: their ids (RFC 7352), whom it has answered (RFC 5230),
and how many messages of its own making left in this hour.

Some records that have expired go with every write, so that an account has few.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from veredus.conditions import Order, Range
from veredus.delivery.plan import Once
from veredus.delivery.tables import REMEMBERED as TYPE
from veredus.formats.sieve.outcome import Duplicate
from veredus.mail.outbox import Origin
from veredus.ports import Snapshot, Transaction
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject

MOST: Final = 10_000
"""Records of one account; the next to expire make room."""
_LONGEST: Final = timedelta(days=366)
_PURGED_AT_ONCE: Final = 20
_MOST_HANDLES: Final = 20

# Messages in an hour. A flood from invented senders must not become one at those who were invented.
RATES: Final[Mapping[Origin, int]] = {"vacation": 100, "reject": 100, "notification": 1000}


def _id(kind: str, key: str) -> Id:
    return kind + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=15).hexdigest()


def _until(now: datetime, seconds: int) -> str:
    return utc_date(now + min(timedelta(seconds=seconds), _LONGEST))


async def _find(snapshot: Snapshot, ids: Collection[Id], now: datetime) -> dict[Id, JsonObject]:
    """Those that have not expired."""
    if not ids:
        return {}
    found = await snapshot.get(TYPE, list(ids))
    return {record["id"]: record for record in found if record["until"] > utc_date(now)}


async def _put(tx: Transaction, record: JsonObject, now: datetime) -> None:
    await tx.put(TYPE, record)
    gone = await tx.select(TYPE, Range("until", below=utc_date(now)), limit=_PURGED_AT_ONCE)
    if not gone and await tx.count(TYPE) > MOST:
        gone = await tx.select(TYPE, order=(Order("until"),), limit=_PURGED_AT_ONCE)
    for id in gone:
        if id != record["id"]:
            await tx.delete(TYPE, id)


async def seen(snapshot: Snapshot, keys: Iterable[str], now: datetime) -> set[str]:
    """Those of the keys that were remembered and have not expired."""
    by_id = {_id("d", key): key for key in keys}
    return {by_id[id] for id in await _find(snapshot, by_id, now)}


async def remember(tx: Transaction, duplicates: Iterable[Duplicate], now: datetime) -> None:
    """RFC 7352 §3: what is known already is kept until its old end, unless ``last`` was said."""
    duplicates = tuple(duplicates)
    known = await seen(tx, [duplicate.key for duplicate in duplicates], now)
    for duplicate in duplicates:
        if duplicate.last or duplicate.key not in known:
            until = _until(now, duplicate.seconds)
            await _put(tx, {"id": _id("d", duplicate.key), "until": until}, now)


async def is_answered(snapshot: Snapshot, once: Once, now: datetime) -> bool:
    """Whether the sender has had this answer, or one that stands for it."""
    id = _id("v", once.sender.lower())
    return _has_had((await _find(snapshot, [id], now)).get(id), once, now)


def _has_had(record: JsonObject | None, once: Once, now: datetime) -> bool:
    if record is None:
        return False
    handles: dict[str, str] = record["handles"]
    asked = handles if once.handle == "" else {once.handle, ""} & handles.keys()
    return any(handles[handle] > utc_date(now) for handle in asked)


async def answered(tx: Transaction, once: Once, now: datetime) -> None:
    """Remember that the sender gets this answer now."""
    if not once.seconds:
        return
    id = _id("v", once.sender.lower())
    record = (await _find(tx, [id], now)).get(id)
    live = {} if record is None else {h: u for h, u in record["handles"].items() if u > utc_date(now)}
    live[once.handle] = _until(now, once.seconds)
    newest = sorted(live.items(), key=lambda item: item[1])[-_MOST_HANDLES:]
    await _put(tx, {"id": id, "handles": dict(newest), "until": newest[-1][1]}, now)


async def is_within_rate(tx: Transaction, origin: Origin, now: datetime) -> bool:
    """Count a message that the account makes by itself. False: there were too many in this hour."""
    most = RATES.get(origin)
    if most is None:
        return True
    id = _id("r", origin)
    known = (await _find(tx, [id], now)).get(id)
    record = known or {"id": id, "count": 0, "until": utc_date(now + timedelta(hours=1))}
    if record["count"] >= most:
        return False
    await _put(tx, {**record, "count": record["count"] + 1}, now)
    return True
