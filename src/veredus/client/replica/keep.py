"""Which Emails a replica holds: a search that an Email alone can answer, and time only makes smaller."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from veredus.client.search import (
    Context,
    Mailboxes,
    Node,
    SearchError,
    names_mailboxes,
    needed_properties,
    parse,
    require_decidable,
    to_filter,
)
from veredus.client.search import match as matches
from veredus.client.search.nodes import Ago, And, In, Not, Or, Received, terms
from veredus.client.watch.listing import since
from veredus.wire.types import JsonObject


class Keep:
    """``search`` None: all. Raises SearchError."""

    def __init__(self, search: str | None, *, bodies: bool) -> None:
        self.search = search or ""
        self.node: Node = parse(self.search)
        require_decidable(self.node, with_body=bodies)
        _require_shrinking(self.node)
        self.names_mailboxes = names_mailboxes(self.node)
        self.ages = any(isinstance(term, Received) for term in terms(self.node))
        self.properties = needed_properties(self.node)
        self._mailboxes = Mailboxes()

    def mailboxes(self, mailboxes: Mailboxes) -> list[str]:
        """From now on ``in:`` means these; the ids that it names. Raises UnknownMailbox."""
        self._mailboxes = mailboxes
        return [mailboxes.find(term.mailbox) for term in terms(self.node) if isinstance(term, In)]

    def filter(self, after: str | None) -> JsonObject | None:
        """For Email/query; ``after``: all that was received before that (UTCDate) is done."""
        filters = [to_filter(self.node, self._context())] if self.search else []
        if after is not None:
            filters.append({"after": since(after)})
        if len(filters) < 2:
            return filters[0] if filters else None
        return {"operator": "AND", "conditions": filters}

    def holds(self, email: Mapping[str, Any]) -> bool:
        return matches(self.node, email, self._context())

    def _context(self) -> Context:
        return Context(self._mailboxes, datetime.now(UTC))


def _require_shrinking(node: Node, *, negated: bool = False) -> None:
    """Refuse what an Email would begin to be without a change that tells of it."""
    match node:
        case And(of) | Or(of):
            for part in of:
                _require_shrinking(part, negated=negated)
        case Not(of):
            _require_shrinking(of, negated=not negated)
        case Received(since, before):
            if isinstance(since if negated else before, Ago):
                raise SearchError(
                    "a replica cannot keep what becomes older than something: no change tells of it"
                )
        case _:
            pass
