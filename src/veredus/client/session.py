"""The Session object as a client reads it (RFC 8620 §2)."""

from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from veredus.client.errors import NotSupported, ProtocolError
from veredus.client.network import not_json
from veredus.wire.types import Id, JsonObject
from veredus.wire.websocket import CAPABILITY as WEBSOCKET

CORE = "urn:ietf:params:jmap:core"
MAIL = "urn:ietf:params:jmap:mail"


class Account(Struct, frozen=True, rename="camel"):
    """An account of the session."""

    name: str = ""
    is_personal: bool = False
    is_read_only: bool = False
    account_capabilities: dict[str, JsonObject] = field(default_factory=dict)


class CoreLimits(Struct, frozen=True, rename="camel"):
    """The core capability; for what a server does not say, the least that §2 suggests. Sizes in octets."""

    max_size_upload: int = 50_000_000
    max_concurrent_upload: int = 4
    max_size_request: int = 10_000_000
    max_concurrent_requests: int = 4
    max_calls_in_request: int = 16
    max_objects_in_get: int = 500
    max_objects_in_set: int = 500


class Session(Struct, rename="camel", kw_only=True):
    """``url``: where this was fetched, after redirects; the other URLs are templates of RFC 6570."""

    capabilities: dict[str, JsonObject]
    accounts: dict[Id, Account]
    primary_accounts: dict[str, Id] = field(default_factory=dict)
    username: str = ""
    api_url: str
    download_url: str
    upload_url: str
    event_source_url: str = ""
    state: str = ""
    url: str = ""

    @property
    def host(self) -> str:
        """Of the session resource, with its port: how errors name the server."""
        return urlsplit(self.url).netloc or self.url

    @property
    def limits(self) -> CoreLimits:
        return msgspec.convert(_without_null(self.capabilities.get(CORE)), CoreLimits, strict=False)

    @property
    def websocket_url(self) -> str | None:
        """Where RFC 8887 is spoken; None: nowhere, or without push."""
        offered = self.capabilities.get(WEBSOCKET) or {}
        url = offered.get("url")
        return url if isinstance(url, str) and offered.get("supportsPush", False) else None

    def account_for(self, capability: str) -> Id:
        """The primary account for ``capability``; where a server names none, the only or first personal
        account that has it. Raises NotSupported."""
        primary = self.primary_accounts.get(capability)
        if primary is not None:
            return primary
        having = [
            (not account.is_personal, id)
            for id, account in self.accounts.items()
            if capability in account.account_capabilities
        ]
        if having:
            return min(having, key=lambda pair: pair[0])[1]
        if capability == CORE and self.accounts:
            return next(iter(self.accounts))
        raise NotSupported(self.host, capability)

    def require(self, capability: str) -> None:
        """Raises NotSupported."""
        if capability not in self.capabilities:
            raise NotSupported(self.host, capability)


def decode_session(body: bytes, url: str) -> Session:
    """Raises ProtocolError."""
    host = urlsplit(url).netloc
    try:
        session = msgspec.convert(_settled(msgspec.json.decode(body)), Session)
        session.limits  # noqa: B018 - what is wrong with them shows now
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = f"gives {not_json(body, error)} instead of a Session object"
        raise ProtocolError(host, f"{url} {why}: is this the address of a JMAP server?") from None
    session.url = url
    return session


def _without_null(value: Any) -> Any:
    """An object without members that are null; null itself becomes one without members."""
    if isinstance(value, dict):
        return {name: member for name, member in value.items() if member is not None}
    return {} if value is None else value


def _settled(value: Any) -> Any:
    """A Session object in which nothing of ours is null: some servers say so what others leave out."""
    session = _without_null(value)
    if not isinstance(session, dict):
        return session
    for name in ("primaryAccounts", "accounts"):
        if name in session:
            session[name] = _without_null(session[name])
    if "capabilities" in session:
        session["capabilities"] = _objects(session["capabilities"])
    accounts: Any = session.get("accounts")
    if isinstance(accounts, dict):
        session["accounts"] = {id: _account(account) for id, account in accounts.items()}
    return session


def _account(value: Any) -> Any:
    account = _without_null(value)
    if isinstance(account, dict) and "accountCapabilities" in account:
        account["accountCapabilities"] = _objects(account["accountCapabilities"])
    return account


def _objects(value: Any) -> Any:
    """Capabilities; the value of one that says nothing more is an object without members (§2)."""
    if not isinstance(value, dict):
        return value
    return {name: {} if member is None else member for name, member in value.items()}
