"""The domains that this server signs for, with their DKIM keys (RFC 6376): records of the server's account.

A key is *waiting* while its public part spreads through DNS, *signing*, and then *retired*: its private part
is gone, and its public part stays in DNS until what it signed has arrived.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from veredus.domains.names import DomainError, a_labels
from veredus.formats.dkim import Algorithm, SigningKey
from veredus.formats.dkim import sign as dkim_fields
from veredus.ports import Clock, Store, Table, Transaction
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject

_TYPE = "Domain"
# {"id": A-labels, "at": UTCDate, "keys": [{the fields of Key, "key": the private key as text, or null}]}
TABLE = Table(_TYPE)

# RSA first: hosts that look at one signature alone take the first, and not all know Ed25519.
_ALGORITHMS: tuple[Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")
# Longer than any queue holds mail (RFC 5321 §4.5.4.1: 4 to 5 days).
RETIRED_FOR = timedelta(days=7)
_LOOK_EVERY_S = 1.0
_CACHED = 10_000
# Canonicalizing so many octets would hold up the event loop.
_LARGE = 256 * 1024

Status = Literal["waiting", "signing", "retired"]


class Key(Struct, frozen=True):
    """The public side of a key. ``since``: UTCDate, when its status became what it is."""

    selector: str
    algorithm: Algorithm
    # The TXT record at <selector>._domainkey.<domain>.
    record: str
    status: Status
    since: str

    @property
    def leave_until(self) -> datetime:
        """How long a retired key has to stay in DNS."""
        return datetime.fromisoformat(self.since) + RETIRED_FOR


class Domain(Struct, frozen=True):
    """A domain of this server; ``at``: UTCDate, when it was added."""

    name: str
    at: str
    keys: tuple[Key, ...]

    def with_status(self, *statuses: Status) -> list[Key]:
        return [key for key in self.keys if key.status in statuses]


class Domains:
    """Changes to the domains, each method one transaction; and signing, with keys that are cached.

    A change made by another process counts within a second.
    """

    def __init__(
        self, store: Store, account: Id, clock: Clock, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._account, self._clock, self._now = store, account, clock, now
        # By domain; of others than ours, nothing.
        self._keys: dict[str, Sequence[SigningKey]] = {}
        self._state = -1
        self._looked_at = float("-inf")

    async def add(self, name: str) -> Domain:
        """A domain with new keys, which sign from now on: until they are in DNS, a signature counts for as
        much as none (RFC 6376 §6.1). Raises DomainError, Unavailable."""
        name = a_labels(name)
        keys = await self._new_keys("signing", ())
        async with self._store.write(self._account) as tx:
            if await tx.get(_TYPE, [name], frozenset()):
                raise DomainError(f"{name} is there already")
            record: JsonObject = {"id": name, "at": utc_date(self._clock.now()), "keys": keys}
            await tx.put(_TYPE, record)
        self.drop()
        return _domain(record)

    async def remove(self, name: str) -> None:
        """Sign for a domain no more; its keys are gone. Raises DomainError, Unavailable."""
        async with self._store.write(self._account) as tx:
            await tx.delete(_TYPE, (await _record(tx, name))["id"])
        self.drop()

    async def all(self) -> list[Domain]:
        """All domains by name. Raises Unavailable."""
        async with self._store.read(self._account) as snapshot:
            return sorted(map(_domain, await snapshot.get(_TYPE, None)), key=lambda domain: domain.name)

    async def get(self, name: str) -> Domain:
        """Raises DomainError, Unavailable."""
        name = a_labels(name)
        for domain in await self.all():
            if domain.name == name:
                return domain
        raise _unknown(name)

    async def rotate(self, name: str) -> Domain:
        """Make new keys, which wait to be published; the old ones sign until ``use_waiting``.

        Raises DomainError: there are waiting ones already. Raises Unavailable.
        """
        found = await self.get(name)
        keys = await self._new_keys("waiting", [key.selector for key in found.keys])

        def change(record: JsonObject) -> list[JsonObject]:
            if any(key["status"] == "waiting" for key in record["keys"]):
                raise DomainError(f"new keys of {found.name} wait to be used already")
            return [*record["keys"], *keys]

        return await self._change(name, change)

    async def use_waiting(self, name: str) -> Domain:
        """Sign with the waiting keys; those that signed retire. Raises DomainError: none waits."""
        since = utc_date(self._clock.now())

        def change(record: JsonObject) -> list[JsonObject]:
            if not any(key["status"] == "waiting" for key in record["keys"]):
                raise DomainError(f"no new key of {record['id']} waits to be used")
            return [_moved_on(key, since) for key in record["keys"]]

        return await self._change(name, change)

    async def _change(self, name: str, change: Callable[[JsonObject], list[JsonObject]]) -> Domain:
        """Give a domain other keys; of the retired ones, those that have had their time are forgotten."""
        now = self._clock.now()
        async with self._store.write(self._account) as tx:
            record = await _record(tx, name)
            record["keys"] = [key for key in change(record) if not _is_over(key, now)]
            await tx.put(_TYPE, record)
        self.drop()
        return _domain(record)

    async def _new_keys(self, status: Status, taken: Sequence[str]) -> list[JsonObject]:
        """One for each algorithm; selectors tell the date, as people look at them."""
        now = self._clock.now()
        made: list[JsonObject] = []
        for algorithm in _ALGORITHMS:
            first = f"{now:%Y%m%d}{algorithm[0]}"
            names = (first, *(f"{first}{number}" for number in range(2, len(taken) + 2)))
            selector = next(name for name in names if name not in taken)
            key = await asyncio.to_thread(SigningKey.generate, selector, algorithm)
            public = Key(selector, algorithm, key.record, status, utc_date(now))
            made.append({**msgspec.to_builtins(public), "key": key.to_text()})
        return made

    def drop(self) -> None:
        """Forget what is cached: something was changed here."""
        self._keys.clear()
        self._state = -1
        self._looked_at = float("-inf")

    async def signing_keys(self, domain: str) -> Sequence[SigningKey]:
        """The keys that sign for exactly this domain; empty when there are none. Raises Unavailable."""
        await self._fresh()
        if domain not in self._keys:
            state = self._state
            async with self._store.read(self._account) as snapshot:
                records = await snapshot.get(_TYPE, [domain])
            keys = [
                SigningKey.from_text(key["selector"], key["key"])
                for record in records
                for key in record["keys"]
                if key["status"] == "signing"
            ]
            if state != self._state:  # it may be what was true before a change
                return keys
            if len(self._keys) >= _CACHED:
                self._keys.clear()
            self._keys[domain] = keys
        return self._keys[domain]

    async def has(self, name: str) -> bool:
        """Whether it is one of ours, and no domain above or below one. Raises Unavailable."""
        try:
            return bool(await self.signing_keys(a_labels(name)))
        except DomainError:  # an address literal, say
            return False

    async def sign(self, domain: str, message: bytes) -> bytes:
        """The DKIM-Signature fields to put before a message; empty when there is no key.

        ``domain``: that of the From field. Without keys of its own, the nearest domain above it signs, which
        is aligned with it (RFC 7489 §3.1.1) unless it asks for strict alignment. Raises Unavailable.
        """
        try:
            name = a_labels(domain)
        except DomainError:
            return b""
        while "." in name:
            if keys := await self.signing_keys(name):
                now = int(self._clock.now().timestamp())
                if len(message) > _LARGE:
                    return await asyncio.to_thread(dkim_fields, message, keys, name, now)
                return dkim_fields(message, keys, name, now)
            name = name.partition(".")[2]
        return b""

    async def _fresh(self) -> None:
        """Drop what is cached if something has changed, which is looked at once a second at most."""
        now = self._now()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        async with self._store.read(self._account, optimistic=True) as snapshot:
            state = await snapshot.state(_TYPE)
        if state != self._state:
            self._state = state
            self._keys.clear()


async def _record(tx: Transaction, name: str) -> JsonObject:
    name = a_labels(name)
    found = await tx.get(_TYPE, [name])
    if not found:
        raise _unknown(name)
    return found[0]


def _unknown(name: str) -> DomainError:
    return DomainError(f"this server does not sign for {name} - `veredus domain add {name}` begins it")


def _domain(record: JsonObject) -> Domain:
    return Domain(record["id"], record["at"], msgspec.convert(record["keys"], tuple[Key, ...]))


def _moved_on(key: JsonObject, since: str) -> JsonObject:
    match key["status"]:
        case "waiting":
            return {**key, "status": "signing", "since": since}
        case "signing":
            return {**key, "status": "retired", "since": since, "key": None}
        case _:
            return key


def _is_over(key: JsonObject, now: datetime) -> bool:
    return key["status"] == "retired" and msgspec.convert(key, Key).leave_until <= now
