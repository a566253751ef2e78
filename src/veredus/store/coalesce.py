"""From entries of the log to what /changes says (RFC 8620 §5.2)."""

from collections.abc import Iterable

from msgspec import Struct

from veredus.ports import Changes, Kind
from veredus.wire.types import Id


class Entry(Struct):
    """One line of the log of an account, without its account."""

    type: str
    id: Id
    kind: Kind
    modseq: int
    names: frozenset[str] | None


class _Fate(Struct):
    """What became of one id since the older state."""

    existed: bool
    exists: bool
    # What its updates changed; None when that is not known.
    names: frozenset[str] | None = frozenset()

    def take(self, entry: Entry) -> None:
        self.exists = entry.kind != "destroyed"
        if entry.kind == "updated" and self.names is not None and entry.names is not None:
            self.names |= entry.names
        else:
            self.names = None


def coalesce(entries: Iterable[Entry], limit: int, state: int) -> Changes:
    """The longest prefix of ``entries`` that concerns at most ``limit`` ids, one verdict for each id.

    ``state``: the type's state when all of ``entries`` are taken.
    """
    fates: dict[Id, _Fate] = {}
    told = 0
    reached = 0
    has_more = False
    for entry in entries:
        fate = fates.get(entry.id)
        before = fate is not None and (fate.existed or fate.exists)
        if fate is None:
            fate = _Fate(existed=entry.kind != "created", exists=True)
        after = fate.existed or entry.kind != "destroyed"
        if told + after - before > limit:
            has_more = True
            break
        fates[entry.id] = fate
        fate.take(entry)
        told += after - before
        reached = entry.modseq
    return _changes(fates, reached if has_more else state, has_more)


def _changes(fates: dict[Id, _Fate], new_state: int, has_more: bool) -> Changes:
    changes = Changes([], [], [], new_state, has_more, frozenset())
    names: frozenset[str] | None = frozenset()
    for id, fate in fates.items():
        if fate.existed and fate.exists:
            changes.updated.append(id)
            names = None if names is None or fate.names is None else names | fate.names
        elif fate.existed:
            changes.destroyed.append(id)
        elif fate.exists:
            changes.created.append(id)
    return Changes(changes.created, changes.updated, changes.destroyed, new_state, has_more, names)
