"""S/MIME signatures of Emails (RFC 9219): judged as Emails come in, and again when what counts has changed.

What is stored is what filters and /changes go by. A verdict holds until the next certificate begins or ends
to be valid, and for the authorities that were trusted; beyond that /get judges anew, and ``review`` writes it
down.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from veredus.conditions import All, Condition, Has, Not
from veredus.formats import smime
from veredus.formats.mime import message as messages
from veredus.formats.mime.message import Message
from veredus.formats.smime_trust import Trust
from veredus.mail.email.body import LoadPart
from veredus.ports import Lease, Snapshot, Store
from veredus.schema import Access, Computed, Filter
from veredus.wire.dates import utc_date
from veredus.wire.types import BlobId, Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:smimeverify"

# The members of the property ``smime``; an Email that is no S/MIME has none, and costs the index nothing.
_ANY, _VERIFIED, _AT_DELIVERY = "any", "verified", "verifiedAtDelivery"
_GOOD = "signed/verified"
# Larger messages are judged in a thread, so that requests are not held up by one of them.
_INLINE = 256 * 1024
# So many verdicts are kept that differ from what is stored.
_REMEMBERED = 1000
_AT_ONCE = 100


class Judged(Struct, frozen=True, rename="camel"):
    """The verdict on an Email, as it is stored. ``trust`` and ``until`` say how long it holds: see Trust.name
    (None: whoever is trusted) and Examined.changes_at. ``status`` None: it is encrypted, so nobody knows."""

    status: str | None
    errors: tuple[str, ...]
    at_delivery: str | None
    trust: str | None
    until: str | None

    def stored(self) -> JsonObject:
        """The internal properties of the Email."""
        marks = [
            mark
            for mark, there in (
                (_ANY, self.status is not None),
                (_VERIFIED, self.status == _GOOD),
                (_AT_DELIVERY, self.at_delivery == _GOOD),
            )
            if there
        ]
        return {"smime": marks, "smimeVerdict": msgspec.to_builtins(self)}


class Signatures:
    """Judges Emails by the authorities that are trusted."""

    def __init__(self, trust: Trust | None = None) -> None:
        self._trust = trust or Trust()
        self._known: OrderedDict[tuple[BlobId, str, str | None], Judged] = OrderedDict()

    def at_arrival(self, message: Message, received_at: str) -> JsonObject:
        """Internal properties of an Email that comes in."""
        if smime.kind(message.root) is None:
            return {}
        return self._judge(message, received_at, _moment(received_at), None).stored()

    async def current(self, email: JsonObject, load: LoadPart, now: datetime) -> Judged | None:
        """What holds now for a stored Email (NEEDED of its properties); None: it is no S/MIME."""
        stored = _stored(email)
        if stored is None and not _looks_so(email):
            return None
        if stored is not None and self._holds(stored, now):
            return stored
        key = (email["blobId"], email["receivedAt"], None if stored is None else stored.at_delivery)
        known = self._known.get(key)
        if known is not None and self._holds(known, now):
            self._known.move_to_end(key)
        else:
            data = await load(email["blobId"])
            if data is None:
                return stored
            if len(data) > _INLINE:
                known = await asyncio.to_thread(self._judge_data, data, email["receivedAt"], now, stored)
            else:
                known = self._judge_data(data, email["receivedAt"], now, stored)
            self._known[key] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def is_stale(self, email: JsonObject, now: datetime) -> bool:
        """Whether the stored verdict may be another one by now."""
        stored = _stored(email)
        return stored is None or not self._holds(stored, now)

    def _holds(self, judged: Judged, now: datetime) -> bool:
        if judged.trust not in (None, self._trust.name):
            return False
        return judged.until is None or utc_date(now) < judged.until

    def _judge_data(self, data: bytes, received_at: str, now: datetime, before: Judged | None) -> Judged:
        return self._judge(messages.parse(data), received_at, now, before)

    def _judge(self, message: Message, received_at: str, now: datetime, before: Judged | None) -> Judged:
        examined = smime.examine(message)
        verdict = examined.verdict(self._trust, now)
        at_delivery: str | None = examined.verdict(self._trust, _moment(received_at)).status
        if before is not None and before.at_delivery == _GOOD:
            # §4.1: that an authority is trusted no more does not change it.
            at_delivery = _GOOD
        until = examined.changes_at(self._trust, now)
        return Judged(
            verdict.status,
            verdict.errors,
            at_delivery,
            self._trust.name if examined.fixed is None else None,
            None if until is None else utc_date(until),
        )

    def computed(self, blobs_of: Callable[[Access], LoadPart]) -> Computed:
        """The properties of Email/get (§4.1); never shown unless asked for."""

        async def run(
            ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], args: Any
        ) -> list[Mapping[str, Any]]:
            if CAPABILITY not in ctx.using:
                raise ValueError(f"{names[0]} needs {CAPABILITY}")
            read = blobs_of(ctx)

            async def load(id: BlobId) -> bytes | None:
                data = await read(id)
                ctx.work(len(data or b""))
                return data

            now = ctx.now()
            return [_shown(await self.current(record, load, now), names, now) for record in records]

        return Computed(NAMES, NEEDED, run)


NAMES = ("smimeStatus", "smimeStatusAtDelivery", "smimeErrors", "smimeVerifiedAt")
NEEDED = ("blobId", "receivedAt", "smimeVerdict", "structure")


def _shown(judged: Judged | None, names: Sequence[str], now: datetime) -> JsonObject:
    """§4.1. A status is calculated for the moment of the request, so that is when it was verified."""
    if judged is None:
        return dict.fromkeys(names)
    is_checked = judged.status in (_GOOD, "signed/failed")
    values = {
        "smimeStatus": judged.status,
        "smimeStatusAtDelivery": judged.at_delivery,
        "smimeErrors": list(judged.errors) or None,
        "smimeVerifiedAt": utc_date(now) if is_checked else None,
    }
    return {name: values[name] for name in names}


def _stored(email: JsonObject) -> Judged | None:
    found = email.get("smimeVerdict")
    return None if found is None else msgspec.convert(found, Judged)


def _looks_so(email: JsonObject) -> bool:
    """For an Email that was stored before there were verdicts."""
    return email["structure"].get("type") in smime.TYPES


def _moment(date: str) -> datetime:
    """A UTCDate; none, for an Email whose date is not known yet: now."""
    return datetime.fromisoformat(date) if date else datetime.now(UTC)


def _marked(mark: str) -> Filter:
    def build(value: Any) -> Condition:
        if not isinstance(value, bool):
            raise ValueError("must be a boolean")
        return Has("smime", mark) if value else Not(Has("smime", mark))

    return build


# §4.2
FILTERS: dict[str, Filter] = {
    "hasSmime": _marked(_ANY),
    "hasVerifiedSmime": _marked(_VERIFIED),
    "hasVerifiedSmimeAtDelivery": _marked(_AT_DELIVERY),
}


class Judge(Struct, frozen=True):
    """Who judges, and how the octets of a blob are read."""

    signatures: Signatures
    load: LoadPart


async def review(
    store: Store, account: Id, judge: Judge, now: datetime, *, lease: Lease | None = None, every: bool = False
) -> int:
    """Write down the verdicts of an account that hold no more, so that /changes and queries know (§4.3).

    Gives how many were written. Verdicts are found outside of the transactions that write them. ``every``:
    of Emails, too, that were stored before there were verdicts; it reads all Emails.
    """
    async with store.read(account) as snapshot:
        ids = await snapshot.select("Email", All() if every else Has("smime", _ANY))
    written = 0
    for start in range(0, len(ids), _AT_ONCE):
        async with store.read(account) as snapshot:
            emails = await snapshot.get("Email", ids[start : start + _AT_ONCE], set(NEEDED))
        judged = {
            email["id"]: found
            for email in emails
            if judge.signatures.is_stale(email, now)
            and (found := await judge.signatures.current(email, judge.load, now)) is not None
        }
        if not judged:
            continue
        async with store.write(account, lease) as tx:
            for email in await tx.get("Email", list(judged), frozenset()):
                await tx.update("Email", email["id"], judged[email["id"]].stored())
                written += 1
    return written
