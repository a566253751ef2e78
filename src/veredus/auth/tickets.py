"""One-time tickets: for browsers, which can set no header field on an EventSource or a WebSocket.

A ticket stands in a URL, so it may be seen where URLs are kept: it is good once, and for seconds. It lies in
the store, so that whichever process it is shown to can redeem it.
"""

import secrets
from datetime import datetime, timedelta

from veredus.auth.authenticator import digest_of
from veredus.auth.tables import SYSTEM
from veredus.conditions import Eq, Range
from veredus.ports import Authenticator, Clock, Identity, Store, Transaction
from veredus.wire.dates import utc_date
from veredus.wire.types import JsonObject

CAPABILITY = "urn:veredus:jmap:ticket"
LIFETIME_S = 30
# Tickets that one user may have at a time; another one ends the oldest.
MOST_PER_USER = 100
# Expired ones that are removed whenever one is made: more than one, so that they grow fewer.
_SWEPT_AT_ONCE = 20


def capability(base_url: str) -> JsonObject:
    """What a session says of tickets."""
    return {"url": f"{base_url}/jmap/ticket", "lifetime": LIFETIME_S}


class Tickets:
    """Makes tickets and redeems them."""

    def __init__(self, store: Store, authenticator: Authenticator, clock: Clock) -> None:
        self._store, self._authenticator, self._clock = store, authenticator, clock

    async def mint(self, identity: Identity) -> tuple[str, datetime]:
        """A ticket that stands for this identity, and when it ends. Only its digest is kept."""
        secret = secrets.token_urlsafe(32)
        now = self._clock.now()
        expires = now + timedelta(seconds=LIFETIME_S)
        async with self._store.write(SYSTEM) as tx:
            await _sweep(tx, identity.user, now)
            await tx.put(
                "Ticket",
                {
                    "id": digest_of(secret),
                    "user": identity.user,
                    "credential": identity.credential,
                    "scope": identity.scope,
                    "expires": utc_date(expires),
                },
            )
        return secret, expires

    async def redeem(self, ticket: str) -> Identity | None:
        """The identity that a ticket stands for, if that would still be let in; the ticket is used up.

        None: it is unknown, used or expired.
        """
        found = await self._take(digest_of(ticket))
        if found is None or found["expires"] < utc_date(self._clock.now()):
            return None
        identity = Identity(found["user"], found["credential"], found["scope"])
        return identity if await self._authenticator.is_valid(identity) else None

    async def _take(self, id: str) -> JsonObject | None:
        async with self._store.read(SYSTEM) as snapshot:
            if not await snapshot.get("Ticket", [id]):
                return None  # whoever guesses costs no transaction
        async with self._store.write(SYSTEM) as tx:
            # Of several who have read it, the first to come here gets it.
            found = await tx.get("Ticket", [id])
            if found:
                await tx.delete("Ticket", id)
        return found[0] if found else None


async def _sweep(tx: Transaction, user: str, now: datetime) -> None:
    """Remove some expired tickets, and those of one user that leave no place for another."""
    too_old = await tx.select("Ticket", Range("expires", below=utc_date(now)), limit=_SWEPT_AT_ONCE)
    for id in too_old:
        await tx.delete("Ticket", id)
    for id in (await tx.select("Ticket", Eq("user", user)))[: -MOST_PER_USER + 1]:
        await tx.delete("Ticket", id)
