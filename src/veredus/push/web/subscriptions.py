"""PushSubscription/get and /set (RFC 8620 §7.2.1, §7.2.2).

A subscription belongs to the credentials with which it was made: to others it does not exist. Credentials for
reading only may have them, too: a subscription changes nothing in any account, and who may read may be told
that there is something to read.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any
from uuid import uuid4

import msgspec

from veredus.ports import Identity, Transaction
from veredus.push.web import records, vapid
from veredus.push.web.email_push import CAPABILITY as EMAIL_PUSH
from veredus.push.web.email_push import EmailPushChecks, InvalidConfig
from veredus.push.web.properties import DEFAULTS, Checks, Invalid
from veredus.push.web.records import EmailPushConfig, Record
from veredus.schema import Access, Method
from veredus.wire import json, patch
from veredus.wire.arguments import Arguments
from veredus.wire.dates import utc_date
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import Id, JsonObject

CORE = "urn:ietf:params:jmap:core"
# Each creation makes the server call a URL that nobody has verified, so an hour has no more of them.
_CREATIONS_FACTOR = 4
_HOUR_S = 3600
_MAX_EMAIL_PUSH = 65_536
_SECRET = frozenset({"url", "keys"})


class GetArguments(Arguments, kw_only=True):
    """PushSubscription/get: no accountId (§7.2.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class SetArguments(Arguments, kw_only=True):
    """PushSubscription/set: neither accountId nor ifInState (§7.2.2)."""

    create: dict[Id, JsonObject] | None = None
    update: dict[str, JsonObject] | None = None
    destroy: list[str] | None = None


class PushSubscriptions:
    """The methods of the data type."""

    def __init__(
        self, account: Id, check_url: Callable[[str], str | None], emails: EmailPushChecks, most: int
    ) -> None:
        """``account``: the server's own. ``check_url``: why a URL is not called. ``most``: of one user."""
        self.account, self.check_url, self.emails, self.most = account, check_url, emails, most
        self.creations = Rate(most * _CREATIONS_FACTOR, _HOUR_S)

    def methods(self) -> list[tuple[str, Method]]:
        """With their capability."""
        return [
            (CORE, Method("PushSubscription/get", GetArguments, self.get, needs_account=False)),
            (CORE, Method("PushSubscription/set", SetArguments, self.set, needs_account=False)),
        ]

    async def get(self, ctx: Access, args: GetArguments) -> JsonObject:
        names = _names(ctx, args.properties)
        ids = None if args.ids is None else list(dict.fromkeys(_real(ctx, id) for id in args.ids))
        if ids is not None and len(ids) > ctx.limit("maxObjectsInGet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} ids in one call.")
        async with ctx.read(self.account) as snapshot:
            found = await records.of_user(snapshot, ctx.identity.user)
        mine = {record.id: records.public(record) for record in found if belongs(record, ctx.identity)}
        listed = [mine[id] for id in (mine if ids is None else ids) if id in mine]
        return {
            "list": [{name: record[name] for name in names} for record in listed],
            "notFound": [id for id in ids or () if id not in mine],
        }

    async def set(self, ctx: Access, args: SetArguments) -> JsonObject:
        asked = len(args.create or ()) + len(args.update or ()) + len(args.destroy or ())
        if asked > ctx.limit("maxObjectsInSet"):
            raise MethodError.request_too_large(
                f"At most {ctx.limit('maxObjectsInSet')} records in one call."
            )
        states = await _email_states(ctx, args)
        async with ctx.write(self.account) as tx:
            run = _Run(self, ctx, tx, states)
            await run.all(args)
        ctx.created_ids.update({name: made["id"] for name, made in run.created.items()})
        return run.response()


def belongs(record: Record, identity: Identity) -> bool:
    """§7.2.1: only to the same credentials."""
    return (record.user, record.credential) == (identity.user, identity.credential)


class Rate:
    """How often each user may do something in a span of time."""

    def __init__(self, most: int, span_s: float) -> None:
        self._most, self._span_s = most, span_s
        self._times: dict[str, deque[float]] = {}

    def take(self, user: str) -> bool:
        """Whether once more is allowed; it then counts."""
        now = time.monotonic()
        times = self._times.setdefault(user, deque())
        while times and times[0] <= now - self._span_s:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now)
        return True


class _Run:
    """One call of /set inside its transaction. A record that is refused leaves no trace."""

    def __init__(
        self, methods: PushSubscriptions, ctx: Access, tx: Transaction, states: dict[Id, int]
    ) -> None:
        self._methods, self._ctx, self._tx, self._states = methods, ctx, tx, states
        self._now = ctx.now()
        self._knows_email_push = EMAIL_PUSH in ctx.using
        self.created: dict[str, JsonObject] = {}
        self._updated: dict[Id, JsonObject | None] = {}
        self._destroyed: list[Id] = []
        self._failed: dict[str, dict[str, JsonObject]] = {"Created": {}, "Updated": {}, "Destroyed": {}}

    async def all(self, args: SetArguments) -> None:
        for name, given in (args.create or {}).items():
            try:
                self.created[name] = await self._create(given)
            except (SetError, Invalid) as error:
                self._fail("Created", name, error)
        doomed = {self._real(key) for key in args.destroy or ()}
        for key, change in (args.update or {}).items():
            try:
                self._updated[self._real(key)] = await self._update(self._real(key), change, doomed)
            except (SetError, Invalid) as error:
                self._fail("Updated", key, error)
        for key in dict.fromkeys(args.destroy or ()):
            try:
                await self._destroy(self._real(key))
            except SetError as error:
                self._fail("Destroyed", key, error)

    def response(self) -> JsonObject:
        return {
            "created": self.created or None,
            "updated": self._updated or None,
            "destroyed": self._destroyed or None,
            **{f"not{kind}": failed or None for kind, failed in self._failed.items()},
        }

    def _fail(self, kind: str, key: str, error: SetError | Invalid) -> None:
        self._failed[kind][key] = (error if isinstance(error, SetError) else error.to_set_error()).to_json()

    def _real(self, key: str) -> str:
        made = self.created.get(key[1:]) if key.startswith("#") else None
        return made["id"] if made is not None else _real(self._ctx, key)

    async def _mine(self, id: str) -> Record:
        found = await records.load(self._tx, [id])
        if not found or not belongs(found[0], self._ctx.identity):
            raise SetError.not_found()
        return found[0]

    # ------------------------------------------------------------ create

    async def _create(self, given: JsonObject) -> JsonObject:
        """What the client is told of the record that was made."""
        checks, identity = Checks(), self._ctx.identity
        checks.known(given, email_push=self._knows_email_push)
        if "id" in given:
            checks.wrong("id", "the server sets it.")
        if given.get("verificationCode") is not None:
            checks.wrong("verificationCode", "it must be null until the server has pushed a code.")
        device = checks.device(given.get("deviceClientId"))
        url = checks.url(given.get("url"), self._methods.check_url)
        keys = checks.keys(given.get("keys"))
        expires = checks.expires(given.get("expires"), self._now)
        types = checks.types(given.get("types"))
        email_push = await self._email_push(checks, given.get("emailPush"), keys)
        checks.done()
        await self._admit(identity.user)
        record = Record(
            id=f"P{uuid4()}",
            user=identity.user,
            credential=identity.credential,
            scope=identity.scope,
            device_client_id=device,
            url=url,
            keys=keys,
            vapid=await _vapid_key(self._tx),
            code=secrets.token_urlsafe(32),
            created=utc_date(self._now),
            expires=expires,
            types=types,
            email_push=email_push,
            email_since=self._since(email_push, {}),
        )
        await records.put(self._tx, record)
        # §5.3: what the client left out, or the server changed.
        told: JsonObject = {"id": record.id, **{n: v for n, v in DEFAULTS.items() if n not in given}}
        if self._knows_email_push and "emailPush" not in given:
            told["emailPush"] = None
        if given.get("expires") != expires:
            told["expires"] = expires
        return told

    async def _admit(self, user: str) -> None:
        """Raises SetError: too many."""
        if len(await records.of_user(self._tx, user)) >= self._methods.most:
            raise SetError.over_quota(f"A user may have {self._methods.most} push subscriptions.")
        if not self._methods.creations.take(user):
            raise SetError.rate_limit()

    # ------------------------------------------------------------ update and destroy

    async def _update(self, id: Id, change: JsonObject, doomed: Collection[str]) -> JsonObject | None:
        """Properties that are not as the client wrote them; None: all are."""
        old = await self._mine(id)
        if id in doomed:
            raise SetError.will_destroy()
        before = {**records.public(old), "url": old.url, "keys": old.keys}
        wanted = patch.apply(before, change, DEFAULTS)
        checks = Checks()
        is_asked = any(pointer.partition("/")[0] == "emailPush" for pointer in change)
        checks.known(wanted, email_push=self._knows_email_push or not is_asked)
        for name in ("id", "deviceClientId", "url", "keys"):
            if wanted[name] != before[name]:
                checks.wrong(name, "it never changes.")
        code = checks.code(wanted["verificationCode"], old)
        expires = old.expires
        if "expires" in change:
            expires = checks.expires(wanted["expires"], self._now)
        types = checks.types(wanted["types"])
        email_push = old.email_push
        if wanted["emailPush"] != before["emailPush"]:
            email_push = await self._email_push(checks, wanted["emailPush"], old.keys)
        checks.done()
        new = msgspec.structs.replace(
            old,
            verification_code=code,
            expires=expires,
            types=types,
            email_push=email_push,
            email_since=self._since(email_push, old.email_since),
        )
        await records.put(self._tx, new)
        return {"expires": expires} if wanted["expires"] != expires else None

    async def _destroy(self, id: Id) -> None:
        await self._mine(id)
        await records.destroy(self._tx, id)
        self._destroyed.append(id)

    # ------------------------------------------------------------ emailPush

    async def _email_push(
        self, checks: Checks, value: Any, keys: dict[str, str] | None
    ) -> dict[Id, EmailPushConfig] | None:
        if value is None:
            return None
        if not isinstance(value, dict) or len(json.encode(value)) > _MAX_EMAIL_PUSH:
            checks.wrong("emailPush", f"it must be null or an object of at most {_MAX_EMAIL_PUSH} octets.")
            return None
        if value and keys is None:
            checks.wrong("emailPush", "it needs keys: what is pushed must be encrypted.")
        found = {}
        for account, config in value.items():
            try:
                found[account] = await self._methods.emails.check(self._ctx, self._tx, account, config)
            except InvalidConfig as error:
                checks.wrong("emailPush", str(error))
        return found

    def _since(self, email_push: Collection[Id] | None, old: dict[Id, int]) -> dict[Id, int]:
        """From which state on the Emails of each account are new."""
        return {account: old.get(account, self._states.get(account, 0)) for account in email_push or ()}


async def _vapid_key(tx: Transaction) -> Id:
    """The id of the key that clients are told of now (RFC 9749 §4)."""
    current: Id = next(key["id"] for key in await tx.get(vapid.TABLE.name, None) if key["current"])
    return current


async def _email_states(ctx: Access, args: SetArguments) -> dict[Id, int]:
    """The states of Email in all accounts that the call names in ``emailPush``.

    Before the transaction: it locks another account.
    """
    states: dict[Id, int] = {}
    for account in _named(args):
        if account not in states and ctx.account_info(account) is not None:
            async with ctx.read(account) as snapshot:
                states[account] = await snapshot.state("Email")
    return states


def _named(args: SetArguments) -> Iterator[str]:
    for change in (*(args.create or {}).values(), *(args.update or {}).values()):
        for pointer, value in change.items():
            name, _, below = pointer.partition("/")
            if name == "emailPush":
                yield from [below.partition("/")[0]] if below else value if isinstance(value, dict) else ()


def _real(ctx: Access, id: str) -> str:
    """An id, which may be given as "#" and its creation id (§3.3)."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


def _names(ctx: Access, asked: list[str] | None) -> list[str]:
    """The properties to give."""
    known = ["id", "deviceClientId", "verificationCode", "expires", "types"]
    if EMAIL_PUSH in ctx.using:
        known.append("emailPush")
    if asked is None:
        return known
    for name in asked:
        if name in _SECRET:
            raise MethodError.forbidden(f"{name} is told to nobody.")
        if name not in known:
            raise MethodError.invalid_arguments(f"PushSubscription has no property {name[:100]!r}.")
    return ["id", *(name for name in dict.fromkeys(asked) if name != "id")]
