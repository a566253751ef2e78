"""Entries of the log that a transaction has not written yet, and the states that they lead to."""

from collections.abc import Mapping

import msgspec

from veredus.ports import Kind
from veredus.store.coalesce import Entry
from veredus.store.postgres.batch import Batch, log_entries
from veredus.store.postgres.reads import Opened
from veredus.store.postgres.schema import Layout
from veredus.wire.types import Id


class Entries:
    """``account``: as the transaction sees it; its modseq rises with each entry."""

    def __init__(self, layouts: Mapping[str, Layout], account: Opened) -> None:
        self._layouts = layouts
        self._account = account
        self._waiting: list[Entry] = []
        # The waiting entry of (type, id) that a further update may join.
        self._joinable: dict[tuple[str, Id], Entry] = {}
        self.new_states: dict[str, int] = {}

    def add(self, layout: Layout, id: Id, kind: Kind, names: frozenset[str] | None) -> None:
        """A further update of a record joins its first entry: nobody saw the state between."""
        if not layout.table.logged:
            return
        entry = self._joinable.get((layout.name, id))
        if kind == "updated" and entry is not None:
            if entry.kind == "updated":
                entry.names = entry.names | names if entry.names is not None and names is not None else None
            return
        self._account.modseq += 1
        entry = Entry(layout.name, id, kind, self._account.modseq, names)
        self._waiting.append(entry)
        if kind == "destroyed":
            self._joinable.pop((layout.name, id), None)
        else:
            self._joinable[layout.name, id] = entry

    def number(self) -> None:
        """Give the types their states; no update joins an entry that counts in one."""
        self._joinable.clear()
        for entry in self._waiting:
            creations = self._layouts[entry.type].table.creations
            self.new_states[entry.type] = entry.modseq
            if creations is not None and entry.kind == "created":
                self.new_states[creations] = entry.modseq
        states = self._account.states
        for type, state in self.new_states.items():
            states[type] = (state, states.get(type, (0, 0))[1])

    def write(self, batch: Batch, at: int, writer: int) -> None:
        """``at``: Unix seconds; ``writer``: the transaction."""
        self.number()
        waiting, self._waiting = self._waiting, []
        if waiting:
            log_entries(batch, waiting, at, writer, [_names(entry.names) for entry in waiting])


def _names(names: frozenset[str] | None) -> str | None:
    return None if names is None else msgspec.json.encode(sorted(names)).decode()
