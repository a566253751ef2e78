"""The search grammar of docs/search-grammar.md: a text, as a filter of Email/query or decided here."""

from veredus.client.search.context import Context
from veredus.client.search.filter import to_filter
from veredus.client.search.grammar import parse
from veredus.client.search.mailboxes import Mailboxes, UnknownMailbox
from veredus.client.search.match import get_arguments, match, needed_properties, require_decidable
from veredus.client.search.nodes import Node, SearchError, names_mailboxes

__all__ = [
    "Context",
    "Mailboxes",
    "Node",
    "SearchError",
    "UnknownMailbox",
    "get_arguments",
    "match",
    "names_mailboxes",
    "needed_properties",
    "parse",
    "require_decidable",
    "to_filter",
]
