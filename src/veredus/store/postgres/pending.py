"""What a transaction keeps of a record: as the database has it, and what is to become of it."""

from collections.abc import Mapping

from msgspec import Struct

from veredus.conditions import Condition, Order, parts
from veredus.store.postgres.reads import Parts
from veredus.wire.types import JsonObject


class Held(Struct):
    """A record as the database has it. ``parts``: without the cold one unless that was read."""

    rid: int
    has_texts: bool
    parts: Parts


class Pending(Struct):
    """What is to become of a record: ``record`` as a whole, or only its ``live`` part, or nothing.

    ``held``: as the database has it, None: it has not.
    """

    held: Held | None
    record: JsonObject | None = None
    live: JsonObject | None = None
    # Of ``live``: what has changed.
    names: frozenset[str] = frozenset()
    texts: Mapping[str, str] | None = None

    @property
    def is_gone(self) -> bool:
        return self.record is None and self.live is None


def read_by(where: Condition) -> set[str]:
    """The properties that a condition reads; its texts change with whole records alone."""
    names = (getattr(part, "property", None) for part in parts(where))
    return {name for name in names if name is not None}


def read_by_order(order: Order) -> set[str]:
    return {order.by} if isinstance(order.by, str) else read_by(order.by)
