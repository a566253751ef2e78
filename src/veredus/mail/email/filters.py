"""Filters and sorts of Email/query (RFC 8621 §4.4)."""

from typing import Any

import msgspec

from veredus.conditions import (
    All,
    Any_,
    Condition,
    Contains,
    Eq,
    Has,
    HasOther,
    Item,
    Not,
    Order,
    Range,
    Same,
    parts,
)
from veredus.mail.email.shape import TEXT_FIELDS
from veredus.mail.email.smime import FILTERS as SMIME_FILTERS
from veredus.ports import Snapshot
from veredus.schema import Filter, QueryPlan, Sort, by, text
from veredus.wire.arguments import QueryArguments, QueryChangesArguments
from veredus.wire.dates import whole_second
from veredus.wire.types import Id, JsonObject, UnsignedInt


class EmailQueryArguments(QueryArguments, kw_only=True):
    """Email/query (§4.4)."""

    collapse_threads: bool = False


class EmailQueryChangesArguments(QueryChangesArguments, kw_only=True):
    """Email/queryChanges (§4.5)."""

    collapse_threads: bool = False


def _keyword(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a keyword")
    return value.lower()


def _in_mailbox(value: Any) -> Condition:
    return Has("mailboxIds", msgspec.convert(value, Id))


def _in_mailbox_other_than(value: Any) -> Condition:
    return HasOther("mailboxIds", tuple(msgspec.convert(value, list[Id])))


def _size(value: Any) -> int:
    size: int = msgspec.convert(value, UnsignedInt)
    return size


def _has_keyword(value: Any) -> Condition:
    return Has("keywords", _keyword(value))


def _all_in_thread(value: Any) -> Condition:
    return Not(Same("threadId", Not(_has_keyword(value))))


def _some_in_thread(value: Any) -> Condition:
    return Same("threadId", _has_keyword(value))


def _has_attachment(value: Any) -> Condition:
    return Eq("hasAttachment", msgspec.convert(value, bool))


def _header(value: Any) -> Condition:
    """§4.4.1: a field of that name, and if there is a second string, with that text in its value."""
    wanted = msgspec.convert(value, list[str])
    if not 1 <= len(wanted) <= 2:
        raise ValueError("must be one or two strings")
    named = Contains("name", wanted[0], whole=True)
    if len(wanted) == 1:
        return Item("headers", named)
    with_text = All((named, Contains("value", wanted[1])))
    return Any_((Item("headers", with_text), Item("decodedHeaders", with_text)))


FILTERS: dict[str, Filter] = {
    "inMailbox": _in_mailbox,
    "inMailboxOtherThan": _in_mailbox_other_than,
    "before": lambda value: Range("receivedAt", below=whole_second(value)),
    "after": lambda value: Range("receivedAt", at_least=whole_second(value)),
    "minSize": lambda value: Range("size", at_least=_size(value)),
    "maxSize": lambda value: Range("size", below=_size(value)),
    "allInThreadHaveKeyword": _all_in_thread,
    "someInThreadHaveKeyword": _some_in_thread,
    "noneInThreadHaveKeyword": lambda value: Not(_some_in_thread(value)),
    "hasKeyword": _has_keyword,
    "notKeyword": lambda value: Not(_has_keyword(value)),
    "hasAttachment": _has_attachment,
    "text": text(*TEXT_FIELDS),
    **{field: text(field) for field in TEXT_FIELDS},
    "header": _header,
    **SMIME_FILTERS,
}


def _by_condition(condition: Filter) -> Sort:
    """Sort by whether a keyword is there; the Comparator must name it (§4.4.2)."""

    def build(comparator: JsonObject) -> Order:
        return Order(condition(comparator.get("keyword")), comparator.get("isAscending", True))

    return build


SORTS: dict[str, Sort] = {
    "receivedAt": by("receivedAt"),
    "size": by("size"),
    "from": by("sortFrom", "i;unicode-casemap"),
    "to": by("sortTo", "i;unicode-casemap"),
    "subject": by("sortSubject", "i;unicode-casemap"),
    "sentAt": by("sortSentAt"),
    "hasKeyword": _by_condition(_has_keyword),
    "allInThreadHaveKeyword": _by_condition(_all_in_thread),
    "someInThreadHaveKeyword": _by_condition(_some_in_thread),
}


def refine(plan: QueryPlan, arguments: Any) -> QueryPlan:
    """Collapsing (§4.4.3), and what else moves in the results when one Email of a Thread changes."""
    distinct = "threadId" if arguments.collapse_threads else None
    conditions = [plan.where, *(order.by for order in plan.order if not isinstance(order.by, str))]
    of_thread = any(isinstance(part, Same) for condition in conditions for part in parts(condition))
    related = ("threadId",) if distinct or of_thread else ()
    return QueryPlan(plan.where, plan.order, distinct, related)


async def known_total(snapshot: Snapshot, plan: QueryPlan) -> int | None:
    """The total of a query for one Mailbox and nothing else: its counters (§4.4)."""
    if not isinstance(plan.where, Has) or plan.where.property != "mailboxIds":
        return None
    name = "totalThreads" if plan.distinct else "totalEmails"
    # Projected records are remembered by stores.
    found: list[Any] = await snapshot.project("Mailbox", [plan.where.key], [name])
    return msgspec.json.decode(getattr(found[0], name), type=int) if found else 0
