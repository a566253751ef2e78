"""The server's VAPID keys (RFC 9749): one to advertise, older ones for the subscriptions made with them.

They are kept in the store, so that all processes, and the server after a restart, sign with the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import uuid4

import structlog
from msgspec import Struct

from veredus.formats.webpush import VapidKey, vapid_authorization
from veredus.ports import Clock, Snapshot, Store, Table, Transaction, Unavailable
from veredus.push.web.records import TYPE as SUBSCRIPTION
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:webpush-vapid"
_TYPE = "VapidKey"
# {"id", "key": the private key as text, "at": UTCDate, "current": bool}; "at" is when it became, or ceased
# to be, the current one.
TABLE = Table(_TYPE)
# How soon a process learns that another has rotated.
INTERVAL_S = 5.0

# RFC 8292 §2: at most 24 hours. A push service may remember a token that it has checked, so that one of
# hours is cheaper for both.
_TOKEN_S = 12 * 3600
_TOKEN_RENEWED_S = 6 * 3600
_TOKENS = 4096

log = structlog.get_logger("veredus.push")


class _Known(Struct, frozen=True):
    """The records at one state of theirs."""

    state: int
    current: str
    keys: Mapping[str, VapidKey]


class Vapid:
    """The keys, by id. ``open`` makes one."""

    def __init__(self, store: Store, account: Id, clock: Clock, known: _Known) -> None:
        self._store, self._account, self._clock, self._known = store, account, clock, known

    @classmethod
    async def open(cls, store: Store, account: Id, clock: Clock) -> "Vapid":
        """The keys kept in ``account`` (the server's own); the first one is made. Raises Unavailable."""
        async with store.read(account) as snapshot:
            if await snapshot.count(_TYPE):
                return cls(store, account, clock, await _known(snapshot))
        async with store.write(account) as tx:
            # Another process may have been faster.
            if not await tx.count(_TYPE):
                await _add(tx, clock.now())
            return cls(store, account, clock, await _known(tx))

    @property
    def current(self) -> tuple[str, VapidKey]:
        """Id and key for new subscriptions."""
        return self._known.current, self._known.keys[self._known.current]

    def by_id(self, id: str) -> VapidKey | None:
        """The key a subscription was made with (§4).

        None: it is no longer kept, and the subscription MUST be destroyed (§5); or it is not known here yet,
        which ``refresh`` finds out.
        """
        return self._known.keys.get(id)

    def capability(self, base_url: str) -> JsonObject:
        """The value of CAPABILITY in a Session (§3); it is the same under every URL."""
        return {"applicationServerKey": self.current[1].public}

    async def refresh(self) -> bool:
        """Learn what other processes did; whether the current key changed. Raises Unavailable."""
        async with self._store.read(self._account) as snapshot:
            if await snapshot.state(_TYPE) == self._known.state:
                return False
            known = await _known(snapshot)
        before, self._known = self._known, known
        return before.current != known.current

    async def rotate(self) -> str:
        """Advertise a new key from now on; its id. Old ones keep signing for their subscriptions (§5).

        Sessions must then be made anew (``Engine.forget_sessions``): their state has to change.
        Raises Unavailable.
        """
        now = self._clock.now()
        async with self._store.write(self._account) as tx:
            for record in await tx.get(_TYPE, None):
                if record["current"]:
                    await tx.update(_TYPE, record["id"], {"current": False, "at": utc_date(now)})
            id = await _add(tx, now)
        await self.refresh()
        return id

    async def drop_unused(self) -> list[str]:
        """Forget the old keys that no subscription was made with; their ids. Raises Unavailable."""
        if len(self._known.keys) == 1:
            return []
        async with self._store.write(self._account) as tx:
            used = {one["vapid"] for one in await tx.get(SUBSCRIPTION, None, {"vapid"})}
            keys = await tx.get(_TYPE, None)
            unused: list[str] = [one["id"] for one in keys if not one["current"] and one["id"] not in used]
            for id in unused:
                await tx.delete(_TYPE, id)
        await self.refresh()
        return unused

    async def follow(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """``refresh`` every few seconds until ``stop``; call ``changed`` when the current key did."""
        while not stop.is_set():
            try:
                if await self.refresh():
                    changed()
            except Unavailable as error:
                log.warning("VAPID keys not read", error=str(error))
            try:
                await asyncio.wait_for(stop.wait(), INTERVAL_S)
            except TimeoutError:
                continue


async def _add(tx: Transaction, now: datetime) -> str:
    id = uuid4().hex
    record = {"id": id, "key": VapidKey.generate().to_text(), "at": utc_date(now), "current": True}
    await tx.put(_TYPE, record)
    return id


async def _known(snapshot: Snapshot) -> _Known:
    records = await snapshot.get(_TYPE, None)
    current = next(record["id"] for record in records if record["current"])
    keys = {record["id"]: VapidKey.from_text(record["key"]) for record in records}
    return _Known(await snapshot.state(_TYPE), current, keys)


class Tokens:
    """Authorization fields for push services; each is used for some hours."""

    def __init__(self, subject: str, clock: Clock) -> None:
        """``subject``: whom push services may turn to, a mailto: or https: URI (RFC 8292 §2.1)."""
        self._subject, self._clock = subject, clock
        # By audience and public key: the field, and when it is to be renewed.
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def get(self, audience: str, key: VapidKey) -> str:
        """``audience``: the origin of the push URL."""
        now = self._clock.now().timestamp()
        field, renew_at = self._kept.get((audience, key.public), ("", 0.0))
        if now >= renew_at:
            if len(self._kept) >= _TOKENS:
                self._kept.clear()
            field = vapid_authorization(audience, self._subject, int(now) + _TOKEN_S, key)
            self._kept[audience, key.public] = (field, now + _TOKEN_RENEWED_S)
        return field
