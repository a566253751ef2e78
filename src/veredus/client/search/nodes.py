"""What a search says, as values: the parser makes them, ``filter`` and ``match`` give them meaning."""

from datetime import date, datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from veredus.client.errors import JMAPError

TextField: TypeAlias = Literal["text", "from", "to", "cc", "bcc", "subject", "body"]
AddressField: TypeAlias = Literal["from", "to", "cc", "bcc"]


class SearchError(JMAPError):
    """A search that means nothing. ``position``: of the character, from 0; None: no single place."""

    def __init__(self, what: str, position: int | None = None) -> None:
        super().__init__(what if position is None else f"at character {position + 1}: {what}")
        self.what, self.position = what, position


class And(Struct, frozen=True):
    """All of them; with none, everything."""

    of: "tuple[Node, ...]" = ()


class Or(Struct, frozen=True):
    """At least one of them."""

    of: "tuple[Node, ...]"


class Not(Struct, frozen=True):
    """What ``of`` does not select."""

    of: "Node"


class Text(Struct, frozen=True):
    """The words of ``value`` side by side in ``field``; "text" is every field, the body included."""

    field: TextField
    value: str
    quoted: bool = False


class Address(Struct, frozen=True):
    """An address in ``field`` is local@domain, or with ``local`` None any at that domain; without case."""

    field: AddressField
    local: str | None
    domain: str


class Keyword(Struct, frozen=True):
    """The Email has the keyword (in lower case, RFC 8621 §4.1.1)."""

    keyword: str


class ThreadKeyword(Struct, frozen=True):
    """Some Email of its Thread has the keyword; with ``lacking``, some Email of its Thread has it not."""

    keyword: str
    lacking: bool = False


class Attachment(Struct, frozen=True):
    """``hasAttachment`` is true."""


class In(Struct, frozen=True):
    """The Email is in the Mailbox with this role, path, name or id."""

    mailbox: str


class Header(Struct, frozen=True):
    """There is a field ``name``, and if ``value`` is not None, one whose value contains it without case."""

    name: str
    value: str | None = None


class Size(Struct, frozen=True):
    """``at_least <= size < below``, in octets."""

    at_least: int | None = None
    below: int | None = None


class Ago(Struct, frozen=True):
    """So long before now; ``unit`` is h, d, w, m (calendar months) or y (calendar years)."""

    amount: int
    unit: str


# A date is the beginning of that day where the searcher is; a datetime has its zone.
Moment: TypeAlias = date | datetime | Ago


class Received(Struct, frozen=True):
    """``since <= receivedAt < before``."""

    since: Moment | None = None
    before: Moment | None = None


Term: TypeAlias = Text | Address | Keyword | ThreadKeyword | Attachment | In | Header | Size | Received
Node: TypeAlias = And | Or | Not | Term


def negated(node: Node) -> Node:
    """What ``node`` does not select; of a Not, what stands in it."""
    return node.of if isinstance(node, Not) else Not(node)


def terms(node: Node) -> list[Term]:
    """Every term in ``node``, in order."""
    match node:
        case And(of) | Or(of):
            return [term for part in of for term in terms(part)]
        case Not(of):
            return terms(of)
        case _:
            return [node]


def names_mailboxes(node: Node) -> bool:
    """Whether the meaning of ``node`` depends on the account's Mailboxes."""
    return any(isinstance(term, In) for term in terms(node))
