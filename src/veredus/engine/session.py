"""The Session object (RFC 8620 §2)."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from veredus.engine.limits import Limits
from veredus.ports import AccountInfo, Directory, Identity
from veredus.wire import json
from veredus.wire.types import JsonObject

# RFC 6570, level 1.
_EVENTS = "?types={types}&closeafter={closeafter}&ping={ping}"
CORE = "urn:ietf:params:jmap:core"
# So many Session objects are kept.
_CACHED = 1024


class Capability(Struct, frozen=True):
    """What a Session says of a capability: for all of it, and for each account (None: nothing)."""

    session: Mapping[str, Any]
    account: Mapping[str, Any] | None


# What a Session says of a capability where that depends on the URL under which the server is reached.
Located = Mapping[str, Callable[[str], Mapping[str, Any]]]
NOTHING: Located = {}


class Sessions:
    """Makes Session objects; they are kept, encoded, until the accounts of a user change."""

    def __init__(
        self,
        capabilities: Mapping[str, Capability],
        directory: Directory,
        limits: Limits,
        located: Located,
    ) -> None:
        self._capabilities, self._directory, self._limits = capabilities, directory, limits
        self._located = located
        self._cache: dict[tuple[object, ...], tuple[bytes, str]] = {}

    async def get(self, identity: Identity, base_url: str) -> tuple[bytes, str]:
        """The Session object as JSON, and its state."""
        accounts = tuple(await self._directory.accounts(identity.user))
        key = (identity.user, identity.scope, base_url, accounts)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            found = self._cache[key] = self._make(identity, base_url, accounts)
        return found

    def forget(self) -> None:
        """Make all Session objects anew: a capability has changed."""
        self._cache.clear()

    def _make(
        self, identity: Identity, base_url: str, accounts: tuple[AccountInfo, ...]
    ) -> tuple[bytes, str]:
        capabilities = {uri: capability.session for uri, capability in self._capabilities.items()}
        capabilities[CORE] = self._limits.to_json()
        capabilities |= {uri: value(base_url) for uri, value in self._located.items()}
        per_account = {
            uri: capability.account
            for uri, capability in self._capabilities.items()
            if capability.account is not None and uri != CORE
        }
        session: JsonObject = {
            "capabilities": capabilities,
            "accounts": {
                account.id: {
                    "name": account.name,
                    "isPersonal": account.is_personal,
                    "isReadOnly": account.access != "write" or identity.scope != "write",
                    "accountCapabilities": per_account,
                }
                for account in accounts
            },
            "primaryAccounts": {
                uri: account.id for account in accounts[:1] if account.is_personal for uri in per_account
            },
            "username": identity.user,
            "apiUrl": f"{base_url}/jmap",
            "downloadUrl": f"{base_url}/jmap/download/{{accountId}}/{{blobId}}/{{name}}?accept={{type}}",
            "uploadUrl": f"{base_url}/jmap/upload/{{accountId}}/",
            "eventSourceUrl": f"{base_url}/jmap/eventsource{_EVENTS}",
        }
        state = hashlib.blake2b(json.encode(session), digest_size=9).hexdigest()
        return json.encode({**session, "state": state}), state
