"""What clients of a cluster did and saw: the events that the checker judges.

Times are seconds of one monotonic clock, that of the process of all clients. States are modseqs: numbers that
order all that happened to one type of an account.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

# "unknown": no answer came, or one that does not tell whether it was done.
Outcome = Literal["done", "refused", "unknown"]
# "add" changes the facts it names and adds its stamp; "create" and "replace" leave no stamp but their own.
Verb = Literal["create", "add", "replace", "destroy"]


class Part(Struct, frozen=True):
    """What a write does to one record. ``key``: unique for ever; ``stamp``: unique to the write, "": none."""

    key: str
    verb: Verb
    stamp: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Write(Struct, frozen=True):
    """One attempt to change records of one type, all in one transaction, sent once.

    ``old``, ``new``: the states that the answer gave; None: it gave none (LMTP, or no answer). ``is_whole``: no
    part could be refused without the others, unless its record was gone.
    """

    account: str
    type: str
    client: str
    node: str
    began: float
    ended: float
    outcome: Outcome
    parts: tuple[Part, ...]
    old: int | None = None
    new: int | None = None
    if_in_state: int | None = None
    is_whole: bool = True


class Seen(Struct, frozen=True):
    """A record in a copy. ``facts``: everything about it that writes may set."""

    key: str
    id: str
    stamps: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Copy(Struct, frozen=True):
    """All records of a type, as /get gave them."""

    account: str
    type: str
    client: str
    node: str
    began: float
    ended: float
    state: int
    records: tuple[Seen, ...]


class Look(Struct, frozen=True):
    """That somebody was told a state of a type: by a read, a query, /changes or push."""

    account: str
    type: str
    client: str
    node: str
    began: float
    ended: float
    state: int


class Delta(Struct, frozen=True):
    """What /changes from ``since`` told at the end, page by page."""

    account: str
    type: str
    since: int
    created: tuple[str, ...]
    updated: tuple[str, ...]
    destroyed: tuple[str, ...]
    new: int


class Splice(Struct, frozen=True):
    """A list of /query as a client kept it, what /queryChanges told of it at the end, and what /query gave then."""

    account: str
    query: str
    since: str
    before: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[tuple[int, str], ...]
    after: tuple[str, ...]


class Told(Struct, frozen=True):
    """A state that push told to a subscriber."""

    subscriber: str
    account: str
    type: str
    state: int
    at: float


class Fenced(Struct, frozen=True):
    """A write under a lease. ``position``: where it stands in the order of the store; None: not there."""

    lease: str
    holder: str
    token: int
    number: int
    outcome: Outcome
    position: int | None = None


class History(Struct):
    """Everything; lists are in no order but that in which the events ended."""

    writes: list[Write] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    deltas: list[Delta] = field(default_factory=list)
    splices: list[Splice] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    fenced: list[Fenced] = field(default_factory=list)
    # Who listened, to which accounts; and what they had been told last, when all was joined again.
    subscribers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # The copies that were made last, when nobody wrote any more.
    final: dict[tuple[str, str], Copy] = field(default_factory=dict)
