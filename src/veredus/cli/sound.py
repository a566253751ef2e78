"""Reading past damage: a record that cannot be read must not take the others with it."""

from collections.abc import Collection, Mapping, Sequence, Set

import msgspec
from msgspec import Struct

from veredus.conditions import EVERYTHING, Condition, Order
from veredus.ports import Changes, Snapshot
from veredus.wire.types import BlobId, Id, JsonObject


class Sound:
    """A Snapshot without the records that cannot be read; why, stands in ``damaged``, by type and id."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.damaged: dict[tuple[str, Id], str] = {}

    async def get(
        self, type: str, ids: Sequence[Id] | None, names: Set[str] | None = None
    ) -> list[JsonObject]:
        try:
            return await self._snapshot.get(type, ids, names)
        except msgspec.DecodeError as error:
            if ids is not None and len(ids) == 1:
                self.damaged[type, ids[0]] = str(error)
                return []
        if ids is None:
            ids = await self._snapshot.select(type)
        middle = (len(ids) + 1) // 2
        return [*await self.get(type, ids[:middle], names), *await self.get(type, ids[middle:], names)]

    async def project(self, type: str, ids: Sequence[Id] | None, names: Sequence[str]) -> list[Struct]:
        return await self._snapshot.project(type, ids, names)

    async def select(
        self,
        type: str,
        where: Condition = EVERYTHING,
        order: Sequence[Order] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
        distinct: str | None = None,
    ) -> list[Id]:
        return await self._snapshot.select(type, where, order, limit=limit, offset=offset, distinct=distinct)

    async def count(self, type: str, where: Condition = EVERYTHING, *, distinct: str | None = None) -> int:
        return await self._snapshot.count(type, where, distinct=distinct)

    async def state(self, type: str) -> int:
        return await self._snapshot.state(type)

    async def states(self) -> Mapping[str, int]:
        return await self._snapshot.states()

    async def changes(self, type: str, since: int, limit: int) -> Changes | None:
        return await self._snapshot.changes(type, since, limit)

    async def owns_blob(self, ids: Collection[BlobId]) -> set[BlobId]:
        return await self._snapshot.owns_blob(ids)


_: type[Snapshot] = Sound
