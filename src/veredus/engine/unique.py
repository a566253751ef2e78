"""Uniqueness of records (schema.Unique), judged on the state that a /set call leaves behind."""

from veredus.conditions import Eq, all_of
from veredus.engine.records import Operation, Run
from veredus.ports import Transaction
from veredus.schema import DataType, Unique
from veredus.wire.errors import SetError
from veredus.wire.types import JsonObject


class Conflict(Exception):
    """This operation must fail because another record has the same values."""

    def __init__(self, operation: Operation, error: SetError) -> None:
        super().__init__(operation, error)
        self.operation, self.error = operation, error


async def find_conflict(tx: Transaction, type: DataType, run: Run) -> None:
    """Raise Conflict for the last operation of ``run`` that makes a record not unique."""
    for unique in type.unique:
        for id, operation in reversed(run.operations.items()):
            record = run.final.get(id)
            if record is None or not _concerned(unique, run, id):
                continue
            where = all_of(*(Eq(name, record.get(name)) for name in unique.properties))
            others = [other for other in await tx.select(type.name, where) if other != id]
            if others and record.get(unique.properties[-1]) is not None:
                raise Conflict(operation, SetError.already_exists(others[0]))


def _concerned(unique: Unique, run: Run, id: str) -> bool:
    old: JsonObject | None = run.before.get(id)
    return old is None or any(old.get(name) != run.final[id].get(name) for name in unique.properties)
