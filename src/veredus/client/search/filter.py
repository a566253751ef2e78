"""A search as the filter of Email/query (RFC 8621 §4.4.1)."""

import re

from veredus.client.search.context import Context
from veredus.client.search.nodes import (
    Address,
    And,
    Attachment,
    Header,
    In,
    Keyword,
    Node,
    Not,
    Or,
    Received,
    Size,
    Term,
    Text,
    ThreadKeyword,
)
from veredus.wire.types import JsonObject

_ESCAPED = re.compile(r"[\"'\\]")


def to_filter(node: Node, context: Context) -> JsonObject:
    """A FilterOperator or FilterCondition; ``{}`` selects everything. Raises UnknownMailbox."""
    match node:
        case And(()):
            return {}
        case And(of):
            return _operator("AND", of, context)
        case Or(of):
            return _operator("OR", of, context)
        case Not(of):
            return _negation(of, context)
        case _:
            return _condition(node, context)


def _operator(operator: str, of: tuple[Node, ...], context: Context) -> JsonObject:
    return {"operator": operator, "conditions": [to_filter(node, context) for node in of]}


def _negation(node: Node, context: Context) -> JsonObject:
    """Where a FilterCondition says it, that; indexes answer it sooner than an operator."""
    match node:
        case Keyword(keyword):
            return {"notKeyword": keyword}
        case Attachment():
            return {"hasAttachment": False}
        case ThreadKeyword(keyword, lacking):
            return {"allInThreadHaveKeyword" if lacking else "noneInThreadHaveKeyword": keyword}
        case _:
            return _operator("NOT", (node,), context)


def _condition(term: Term, context: Context) -> JsonObject:
    match term:
        case Text() | Address():
            return {term.field: _searched(term)}
        case Keyword(keyword):
            return {"hasKeyword": keyword}
        case ThreadKeyword(keyword, lacking=False):
            return {"someInThreadHaveKeyword": keyword}
        case ThreadKeyword(keyword):
            return {"operator": "NOT", "conditions": [{"allInThreadHaveKeyword": keyword}]}
        case Attachment():
            return {"hasAttachment": True}
        case In(mailbox):
            return {"inMailbox": context.mailboxes.find(mailbox)}
        case Header(name, value):
            return {"header": [name] if value is None else [name, value]}
        case Size() | Received():
            return _range(term, context)


def _searched(term: Text | Address) -> str:
    """The text of a search (§4.4.1); in quotes where what it holds might mean something else."""
    match term:
        case Text(_, value, quoted=False) if not _ESCAPED.search(value):
            return value
        case Text(_, value) | Address(_, None, value):
            return _phrase(value)
        case Address(_, local, domain):
            return _phrase(f"{local}@{domain}")


def _range(term: Size | Received, context: Context) -> JsonObject:
    bounds: dict[str, int | str | None]
    if isinstance(term, Size):
        bounds = {"minSize": term.at_least, "maxSize": term.below}
    else:
        bounds = {
            "after": context.utc(term.since) if term.since is not None else None,
            "before": context.utc(term.before) if term.before is not None else None,
        }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _phrase(value: str) -> str:
    """In quotes, with what §4.4.1 says must be escaped there."""
    return '"' + _ESCAPED.sub(r"\\\g<0>", value) + '"'
