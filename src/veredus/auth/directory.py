"""The directory in the store: who exists, which accounts they use, which address belongs to whom.

Read often and changed rarely, by this process or by a command beside it. So everything is cached,
and the cache is dropped when the state of the system account has moved, which is looked at once a
second at most: a change made elsewhere counts within a second.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from veredus.auth.tables import SYSTEM, TABLES
from veredus.conditions import Eq
from veredus.ports import AccountInfo, Directory, Store
from veredus.wire.types import Id, JsonObject

T = TypeVar("T")
_LOOK_EVERY_S = 1.0
_CACHED = 10_000


class StoreDirectory:
    """Directory (ports) over the records of ``auth.tables``."""

    def __init__(
        self, store: Store, *, separator: str = "+", now: Callable[[], float] = time.monotonic
    ) -> None:
        """``separator``: between the local part and the detail of a sub-address (RFC 5233)."""
        self._store, self._separator, self._now = store, separator, now
        self._accounts: dict[str, tuple[AccountInfo, ...]] = {}
        self._users: dict[str, JsonObject | None] = {}
        self._addresses: dict[Id, tuple[str, ...]] = {}
        self._looked_at = float("-inf")
        self._state: tuple[int, ...] = ()
        # Rises when what is cached was dropped; whoever caches more looks at it.
        self.epoch = 0

    async def fresh(self) -> int:
        """Drop what is cached if something changed; gives the epoch."""
        now = self._now()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            # States are of one moment in any case.
            async with self._store.read(SYSTEM, optimistic=True) as snapshot:
                state = tuple([await snapshot.state(table.name) for table in TABLES])
            if state != self._state:
                self._state = state
                self.drop()
        return self.epoch

    def drop(self) -> None:
        """Forget what is cached: something was changed here."""
        self._accounts.clear()
        self._users.clear()
        self._addresses.clear()
        self.epoch += 1

    async def _cached(self, cache: dict[str, T], key: str, load: Callable[[str], Awaitable[T]]) -> T:
        await self.fresh()
        if key in cache:
            return cache[key]
        epoch = self.epoch
        found = await load(key)
        if epoch == self.epoch:  # else it may be what was true before the change
            if len(cache) >= _CACHED:
                cache.clear()
            cache[key] = found
        return found

    async def user(self, name: str) -> JsonObject | None:
        """The record of an enabled user."""
        return await self._cached(self._users, name, self._load_user)

    async def _load_user(self, name: str) -> JsonObject | None:
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("User", [name])
        return found[0] if found and not found[0]["disabled"] else None

    async def token(self, digest: str) -> JsonObject | None:
        """The token with this digest of its secret."""
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("Token", await snapshot.select("Token", Eq("digest", digest)))
        return found[0] if found else None

    async def token_of_id(self, id: Id) -> JsonObject | None:
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("Token", [id])
        return found[0] if found else None

    async def accounts(self, user: str) -> Sequence[AccountInfo]:
        return await self._cached(self._accounts, user, self._load_accounts)

    async def _load_accounts(self, user: str) -> tuple[AccountInfo, ...]:
        async with self._store.read(SYSTEM) as snapshot:
            owned = await snapshot.get("Account", await snapshot.select("Account", Eq("owner", user)))
            grants = await snapshot.get("Grant", await snapshot.select("Grant", Eq("user", user)))
            shared = {
                a["id"]: a for a in await snapshot.get("Account", [grant["account"] for grant in grants])
            }
        infos = [AccountInfo(account["id"], account["name"], True, "write") for account in owned]
        for grant in grants:
            account = shared.get(grant["account"])
            if account is not None and account["owner"] != user:
                infos.append(AccountInfo(account["id"], account["name"], False, grant["access"]))
        return tuple(infos)

    async def addresses(self, account: Id) -> Sequence[str]:
        return await self._cached(self._addresses, account, self._load_addresses)

    async def _load_addresses(self, account: Id) -> tuple[str, ...]:
        async with self._store.read(SYSTEM) as snapshot:
            return tuple(await snapshot.select("Address", Eq("account", account)))

    async def resolve(self, recipient: str) -> Id | None:
        local, at, domain = recipient.lower().rpartition("@")
        if not at:
            local, domain = domain, ""
        plain = local.split(self._separator, 1)[0] if self._separator else local
        names = dict.fromkeys((local, plain, "*") if at else (local, plain))
        wanted = [f"{name}@{domain}" if at else name for name in names if name]
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("Address", wanted)
        return found[0]["account"] if found else None


_: type[Directory] = StoreDirectory
