"""EmailPush: new Emails in the push message itself (draft-ietf-jmap-emailpush-03).

What is new is read from the change log, from where the last message ended. So an Email that came while the
URL, or the server, was down is pushed later, and a crash may push one twice, but loses none. Not all that is
created is news: a mailbox that is imported holds old Emails, and nobody is notified of thousands.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from veredus.conditions import Condition, In, all_of
from veredus.engine.api import Engine
from veredus.engine.session import CORE
from veredus.formats.webpush import MAX_PLAINTEXT
from veredus.ports import Directory, Identity, Snapshot, Store
from veredus.push.web.records import EmailPushConfig
from veredus.schema import Access, DataType
from veredus.wire import json
from veredus.wire.dates import utc_date
from veredus.wire.errors import MethodError
from veredus.wire.push import EmailPush
from veredus.wire.types import Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:emailpush"
# Changes of Emails that are looked at in one go.
_AT_ONCE = 500
# So many Emails, the newest, are told of all that have come since the last time.
MOST = 100
# An Email that was received longer ago is no news, nor is a draft.
NEWS_LIFE = timedelta(days=1)
MAX_PROPERTIES = 100

CompileFilter = Callable[[DataType, Any], Condition]


class InvalidConfig(ValueError):
    """An EmailPushConfig that asks for what there is not; the text says what."""


class EmailPushChecks:
    """Whether an EmailPushConfig can be followed, asked when a client writes it."""

    def __init__(self, email: DataType, compile_filter: CompileFilter) -> None:
        self._email, self._compile = email, compile_filter

    async def check(self, ctx: Access, snapshot: Snapshot, account: str, value: Any) -> EmailPushConfig:
        """Nothing is read of ``snapshot``, whosever it is. Raises InvalidConfig."""
        if ctx.account_info(account) is None:
            raise InvalidConfig(f"{account[:100]!r} is no account of yours.")
        try:
            config = msgspec.convert(value, EmailPushConfig)
            self._compile(self._email, config.filter)
            await self._check_properties(ctx, snapshot, config.properties)
        except (msgspec.ValidationError, MethodError) as error:
            raise InvalidConfig(str(error)) from None
        return config

    async def _check_properties(self, ctx: Access, snapshot: Snapshot, names: Sequence[str]) -> None:
        """As Email/get would (§4: all that it supports)."""
        if len(names) > MAX_PROPERTIES:
            raise InvalidConfig(f"At most {MAX_PROPERTIES} properties are pushed.")
        arguments = self._email.get_arguments(account_id="")
        for name in names:
            if name in self._email.visible:
                continue
            covering = [computed for computed in self._email.computed if computed.covers(name)]
            if not covering:
                raise InvalidConfig(f"Email has no property {name[:100]!r}.")
            try:
                await covering[0].run(ctx, snapshot, [], [name], arguments)
            except ValueError as error:
                raise InvalidConfig(str(error)) from None


class Batch(Struct):
    """What is to be sent of one account. ``bodies``: EmailPush objects as JSON, the oldest Emails first.

    ``position``: the state of Email up to which nothing is left once they are sent.
    """

    bodies: list[bytes]
    position: int


class NewEmails:
    """Finds the new Emails that a subscription wants to be told of."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        engine: Engine,
        email: DataType,
        compile_filter: CompileFilter,
        most: int = MOST,
    ) -> None:
        """``most``: that Email/get gives at once."""
        self._most = min(most, MOST)
        self._store, self._directory, self._engine = store, directory, engine
        self._email, self._compile = email, compile_filter

    async def after(
        self, identity: Identity, account: Id, config: EmailPushConfig, position: int, now: datetime
    ) -> Batch:
        """Emails that have come after a state and are still there. Raises Unavailable."""
        visible = {info.id for info in await self._directory.accounts(identity.user)}
        if account not in visible:
            return Batch([], position)
        news = {"after": utc_date(now - NEWS_LIFE), "notKeyword": "$draft"}
        wanted = all_of(self._compile(self._email, config.filter), self._compile(self._email, news))
        newest: deque[Id] = deque(maxlen=self._most)
        async with self._store.read(account) as snapshot:
            has_more = True
            while has_more:
                changes = await snapshot.changes(self._email.name, position, _AT_ONCE)
                if changes is None:  # so long ago that the log has forgotten it
                    return Batch([], await snapshot.state(self._email.name))
                if changes.created:
                    new = In("id", tuple(changes.created))
                    newest.extend(await snapshot.select(self._email.name, all_of(wanted, new)))
                position, has_more = changes.new_state, changes.has_more
        if not newest:
            return Batch([], position)
        return Batch(list(await self._bodies(identity, account, config.properties, list(newest))), position)

    async def _bodies(
        self, identity: Identity, account: Id, names: list[str], ids: list[Id]
    ) -> Iterator[bytes]:
        arguments = {"accountId": account, "ids": ids, "properties": names}
        request = {"using": [CORE, self._email.capability], "methodCalls": [["Email/get", arguments, "0"]]}
        answer = json.decode(await self._engine.process(json.encode(request), identity, ""))
        name, response, _ = answer["methodResponses"][0]
        if name == "error":
            raise MethodError(response["type"], response.get("description"))
        by_id = {email["id"]: email for email in response["list"]}
        emails = [by_id[id] for id in ids if id in by_id]
        return pack(account, response["state"], names, emails)


def pack(account: Id, state: str, names: Sequence[str], emails: Sequence[JsonObject]) -> Iterator[bytes]:
    """EmailPush objects that fit into the channel, with as many Emails in each as do (§3).

    Properties are added in the order of ``names``; one that would not fit, even into a message of its own,
    is left out.
    """
    empty = len(json.encode(EmailPush(account, [], state)))
    waiting: list[JsonObject] = []
    size = empty
    for email in emails:
        fitting, octets = _cut(names, email, MAX_PLAINTEXT - empty)
        if waiting and size + 1 + octets > MAX_PLAINTEXT:
            yield json.encode(EmailPush(account, waiting, state))
            waiting, size = [], empty
        size += octets + (1 if waiting else 0)
        waiting.append(fitting)
    if waiting:
        yield json.encode(EmailPush(account, waiting, state))


def _cut(names: Sequence[str], email: JsonObject, room: int) -> tuple[JsonObject, int]:
    """An Email with those of its properties that fit into ``room`` octets of JSON, and their octets."""
    fitting: JsonObject = {}
    size = len("{}")
    for name in names:
        if name in fitting:
            continue
        # Without the braces, with the comma before it.
        octets = len(json.encode({name: email.get(name)})) - 2 + (1 if fitting else 0)
        if size + octets <= room:
            fitting[name] = email.get(name)
            size += octets
    return fitting, size
