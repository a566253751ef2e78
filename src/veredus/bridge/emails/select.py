"""Which Emails become messages, and where further copies go: rules in the search grammar."""

from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from msgspec import Struct
from msgspec.structs import replace

from veredus.bridge.mailboxes import MailboxIndex
from veredus.bridge.settings import FilterSettings, RouteSettings
from veredus.bridge.wire.message import Message
from veredus.client.search.context import Context
from veredus.client.search.grammar import parse
from veredus.client.search.mailboxes import UnknownMailbox
from veredus.client.search.match import match, needed_properties, require_decidable
from veredus.client.search.nodes import Node
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger("veredus.bridge")


class Rules(Struct, frozen=True):
    """Filters and routes, parsed; ``routes``: what each selects, and the subject it goes to."""

    include: Node | None
    exclude: Node | None
    routes: tuple[tuple[Node, str], ...]


def rules(filter: FilterSettings, routes: tuple[RouteSettings, ...]) -> Rules:
    """Raises SearchError, which says where in which rule."""
    include = parse(filter.include) if filter.include else None
    exclude = parse(filter.exclude) if filter.exclude else None
    for node in (include, exclude):
        if node is not None:
            require_decidable(node, with_body=False)
    parsed = tuple((parse(route.match), route.subject) for route in routes)
    for node, _ in parsed:
        require_decidable(node, with_body=True)
    return Rules(include, exclude, parsed)


class Selection:
    """Decides for one account. A rule that names a Mailbox which is not there (any more), or meets a value
    that it cannot read, loses nothing: it includes everything, excludes nothing and routes nothing."""

    def __init__(self, rules: Rules, mailboxes: MailboxIndex) -> None:
        self._rules, self._mailboxes = rules, mailboxes
        self._told: set[str] = set()

    @property
    def roles(self) -> Mapping[Id, str]:
        """The role of each Mailbox that has one."""
        return self._mailboxes.roles

    @property
    def properties(self) -> frozenset[str]:
        """Properties of an Email that ``takes`` reads."""
        nodes = (self._rules.include, self._rules.exclude)
        return frozenset(name for node in nodes if node is not None for name in needed_properties(node))

    @property
    def route_properties(self) -> frozenset[str]:
        """Properties of an Email that ``routed`` reads."""
        return frozenset(name for node, _ in self._rules.routes for name in needed_properties(node))

    def takes(self, email: JsonObject) -> bool:
        """Whether this Email, of which ``properties`` are known, becomes a message."""
        include, exclude = self._rules.include, self._rules.exclude
        included = include is None or self._is(include, email, undecided=True)
        return included and not (exclude is not None and self._is(exclude, email, undecided=False))

    def routed(self, email: JsonObject, message: Message, account: Id) -> list[Message]:
        """The further copies of ``message``; their ids differ, since a stream may take several subjects."""
        return [
            replace(
                message, subject=subject.replace("{account}", account), msg_id=f"{message.msg_id}/{subject}"
            )
            for node, subject in self._rules.routes
            if self._is(node, email, undecided=False)
        ]

    def _is(self, node: Node, email: JsonObject, *, undecided: bool) -> bool:
        try:
            return match(node, email, Context(self._mailboxes.search, datetime.now(UTC)))
        except UnknownMailbox as error:
            if str(error) not in self._told:  # once, not for every Email
                self._told.add(str(error))
                log.warning("rule_undecided", account=self._mailboxes.account, reason=str(error))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            # A value that is not of the type that RFC 8621 gives it; the error may quote it.
            log.warning("rule_undecided", email=email.get("id"), reason=type(error).__name__)
        return undecided
