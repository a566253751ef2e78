"""What readers of one process remember of an account: projected records and the results of selections.

All of it is true of one state of one type, and every change of a record is in the log, so a reader brings
it up to the state it sees by forgetting the ids that the log names. Nothing has to be told: other processes
may write.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias

from msgspec import Struct, field

from veredus.wire.types import Id

Names: TypeAlias = tuple[str, ...]

# Of all accounts together, in octets: the JSON and an estimate of the objects around it.
MAX_SIZE = 24_000_000
_RECORD_SIZE = 1_500
_NAME_SIZE = 60
# Of one account and type.
_MAX_LISTS_OF_NAMES = 8
_MAX_RESULTS = 64
_RESULT_SIZE = 100
_MAX_RESULT_IDS = 1000
_MAX_QUESTION = 2000
_MAX_SEEN = 5000


class Known(Struct):
    """What is remembered of one type of an account, at ``state``."""

    state: int
    records: dict[Names, dict[Id, Struct]] = field(default_factory=dict)
    # By the question in words: as values, true and 1 would be the same.
    results: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    # Ids that were read once and not remembered: a second time they are, so that going through a whole
    # mailbox neither costs more than reading it nor drives out what is read often.
    seen: set[Id] = field(default_factory=set)
    # The ids of the last list that came with its records, and whether the next one is to: where most of them
    # are remembered already, they are better not sent once more.
    listed: list[Id] = []
    brings: bool = True
    # No longer in the cache, though a reader still holds it.
    forgotten: bool = False

    def advance(self, state: int, changed: Iterable[Id] | None) -> None:
        """``changed``: the ids that changed up to the new state; None when there are too many."""
        self.state = state
        self.results.clear()
        if changed is None:
            self.records.clear()
            self.size = 0
            return
        for id in changed:
            for records in self.records.values():
                records.pop(id, None)

    def holds(self, id: Id) -> bool:
        """Whether the record is remembered, with whichever properties."""
        return any(id in records for records in self.records.values())

    def read_again(self, ids: Collection[Id]) -> set[Id]:
        """Those of ``ids`` that were read before; the others have been now."""
        again = self.seen.intersection(ids)
        if len(self.seen) > _MAX_SEEN:
            self.seen.clear()
        self.seen.update(ids)
        return again

    def of(self, names: Names) -> dict[Id, Struct]:
        if names not in self.records and len(self.records) >= _MAX_LISTS_OF_NAMES:
            self.records.clear()
        return self.records.setdefault(names, {})


class Cache:
    """The Known of those accounts that were read last."""

    def __init__(self, max_size: int = MAX_SIZE) -> None:
        self._known: OrderedDict[tuple[int, str], Known] = OrderedDict()
        self._size = 0
        self._max_size = max_size

    def at(
        self, account: int, type: str, state: int, changed: Callable[[int], Iterable[Id] | None]
    ) -> Known | None:
        """What is known at ``state``; None when a newer state is known already.

        ``changed`` gives the ids that changed since a state.
        """
        known = self._known.get((account, type))
        if known is None:
            known = self._known[account, type] = Known(state)
        elif known.state != state:
            if known.state > state:
                return None
            before = known.size
            known.advance(state, changed(known.state))
            self._size += known.size - before
        self._known.move_to_end((account, type))
        return known

    def states(self, account: int, types: Iterable[str]) -> dict[str, int]:
        """The state at which something is remembered of each of these types, where anything is."""
        found = {type: self._known.get((account, type)) for type in types}
        return {type: known.state for type, known in found.items() if known is not None}

    def forget(self, account: int, type: str) -> None:
        """What was true at a state is not any more: full text has changed, which is no change of a record."""
        known = self._known.pop((account, type), None)
        if known is not None:
            known.forgotten = True
            self._size -= known.size

    def remember(self, known: Known, names: Names, id: Id, record: Struct, octets: int) -> None:
        known.of(names)[id] = record
        self._grow(known, octets + _RECORD_SIZE + _NAME_SIZE * len(names))

    def remember_result(self, known: Known, question: str, answer: Any) -> None:
        ids = len(answer) if isinstance(answer, list) else 1
        if ids > _MAX_RESULT_IDS or len(question) > _MAX_QUESTION:
            return
        if len(known.results) >= _MAX_RESULTS:
            known.results.clear()
        known.results[question] = answer
        self._grow(known, _RESULT_SIZE * (ids + 5) + len(question))

    def _grow(self, known: Known, octets: int) -> None:
        """Sizes only grow until an account is forgotten whole: an estimate from above."""
        if known.forgotten:
            return
        known.size += octets
        self._size += octets
        while self._size > self._max_size and self._known:
            _, oldest = self._known.popitem(last=False)
            oldest.forgotten = True
            self._size -= oldest.size
