"""Records of one type: many in one request, and each alone where that fails."""

from collections.abc import Sequence

from msgspec import Struct, field

from veredus.bridge.attempts import Attempts, Failed
from veredus.bridge.source import AccountSource
from veredus.client.errors import JMAPError, TransportError, Unauthorized
from veredus.wire.types import Id, JsonObject


class Found(Struct):
    """``records`` by id; what is in neither is gone."""

    records: dict[Id, JsonObject] = field(default_factory=dict)
    failed: dict[Id, Failed] = field(default_factory=dict)


class Records:
    """``properties`` None: all."""

    def __init__(
        self, source: AccountSource, type: str, properties: Sequence[str] | None, attempts: Attempts
    ) -> None:
        self._source, self._type, self._properties = source, type, properties
        self._attempts = attempts

    async def get(self, ids: Sequence[Id]) -> Found:
        """Raises Unreachable, and what the client raises that concerns all of them."""
        found = Found()
        most = self._source.most
        for at in range(0, len(ids), most):
            some = ids[at : at + most]
            try:
                found.records |= await self._get(some)
            except Unauthorized:
                raise
            except JMAPError as error:
                if isinstance(error, TransportError) and not await self._source.answers():
                    raise
                for id in some:
                    await self._alone(id, found)
        return found

    async def _get(self, ids: Sequence[Id]) -> dict[Id, JsonObject]:
        return {record["id"]: record for record in await self._source.get(self._type, ids, self._properties)}

    async def _alone(self, id: Id, found: Found) -> None:
        async def attempt(_: int) -> dict[Id, JsonObject]:
            return await self._get([id])

        try:
            found.records |= await self._attempts.run(attempt)
        except Failed as failed:
            found.failed[id] = failed


class Standing:
    """Which records of a snapshot were there already at the state it was begun with.

    What was created later is told as created. It must not be in the snapshot, too: if it is destroyed before
    its creation is read, the server leaves it out of the changes (RFC 8620 §5.2), and nobody would ever be
    told that it is gone.
    """

    def __init__(self, source: AccountSource, type: str) -> None:
        self._source, self._type = source, type
        self._created: set[Id] = set()
        self._state: str | None = None

    async def of(self, ids: Sequence[Id], state: str) -> list[Id]:
        """Of ``ids``, which have been seen, those that were there at ``state``, or are gone by now.

        Read them afterwards: what is there then, and is not among the created now, was there all the time.
        """
        await self._update(state)
        return [id for id in ids if id not in self._created]

    async def _update(self, state: str) -> None:
        has_more = True
        while has_more:
            since = self._state or state
            async with self._source.client.batch(self._source.account, raise_errors=False) as batch:
                changes = batch.changes(self._type, since, max_changes=self._source.most)
            if changes.error is not None and changes.error.type == "cannotCalculateChanges":
                return  # then following begins anew anyway
            page = changes.result
            self._created.update(page.created)
            self._state, has_more = page.new_state, page.has_more_changes and page.new_state != since
