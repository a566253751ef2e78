"""One account of one JMAP server, as the tracks read it."""

from collections.abc import AsyncIterator, Sequence

import structlog

from veredus.bridge.accounts import require
from veredus.bridge.wire.change import Source
from veredus.client.calls import ChangesCall
from veredus.client.client import Client
from veredus.client.errors import (
    JMAPError,
    MethodError,
    NotSupported,
    ProtocolError,
    TransportError,
    Unauthorized,
)
from veredus.client.results import Changes
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.bridge")
# A type that the server, or this account, does not have (RFC 8620 §3.6.2).
_NO_METHOD = ("unknownMethod", "unknownCapability", "accountNotSupportedByMethod")
# What servers say to a state that is none of theirs: some say that it is not even an argument, and of the
# arguments we give only the state can be wrong.
_NO_STATE = ("cannotCalculateChanges", "invalidArguments")
# Changes in one page: small enough that a crash repeats little, large enough that requests cost little.
PAGE = 200


class CannotCalculate(Exception):
    """The server cannot tell what changed since a state (RFC 8620 §5.2): only reading anew helps."""


class AccountSource:
    """Reads one account. Raises what the client raises, but for CannotCalculate."""

    def __init__(self, client: Client, account: Id, concurrency: int) -> None:
        self.client, self.account = client, account
        self.concurrency = concurrency

    def about(self, transport: str) -> Source:
        """What events say of where they are from. Raises NoAccount when the session has it no more."""
        host = self.client.host
        require(self.client.session, self.account)
        name = self.client.session.accounts[self.account].name
        return Source(server=host, account_id=self.account, account_name=name, transport=transport)

    @property
    def most(self) -> int:
        """How many records to ask for at once."""
        return max(1, min(PAGE, self.client.session.limits.max_objects_in_get))

    async def state(self, type: str) -> str:
        """The state of ``type`` now."""
        async with self.client.batch(self.account) as batch:
            got = batch.get(type, [], ["id"])
        return got.result.state

    async def changes(
        self, type: str, since: str, properties: Sequence[str] | None
    ) -> tuple[Changes, list[JsonObject]]:
        """The next page of changes, and ``properties`` (None: all) of what was created, as far as it could be
        read with them: one record that the server fails at must not hold back the changes.

        Raises CannotCalculate.
        """
        try:
            async with self.client.batch(self.account, raise_errors=False) as batch:
                changes = batch.changes(type, since, max_changes=self.most)
                got = batch.get(type, changes.created_ref, properties)
        except TransportError as error:
            if isinstance(error, Unauthorized) or not await self.answers():
                raise
            async with self.client.batch(self.account, raise_errors=False) as batch:
                changes = batch.changes(type, since, max_changes=self.most)
            return _page(changes), []
        page = _page(changes)
        return page, [] if got.error is not None else [record.json for record in got.list]

    async def get(self, type: str, ids: Sequence[Id], properties: Sequence[str] | None) -> list[JsonObject]:
        """Records in the order of ``ids``; those that are gone are left out.

        Raises ProtocolError when the server does not say of each whether it is there.
        """
        by_id: dict[Id, JsonObject] = {}
        most = self.most
        for at in range(0, len(ids), most):
            some = ids[at : at + most]
            async with self.client.batch(self.account) as batch:
                got = batch.get(type, some, properties)
            by_id.update((record.id, record.json) for record in got.list)
            if set(some) - by_id.keys() - set(got.result.not_found):
                raise ProtocolError(self.client.host, f"{type}/get: an id is neither in list nor in notFound")
        return [by_id[id] for id in ids if id in by_id]

    async def all(self, type: str) -> list[JsonObject]:
        """All records of a type of which there are few; none, and a line in the log, where the server will
        not give so many at once, nor list them."""
        try:
            got = await self.client.get(type, None, account=self.account)
        except MethodError as error:
            if error.type not in ("requestTooLarge", *_NO_METHOD):
                raise
            log.warning("too_many_for_snapshot", account=self.account, type=type, error=error.type)
            return []
        return [record.json for record in got.list]

    async def has_changes(self, type: str) -> bool:
        """Whether the server has Foo/changes for ``type``, in this account."""
        try:
            state = await self.state(type)
            async with self.client.batch(self.account) as batch:
                batch.changes(type, state, max_changes=1)
        except NotSupported:
            return False
        except MethodError as error:
            if error.type in _NO_METHOD:
                return False
            if error.type not in _NO_STATE:
                raise
        return True

    async def answers(self) -> bool:
        """Whether the server answers at all."""
        try:
            await self.client.call("Mailbox/get", {"ids": []}, account=self.account)
        except MethodError:
            return True
        except JMAPError:
            return False
        return True

    async def blob(self, blob_id: Id, type: str, name: str) -> AsyncIterator[bytes]:
        """The octets of a blob."""
        async with self.client.download(blob_id, name=name, type=type, account=self.account) as blob:
            async for chunk in blob:
                yield chunk


def _page(changes: ChangesCall) -> Changes:
    """Raises CannotCalculate, MethodError."""
    if changes.error is not None and changes.error.type in _NO_STATE:
        raise CannotCalculate(str(changes.error))
    return changes.result
