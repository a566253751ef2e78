"""Uniqueness of records (schema.Unique), judged on the state that a /set call leaves behind.

Whatever must fail is found at once, and the call is tried again without it: a refused update keeps
its old values, so it may stand in the way of another one, which then is refused, too.
"""

from collections import defaultdict

from veredus.conditions import Eq, all_of
from veredus.engine.records import Operation, Run
from veredus.ports import Transaction
from veredus.schema import DataType, Unique
from veredus.wire import json
from veredus.wire.errors import SetError
from veredus.wire.types import Id, JsonObject


class Conflict(Exception):
    """These operations must fail because other records have the same values."""

    def __init__(self, losers: dict[Operation, SetError]) -> None:
        super().__init__(losers)
        self.losers = losers


async def check_unique(tx: Transaction, type: DataType, run: Run, *, strict: bool = False) -> None:
    """Raise Conflict for the operations of ``run`` that make records not unique.

    ``strict``: for all that changed such a property, once there is any conflict; so that trying ends.
    """
    losers: dict[Operation, SetError] = {}
    for unique in type.unique:
        contest = _Contest(unique, run)
        await contest.enter(tx, type)
        losers |= contest.decide()
        if strict and contest.lost:
            losers |= {run.operations[id]: SetError.already_exists(id) for id in contest.entered}
    if losers:
        raise Conflict(losers)


class _Contest:
    """Who keeps the values of one Unique. Records not in ``entered`` do, losers keep their old ones."""

    def __init__(self, unique: Unique, run: Run) -> None:
        self._unique, self._run = unique, run
        self.entered: dict[Id, bytes] = {}
        self._holders: dict[bytes, list[Id]] = {}
        self._rivals: dict[bytes, list[Id]] = defaultdict(list)
        self.lost: dict[Id, Id] = {}

    async def enter(self, tx: Transaction, type: DataType) -> None:
        """Every record that the run made or changed in these properties, and those that it meets."""
        for id in self._run.operations:
            record = self._run.final.get(id)
            if record is None or not self._concerned(id, record):
                continue
            key = self._key(record)
            if key is None:
                continue
            if key not in self._holders:
                where = all_of(*(Eq(name, record.get(name)) for name in self._unique.properties))
                self._holders[key] = await tx.select(type.name, where)
            self.entered[id] = key
            self._rivals[key].append(id)

    def decide(self) -> dict[Operation, SetError]:
        """The losers: first what meets a record that stays, then all but the first of each rest."""
        keys = list(self._holders)
        while keys:
            keys += self._settle(keys.pop(), keep_first=False)
        for key in self.entered.values():
            keys = [key]
            while keys:
                keys += self._settle(keys.pop(), keep_first=True)
        return {self._run.operations[id]: SetError.already_exists(by) for id, by in self.lost.items()}

    def _settle(self, key: bytes, *, keep_first: bool) -> list[bytes]:
        """Let all but one holder of ``key`` lose; gives the keys that losers fall back to."""
        holders = self._holders[key]
        staying = [id for id in holders if self.entered.get(id) != key]
        rivals = [id for id in self._rivals[key] if id not in self.lost]
        if not staying and keep_first:
            staying, rivals = rivals[:1], rivals[1:]
        if not staying:
            return []
        fallen = []
        for id in rivals:
            self.lost[id] = staying[0]
            before = self._run.before.get(id)
            old = None if before is None else self._key(before)
            if old is not None and old in self._holders:
                self._holders[old].append(id)
                fallen.append(old)
        return fallen

    def _key(self, record: JsonObject) -> bytes | None:
        values = [record.get(name) for name in self._unique.properties]
        return None if values[-1] is None else json.encode(values)

    def _concerned(self, id: Id, record: JsonObject) -> bool:
        old: JsonObject | None = self._run.before.get(id)
        return old is None or any(old.get(name) != record.get(name) for name in self._unique.properties)
