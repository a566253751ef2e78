"""Managing users, accounts, grants, addresses and tokens: what the command line does."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from datetime import datetime

from veredus.auth.authenticator import TOKEN_PREFIX, digest_of
from veredus.auth.password import hash_password
from veredus.auth.tables import SYSTEM
from veredus.conditions import Eq
from veredus.ports import Access, Store
from veredus.wire.dates import utc_date
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\Z")


class AccountError(ValueError):
    """What was asked for cannot be done; the message says why."""


class Accounts:
    """Changes to the directory; each method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add_user(self, address: str, password: str | None, name: str | None = None) -> Id:
        """A user who logs in and gets mail by ``address``, and has an account. Gives the account's id."""
        address = address.strip().lower()
        if not _ADDRESS.match(address):
            raise AccountError(f"{address!r} is not an address of the form local@domain")
        hashed = None if password is None else await asyncio.to_thread(hash_password, password)
        account = new_id("a")
        async with self._store.write(SYSTEM) as tx:
            if await tx.get("User", [address]):
                raise AccountError(f"{address} exists already")
            if await tx.get("Address", [address]):
                raise AccountError(f"{address} belongs to another account")
            await tx.put("User", {"id": address, "password": hashed, "account": account, "disabled": False})
            await tx.put("Account", {"id": account, "name": name or address, "owner": address})
            await tx.put("Address", {"id": address, "account": account})
        return account

    async def users(self) -> list[JsonObject]:
        """All users, each with ``addresses`` and ``grants``."""
        async with self._store.read(SYSTEM) as snapshot:
            users = await snapshot.get("User", None)
            addresses = await snapshot.get("Address", None)
            grants = await snapshot.get("Grant", None)
        for user in users:
            del user["password"]
            user["addresses"] = sorted(a["id"] for a in addresses if a["account"] == user["account"])
            user["grants"] = {g["account"]: g["access"] for g in grants if g["user"] == user["id"]}
        return sorted(users, key=lambda user: str(user["id"]))

    async def account_of(self, user: str) -> Id:
        """The personal account of a user, or the account of that id."""
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("User", [user.lower()])
            if found:
                account: Id = found[0]["account"]
                return account
            if await snapshot.get("Account", [user]):
                return user
        raise AccountError(f"there is no user or account {user!r}")

    async def set_password(self, user: str, password: str) -> None:
        hashed = await asyncio.to_thread(hash_password, password)
        await self._update_user(user, {"password": hashed})

    async def set_disabled(self, user: str, disabled: bool) -> None:
        await self._update_user(user, {"disabled": disabled})

    async def _update_user(self, user: str, properties: JsonObject) -> None:
        async with self._store.write(SYSTEM) as tx:
            if not await tx.get("User", [user.lower()], frozenset()):
                raise AccountError(f"there is no user {user!r}")
            await tx.update("User", user.lower(), properties)

    async def remove_user(self, user: str) -> Id:
        """Take a user out of the directory with addresses, tokens and grants; gives the account, whose
        records stay."""
        user = user.lower()
        account = await self.account_of(user)
        async with self._store.write(SYSTEM) as tx:
            for table, where in (
                ("Address", Eq("account", account)),
                ("Grant", Eq("account", account)),
                ("Grant", Eq("user", user)),
                ("Token", Eq("user", user)),
            ):
                for id in await tx.select(table, where):
                    await tx.delete(table, id)
            await tx.delete("User", user)
            await tx.delete("Account", account)
        return account

    async def rename(self, ids: Mapping[Id, Id]) -> None:
        """Give accounts other ids, after the store did the same for their records (a restored backup)."""
        async with self._store.write(SYSTEM) as tx:
            for user in await tx.get("User", None):
                if user["account"] in ids:
                    await tx.update("User", user["id"], {"account": ids[user["account"]]})
            for address in await tx.get("Address", None):
                if address["account"] in ids:
                    await tx.update("Address", address["id"], {"account": ids[address["account"]]})
            for account in await tx.get("Account", list(ids)):
                await tx.delete("Account", account["id"])
                await tx.put("Account", {**account, "id": ids[account["id"]]})
            for grant in await tx.get("Grant", None):
                if grant["account"] in ids:
                    account_id = ids[grant["account"]]
                    await tx.delete("Grant", grant["id"])
                    id = f"{grant['user']}/{account_id}"
                    await tx.put("Grant", {**grant, "id": id, "account": account_id})

    async def grant(self, user: str, account: Id, access: Access | None) -> None:
        """Let ``user`` read or change another account; None: no more."""
        user = user.lower()
        id = f"{user}/{account}"
        async with self._store.write(SYSTEM) as tx:
            if not await tx.get("User", [user], frozenset()):
                raise AccountError(f"there is no user {user!r}")
            if access is not None:
                await tx.put("Grant", {"id": id, "user": user, "account": account, "access": access})
            elif await tx.get("Grant", [id], frozenset()):
                await tx.delete("Grant", id)
            else:
                raise AccountError(f"{user} has no grant for that account")

    async def add_address(self, address: str, account: Id) -> None:
        address = address.strip().lower()
        if not _ADDRESS.match(address):
            raise AccountError(f"{address!r} is not an address of the form local@domain")
        async with self._store.write(SYSTEM) as tx:
            if await tx.get("Address", [address]):
                raise AccountError(f"{address} is in use")
            await tx.put("Address", {"id": address, "account": account})

    async def remove_address(self, address: str) -> None:
        async with self._store.write(SYSTEM) as tx:
            if not await tx.get("Address", [address.lower()], frozenset()):
                raise AccountError(f"{address} is nobody's")
            await tx.delete("Address", address.lower())

    async def create_token(self, user: str, name: str, scope: Access, now: datetime) -> tuple[Id, str]:
        """A new app token; gives its id and its secret, which is not kept."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        id = new_id("k")
        async with self._store.write(SYSTEM) as tx:
            if not await tx.get("User", [user.lower()], frozenset()):
                raise AccountError(f"there is no user {user!r}")
            record: JsonObject = {"id": id, "digest": digest_of(secret), "user": user.lower()}
            await tx.put("Token", {**record, "scope": scope, "name": name, "at": utc_date(now)})
        return id, secret

    async def tokens(self, user: str | None = None) -> list[JsonObject]:
        """Tokens without their digests, of one user or all."""
        async with self._store.read(SYSTEM) as snapshot:
            found = await snapshot.get("Token", None)
        return [
            {name: value for name, value in token.items() if name != "digest"}
            for token in found
            if user is None or token["user"] == user.lower()
        ]

    async def revoke_token(self, id: Id) -> None:
        async with self._store.write(SYSTEM) as tx:
            if not await tx.get("Token", [id], frozenset()):
                raise AccountError(f"there is no token {id!r}")
            await tx.delete("Token", id)
